/**
 * Direct calls of a pg-boss instance that go through Airlock.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Clock, Effect, Layer, type Scope, Struct } from "effect"
import { Airlock, AirlockLive, Executor } from "effect-airlock"
import * as PgBoss from "effect-airlock/executors/PgBoss"
import Boss from "pg-boss"
import { interceptTests, jobNames } from "../support/intercept.js"
import { describeOnPostgresProxy } from "../support/postgresProxy.js"
import { recordWarnings } from "../support/warnings.js"

describeOnPostgresProxy("pg-boss", ({ client, url }) => {
  const boss = Effect.acquireRelease(
    Effect.promise(async () => {
      const boss = await new Boss({ connectionString: url(), supervise: false, schedule: false }).start()
      await boss.clearStorage()
      for (const name of jobNames) {
        await boss.createQueue(name, { name })
      }
      return boss
    }),
    (boss) => Effect.promise(() => boss.stop({ graceful: false }))
  )

  interface Row {
    readonly id: string
    readonly name: string
    readonly data: unknown
  }

  const rows = Effect.flatMap(
    SqlClient.SqlClient,
    // The last order puts jobs that were added in one transaction in their order.
    (sql) => sql.unsafe<Row>("SELECT * FROM pgboss.job WHERE name NOT LIKE '\\_\\_%' ORDER BY created_on, ctid")
  ).pipe(Effect.orDie, Effect.provide(client))

  interceptTests<Boss>({
    open: boss,
    intercept: PgBoss.intercept,
    add: (boss, name, data) => boss.send(name, data),
    addDirectly: (boss, name, data) => PgBoss.direct(boss).send(name, data),
    method: "send",
    prefix: "pg-boss",
    jobs: () => Effect.map(rows, (rows) => rows.map(({ data, name }) => ({ name, data }))),
    work: (boss, names, processor, wrapped) =>
      Effect.forEach(names, (name) =>
        Effect.gen(function*() {
          const plain = async (jobs: ReadonlyArray<Boss.Job<object>>) => {
            for (const { data } of jobs) {
              await processor({ name, data })
            }
          }
          const run = wrapped ? yield* PgBoss.wrapHandler(plain) : plain
          yield* Effect.promise(() => boss.work(name, { pollingIntervalSeconds: 0.5 }, run))
        }), { discard: true })
  })

  const live = <E>(name: string, body: (boss: Boss) => Effect.Effect<unknown, E, Airlock.Airlock | Scope.Scope>) =>
    it.scopedLive(name, () => Effect.flatMap(boss, body).pipe(Effect.provide(Layer.merge(AirlockLive, recordWarnings))))

  /** What the database has of the jobs, with times as minutes since their creation. */
  const stored = Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql.unsafe<Record<string, unknown> & { readonly id: string }>(`
        SELECT id, name, data, priority, retry_limit, retry_delay, retry_backoff, singleton_key, dead_letter, policy,
          expire_in::text, round(extract(epoch FROM start_after - created_on) / 60)::int AS starts_in,
          round(extract(epoch FROM keep_until - created_on) / 60)::int AS kept_for,
          extract(epoch FROM singleton_on)::int % 1000 = 0 AS is_in_slot
        FROM pgboss.job WHERE name NOT LIKE '\\_\\_%' ORDER BY created_on, ctid`)
  ).pipe(Effect.orDie, Effect.provide(client))

  const withoutId = Struct.omit("id")

  const calls: Record<string, (boss: Boss) => Promise<unknown>> = {
    "send": (boss) => boss.send("receipt", { order: 1 }),
    "send without data": (boss) => boss.send({ name: "receipt" }),
    "send with one object": (boss) => boss.send({ name: "receipt", data: { order: 1 }, options: { priority: 2 } }),
    "send with options": (boss) =>
      boss.send("receipt", { order: 1 }, {
        priority: 3,
        startAfter: 60,
        retryLimit: 5,
        retryDelay: 7,
        retryBackoff: true,
        expireInMinutes: 3,
        retentionDays: 2,
        singletonKey: "order 1",
        deadLetter: "invoice"
      }),
    "send with an interval": (boss) => boss.send("receipt", { order: 1 }, { startAfter: "2 minutes" }),
    "sendAfter a number": (boss) => boss.sendAfter("receipt", { order: 1 }, { priority: 1 }, 120),
    "sendAfter a text": (boss) => boss.sendAfter("receipt", { order: 1 }, {}, "3 hours"),
    "sendThrottled": (boss) => boss.sendThrottled("receipt", { order: 1 }, {}, 1000, "order 1"),
    "sendDebounced": (boss) => boss.sendDebounced("receipt", { order: 1 }, {}, 1000, "order 1"),
    "insert": (boss) =>
      boss.insert([{ name: "receipt", data: { order: 1 }, priority: 2, retryLimit: 3, singletonKey: "k" }])
  }

  for (const [title, call] of Object.entries(calls)) {
    live(`the job of ${title} is the same as that of a direct call`, (boss) =>
      Effect.gen(function*() {
        yield* Effect.promise(() => call(boss))
        const [direct] = yield* stored
        yield* Effect.promise(() => boss.clearStorage())
        yield* PgBoss.intercept(boss)
        const answer = yield* Effect.promise(() => call(boss)).pipe(Airlock.scoped)
        const [intercepted, ...others] = yield* stored
        expect(withoutId(intercepted!)).toEqual(withoutId(direct!))
        expect(others).toEqual([])
        expect([answer].flat()).toEqual([intercepted!.id])
      }))
  }

  live("seconds count from the call, and not from the end of the scope", (boss) =>
    Effect.gen(function*() {
      yield* PgBoss.intercept(boss)
      // It dispatches ten minutes later.
      const executor = Executor.make({
        name: "late",
        durable: false,
        capabilities: [],
        dispatch: (intents, handlers) =>
          handlers.run(intents).pipe(
            Effect.withClock({ ...Clock.make(), currentTimeMillis: Effect.sync(() => Date.now() + 600_000) })
          )
      })
      yield* Effect.promise(() => boss.send("receipt", {}, { startAfter: 3600 })).pipe(Airlock.scoped({ executor }))
      const [job] = yield* stored
      expect(job?.["starts_in"]).toBe(50)
    }))

  live("a time is that of the call", (boss) =>
    Effect.gen(function*() {
      yield* PgBoss.intercept(boss)
      const time = new Date("2100-01-01T00:00:00Z")
      yield* Effect.promise(async () => {
        await boss.sendAfter("receipt", {}, {}, time)
        await boss.sendAfter("receipt", {}, {}, time.toISOString())
        await boss.insert([{ name: "receipt", startAfter: time }])
      }).pipe(Airlock.scoped)
      const times = yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql.unsafe<{ readonly start_after: Date }>("SELECT start_after FROM pgboss.job WHERE name = 'receipt'")
      ).pipe(Effect.provide(client))
      expect(times.map(({ start_after: startAfter }) => startAfter)).toEqual([time, time, time])
    }))

  live("an event is published when the scope succeeds, and not twice", (boss) =>
    Effect.gen(function*() {
      yield* Effect.promise(() => Promise.all(["receipt", "invoice"].map((name) => boss.subscribe("ordered", name))))
      yield* PgBoss.intercept(boss)
      const executor = Executor.make({
        name: "twice",
        durable: false,
        capabilities: [],
        dispatch: (intents, handlers) => Effect.zipRight(handlers.run(intents), handlers.run(intents))
      })
      yield* Effect.gen(function*() {
        yield* Effect.promise(() => boss.publish("ordered", { order: 1 }))
        expect((yield* Airlock.intents).map(({ task }) => task.name)).toEqual(["pg-boss/publish:ordered"])
        expect(yield* stored).toEqual([])
      }).pipe(Airlock.scoped({ executor }))
      expect((yield* rows).map(({ data, name }) => [name, data]).sort()).toEqual([
        ["invoice", { order: 1 }],
        ["receipt", { order: 1 }]
      ])
      yield* Effect.promise(() => Promise.all(["receipt", "invoice"].map((name) => boss.unsubscribe("ordered", name))))
    }))

  live("a call in a transaction of the caller goes directly", (boss) =>
    Effect.gen(function*() {
      yield* PgBoss.intercept(boss)
      const statements: Array<string> = []
      const db = {
        executeSql: (text: string, values: Array<unknown>) => {
          statements.push(text)
          return boss.getDb().executeSql(text, values)
        }
      }
      yield* Effect.promise(async () => {
        await boss.send("receipt", { order: 1 }, { db })
        await boss.insert([{ name: "receipt", data: { order: 2 } }], { db })
      }).pipe(Effect.zipRight(Effect.fail("no stock")), Airlock.scoped, Effect.ignore)
      expect(statements.length).toBe(2)
      expect((yield* rows).map(({ data }) => data)).toEqual([{ order: 1 }, { order: 2 }])
    }))

  live(
    "jobs of one insert are intents of their own, and those of other names go directly",
    (boss) =>
      Effect.gen(function*() {
        yield* PgBoss.intercept(boss, { names: ["receipt"] })
        yield* Effect.gen(function*() {
          yield* Effect.promise(() => boss.insert([{ name: "receipt" }, { name: "invoice" }, { name: "receipt" }]))
          expect((yield* Airlock.intents).length).toBe(2)
          expect((yield* rows).map(({ name }) => name)).toEqual(["invoice"])
        }).pipe(Airlock.scoped)
        expect((yield* rows).length).toBe(3)
      })
  )

  live("a call that makes no sense is an error of pg-boss", (boss) =>
    Effect.gen(function*() {
      yield* PgBoss.intercept(boss)
      const wrong = boss as unknown as { readonly send: (...args: ReadonlyArray<unknown>) => Promise<unknown> }
      for (const args of [[], [null], [{}], [{ name: "receipt" }, {}], ["receipt", () => undefined]]) {
        const error = yield* Effect.tryPromise(() => wrong.send(...args)).pipe(Effect.flip, Airlock.scoped)
        expect(String(error.error)).toMatch(/name|argument|payload/)
      }
    }))
})
