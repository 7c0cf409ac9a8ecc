/**
 * Compares transactions on PostgreSQL whose intents go to the outbox with transactions that insert rows by hand. It
 * needs a server: `AIRLOCK_TEST_POSTGRES`, or the standard port.
 */
import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, ManagedRuntime, Redacted, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { randomUUID } from "node:crypto"
import { report, rounds } from "./rounds.js"

const transactions = 500
const connections = 8
const table = "airlock_bench_outbox"

const Count = Task.make("Count", { payload: { orderId: Schema.Number, email: Schema.String } })
const payload = { orderId: 1, email: "ada@example.com" }
const three = [1, 2, 3]

const client = PgClient.layer({
  url: Redacted.make(process.env["AIRLOCK_TEST_POSTGRES"] ?? "postgres://postgres@127.0.0.1:5432/postgres"),
  maxConnections: connections
})

const insertOrder = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`INSERT INTO airlock_bench_orders (name) VALUES ('a')`
)

const encode = Schema.encodeSync(Count.payloadSchema)

const handWritten = (into: string, row: () => Record<string, unknown>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(Effect.zipRight(
      insertOrder,
      Effect.suspend(() => sql`INSERT INTO ${sql(into)} ${sql.insert(three.map(row))}`)
    )))

/** The smallest useful row, in a table with one index besides its key. */
const leastRow = () => ({
  id: randomUUID(),
  task: "Count",
  payload: JSON.stringify(encode(payload)),
  created_at: Date.now()
})

/** A row that Airlock's relay can use. */
const sameRow = () => ({
  id: randomUUID(),
  task: "Count",
  version: 1,
  payload: JSON.stringify(encode(payload)),
  state: "ready",
  ready_at: Date.now() * 1000,
  enqueued_at: Date.now()
})

const enqueuing = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql.withTransaction(
    Effect.zipRight(insertOrder, Effect.forEach(three, () => Airlock.enqueue(Count, payload), { discard: true }))
  ))

const all = <E, R>(transaction: Effect.Effect<unknown, E, R>) =>
  Effect.forEach(Array.from({ length: transactions }), () => transaction, { concurrency: connections, discard: true })

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  for (const name of ["airlock_bench_orders", "airlock_bench_hand", table, `${table}_version`]) {
    yield* sql.unsafe(`DROP TABLE IF EXISTS ${name}`)
  }
  yield* sql`CREATE TABLE airlock_bench_orders (name TEXT)`
  yield* sql`CREATE TABLE airlock_bench_hand (
    id UUID PRIMARY KEY, task TEXT NOT NULL, payload TEXT NOT NULL, created_at BIGINT NOT NULL)`
  yield* sql`CREATE INDEX ON airlock_bench_hand (created_at)`
  yield* Outbox.migrate(table)
})

const empty = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql.unsafe(`TRUNCATE airlock_bench_orders, airlock_bench_hand, ${table}`)
)

/** Runs an Effect on empty tables, and gives its milliseconds. */
const timed = <E, R>(self: Effect.Effect<unknown, E, R>) =>
  Effect.zipRight(
    empty,
    Effect.suspend(() => {
      const started = performance.now()
      return Effect.map(self, () => performance.now() - started)
    })
  )

export const outbox: Effect.Effect<void> = Effect.gen(function*() {
  const plain = ManagedRuntime.make(client)
  yield* Effect.promise(() => plain.runPromise(tables))
  const kept = ManagedRuntime.make(
    SqlTransaction.layer.pipe(
      Layer.provideMerge(Outbox.live({ table })),
      Layer.provideMerge(client),
      Layer.merge(Airlock.unchecked)
    )
  )
  const medians = yield* rounds({
    hand: Effect.promise(() => plain.runPromise(timed(all(handWritten("airlock_bench_hand", leastRow))))),
    same: Effect.promise(() => plain.runPromise(timed(all(handWritten(table, sameRow))))),
    ours: Effect.promise(() => kept.runPromise(timed(all(enqueuing)))),
    request: Effect.promise(() => kept.runPromise(timed(all(Airlock.scoped(enqueuing)))))
  }, { rounds: 31, warmup: 4 })
  const throughput = (millis: number) => Math.round(transactions / millis * 1000)
  report(
    "a transaction with 3 intents in the outbox, times a hand-written insert's throughput",
    medians.hand! / medians.ours!,
    "bar: at least 0.9"
  )
  report("the same, times that of one into the same table", medians.same! / medians.ours!, "no bar")
  report("the same in the scope of a request: held, then released", medians.hand! / medians.request!, "no bar")
  process.stdout.write(
    `  (${throughput(medians.ours!)}/s, hand-written ${throughput(medians.hand!)}/s, in a request ${
      throughput(medians.request!)
    }/s)\n`
  )
  yield* Effect.promise(() => Promise.all([plain.dispose(), kept.dispose()]))
})
