/**
 * BullMQ: what its own tools see, what its worker does with jobs that it cannot run, and the outbox in front of it.
 */
import { describe, expect, it } from "@effect/vitest"
import { type Job, Queue } from "bullmq"
import { ConfigProvider, Deferred, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as BullMq from "effect-airlock/executors/BullMq"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { application, Mail, mail } from "../support/outbox.js"
import { describeOnRedisProxy } from "../support/redisProxy.js"
import { until } from "../support/until.js"

const Other = Task.make("Other", { payload: { n: Schema.Number } })

describeOnRedisProxy("BullMQ", ({ connection, cut, prefix, restore, throughProxy }) => {
  const queueNamed = (name: string) =>
    Effect.acquireRelease(
      Effect.sync(() => new Queue(name, { connection, prefix })),
      (queue) => Effect.promise(() => queue.close())
    )

  const jobsOf = (queue: Queue) =>
    Effect.map(
      Effect.promise(() => queue.getJobs()),
      (jobs: ReadonlyArray<Job>) => [...jobs].sort((a, b) => a.id! < b.id! ? -1 : 1)
    )

  const failedJob = (queue: Queue) =>
    Effect.gen(function*() {
      yield* until(Effect.map(Effect.promise(() => queue.getFailedCount()), (count) => count === 1))
      return (yield* Effect.promise(() => queue.getFailed()))[0]!
    })

  const onBullMq = (options: Partial<BullMq.ExecutorOptions> = {}) =>
    AirlockLive.pipe(Layer.provide(BullMq.layer({ connection, prefix, ...options })))

  describe("an executor", () => {
    it.scopedLive("adds jobs with the options of their intents, which BullMQ's own tools see", () =>
      Effect.gen(function*() {
        const queue = yield* queueNamed("airlock")
        const urgent = yield* queueNamed("urgent")
        const ids = yield* Effect.all([
          Airlock.enqueue(Mail, { to: "a" }),
          Airlock.enqueue(Mail, { to: "b" }, {
            delay: "1 minute",
            priority: 7,
            dedupeKey: "k",
            maxAttempts: 3,
            native: BullMq.native({ lifo: true, backoff: 5 })
          }),
          Airlock.enqueue(Other, { n: 1 }, { queue: "urgent" })
        ]).pipe(Airlock.scoped, Effect.provide(onBullMq()))
        const [first, second] = yield* jobsOf(queue)
        const [third] = yield* jobsOf(urgent)
        expect([first?.id, second?.id, third?.id]).toEqual(ids)
        expect(first).toMatchObject({ name: "Mail", data: { payload: { to: "a" }, version: 1 } })
        expect(first?.opts).toMatchObject({ attempts: 10, backoff: { type: "exponential", delay: 1000 } })
        expect(second).toMatchObject({ delay: 60_000, priority: 7, deduplicationId: "Mail:k" })
        expect(second?.opts).toMatchObject({ attempts: 3, lifo: true, backoff: { delay: 5 } })
        expect(yield* Effect.promise(() => queue.getJobCounts("waiting", "delayed"))).toMatchObject({
          waiting: 1,
          delayed: 1
        })
      }))

    it.scopedLive("says which intents of a batch BullMQ has refused, and adds the others", () =>
      Effect.gen(function*() {
        const queue = yield* queueNamed("airlock")
        const exit = yield* Effect.all([
          Airlock.enqueue(Mail, { to: "a" }),
          Airlock.enqueue(Mail, { to: "too large" }, { native: BullMq.native({ sizeLimit: 1 }) }),
          Airlock.enqueue(Mail, { to: "c" })
        ]).pipe(Airlock.scoped, Effect.flip, Effect.provide(onBullMq()))
        expect(exit.failures.length).toBe(1)
        expect(String(exit.failures[0]?.reason)).toContain("exceeds the limit")
        expect((yield* jobsOf(queue)).map(({ data }) => data.payload.to)).toEqual(["a", "c"])
      }))

    for (const priority of [-1, 1.5, 2 ** 21]) {
      it.scopedLive(`refuses the priority ${priority}, which BullMQ does not have`, () =>
        Effect.gen(function*() {
          const exit = yield* mail("a", { priority }).pipe(Airlock.scoped, Effect.exit, Effect.provide(onBullMq()))
          expect(Exit.isFailure(exit) && String(exit.cause)).toContain("UnsupportedOptionError")
        }))
    }
  })

  describe("the configuration", () => {
    const configured = (settings: Record<string, string>) =>
      Airlock.layerConfig({ executors: { bullmq: BullMq.executorConfig() } }).pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromJson({
          AIRLOCK: { EXECUTOR: "bullmq" },
          BULLMQ: settings
        })))
      )

    it.scopedLive("chooses the executor by its name, with its own settings", () =>
      Effect.gen(function*() {
        const queue = yield* queueNamed("configured")
        const url = `redis://${connection.host}:${connection.port}`
        yield* mail("a").pipe(
          Airlock.scoped,
          Effect.provide(configured({ URL: url, PREFIX: prefix, QUEUE: "configured" }))
        )
        expect((yield* jobsOf(queue)).length).toBe(1)
      }))

    it.scopedLive("says which setting cannot be read", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Layer.build(configured({ TIMEOUT: "soon" })))
        expect(String(error)).toContain("BULLMQ.TIMEOUT")
      }))
  })

  describe("a worker", () => {
    const start = (handlers: Layer.Layer<never, never, Airlock.Airlock>, options: Partial<BullMq.WorkerOptions> = {}) =>
      Layer.build(
        BullMq.worker({ connection, prefix, ...options }).pipe(Layer.provide(handlers), Layer.provide(onBullMq()))
      )

    it.scopedLive("fails a job whose task has no handler", () =>
      Effect.gen(function*() {
        const queue = yield* queueNamed("airlock")
        yield* mail("a", { maxAttempts: 1 }).pipe(Airlock.scoped, Effect.provide(onBullMq()))
        yield* start(Other.toLayer(() => Effect.void))
        const job = yield* failedJob(queue)
        expect(job.failedReason).toContain("Mail")
        expect(job.failedReason).toContain("handler")
      }))

    it.scopedLive("fails a job for good whose payload does not fit its task", () =>
      Effect.gen(function*() {
        const queue = yield* queueNamed("airlock")
        yield* Airlock.enqueue(Other, { n: 1 }).pipe(Airlock.scoped, Effect.provide(onBullMq()))
        const Changed = Task.make("Other", { payload: { text: Schema.String } })
        yield* start(Changed.toLayer(() => Effect.void))
        const job = yield* failedJob(queue)
        expect(job.failedReason).toContain("does not fit the task")
        expect(job.attemptsMade).toBe(1)
      }))

    it.scopedLive("fails a job for good that its handler discards", () =>
      Effect.gen(function*() {
        const queue = yield* queueNamed("airlock")
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(onBullMq()))
        yield* start(Mail.toLayer(() => Outbox.discard("no such address")))
        const job = yield* failedJob(queue)
        expect(job.failedReason).toContain("no such address")
        expect(job.attemptsMade).toBe(1)
      }))

    it.scopedLive("flushes what a handler enqueues if it succeeds, and discards it if it fails", () =>
      Effect.gen(function*() {
        const queue = yield* queueNamed("airlock")
        const ran: Array<number> = []
        const got = yield* Deferred.make<void>()
        yield* start(
          Layer.mergeAll(
            Mail.toLayer(({ to }) =>
              Effect.zipRight(
                Airlock.enqueue(Other, { n: to === "good" ? 1 : 2 }),
                to === "good" ? Effect.void : Effect.fail(new Error("bad"))
              )
            ),
            Other.toLayer(({ n }) => {
              ran.push(n)
              return Deferred.succeed(got, undefined)
            })
          ),
          { concurrency: 1 }
        )
        yield* Effect.all([mail("bad", { maxAttempts: 1 }), mail("good")]).pipe(
          Airlock.scoped,
          Effect.provide(onBullMq())
        )
        yield* Deferred.await(got)
        expect(ran).toEqual([1])
        expect((yield* failedJob(queue)).failedReason).toContain("bad")
      }))

    it.scopedLive("interrupts a handler that does not end in time, and leaves its job to others without an attempt", () =>
      Effect.gen(function*() {
        const queue = yield* queueNamed("airlock")
        const begun = yield* Deferred.make<void>()
        yield* mail("a").pipe(Airlock.scoped, Effect.provide(onBullMq()))
        yield* Effect.scoped(Effect.zipRight(
          start(Mail.toLayer(() => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)), {
            drainTimeout: 0
          }),
          Deferred.await(begun)
        ))
        const [job] = yield* Effect.promise(() => queue.getWaiting())
        expect(job?.attemptsMade).toBe(0)
      }))
  })

  describe("the outbox in front of it", () => {
    it.scopedLive("loses nothing that was committed while Redis is down, and all of it leaves when Redis is back", () =>
      Effect.gen(function*() {
        const queue = yield* queueNamed("airlock")
        const executor = yield* BullMq.executor({ connection: throughProxy(), prefix, timeout: "1 second" })
        cut()
        yield* Layer.build(Outbox.relay({ executor, pollInterval: "20 millis" }))
        const ids = yield* Effect.all(
          ["a", "b", "c"].map((to) => SqlTransaction.transaction(mail(to, { priority: -1 })))
        )
        yield* until(Effect.map(Outbox.stats(), ({ relays }) => relays.length === 1))
        expect(yield* jobsOf(queue)).toEqual([])
        const waiting = yield* Effect.fork(
          until(Effect.map(Outbox.find(), ({ rows }) => rows.length === 0))
        )
        restore()
        yield* Fiber.join(waiting)
        const jobs = yield* jobsOf(queue)
        expect(jobs.map(({ id }) => id)).toEqual([...ids].sort())
        expect(jobs.map(({ data }) => data.payload)).toEqual([{ to: "a" }, { to: "b" }, { to: "c" }])
      }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))
  })
})
