/**
 * Compares transactions on PostgreSQL that enqueue with transactions on the driver's own client, without and with the
 * hand-written floor. It needs a server: `AIRLOCK_TEST_POSTGRES`, or the standard port.
 */
import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, ManagedRuntime, Redacted, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import * as Floor from "./floor.js"
import { report, rounds } from "./rounds.js"

const transactions = 1_000
const repetitions = { rounds: 31, warmup: 4 }
const connections = 8

const Count = Task.make("Count", { payload: { by: Schema.Number } })

let counted = 0

const client = PgClient.layer({
  url: Redacted.make(process.env["AIRLOCK_TEST_POSTGRES"] ?? "postgres://postgres@127.0.0.1:5432/postgres"),
  maxConnections: connections
})

const insert = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO airlock_bench (name) VALUES ('a')`)

const enqueuing = Effect.zipRight(
  insert,
  Effect.forEach([1, 1, 1], (by) => Airlock.enqueue(Count, { by }), { discard: true })
)

const count = ({ by }: { readonly by: number }) =>
  Effect.sync(() => {
    counted += by
  })

const collecting = Effect.zipRight(
  insert,
  Effect.forEach([1, 1, 1], (by) => Floor.enqueue(count, { by }), { discard: true })
)

const inTransaction = <E, R>(body: Effect.Effect<unknown, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(body))

const all = <E, R>(transaction: Effect.Effect<unknown, E, R>) =>
  Effect.forEach(Array.from({ length: transactions }), () => transaction, { concurrency: connections, discard: true })

export const sql: Effect.Effect<void> = Effect.gen(function*() {
  const plain = ManagedRuntime.make(client)
  const decorated = ManagedRuntime.make(
    SqlTransaction.layer.pipe(
      Layer.provideMerge(Count.toLayer(count)),
      Layer.provideMerge(AirlockLive),
      Layer.provideMerge(client),
      Layer.merge(Airlock.unchecked)
    )
  )
  yield* Effect.promise(() =>
    plain.runPromise(Effect.flatMap(
      SqlClient.SqlClient,
      (sql) =>
        Effect.zipRight(
          sql`DROP TABLE IF EXISTS airlock_bench`,
          sql`CREATE TABLE airlock_bench (id SERIAL PRIMARY KEY, name TEXT)`
        )
    ))
  )
  const medians = yield* rounds({
    without: Effect.promise(() => plain.runPromise(all(inTransaction(insert)))),
    floor: Effect.promise(() => plain.runPromise(all(Floor.scoped(inTransaction(collecting))))),
    empty: Effect.promise(() => decorated.runPromise(all(inTransaction(insert)))),
    enqueuing: Effect.promise(() => decorated.runPromise(all(inTransaction(enqueuing))))
  }, repetitions)
  if (counted !== (repetitions.rounds + repetitions.warmup) * transactions * 3 * 2) {
    throw new Error(`not every intent was run: ${counted}`)
  }
  yield* Effect.promise(() =>
    plain.runPromise(Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DROP TABLE airlock_bench`))
  )
  report(
    "PostgreSQL transactions with 3 intents, throughput of those on a plain client",
    medians.without! / medians.enqueuing!,
    "bar: at least 0.93"
  )
  report("the same with the hand-written floor", medians.without! / medians.floor!, "no bar")
  report("the same where nothing is enqueued", medians.without! / medians.empty!, "no bar")
  const rate = (millis: number) => Math.round(transactions / millis * 1000)
  process.stdout.write(
    `  (transactions a second: ${rate(medians.without!)} plain, ${rate(medians.enqueuing!)} with 3 intents)\n`
  )
})
