/**
 * graphile-worker: what its own tools see, what its worker does with jobs that it cannot run, jobs in transactions, and the outbox in
 * front.
 */
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Deferred, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { makeWorkerUtils } from "graphile-worker"
import { application, Mail, mail } from "../support/outbox.js"
import { describeOnPostgresProxy } from "../support/postgresProxy.js"
import { type StoredJob, transactionalTests } from "../support/transactionalEngine.js"
import { until } from "../support/until.js"

const Other = Task.make("Other", { payload: { n: Schema.Number } })

describeOnPostgresProxy("graphile-worker", ({ client, cut, database, restore, throughProxy, url }) => {
  const rows = <Row extends object>(statement: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Row>(statement))

  const utils = Effect.acquireRelease(
    Effect.promise(() => makeWorkerUtils({ connectionString: url() })),
    ({ release }) => Effect.promise(async () => release())
  )

  /** Creates the tables, or empties them. */
  const empty = Effect.scoped(
    Effect.zipRight(utils, rows("DELETE FROM graphile_worker._private_jobs").pipe(Effect.provide(client)))
  )

  const jobs = rows<{
    readonly id: string
    readonly task_identifier: string
    readonly queue_name: string | null
    readonly payload: any
    readonly key: string | null
    readonly attempts: number
    readonly max_attempts: number
    readonly last_error: string | null
    readonly priority: number
    readonly flags: object
    readonly locked_at: Date | null
    readonly starts_in: number
  }>(`
    SELECT jobs.*, stored.payload, extract(epoch FROM jobs.run_at - jobs.created_at)::float8 AS starts_in
    FROM graphile_worker.jobs JOIN graphile_worker._private_jobs AS stored USING (id)
    ORDER BY stored.payload ->> 'id'`).pipe(Effect.provide(client))

  const payloads = Effect.map(jobs, (jobs) => jobs.map(({ payload }) => payload.payload.to))

  const onGraphile = (options: Partial<GraphileWorker.ExecutorOptions> = {}) =>
    AirlockLive.pipe(Layer.provide(Layer.unwrapEffect(
      Effect.sync(() => GraphileWorker.layer({ connectionString: url(), ...options }))
    )))

  const untilFailed = Effect.gen(function*() {
    yield* until(Effect.map(jobs, (jobs) => jobs.some(({ last_error: error }) => error !== null)))
    return (yield* jobs).find(({ last_error: error }) => error !== null)!
  })

  describe("an executor", () => {
    it.scopedLive("adds jobs with the options of their intents, which graphile-worker's own tools see", () =>
      Effect.gen(function*() {
        yield* empty
        const ids = yield* Effect.all([
          Airlock.enqueue(Mail, { to: "a" }),
          Airlock.enqueue(Mail, { to: "b" }, {
            delay: "1 minute",
            priority: -7,
            dedupeKey: "k",
            orderingKey: "customer 1",
            maxAttempts: 3,
            native: GraphileWorker.native({ flags: ["heavy"] })
          }),
          Airlock.enqueue(Other, { n: 1 }, { native: GraphileWorker.native({ queueName: "q" }), orderingKey: "o" })
        ]).pipe(Airlock.scoped, Effect.provide(onGraphile()))
        const [first, second, third] = yield* jobs
        expect(first).toMatchObject({
          task_identifier: "Mail",
          key: ids[0],
          payload: { id: ids[0], payload: { to: "a" }, version: 1 },
          queue_name: null,
          max_attempts: 25,
          priority: 0,
          flags: { "effect-airlock": true }
        })
        expect(second).toMatchObject({
          payload: { id: ids[1] },
          key: "Mail:k",
          queue_name: "customer 1",
          max_attempts: 3,
          priority: -7,
          flags: { heavy: true, "effect-airlock": true },
          starts_in: 60
        })
        expect(third).toMatchObject({ task_identifier: "Other", queue_name: "q" })
      }))

    it.scopedLive("ignores an intent that it has, also if its job runs or has failed", () =>
      Effect.gen(function*() {
        yield* empty
        const executor = yield* GraphileWorker.executor({ connectionString: url() })
        const [intent] = yield* Effect.gen(function*() {
          yield* mail("a")
          return yield* Airlock.intents
        }).pipe(Airlock.scoped({ shouldFlush: () => false }), Effect.provide(onGraphile()))
        const dispatch = executor.dispatch([intent!], {} as never)
        yield* dispatch
        const [job] = yield* jobs
        for (const change of ["locked_at = now()", "locked_at = NULL, attempts = max_attempts"]) {
          yield* rows(`UPDATE graphile_worker._private_jobs SET ${change}`).pipe(Effect.provide(client))
          expect((yield* dispatch).map(Exit.isSuccess)).toEqual([true])
          expect((yield* jobs).map(({ id }) => id)).toEqual([job!.id])
        }
      }))

    it.scopedLive("says which intents of a batch graphile-worker has refused, and adds the others", () =>
      Effect.gen(function*() {
        yield* empty
        const Long = Task.make("x".repeat(129), { payload: {} })
        const exit = yield* Effect.all([
          mail("a"),
          Airlock.enqueue(Long, {}),
          mail("c")
        ]).pipe(Airlock.scoped, Effect.flip, Effect.provide(onGraphile()))
        expect(exit.failures.map(({ reason }) => String(reason))).toEqual([
          expect.stringContaining("violates check constraint")
        ])
        expect(yield* payloads).toEqual(["a", "c"])
      }))

    it.scopedLive("keeps a pool of the application open", () =>
      Effect.gen(function*() {
        yield* empty
        const { default: pg } = yield* Effect.promise(() => import("pg"))
        const pgPool = yield* Effect.acquireRelease(
          Effect.sync(() => {
            const pool = new pg.Pool({ connectionString: url() })
            return pool.on("error", () => {}).on("connect", () => {})
          }),
          (pool) => Effect.promise(() => pool.end())
        )
        for (const to of ["a", "b"]) {
          const layer = AirlockLive.pipe(Layer.provide(GraphileWorker.layer({ pgPool })))
          yield* mail(to).pipe(Airlock.scoped, Effect.provide(layer))
        }
        expect(yield* payloads).toEqual(["a", "b"])
      }))

    for (
      const [name, options] of Object.entries({
        priority: { priority: 2 ** 15 },
        orderingKey: { orderingKey: "x".repeat(129) },
        dedupeKey: { dedupeKey: "x".repeat(509) },
        maxAttempts: { maxAttempts: 2 ** 15 },
        queue: { queue: "q" }
      })
    ) {
      it.scopedLive(`refuses the ${name} that graphile-worker does not have`, () =>
        Effect.gen(function*() {
          const exit = yield* mail("a", options).pipe(Airlock.scoped, Effect.exit, Effect.provide(onGraphile()))
          expect(Exit.isFailure(exit) && String(exit.cause)).toContain("UnsupportedOptionError")
        }))
    }
  })

  describe("in the application's transactions", () => {
    transactionalTests({
      database,
      layerSql: GraphileWorker.layerSql,
      jobs: rows<StoredJob>(`
        SELECT payload -> 'payload' ->> 'to' AS to, CASE
          WHEN run_at = 'infinity' THEN 'infinity'
          ELSE extract(epoch FROM run_at - clock_timestamp())::float8 * 1000
        END AS "startsIn"
        FROM graphile_worker._private_jobs WHERE locked_at IS NULL ORDER BY payload ->> 'id'`),
      clear: empty,
      worker: Layer.unwrapEffect(
        Effect.sync(() => GraphileWorker.worker({ connectionString: url(), pollInterval: "10 millis" }))
      ),
      refused: { orderingKey: "NUL \0" }
    })

    it.scopedLive("needs the tables of graphile-worker", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(GraphileWorker.executorSql({ schema: "missing" }))
        expect(error.message).toContain("runMigrations")
      }).pipe(Effect.provide(client)))
  })

  describe("the configuration", () => {
    const configured = (settings: Record<string, string>) =>
      Airlock.layerConfig({ executors: { "graphile-worker": GraphileWorker.executorConfig() } }).pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromJson({
          AIRLOCK: { EXECUTOR: "graphile-worker" },
          GRAPHILE_WORKER: settings
        })))
      )

    it.scopedLive("chooses the executor by its name, with its own settings", () =>
      Effect.gen(function*() {
        yield* mail("a").pipe(
          Airlock.scoped,
          Effect.provide(configured({ URL: url(), SCHEMA: "configured" }))
        )
        expect(yield* rows("SELECT task_identifier FROM configured.jobs").pipe(Effect.provide(client))).toEqual([
          { task_identifier: "Mail" }
        ])
      }))

    it.scopedLive("says which setting cannot be read", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Layer.build(configured({ TIMEOUT: "soon" })))
        expect(String(error)).toContain("GRAPHILE_WORKER.TIMEOUT")
      }))
  })

  describe("a worker", () => {
    const start = (
      handlers: Layer.Layer<never, never, Airlock.Airlock>,
      options: Partial<GraphileWorker.WorkerOptions> = {}
    ) =>
      Layer.build(
        GraphileWorker.worker({ connectionString: url(), pollInterval: "10 millis", ...options }).pipe(
          Layer.provide(handlers),
          Layer.provide(onGraphile())
        )
      )

    const other = Other.toLayer(() => Effect.void)

    it.scopedLive("fails a job whose task has no handler", () =>
      Effect.gen(function*() {
        yield* empty
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(onGraphile()))
        yield* start(other)
        const { attempts, last_error: error } = yield* untilFailed
        expect(error).toContain("Mail")
        expect(error).toContain("handler")
        expect(attempts).toBe(1)
      }))

    it.scopedLive("leaves jobs of other tasks that do not come from intents, and all of them with the option `tasks`", () =>
      Effect.gen(function*() {
        yield* empty
        const { addJob } = yield* utils
        yield* Effect.promise(() => addJob("Foreign", { text: "a" }))
        const ran = yield* Deferred.make<void>()
        const recording = Other.toLayer(() => Deferred.succeed(ran, undefined))
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(onGraphile()))
        yield* start(recording, { tasks: ["Other"] })
        yield* Airlock.enqueue(Other, { n: 1 }).pipe(Airlock.scoped, Effect.provide(onGraphile()))
        yield* Deferred.await(ran)
        yield* until(Effect.map(jobs, (jobs) => jobs.length === 2))
        expect((yield* jobs).map(({ attempts }) => attempts)).toEqual([0, 0])
        yield* start(other)
        yield* untilFailed
        const left = yield* jobs
        expect(left.map(({ attempts, task_identifier: task }) => `${task} ${attempts}`).sort()).toEqual([
          "Foreign 0",
          "Mail 1"
        ])
      }))

    it.scopedLive("fails a job for good whose payload does not fit its task", () =>
      Effect.gen(function*() {
        yield* empty
        yield* Airlock.enqueue(Other, { n: 1 }).pipe(Airlock.scoped, Effect.provide(onGraphile()))
        const Changed = Task.make("Other", { payload: { text: Schema.String } })
        yield* start(Changed.toLayer(() => Effect.void))
        const { attempts, last_error: error, max_attempts: maxAttempts } = yield* untilFailed
        expect(error).toContain("does not fit the task")
        expect(attempts).toBe(maxAttempts)
      }))

    it.scopedLive("stores errors that PostgreSQL cannot store as they are", () =>
      Effect.gen(function*() {
        yield* empty
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(onGraphile()))
        yield* start(Mail.toLayer(() => Effect.fail(new Error("NUL \0"))))
        expect((yield* untilFailed).last_error).toContain("NUL \ufffd")
      }))

    it.scopedLive("interrupts a handler that does not end in time, and leaves its job and its queue to others without an attempt", () =>
      Effect.gen(function*() {
        yield* empty
        const begun = yield* Deferred.make<void>()
        yield* mail("a", { orderingKey: "o" }).pipe(Airlock.scoped, Effect.provide(onGraphile()))
        yield* Effect.scoped(Effect.zipRight(
          start(Mail.toLayer(() => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)), {
            drainTimeout: 0
          }),
          Deferred.await(begun)
        ))
        expect((yield* jobs).map(({ attempts, last_error: error, locked_at: lockedAt }) => [attempts, error, lockedAt]))
          .toEqual([[0, null, null]])
        const attempts: Array<number> = []
        yield* start(Mail.toLayer((_, { attempt }) => Effect.sync(() => attempts.push(attempt))))
        yield* until(Effect.sync(() => attempts.length === 1))
        expect(attempts).toEqual([1])
      }))

    it.scopedLive(
      "runs a job again whose end it could not store, when its connection is back",
      () =>
        Effect.gen(function*() {
          yield* empty
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
          yield* Effect.all([mail("a"), mail("b")]).pipe(Airlock.scoped, Effect.provide(onGraphile()))
          yield* Deferred.await(begun)
          cut()
          yield* Deferred.succeed(gate, undefined)
          yield* until(Effect.sync(() => ran.length === 1))
          // The end of the first run cannot be stored, so the runner ends.
          yield* until(Effect.map(jobs, (jobs) => jobs.length === 2 && jobs[0]!.locked_at !== null))
          restore()
          yield* until(Effect.map(jobs, (jobs) => jobs.length === 0))
          expect([...ran].sort()).toEqual(["a", "a", "b"])
        }),
      30_000
    )

    it.scopedLive("starts when its database can be reached", () =>
      Effect.gen(function*() {
        yield* empty
        const ran = yield* Deferred.make<void>()
        cut()
        yield* start(Mail.toLayer(() => Deferred.succeed(ran, undefined)), { connectionString: throughProxy() })
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(onGraphile()))
        restore()
        yield* Deferred.await(ran)
      }), 30_000)
  })

  describe("the outbox in front of it", () => {
    it.scopedLive("makes a dead letter of an intent that PostgreSQL cannot store, and goes on", () =>
      Effect.gen(function*() {
        yield* empty
        const executor = yield* GraphileWorker.executor({ connectionString: url() })
        yield* Layer.build(Outbox.relay({ executor, pollInterval: "20 millis" }))
        const native = GraphileWorker.native({ maxAttempts: 2 ** 20 })
        const id = yield* SqlTransaction.transaction(mail("poison", { native }))
        yield* until(Effect.map(Outbox.deadLetters(), ({ rows }) => rows.some((row) => row.id === id)))
        yield* SqlTransaction.transaction(mail("b"))
        yield* until(Effect.map(jobs, (jobs) => jobs.length === 1))
        expect(yield* payloads).toEqual(["b"])
      }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))

    it.scopedLive("loses nothing that was committed while PostgreSQL is down, and all of it leaves when it is back", () =>
      Effect.gen(function*() {
        yield* empty
        const executor = yield* GraphileWorker.executor({ connectionString: throughProxy(), timeout: "1 second" })
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
        expect((yield* jobs).map(({ key }) => key)).toEqual([...ids].sort())
        expect(yield* payloads).toEqual(["a", "b", "c"])
      }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))
  })
})
