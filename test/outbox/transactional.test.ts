/**
 * Handlers whose writes commit together with the acknowledgement of their intent.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Metric, Schedule, Schema, Scope } from "effect"
import { Airlock, AirlockMetrics, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { makeStore } from "../../src/internal/outbox/store/store.js"
import { tableNames } from "../../src/internal/outbox/store/tables.js"
import { type Database, onEachDatabase } from "../support/databases.js"
import { until } from "../support/until.js"

const table = "airlock_outbox"

const other = "0a000000-0000-4000-8000-000000000002"

const Pay = Task.make("Pay", { payload: { n: Schema.Number }, retry: { schedule: Schedule.spaced("1 millis") } })
const Follow = Task.make("Follow", { payload: { attempt: Schema.Number } })

const tables = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  for (const name of [...Object.values(tableNames(table)), "payments"]) {
    yield* sql.unsafe(`DROP TABLE IF EXISTS ${name}`)
  }
  yield* sql`CREATE TABLE payments (attempt INTEGER)`
  yield* Outbox.migrate()
}))

const application = (database: Database) =>
  SqlTransaction.layer.pipe(
    Layer.provideMerge(Outbox.live()),
    Layer.provideMerge(Layer.provideMerge(tables, database.client())),
    Layer.orDie
  )

/** Another relay: it reaps all sessions, and claims what they had. */
const takeOver = (database: Database) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(database.client())
    const sql = Context.get(context, SqlClient.SqlClient)
    const store = makeStore(sql, table)
    yield* sql`UPDATE airlock_outbox_relay SET expires_at = 0`
    yield* store.register({ id: other, name: "other", tasks: [["Pay", 1]], queues: null }, 600_000)
    yield* store.reap
    const lane = { queue: "default", task: "Pay", version: 1, limit: 10 }
    return yield* store.claim({ lease: other, claimNumber: 1, lanes: [lane], limit: 10, maxBytes: 1_000_000 })
  }).pipe(Effect.scoped)

const payments = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ readonly attempt: number }>`SELECT attempt FROM payments`,
    (rows) => rows.map(({ attempt }) => attempt)
  ))

const rows = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ readonly state: string, readonly attempt: unknown, readonly lease: unknown }>`
      SELECT state, attempt, lease FROM airlock_outbox`,
    (rows) => rows.map(({ attempt, lease, state }) => ({ state, attempt: Number(attempt), lease }))
  ))

/** A relay whose handler of `Pay` writes a payment, enqueues `Follow`, and then does `then`. */
const paying = (
  then: (attempt: number) => Effect.Effect<unknown, unknown>,
  options: Outbox.RelayOptions = {}
) =>
  Effect.gen(function*() {
    const attempts: Array<number> = []
    const followed: Array<number> = []
    const logs: Array<string> = []
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
    const logger = Logger.make(({ message }) => void logs.push(String(message)))
    yield* Layer.buildWithScope(
      Outbox.relay({ pollInterval: "20 millis", name: "r", drainTimeout: 0, ...options }).pipe(
        Layer.provide(Layer.mergeAll(
          Pay.toLayer((_, { attempt }) =>
            Effect.gen(function*() {
              attempts.push(attempt)
              const sql = yield* SqlClient.SqlClient
              yield* sql`INSERT INTO payments (attempt) VALUES (${attempt})`
              yield* Airlock.enqueue(Follow, { attempt })
              yield* then(attempt)
            }), { transactional: true }),
          Follow.toLayer(({ attempt }) => Effect.sync(() => followed.push(attempt)))
        )),
        Layer.provide(Logger.replace(Logger.defaultLogger, logger))
      ),
      scope
    )
    yield* SqlTransaction.transaction(Airlock.enqueue(Pay, { n: 1 }))
    return { attempts, followed, logs, stop: Scope.close(scope, Exit.void) }
  })

const isEmpty = Effect.map(rows, ({ length }) => length === 0)

onEachDatabase((database) => {
  const test = (
    name: string,
    effect: Effect.Effect<void, unknown, SqlClient.SqlClient | Airlock.Airlock | Scope.Scope>
  ) => it.live(name, () => Effect.provide(Effect.scoped(effect), Layer.merge(application(database), Airlock.unchecked)))

  test(
    "a transactional handler's writes and intents commit with the acknowledgement",
    Effect.gen(function*() {
      const { count } = yield* Metric.value(AirlockMetrics.acknowledged)
      const { attempts, followed } = yield* paying(() => Effect.void)
      yield* until(Effect.map(isEmpty, (isEmpty) => isEmpty && followed.length > 0))
      expect([attempts, yield* payments, followed]).toEqual([[1], [1], [1]])
      yield* until(Effect.map(Metric.value(AirlockMetrics.acknowledged), (now) => now.count === count + 2))
    })
  )

  test(
    "a failure rolls them back, and the next attempt does them once",
    Effect.gen(function*() {
      const { attempts, followed, logs } = yield* paying((attempt) => attempt < 3 ? Effect.fail("no") : Effect.void)
      yield* until(Effect.map(isEmpty, (isEmpty) => isEmpty && followed.length > 0))
      expect([attempts, yield* payments, followed]).toEqual([[1, 2, 3], [3], [3]])
      expect(logs.filter((line) => line.startsWith("Attempt ")).length).toBe(2)
    })
  )

  test(
    "an interruption before the commit leaves nothing",
    Effect.gen(function*() {
      const reached = yield* Effect.makeLatch(false)
      const { stop } = yield* paying(() => Effect.zipRight(reached.open, Effect.never))
      yield* reached.await
      yield* stop
      expect([yield* payments, yield* rows]).toEqual([[], [{ state: "ready", attempt: 0, lease: null }]])
    })
  )

  if (database.name !== "SQLite") {
    // On SQLite nobody else can write while the transaction of the handler is open.
    test(
      "all is rolled back if another relay has claimed the intent meanwhile, whose claim stays",
      Effect.gen(function*() {
        const reached = yield* Effect.makeLatch(false)
        const gate = yield* Effect.makeLatch(false)
        // It does not poll, and so does not take its own row over before the other one does.
        const { attempts, logs } = yield* paying(() => Effect.zipRight(reached.open, gate.await), {
          pollInterval: "1 hour"
        })
        yield* reached.await
        expect((yield* takeOver(database)).length).toBe(1)
        yield* gate.open
        yield* until(Effect.sync(() => logs.some((line) => line.includes("were no longer its own"))))
        expect([attempts, yield* payments]).toEqual([[1], []])
        expect(yield* rows).toEqual([{ state: "claimed", attempt: 1, lease: other }])
        expect(logs.join()).toContain("its transaction was rolled back")
      })
    )
  }

  test(
    "all is rolled back if the intent has another lease at the end",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { attempts, followed, logs } = yield* paying((attempt) =>
        attempt > 1 ? Effect.void : sql`UPDATE airlock_outbox SET lease = ${other} WHERE task = 'Pay'`
      )
      yield* until(Effect.sync(() => attempts.length > 1))
      yield* until(Effect.map(isEmpty, (isEmpty) => isEmpty && followed.length > 0))
      expect([attempts, yield* payments, followed]).toEqual([[1, 2], [2], [2]])
      expect(logs.join()).toContain("its transaction was rolled back")
    })
  )
})
