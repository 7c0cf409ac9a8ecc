/**
 * A backfill on SQLite: each old order gets a receipt by mail, with an outbox, in chunks. It can be tried out, interrupted,
 * killed and run again.
 *
 *     npx tsx examples/backfill.ts seed --orders 100000
 *     npx tsx examples/backfill.ts backfill --dry-run
 *     npx tsx examples/backfill.ts backfill
 *     npx tsx examples/backfill.ts send
 */
import { Command, Options } from "@effect/cli"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Chunk, Console, Effect, Layer, Option, Schedule, Schema, Stream } from "effect"
import { Airlock, Policy, Task } from "effect-airlock"
import * as AirlockCommand from "effect-airlock/AirlockCommand"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"

// ---------------------------------------------------------------- data: orders, and an outbox beside them

const tables = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  // The stand-in of better-sqlite3 in this repository does not wait for another process otherwise.
  yield* sql`PRAGMA busy_timeout = 5000`
  yield* sql`CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, email TEXT NOT NULL, receipt INTEGER NOT NULL)`
  yield* sql`CREATE TABLE IF NOT EXISTS mails (order_id INTEGER NOT NULL)`
  yield* Outbox.migrate()
}))

const data = (filename: string) =>
  SqlTransaction.layer.pipe(
    Layer.provideMerge(Outbox.live()),
    Layer.provideMerge(tables),
    Layer.provideMerge(SqliteClient.layer({ filename }))
  )

// ---------------------------------------------------------------- side effects

const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number, email: Schema.String } })

/** Stands for a mail server. It keeps what it was told to send, so that the tests can count. */
const SendReceiptLive = SendReceipt.toLayerBatched(
  (receipts) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`INSERT INTO mails ${sql.insert(receipts.map(({ orderId }) => ({ order_id: orderId })))}`
    ),
  { maxSize: 500 }
)

const deliverable = Policy.make({
  name: "deliverable",
  allows: ({ payload }) =>
    Effect.succeed(
      !(payload as typeof SendReceipt.payloadSchema.Type).email.endsWith(".invalid") || { drop: "an order of a test" }
    )
})

// ---------------------------------------------------------------- the backfill

interface Order {
  readonly id: number
  readonly email: string
}

/** The orders without a receipt, by their key. A chunk that has left is not found again. */
const ordersWithoutReceipt = (sql: SqlClient.SqlClient, size: number) =>
  Stream.paginateChunkEffect(
    0,
    (after) =>
      sql<Order>`SELECT id, email FROM orders WHERE receipt = 0 AND id > ${after} ORDER BY id LIMIT ${size}`.pipe(
        Effect.map((orders) => {
          const page = Chunk.unsafeFromArray(orders)
          return [page, Option.map(Chunk.last(page), ({ id }) => id)] as const
        })
      )
  )

const sendReceipts = (sql: SqlClient.SqlClient, orders: ReadonlyArray<Order>) =>
  Effect.gen(function*() {
    yield* sql`UPDATE orders SET receipt = 1 WHERE ${sql.in("id", orders.map(({ id }) => id))}`
    yield* Effect.forEach(orders, ({ email, id }) => Airlock.enqueue(SendReceipt, { orderId: id, email }), {
      discard: true
    })
  })

const countOf = (sql: SqlClient.SqlClient, what: string) =>
  Effect.map(sql.unsafe<{ readonly count: number }>(`SELECT COUNT(*) AS count FROM ${what}`), ([row]) => row!.count)

/** `atEnd` runs at the end of each chunk, before its COMMIT. The tests stop the program there. */
const backfill = (atEnd: Effect.Effect<void>) =>
  Command.make(
    "backfill",
    { size: Options.integer("size").pipe(Options.withDefault(1000), Options.withDescription("Orders in a chunk")) },
    ({ size }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const total = yield* countOf(sql, "orders WHERE receipt = 0")
        yield* ordersWithoutReceipt(sql, size).pipe(
          AirlockCommand.runForEachChunk(
            (orders) => Effect.zipRight(sendReceipts(sql, Chunk.toReadonlyArray(orders)), atEnd),
            { size, total, unit: "orders", transaction: true }
          )
        )
      })
  ).pipe(
    AirlockCommand.scoped({ policy: deliverable, rows: 3 }),
    Command.withDescription("Sends a receipt for each order that has none")
  )

// ---------------------------------------------------------------- the other commands

const seed = Command.make(
  "seed",
  { orders: Options.integer("orders").pipe(Options.withDefault(100_000)) },
  ({ orders }) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        WITH RECURSIVE numbers (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM numbers WHERE id < ${orders})
        INSERT INTO orders (id, email, receipt)
        SELECT id, 'customer' || id || IIF(id % 100 = 0, '@test.invalid', '@example.com'), 0 FROM numbers`
      yield* Console.log(`${orders} orders`)
    })
).pipe(Command.withDescription("Inserts orders without a receipt"))

/** In an application this is the worker: a process with a relay, which runs all the time. */
const send = Command.make("send", {}, () =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* Effect.repeat(countOf(sql, "airlock_outbox"), {
      until: (count) => count === 0,
      schedule: Schedule.spaced("50 millis")
    })
    yield* Console.log(
      `${yield* countOf(sql, "mails")} mails for ${yield* countOf(sql, "(SELECT DISTINCT order_id FROM mails)")} orders`
    )
  }).pipe(Effect.provide(Outbox.relay({ concurrency: 1 }).pipe(Layer.provide(SendReceiptLive))))).pipe(
    Command.withDescription("Sends the receipts that are in the outbox")
  )

export const orders = (atEnd: Effect.Effect<void> = Effect.void) =>
  Command.make("orders", { database: Options.text("database").pipe(Options.withDefault("orders.db")) }).pipe(
    Command.withSubcommands([seed, backfill(atEnd), send]),
    Command.provide(({ database }) => data(database))
  )

/** Runs the commands as the main program of a process. */
export const main = (atEnd?: Effect.Effect<void>) =>
  AirlockCommand.run(orders(atEnd), { name: "Orders", version: "1.0.0" })(process.argv).pipe(
    Effect.provide(NodeContext.layer),
    NodeRuntime.runMain({ teardown: AirlockCommand.teardown })
  )

if (process.argv[1]?.endsWith("backfill.ts") === true) {
  main()
}
