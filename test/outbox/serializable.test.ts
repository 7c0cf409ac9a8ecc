/**
 * A database of PostgreSQL whose transactions are `serializable` by default: the statements of the outbox and its relay refuse no
 * transaction of the application, and none of them is refused.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer } from "effect"
import { Airlock } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { insertOrder, onPostgres, orders, undecorated } from "../support/databases.js"
import { Mail, mail } from "../support/outbox.js"
import { until } from "../support/until.js"
import { recordWarnings, warnings } from "../support/warnings.js"

/** How many transactions of each kind run, and how many of all of them at a time. */
const count = 40
const concurrency = 8

/** A transaction that writes, so that it conflicts with whoever has read what it writes. */
const transaction = (name: string, options?: Parameters<typeof mail>[1]) =>
  SqlTransaction.transaction(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    expect(yield* sql`SELECT current_setting('transaction_isolation') AS isolation`).toEqual([
      { isolation: "serializable" }
    ])
    yield* insertOrder(name)
    yield* mail(name, options)
  }))

type Kind = (name: string, n: number) => Effect.Effect<unknown, unknown, Airlock.Airlock | SqlClient.SqlClient>

const kinds: ReadonlyArray<readonly [name: string, run: Kind]> = [
  ["ready", (name) => transaction(name)],
  ["keyed", (name, n) => transaction(name, { orderingKey: `key ${n % 5}` })],
  ["released", (name) => Airlock.scoped(transaction(name))],
  ["discarded", (name) => Effect.flip(Airlock.scoped(Effect.zipRight(transaction(name), Effect.fail("no"))))],
  ["flushed", (name) => Airlock.scoped(mail(name))],
  // PostgreSQL refuses a reader whose rows another serializable transaction changes that has read the rows of a third one.
  [
    "read",
    () => Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT state, COUNT(*) FROM airlock_outbox GROUP BY state`)
  ]
]

onPostgres((database) => {
  const serializable = Layer.effectDiscard(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ readonly name: string }>`SELECT current_database() AS name`
    yield* sql.unsafe(`ALTER DATABASE ${row!.name} SET default_transaction_isolation = 'serializable'`)
  })).pipe(Layer.provide(database.client()), Layer.orDie)

  const application = (maxConnections: number) =>
    SqlTransaction.layer.pipe(
      Layer.provideMerge(Outbox.live()),
      Layer.provideMerge(
        Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(undecorated(database, { maxConnections })))
      ),
      Layer.provide(serializable),
      Layer.orDie,
      Layer.provideMerge(recordWarnings),
      Layer.merge(Airlock.unchecked)
    )

  // A relay on a small pool claims and acknowledges on connections of the pool.
  for (const [pool, maxConnections] of [["large pool", 10], ["small pool", 5]] as const) {
    it.live(
      `serializable transactions, their intents and a relay do not refuse each other (${pool})`,
      () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const got: Array<string> = []
          yield* Layer.build(
            Outbox.relay({ pollInterval: "20 millis", concurrency: 4, batchSize: 7 }).pipe(
              Layer.provide(Mail.toLayer(({ to }) => Effect.sync(() => got.push(to))))
            )
          )
          const runs = Array.from(
            { length: count },
            (_, n) => kinds.map(([kind, run]) => ({ kind, name: `${kind} ${n}`, run: run(`${kind} ${n}`, n) }))
          ).flat()
          const exits = yield* Effect.forEach(runs, ({ run }) => Effect.exit(run), { concurrency })
          expect(exits.filter(Exit.isFailure).map(({ cause }) => Cause.pretty(cause))).toEqual([])
          expect((yield* orders).length).toBe(runs.filter(({ kind }) => kind !== "flushed" && kind !== "read").length)
          const expected = runs.filter(({ kind }) => kind !== "discarded" && kind !== "read").map(({ name }) => name)
          yield* until(Effect.map(warnings, ({ length }) => got.length >= expected.length || length > 0))
          yield* until(Effect.gen(function*() {
            const left = yield* sql`SELECT id FROM airlock_outbox`
            return left.length === 0 || (yield* warnings).length > 0
          }))
          expect(yield* warnings).toEqual([])
          expect(got.sort()).toEqual(expected.sort())
        }).pipe(Effect.scoped, Effect.provide(application(maxConnections))),
      30_000
    )
  }
})
