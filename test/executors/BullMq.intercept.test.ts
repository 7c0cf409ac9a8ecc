/**
 * Direct calls of a BullMQ queue that go through Airlock.
 */
import { expect, it } from "@effect/vitest"
import {
  DelayedError,
  FlowProducer,
  type Job,
  type JobsOptions,
  Queue,
  QueueEvents,
  UnrecoverableError,
  WaitingChildrenError,
  WaitingError,
  Worker
} from "bullmq"
import { Deferred, Effect, Layer, type Scope, Struct } from "effect"
import { Airlock, AirlockLive } from "effect-airlock"
import * as BullMq from "effect-airlock/executors/BullMq"
import { interceptTests } from "../support/intercept.js"
import { describeOnRedisProxy } from "../support/redisProxy.js"
import { until } from "../support/until.js"
import { recordWarnings } from "../support/warnings.js"

describeOnRedisProxy("BullMQ", ({ connection, cut, prefix, restore, throughProxy }) => {
  const queue = Effect.acquireRelease(
    Effect.promise(async () => {
      const queue = new Queue("mail", { connection, prefix })
      await queue.obliterate({ force: true })
      return queue
    }),
    (queue) => Effect.promise(() => queue.close())
  )

  const jobs = (queue: Queue) =>
    Effect.promise(async () => {
      const all = await queue.getJobs(["waiting", "delayed", "active", "completed", "failed", "prioritized"])
      // BullMQ numbers the jobs of direct calls, and gives all jobs a time.
      return all.sort((a, b) => a.timestamp - b.timestamp || (a.id! < b.id! ? -1 : 1))
    })

  interceptTests<Queue>({
    open: queue,
    intercept: BullMq.intercept,
    add: (queue, name, data) => queue.add(name, data),
    addDirectly: (queue, name, data) => BullMq.direct(queue).add(name, data),
    method: "add",
    prefix: "mail",
    jobs: (queue) => Effect.map(jobs(queue), (jobs) => jobs.map(({ data, name }) => ({ name, data }))),
    work: (_, names, processor, wrapped) =>
      Effect.gen(function*() {
        const plain = async ({ data, name }: { readonly data: unknown, readonly name: string }) =>
          names.includes(name) ? processor({ name, data }) : undefined
        const run = wrapped ? yield* BullMq.wrapProcessor(plain) : plain
        yield* Effect.acquireRelease(
          Effect.sync(() => new Worker("mail", run, { connection, prefix })),
          (worker) => Effect.promise(() => worker.close())
        )
      })
  })

  const live = <E>(
    name: string,
    body: (queue: Queue) => Effect.Effect<unknown, E, Airlock.Airlock | Scope.Scope>
  ) =>
    it.scopedLive(
      name,
      () => Effect.flatMap(queue, body).pipe(Effect.provide(Layer.merge(AirlockLive, recordWarnings)))
    )

  /** What Redis has of a job, but for its id and its times. */
  const stored = (job: Job) => {
    const { opts, ...rest } = Struct.omit(job.asJSON(), "id", "timestamp")
    return { ...rest, opts: Struct.omit(opts, "jobId", "timestamp") }
  }

  const options: Record<string, JobsOptions> = {
    "no options": {},
    "a delay and a priority": { delay: 60_000, priority: 7 },
    "attempts and a backoff": { attempts: 3, backoff: { type: "exponential", delay: 10, jitter: 0.5 } },
    "a backoff as a number": { attempts: 2, backoff: 5000 },
    "an id": { jobId: "order-1" },
    "lifo and limits": { lifo: true, sizeLimit: 1000, keepLogs: 3, stackTraceLimit: 2 },
    "removals": { removeOnComplete: { age: 5, count: 6 }, removeOnFail: true },
    "a deduplication": { deduplication: { id: "order 1", ttl: 60_000 } }
  }

  for (const [title, opts] of Object.entries(options)) {
    live(`a job with ${title} is the same as that of a direct call`, (queue) =>
      Effect.gen(function*() {
        queue.jobsOpts = { attempts: 4, removeOnComplete: 9 }
        const directAnswer = yield* Effect.promise(() => queue.add("receipt", { order: 1 }, opts))
        const [direct] = yield* jobs(queue)
        yield* Effect.promise(() => queue.obliterate({ force: true }))
        yield* BullMq.intercept(queue)
        const answer = yield* Effect.promise(() => queue.add("receipt", { order: 1 }, opts)).pipe(Airlock.scoped)
        const [intercepted] = yield* jobs(queue)
        expect(stored(intercepted!)).toEqual(stored(direct!))
        expect(stored(answer)).toEqual(stored(directAnswer))
        expect(answer.id).toBe(intercepted?.id)
        expect(intercepted?.id).toEqual(opts.jobId ?? expect.stringMatching(/^[0-9a-f-]{36}$/))
      }))
  }

  live("a repeated job repeats as that of a direct call", (queue) =>
    Effect.gen(function*() {
      const opts = { repeat: { pattern: "0 3 * * *", tz: "Europe/Berlin", endDate: new Date("2100-01-01") } }
      yield* Effect.promise(() => queue.add("report", { day: 1 }, opts))
      const direct = yield* Effect.promise(() => queue.getRepeatableJobs())
      yield* Effect.promise(() => queue.obliterate({ force: true }))
      yield* BullMq.intercept(queue)
      yield* Effect.promise(() => queue.add("report", { day: 1 }, opts)).pipe(Airlock.scoped)
      expect(yield* Effect.promise(() => queue.getRepeatableJobs())).toEqual(direct)
    }))

  live("a delay counts from the call, and not from the end of the scope", (queue) =>
    Effect.gen(function*() {
      yield* BullMq.intercept(queue)
      const before = Date.now()
      const called = yield* Effect.promise(() => queue.add("receipt", {}, { delay: 60_000 })).pipe(
        Effect.map(() => Date.now()),
        // The scope ends in a later millisecond.
        Effect.tap((called) => until(Effect.sync(() => Date.now() > called))),
        Airlock.scoped
      )
      const [job] = yield* jobs(queue)
      expect(job!.timestamp).toBeLessThanOrEqual(called)
      expect(job!.timestamp).toBeGreaterThanOrEqual(before)
      const score = yield* Effect.promise(async () => (await queue.client).zscore(queue.toKey("delayed"), job!.id!))
      // BullMQ keeps the time in the upper bits of the score.
      expect(Math.floor(Number(score) / 0x1000)).toBe(job!.timestamp + 60_000)
    }))

  live("wrong options are an error of the call, as of a direct one", (queue) =>
    Effect.gen(function*() {
      yield* BullMq.intercept(queue)
      for (const opts of [{ priority: 1.5 }, { jobId: "12" }, { sizeLimit: 1 }, { deduplication: { id: "" } }]) {
        const intercepted = yield* Effect.tryPromise(() => queue.add("receipt", { order: 1 }, opts)).pipe(
          Effect.flip,
          Airlock.scoped
        )
        const direct = yield* Effect.flip(
          Effect.tryPromise(() => BullMq.direct(queue).add("receipt", { order: 1 }, opts))
        )
        expect(String(intercepted.error)).toBe(String(direct.error))
      }
    }))

  live("no options may be null, as of a direct call", (queue) =>
    Effect.gen(function*() {
      yield* BullMq.intercept(queue)
      const none: JobsOptions = JSON.parse("null")
      yield* Effect.promise(() => queue.add("receipt", { order: 1 }, none))
      yield* Effect.promise(() => queue.add("receipt", { order: 2 }, none)).pipe(Airlock.scoped)
      yield* Effect.promise(() => queue.addBulk([{ name: "receipt", data: { order: 3 }, opts: none }])).pipe(
        Airlock.scoped
      )
      expect((yield* jobs(queue)).map(({ data }) => data.order)).toEqual([1, 2, 3])
    }))

  live(
    "a call that goes directly is not read: BullMQ gets its arguments as they are",
    (queue) =>
      Effect.gen(function*() {
        yield* BullMq.intercept(queue, { names: ["receipt"] })
        let reads = 0
        const data = (order: number) => ({
          toJSON: () => {
            reads++
            return { order }
          }
        })
        yield* Effect.promise(() => BullMq.direct(queue).add("receipt", data(1)))
        const direct = reads
        yield* Effect.promise(() => queue.add("receipt", data(2)))
        yield* Effect.promise(() => queue.add("audit", data(3))).pipe(Airlock.scoped)
        expect(reads).toBe(3 * direct)
      })
  )

  live("a bulk is an intent for each job, and the jobs of other names go directly", (queue) =>
    Effect.gen(function*() {
      yield* BullMq.intercept(queue, { names: ["receipt"] })
      const bulk = [
        { name: "receipt", data: 1, opts: { priority: 3 } },
        { name: "audit", data: 2 },
        { name: "receipt", data: 3 }
      ]
      yield* Effect.gen(function*() {
        const added = yield* Effect.promise(() => queue.addBulk(bulk))
        expect(added.map(({ name, data }) => [name, data])).toEqual([["receipt", 1], ["audit", 2], ["receipt", 3]])
        const intents = yield* Airlock.intents
        expect(intents.map(({ id }) => id)).toEqual([added[0]?.id, added[2]?.id])
        expect((yield* jobs(queue)).map(({ data }) => data)).toEqual([2])
      }).pipe(Airlock.scoped)
      expect((yield* jobs(queue)).map(({ data }) => data).sort()).toEqual([1, 2, 3])
      expect((yield* jobs(queue)).find(({ data }) => data === 1)?.priority).toBe(3)
    }))

  live("a child goes directly, because its parent waits for it", (queue) =>
    Effect.gen(function*() {
      const flow = yield* Effect.acquireRelease(
        Effect.sync(() => new FlowProducer({ connection, prefix })),
        (flow) => Effect.promise(() => flow.close())
      )
      yield* BullMq.intercept(queue)
      const { job: parent } = yield* Effect.promise(() =>
        // eslint-disable-next-line effect-airlock/no-direct-dispatch -- a flow is no queue, and goes directly
        flow.add({ name: "parent", queueName: "mail", children: [{ name: "first", queueName: "mail" }] })
      )
      const opts = { parent: { id: parent.id!, queue: parent.queueQualifiedName } }
      yield* Effect.promise(() => queue.add("second", {}, opts)).pipe(
        Effect.zipRight(Effect.fail("no stock")),
        Airlock.scoped,
        Effect.ignore
      )
      expect(yield* Effect.promise(() => parent.getDependenciesCount())).toMatchObject({ unprocessed: 2 })
    }))

  live("the job that a call returns is that of BullMQ, once its intent has left", (queue) =>
    Effect.gen(function*() {
      const events = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const events = new QueueEvents("mail", { connection, prefix })
          await events.waitUntilReady()
          return events
        }),
        (events) => Effect.promise(() => events.close())
      )
      yield* BullMq.intercept(queue)
      const job = yield* Effect.gen(function*() {
        const job = yield* Effect.promise(() => queue.add("receipt", { order: 1 }))
        expect(yield* Effect.promise(() => job.getState())).toBe("unknown")
        const error = yield* Effect.flip(Effect.tryPromise(() => job.waitUntilFinished(events)))
        expect(String(error.error)).toContain("Missing key for job")
        return job
      }).pipe(Airlock.scoped)
      expect(yield* Effect.promise(() => job.getState())).toBe("waiting")
      yield* Effect.acquireRelease(
        Effect.sync(() => new Worker("mail", async ({ data }) => ({ sent: data.order }), { connection, prefix })),
        (worker) => Effect.promise(() => worker.close())
      )
      expect(yield* Effect.promise(() => job.waitUntilFinished(events))).toEqual({ sent: 1 })
    }))

  live("BullMQ gets the very error of a wrapped processor, and its result", (queue) =>
    Effect.gen(function*() {
      const errors: Array<Error> = []
      const failed = yield* Deferred.make<void>()
      const error = new UnrecoverableError("no address")
      const wrapped = yield* BullMq.wrapProcessor(async ({ data }: Job<{ readonly order: number }>) => {
        if (data.order === 1) {
          throw error
        }
        return { sent: data.order }
      })
      const worker = yield* Effect.acquireRelease(
        Effect.sync(() => new Worker("mail", wrapped, { connection, prefix })),
        (worker) => Effect.promise(() => worker.close())
      )
      worker.on("failed", (_, error) => {
        errors.push(error)
        Effect.runFork(Deferred.succeed(failed, undefined))
      })
      yield* Effect.promise(() => queue.add("receipt", { order: 1 }, { attempts: 5 }))
      yield* Deferred.await(failed)
      expect(errors).toEqual([error])
      expect(errors[0]).toBe(error)
      const [job] = yield* jobs(queue)
      expect(yield* Effect.promise(() => job!.getState())).toBe("failed")
      const second = yield* Effect.promise(() => queue.add("receipt", { order: 2 }))
      yield* until(Effect.promise(() => second.isCompleted()))
      expect((yield* Effect.promise(() => queue.getJob(second.id!)))?.returnvalue).toEqual({ sent: 2 })
    }))

  const moves: Record<string, (job: Job, token: string) => Promise<Error>> = {
    DelayedError: async (job, token) => {
      await job.moveToDelayed(Date.now(), token)
      return new DelayedError()
    },
    WaitingError: async (job, token) => {
      await job.moveToWait(token)
      return new WaitingError()
    },
    "error of that name": async (job, token) => {
      await job.moveToDelayed(Date.now(), token)
      return Object.assign(new Error("later"), { name: "DelayedError" })
    }
  }

  for (const [title, move] of Object.entries(moves)) {
    live(
      `what a step of a wrapped processor adds leaves if the step ends with a ${title}`,
      (queue) =>
        Effect.gen(function*() {
          yield* BullMq.intercept(queue, { names: ["mail"] })
          const ended = yield* Deferred.make<void>()
          const wrapped = yield* BullMq.wrapProcessor(async (job: Job, token?: string) => {
            if (job.name === "order" && job.data.step === 1) {
              await queue.add("mail", { order: 1 })
              await job.updateData({ step: 2 })
              throw await move(job, token!)
            }
            if (job.name === "order") {
              await Effect.runPromise(Deferred.succeed(ended, undefined))
            }
          })
          yield* Effect.acquireRelease(
            Effect.sync(() => new Worker("mail", wrapped, { connection, prefix })),
            (worker) => Effect.promise(() => worker.close())
          )
          yield* Effect.promise(() => queue.add("order", { step: 1 }))
          yield* Deferred.await(ended)
          expect((yield* jobs(queue)).map(({ name }) => name)).toContain("mail")
        })
    )
  }

  live("a parent that waits for its children adds what it added", (queue) =>
    Effect.gen(function*() {
      yield* BullMq.intercept(queue, { names: ["mail"] })
      const ended = yield* Deferred.make<void>()
      const wrapped = yield* BullMq.wrapProcessor(async (job: Job, token?: string) => {
        if (job.name === "order" && job.data.step === 1) {
          await queue.add("mail", { order: 1 })
          await queue.add("child", {}, { parent: { id: job.id!, queue: job.queueQualifiedName } })
          await job.updateData({ step: 2 })
          if (await job.moveToWaitingChildren(token!)) {
            throw new WaitingChildrenError()
          }
        }
        if (job.name === "order") {
          await Effect.runPromise(Deferred.succeed(ended, undefined))
        }
      })
      yield* Effect.acquireRelease(
        Effect.sync(() => new Worker("mail", wrapped, { connection, prefix })),
        (worker) => Effect.promise(() => worker.close())
      )
      yield* Effect.promise(() => queue.add("order", { step: 1 }))
      yield* Deferred.await(ended)
      expect((yield* jobs(queue)).map(({ name }) => name)).toContain("mail")
    }))

  live("a wrapped processor gets the signal of BullMQ if it has a parameter for it", (queue) =>
    Effect.gen(function*() {
      const signals: Array<unknown> = []
      const wrapped = yield* BullMq.wrapProcessor(async (_job: Job, _token?: string, signal?: AbortSignal) => {
        signals.push(signal)
      })
      // Parameters with a question mark count.
      expect(wrapped.length).toBe(3)
      yield* Effect.acquireRelease(
        Effect.sync(() => new Worker("mail", wrapped, { connection, prefix })),
        (worker) => Effect.promise(() => worker.close())
      )
      yield* Effect.promise(() => queue.add("receipt", {}))
      yield* until(Effect.sync(() => signals.length === 1))
      expect(signals[0]).toBeInstanceOf(AbortSignal)
    }))

  it.scopedLive("if Redis is away when the scope flushes, the FlushError names the jobs, and none comes later", () =>
    Effect.gen(function*() {
      const away = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const options = { ...throughProxy(), enableOfflineQueue: false, maxRetriesPerRequest: 0 }
          const queue = new Queue("mail", { connection: options, prefix })
          queue.on("error", () => undefined)
          await queue.waitUntilReady()
          return queue
        }),
        // It may still be reconnecting, so it cannot send QUIT.
        (queue) => Effect.promise(async () => (await queue.client).disconnect())
      )
      yield* BullMq.intercept(away)
      const { failures } = yield* Effect.promise(() => away.add("receipt", { order: 1 })).pipe(
        Effect.zipRight(Effect.sync(cut)),
        Airlock.scoped,
        Effect.flip
      )
      expect(failures.map(({ task }) => task)).toEqual(["mail/receipt"])
      restore()
      const back = yield* Effect.acquireRelease(
        Effect.sync(() => new Queue("mail", { connection, prefix })),
        (queue) => Effect.promise(() => queue.close())
      )
      expect(yield* jobs(back)).toEqual([])
    }).pipe(Effect.provide(Layer.merge(AirlockLive, recordWarnings))))

  live("a queue with types is intercepted as it is", () =>
    Effect.gen(function*() {
      const typed = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new Queue<{ readonly order: number }, void, "receipt" | "invoice">("typed", { connection, prefix })
        ),
        (queue) => Effect.promise(() => queue.close())
      )
      yield* BullMq.intercept(typed)
      yield* Effect.promise(() => BullMq.direct(typed).add("receipt", { order: 1 }))
      // @ts-expect-error the queue has no such job
      const wrong = () => BullMq.direct(typed).add("reciept", { order: 1 })
      expect(wrong).toBeTypeOf("function")
      expect((yield* Effect.promise(() => typed.getWaiting())).map(({ name }) => name)).toEqual(["receipt"])
    }))
})
