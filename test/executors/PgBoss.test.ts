/**
 * pg-boss: what its own tools see, what its worker does with jobs that it cannot run, jobs in transactions, and the outbox in front.
 */
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Deferred, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as PgBoss from "effect-airlock/executors/PgBoss"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import Boss from "pg-boss"
import { application, Mail, mail } from "../support/outbox.js"
import { describeOnPostgresProxy } from "../support/postgresProxy.js"
import { type StoredJob, transactionalTests } from "../support/transactionalEngine.js"
import { until } from "../support/until.js"

const Other = Task.make("Other", { payload: { n: Schema.Number } })

describeOnPostgresProxy("pg-boss", ({ client, cut, database, restore, throughProxy, url }) => {
  const boss = Effect.acquireRelease(
    Effect.promise(async () => {
      const boss = await new Boss({ connectionString: url(), supervise: false, schedule: false }).start()
      await boss.clearStorage()
      return boss
    }),
    (boss) => Effect.promise(() => boss.stop({ graceful: false }))
  )

  const rows = <Row extends object>(statement: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Row>(statement))

  const jobs = rows<{
    readonly id: string
    readonly name: string
    readonly state: string
    readonly data: any
    readonly output: any
    readonly retry_count: number
  }>("SELECT * FROM pgboss.job ORDER BY data ->> 'id'").pipe(Effect.provide(client))

  const onPgBoss = (options: Partial<PgBoss.ExecutorOptions> = {}) =>
    AirlockLive.pipe(Layer.provide(Layer.unwrapEffect(
      Effect.sync(() => PgBoss.layer({ connectionString: url(), ...options }))
    )))

  const untilFailed = Effect.gen(function*() {
    yield* until(Effect.map(jobs, (jobs) => jobs.some(({ state }) => state === "failed")))
    return (yield* jobs).find(({ state }) => state === "failed")!
  })

  describe("an executor", () => {
    it.scopedLive("adds jobs with the options of their intents, which pg-boss's own tools see", () =>
      Effect.gen(function*() {
        const own = yield* boss
        const ids = yield* Effect.all([
          Airlock.enqueue(Mail, { to: "a" }, { origin: "no\0where" }),
          Airlock.enqueue(Mail, { to: "b" }, {
            delay: "1 minute",
            priority: 7,
            dedupeKey: "k",
            maxAttempts: 3,
            native: PgBoss.native({ retryDelay: 5, retryBackoff: false, deadLetter: "dead" })
          }),
          Airlock.enqueue(Other, { n: 1 }, { queue: "urgent" })
        ]).pipe(Airlock.scoped, Effect.provide(onPgBoss()))
        const [first, second, third] = yield* Effect.promise(() =>
          Promise.all([
            own.getJobById<object>("airlock", ids[0]),
            own.getJobById<object>("airlock", ids[1]),
            own.getJobById<object>("urgent", ids[2])
          ])
        )
        expect(first?.data).toMatchObject({
          id: ids[0],
          task: "Mail",
          payload: { to: "a" },
          version: 1,
          origin: "no\ufffdwhere"
        })
        expect(first).toMatchObject({ retryLimit: 9, retryDelay: 1, retryBackoff: true, expireInSeconds: "960.000000" })
        expect(second).toMatchObject({
          priority: -7,
          singletonKey: "Mail:k",
          retryLimit: 2,
          retryDelay: 5,
          retryBackoff: false,
          deadLetter: "dead"
        })
        expect(second!.startAfter.getTime() - second!.createdOn.getTime()).toBe(60_000)
        expect(third).toMatchObject({ priority: 0, data: { payload: { n: 1 } } })
        const queues = yield* Effect.promise(() => own.getQueues())
        expect(queues.map(({ name, policy }) => `${name} ${policy}`).sort()).toEqual([
          "airlock short",
          "dead short",
          "urgent short"
        ])
      }))

    it.scopedLive("says which intents of a batch pg-boss has refused, and adds the others", () =>
      Effect.gen(function*() {
        const own = yield* boss
        yield* Effect.promise(() => own.createQueue("plain", { name: "plain", policy: "standard" }))
        const exit = yield* Effect.all([
          mail("a"),
          mail("too many", { native: PgBoss.native({ retryLimit: 2 ** 40 }) }),
          mail("keyed", { queue: "plain", dedupeKey: "k" }),
          mail("unnamed", { queue: "?" }),
          mail("e", { queue: "plain" }),
          mail("f", { queue: "plain" })
        ]).pipe(Airlock.scoped, Effect.flip, Effect.provide(onPgBoss()))
        const reasons = exit.failures.map(({ reason }) => String(reason))
        expect(reasons.length).toBe(3)
        expect(reasons[0]).toContain("out of range")
        expect(reasons[1]).toContain("policy \"standard\"")
        expect(reasons[2]).toContain("Name can only contain")
        expect((yield* jobs).map(({ data }) => data.payload.to)).toEqual(["a", "e", "f"])
      }))

    it.scopedLive("notices that a queue is gone, and creates it again for the next batch", () =>
      Effect.gen(function*() {
        const own = yield* boss
        const exits = yield* Effect.gen(function*() {
          yield* Airlock.scoped(mail("a", { queue: "gone" }))
          yield* Effect.promise(() => own.purgeQueue("gone"))
          yield* Effect.promise(() => own.deleteQueue("gone"))
          return [
            yield* Effect.exit(Airlock.scoped(mail("b", { queue: "gone" }))),
            yield* Effect.exit(Airlock.scoped(mail("c", { queue: "gone" })))
          ]
        }).pipe(Effect.provide(onPgBoss()))
        expect(exits.map(Exit.isSuccess)).toEqual([false, true])
        expect((yield* jobs).map(({ data }) => data.payload.to)).toEqual(["c"])
      }))

    it.scopedLive("uses a pool of the application, and does not close it", () =>
      Effect.gen(function*() {
        const own = yield* boss
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(onPgBoss({ db: own.getDb() })))
        yield* mail("b").pipe(Airlock.scoped, Effect.provide(onPgBoss({ db: own.getDb() })))
        expect((yield* jobs).length).toBe(2)
      }))

    for (const priority of [1.5, 2 ** 31]) {
      it.scopedLive(`refuses the priority ${priority}, which pg-boss does not have`, () =>
        Effect.gen(function*() {
          const exit = yield* mail("a", { priority }).pipe(Airlock.scoped, Effect.exit, Effect.provide(onPgBoss()))
          expect(Exit.isFailure(exit) && String(exit.cause)).toContain("UnsupportedOptionError")
        }))
    }
  })

  describe("in the application's transactions", () => {
    transactionalTests({
      database,
      layerSql: PgBoss.layerSql,
      jobs: rows<StoredJob>(`
        SELECT data -> 'payload' ->> 'to' AS to,
          extract(epoch FROM start_after - clock_timestamp())::float8 * 1000 AS "startsIn"
        FROM pgboss.job WHERE state = 'created' ORDER BY data ->> 'id'`),
      clear: Effect.scoped(boss),
      worker: Layer.unwrapEffect(
        Effect.sync(() => PgBoss.worker({ connectionString: url(), pollInterval: "10 millis" }))
      ),
      refused: { queue: "?" }
    })

    it.scopedLive("creates the tables of pg-boss", () =>
      Effect.gen(function*() {
        yield* mail("a").pipe(
          Airlock.scoped,
          Effect.provide(AirlockLive.pipe(Layer.provide(PgBoss.layerSql({ schema: "created" }))))
        )
        expect(yield* rows("SELECT name, policy FROM created.job")).toEqual([{ name: "airlock", policy: "short" }])
      }).pipe(Effect.provide(client)))
  })

  describe("the configuration", () => {
    const configured = (settings: Record<string, string>) =>
      Airlock.layerConfig({ executors: { "pg-boss": PgBoss.executorConfig() } }).pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromJson({
          AIRLOCK: { EXECUTOR: "pg-boss" },
          PGBOSS: settings
        })))
      )

    it.scopedLive("chooses the executor by its name, with its own settings", () =>
      Effect.gen(function*() {
        yield* mail("a").pipe(
          Airlock.scoped,
          Effect.provide(configured({ URL: url(), SCHEMA: "configured", QUEUE: "mine" }))
        )
        expect(yield* rows("SELECT name FROM configured.job").pipe(Effect.provide(client))).toEqual([{ name: "mine" }])
      }))

    it.scopedLive("says which setting cannot be read", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Layer.build(configured({ TIMEOUT: "soon" })))
        expect(String(error)).toContain("PGBOSS.TIMEOUT")
      }))
  })

  describe("a worker", () => {
    const start = (handlers: Layer.Layer<never, never, Airlock.Airlock>, options: Partial<PgBoss.WorkerOptions> = {}) =>
      Layer.build(
        PgBoss.worker({ connectionString: url(), pollInterval: "10 millis", ...options }).pipe(
          Layer.provide(handlers),
          Layer.provide(onPgBoss())
        )
      )

    it.scopedLive("fails a job whose task has no handler", () =>
      Effect.gen(function*() {
        yield* boss
        yield* mail("a", { maxAttempts: 1 }).pipe(Airlock.scoped, Effect.provide(onPgBoss()))
        yield* start(Other.toLayer(() => Effect.void))
        const { output } = yield* untilFailed
        expect(output.message).toContain("Mail")
        expect(output.message).toContain("handler")
      }))

    it.scopedLive("fails a job for good whose payload does not fit its task, and pg-boss sends it to the dead letters", () =>
      Effect.gen(function*() {
        yield* boss
        yield* Airlock.enqueue(Other, { n: 1 }, { native: PgBoss.native({ deadLetter: "dead" }) }).pipe(
          Airlock.scoped,
          Effect.provide(onPgBoss())
        )
        const Changed = Task.make("Other", { payload: { text: Schema.String } })
        yield* start(Changed.toLayer(() => Effect.void))
        const { output, retry_count: retries } = yield* untilFailed
        expect(output.message).toContain("does not fit the task")
        expect(retries).toBe(0)
        expect((yield* jobs).map(({ name }) => name).sort()).toEqual(["airlock", "dead"])
      }))

    it.scopedLive("gives the intent's id to a handler of dead letters", () =>
      Effect.gen(function*() {
        yield* boss
        const ids: Array<string> = []
        const failing = Mail.toLayer((_, { intentId }) => {
          ids.push(intentId)
          return Effect.fail(new Error("NUL \0"))
        })
        yield* start(failing)
        yield* start(failing, { queue: "dead" })
        const id = yield* mail("a", { maxAttempts: 1, native: PgBoss.native({ deadLetter: "dead" }) }).pipe(
          Airlock.scoped,
          Effect.provide(onPgBoss())
        )
        yield* until(Effect.sync(() => ids.length === 2))
        expect(ids).toEqual([id, id])
        expect((yield* untilFailed).output.message).toContain("NUL \ufffd")
      }))

    it.scopedLive("fills a slot that is free while other handlers run", () =>
      Effect.gen(function*() {
        yield* boss
        const ran: Array<string> = []
        yield* start(
          Mail.toLayer(({ to }) => to === "slow" ? Effect.never : Effect.sync(() => ran.push(to))),
          { concurrency: 2, drainTimeout: 0 }
        )
        yield* Effect.all(["slow", "b", "c", "d"].map((to) => mail(to))).pipe(
          Airlock.scoped,
          Effect.provide(onPgBoss())
        )
        yield* until(Effect.map(jobs, (jobs) => jobs.filter(({ state }) => state === "completed").length === 3))
        expect(ran).toEqual(["b", "c", "d"])
      }))

    it.scopedLive("interrupts a handler that does not end in time, and leaves its job to others without an attempt", () =>
      Effect.gen(function*() {
        yield* boss
        const begun = yield* Deferred.make<void>()
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(onPgBoss()))
        yield* Effect.scoped(Effect.zipRight(
          start(Mail.toLayer(() => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)), {
            drainTimeout: 0
          }),
          Deferred.await(begun)
        ))
        expect((yield* jobs).map(({ state }) => state)).toEqual(["retry"])
        const attempts: Array<number> = []
        yield* start(Mail.toLayer((_, { attempt }) => Effect.sync(() => attempts.push(attempt))))
        yield* until(Effect.sync(() => attempts.length === 1))
        expect(attempts).toEqual([1])
      }))

    for (
      const [what, state, body] of [
        ["fails", "active", Effect.fail(new Error("too late"))],
        ["was stopped", "active", Effect.never],
        ["succeeds", "completed", Effect.void]
      ] as const
    ) {
      it.scopedLive(`a run that ${what} after its job expired, and was fetched again, leaves the job ${state}`, () =>
        Effect.gen(function*() {
          const own = yield* boss
          const begun = yield* Deferred.make<void>()
          const gate = yield* Deferred.make<void>()
          yield* mail("a", { maxAttempts: 5 }).pipe(Airlock.scoped, Effect.provide(onPgBoss()))
          yield* Effect.scoped(Effect.gen(function*() {
            yield* start(
              Mail.toLayer(() =>
                Deferred.succeed(begun, undefined).pipe(
                  Effect.zipRight(Deferred.await(gate)),
                  Effect.zipRight(body)
                )
              ),
              { concurrency: 1, drainTimeout: what === "was stopped" ? 0 : "10 seconds" }
            )
            yield* Deferred.await(begun)
            // What pg-boss does with a job that expires.
            yield* rows("UPDATE pgboss.job SET state = 'retry'").pipe(Effect.provide(client))
            const again = yield* Effect.promise(() => own.fetch("airlock"))
            expect(again.length).toBe(1)
            yield* Deferred.succeed(gate, undefined)
          }))
          // The worker has closed: what became of its run is stored.
          expect((yield* jobs).map(({ output, retry_count, state }) => [state, retry_count, output])).toEqual([
            [state, 1, null]
          ])
        }))
    }

    it.scopedLive("takes over the job of a worker that has died, when it expires", () =>
      Effect.gen(function*() {
        const own = yield* boss
        yield* mail("a", { native: PgBoss.native({ expireInSeconds: 0, retryDelay: 0, retryBackoff: false }) }).pipe(
          Airlock.scoped,
          Effect.provide(onPgBoss())
        )
        expect((yield* Effect.promise(() => own.fetch("airlock"))).length).toBe(1)
        const attempts: Array<number> = []
        yield* start(Mail.toLayer((_, { attempt }) => Effect.sync(() => attempts.push(attempt))), {
          maintenanceIntervalSeconds: 1
        })
        yield* until(Effect.sync(() => attempts.length === 1))
        expect(attempts).toEqual([2])
      }), 30_000)

    it.scopedLive(
      "stores the end of a job when its connection is back, and runs the next ones",
      () =>
        Effect.gen(function*() {
          yield* boss
          const begun = yield* Deferred.make<void>()
          const gate = yield* Deferred.make<void>()
          const ran: Array<string> = []
          yield* start(
            Mail.toLayer(({ to }) =>
              Deferred.succeed(begun, undefined).pipe(
                Effect.zipRight(Deferred.await(gate)),
                Effect.zipRight(Effect.sync(() => ran.push(to)))
              )
            ),
            { connectionString: throughProxy(), concurrency: 1 }
          )
          yield* Effect.all([mail("a"), mail("b")]).pipe(Airlock.scoped, Effect.provide(onPgBoss()))
          yield* Deferred.await(begun)
          cut()
          yield* Deferred.succeed(gate, undefined)
          yield* until(Effect.sync(() => ran.length === 1))
          restore()
          yield* until(Effect.map(jobs, (jobs) => jobs.every(({ state }) => state === "completed")))
          expect(ran).toEqual(["a", "b"])
        }),
      30_000
    )
  })

  describe("the outbox in front of it", () => {
    for (
      const [what, options] of [
        ["an option", { native: PgBoss.native({ retryLimit: 2 ** 40 }) }],
        ["the queue", { queue: "?" }]
      ] as const
    ) {
      it.scopedLive(`makes a dead letter of an intent of which pg-boss refuses ${what} for good, and goes on`, () =>
        Effect.gen(function*() {
          yield* boss
          const executor = yield* PgBoss.executor({ connectionString: url() })
          yield* Layer.build(Outbox.relay({ executor, pollInterval: "20 millis" }))
          const id = yield* SqlTransaction.transaction(mail("poison", options))
          yield* until(Effect.map(Outbox.deadLetters(), ({ rows }) => rows.some((row) => row.id === id)))
          yield* SqlTransaction.transaction(mail("b"))
          yield* until(Effect.map(jobs, (jobs) => jobs.length === 1))
          expect((yield* jobs).map(({ data }) => data.payload)).toEqual([{ to: "b" }])
        }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))
    }

    it.scopedLive("loses nothing that was committed while PostgreSQL is down, and all of it leaves when it is back", () =>
      Effect.gen(function*() {
        yield* boss
        const executor = yield* PgBoss.executor({ connectionString: throughProxy(), timeout: "1 second" })
        cut()
        yield* Layer.build(Outbox.relay({ executor, pollInterval: "20 millis" }))
        const ids = yield* Effect.all(["a", "b", "c"].map((to) => SqlTransaction.transaction(mail(to))))
        yield* until(Effect.map(Outbox.stats(), ({ relays }) => relays.length === 1))
        expect(yield* jobs).toEqual([])
        const waiting = yield* Effect.fork(
          until(Effect.map(Outbox.find(), ({ rows }) => rows.length === 0))
        )
        restore()
        yield* Fiber.join(waiting)
        expect((yield* jobs).map(({ id }) => id)).toEqual([...ids].sort())
        expect((yield* jobs).map(({ data }) => data.payload)).toEqual([{ to: "a" }, { to: "b" }, { to: "c" }])
      }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))
  })
})
