/**
 * The examples of the Python original about direct calls of tasks, on BullMQ: a shim for one task, the interception of all tasks,
 * tasks that run in a scope, and a call that is meant to go directly.
 */
import { expect, it } from "@effect/vitest"
import { type Job, Queue, Worker } from "bullmq"
import { Cause, Deferred, Effect, Exit, Layer, type Scope } from "effect"
import { Airlock, AirlockLive, Policy } from "effect-airlock"
import * as BullMq from "effect-airlock/executors/BullMq"
import { describeOnRedisProxy } from "../support/redisProxy.js"
import { recordWarnings, type Warnings, warnings } from "../support/warnings.js"

describeOnRedisProxy("direct calls of the Python original", ({ connection, prefix }) => {
  const scenario = <E>(
    name: string,
    body: (queue: Queue) => Effect.Effect<unknown, E, Airlock.Airlock | Scope.Scope | Warnings>
  ) =>
    it.scopedLive(name, () =>
      Effect.flatMap(
        Effect.acquireRelease(
          Effect.sync(() => new Queue("celery", { connection, prefix })),
          (queue) => Effect.promise(() => queue.close())
        ),
        body
      ).pipe(Effect.provide(Layer.merge(AirlockLive, recordWarnings))))

  const jobs = (queue: Queue) =>
    Effect.promise(async () => (await queue.getJobs(["waiting", "delayed"])).map(({ name }) => name).sort())

  const payloads = Effect.map(Airlock.intents, (intents) => intents.map(({ payload }) => payload))

  /** @app.task(base=LegacyTaskShim) */
  const shim = (queue: Queue) => BullMq.intercept(queue, { names: ["old_task"], outside: "fail" })

  scenario(
    "a shim of one task warns and enqueues, and leaves the other tasks alone",
    (queue) =>
      Effect.gen(function*() {
        yield* shim(queue)
        yield* Effect.gen(function*() {
          yield* Effect.promise(() => queue.add("old_task", { a: 2 }))
          yield* Effect.promise(() => queue.add("other_task", {}))
          expect(yield* payloads).toMatchObject([{ name: "old_task", data: { a: 2 } }])
          expect(yield* jobs(queue)).toEqual(["other_task"])
        }).pipe(Airlock.scoped)
        expect(yield* jobs(queue)).toEqual(["old_task", "other_task"])
        expect(yield* warnings).toEqual([expect.stringMatching(/^Deprecated: "old_task" is added by a direct call/)])
      })
  )

  scenario("a shim keeps the options of the call", (queue) =>
    Effect.gen(function*() {
      yield* shim(queue)
      yield* Effect.gen(function*() {
        yield* Effect.promise(() => queue.add("old_task", { a: 2 }, { delay: 10_000, priority: 9 }))
        expect(yield* payloads).toMatchObject([{ data: { a: 2 }, opts: { delay: 10_000, priority: 9 } }])
      }).pipe(Airlock.scoped)
    }))

  scenario("a shim needs a scope", (queue) =>
    Effect.gen(function*() {
      yield* shim(queue)
      const { error } = yield* Effect.flip(Effect.tryPromise(() => queue.add("old_task", {})))
      expect(error).toMatchObject({ _tag: "NoScopeError" })
      expect(yield* jobs(queue)).toEqual([])
    }))

  scenario("to install the global intercept twice is an error", (queue) =>
    Effect.gen(function*() {
      yield* BullMq.intercept(queue)
      const exit = yield* Effect.exit(BullMq.intercept(queue))
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("intercepted already")
    }))

  scenario("the global intercept can be uninstalled twice", (queue) =>
    Effect.gen(function*() {
      const { uninstall } = yield* BullMq.intercept(queue)
      yield* uninstall
      yield* uninstall
      expect(Reflect.ownKeys(queue)).not.toContain("add")
    }))

  scenario("the global intercept buffers calls in a scope, with their options", (queue) =>
    Effect.gen(function*() {
      yield* BullMq.intercept(queue)
      yield* Effect.gen(function*() {
        yield* Effect.promise(() => queue.add("test.task", { key: "value" }))
        yield* Effect.promise(() => queue.add("test.task", { key: "val" }, { delay: 60_000 }))
        expect(yield* payloads).toMatchObject([
          { name: "test.task", data: { key: "value" } },
          { name: "test.task", data: { key: "val" }, opts: { delay: 60_000 } }
        ])
      }).pipe(Airlock.scoped({ policy: Policy.dropAll }))
      expect(yield* jobs(queue)).toEqual([])
      expect((yield* warnings).length).toBe(2)
    }))

  scenario("the global intercept lets calls without a scope pass, and warns", (queue) =>
    Effect.gen(function*() {
      yield* BullMq.intercept(queue)
      const job = yield* Effect.promise(() => queue.add("test.task", {}))
      // It is the job of BullMQ, with its number.
      expect(job.id).toBe("1")
      expect(yield* jobs(queue)).toEqual(["test.task"])
      expect((yield* warnings).length).toBe(1)
    }))

  scenario("an executor that uses the intercepted queue does not recurse", (queue) =>
    Effect.gen(function*() {
      yield* BullMq.intercept(queue)
      yield* Effect.promise(() => queue.add("test.recursion.task", { arg: 1 })).pipe(Airlock.scoped)
      expect(yield* jobs(queue)).toEqual(["test.recursion.task"])
    }))

  scenario(
    "a task that runs in a scope flushes on success, and discards on an exception",
    (queue) =>
      Effect.gen(function*() {
        yield* BullMq.intercept(queue)
        const failed = yield* Deferred.make<void>()
        const completed = yield* Deferred.make<void>()
        const processOrder = yield* BullMq.wrapProcessor(async ({ data, name }: Job) => {
          if (name !== "process_order") {
            return
          }
          await queue.add("send_email", data)
          await queue.add("update_analytics", data)
          if (data.order === 1) {
            throw new Error("no such order")
          }
        })
        const worker = yield* Effect.acquireRelease(
          Effect.sync(() => new Worker("celery", processOrder, { connection, prefix, autorun: false })),
          (worker) => Effect.promise(() => worker.close())
        )
        worker.on("failed", () => Effect.runFork(Deferred.succeed(failed, undefined)))
        const left: Array<string> = []
        worker.on("completed", ({ data, name }) => {
          left.push(`${name} ${data.order}`)
          if (left.length === 3) {
            Effect.runFork(Deferred.succeed(completed, undefined))
          }
        })
        yield* Effect.promise(() => queue.add("process_order", { order: 1 }))
        yield* Effect.promise(() => queue.add("process_order", { order: 2 }))
        void worker.run()
        yield* Deferred.await(failed)
        yield* Deferred.await(completed)
        expect(left).toEqual(["process_order 2", "send_email 2", "update_analytics 2"])
      })
  )

  scenario(
    "a task that triggers itself is stopped by a policy around the code that would",
    (queue) =>
      Effect.gen(function*() {
        yield* BullMq.intercept(queue)
        const save = () => queue.add("enrich_from_api", { user: 1 })
        const enrich = Effect.gen(function*() {
          yield* Effect.promise(() => queue.add("log_api_usage", { user: 1 }))
          yield* Effect.promise(save).pipe(Airlock.withPolicy(Policy.blockTasks(["celery/enrich_from_api"])))
        })
        yield* Airlock.scoped(enrich)
        expect(yield* jobs(queue)).toEqual(["log_api_usage"])
      })
  )

  scenario(
    "a call that is meant to go directly says so: task.delay(arg)  # noqa: AIR001",
    (queue) =>
      Effect.gen(function*() {
        yield* BullMq.intercept(queue)
        yield* Effect.promise(() => BullMq.direct(queue).add("heartbeat", {})).pipe(
          Airlock.scoped({ policy: Policy.dropAll })
        )
        expect(yield* jobs(queue)).toEqual(["heartbeat"])
        expect(yield* warnings).toEqual([])
      })
  )
})
