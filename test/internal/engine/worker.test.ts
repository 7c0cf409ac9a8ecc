/**
 * The worker of all engines: its handlers, their time limits, and its end.
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Schema, type Scope, TestClock } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import { type EngineJob, type JobRunner, jobRunner, type WorkerSettings } from "../../../src/internal/engine/worker.js"
import { until } from "../../support/until.js"

const Mail = Task.make("Mail", { payload: { to: Schema.String } })
const Quick = Task.make("Quick", { payload: { to: Schema.String }, retry: { timeout: "1 second" } })

const job = (to: string, name = "Mail"): EngineJob => ({
  id: to,
  name,
  data: { payload: { to }, version: 1, enqueuedAt: 0 },
  attempt: 1
})

const runnerWith = (
  handlers: Layer.Layer<never, never, Airlock.Airlock>,
  settings: WorkerSettings = {}
): Effect.Effect<JobRunner, never, Airlock.Airlock | Scope.Scope> =>
  Effect.zipRight(Layer.build(handlers), jobRunner(settings))

const run = (runner: JobRunner, job: EngineJob) =>
  Effect.fork(Effect.exit(Effect.tryPromise({ try: () => runner.process(job), catch: (error) => error })))

const failureOf = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "no failure"

const close = () => Promise.resolve()

describe("the worker of an engine", () => {
  const test = (title: string, self: () => Effect.Effect<unknown, unknown, Airlock.Airlock | Scope.Scope>) =>
    it.scoped(title, () => Effect.provide(self(), AirlockLive))

  test("runs a job while the handlers of others wait", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const ran: Array<string> = []
      const runner = yield* runnerWith(Mail.toLayer(({ to }) =>
        Effect.zipRight(to === "slow" ? Deferred.await(gate) : Effect.void, Effect.sync(() => ran.push(to)))
      ))
      const slow = yield* run(runner, job("slow"))
      const quick = yield* Effect.forEach(["a", "b", "c"], (to) =>
        run(runner, job(to)))
      expect((yield* Fiber.join(Fiber.all(quick))).every(Exit.isSuccess)).toBe(true)
      expect(ran).toEqual(["a", "b", "c"])
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.join(slow)).toEqual(Exit.succeed("ended"))
      yield* runner.drain(close)
    }))

  for (const concurrency of [0, -1, 1.5, Infinity, NaN]) {
    test(`dies if it is told to run ${concurrency} jobs at a time`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(runnerWith(Layer.empty, { concurrency }))
        expect(failureOf(exit)).toContain(
          `an integer of at least 1 as its option \`concurrency\`, and got ${concurrency}`
        )
      }))
  }

  for (const [name, limit] of [["Mail", "1 minute"], ["Quick", "1 second"]] as const) {
    test(`interrupts a handler of "${name}" after ${limit}, and runs the next job`, () =>
      Effect.gen(function*() {
        const begun = yield* Deferred.make<void>()
        const interrupted = yield* Deferred.make<void>()
        const handler = ({ to }: { readonly to: string }) =>
          to === "next" ? Effect.void : Effect.onInterrupt(
            Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never),
            () => Deferred.succeed(interrupted, undefined)
          )
        const runner = yield* runnerWith(Layer.merge(Mail.toLayer(handler), Quick.toLayer(handler)), {
          timeout: "1 minute"
        })
        const running = yield* run(runner, job("a", name))
        yield* Deferred.await(begun)
        yield* TestClock.adjust(limit)
        yield* Deferred.await(interrupted)
        expect(failureOf(yield* Fiber.join(running))).toMatch(/SettleTimeoutError.*The handler of .* 1000|60000/s)
        expect(yield* Fiber.join(yield* run(runner, job("next", name)))).toEqual(Exit.succeed("ended"))
        yield* runner.drain(close)
      }))
  }

  test("interrupts handlers at the drainTimeout, gives back their jobs, and begins no further one", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const ran: Array<string> = []
      const runner = yield* runnerWith(
        Mail.toLayer(({ to }) => {
          ran.push(to)
          return Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)
        }),
        { drainTimeout: "5 seconds" }
      )
      const running = yield* run(runner, job("a"))
      yield* Deferred.await(begun)
      const draining = yield* Effect.fork(runner.drain(() => Effect.runPromise(Fiber.await(running))))
      yield* TestClock.adjust("4999 millis")
      expect(yield* Fiber.join(yield* run(runner, job("late")))).toEqual(Exit.succeed("stopped"))
      expect(yield* Fiber.poll(running)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(draining)
      expect(yield* Fiber.join(running)).toEqual(Exit.succeed("stopped"))
      expect(yield* Fiber.join(yield* run(runner, job("b")))).toEqual(Exit.succeed("stopped"))
      expect(ran).toEqual(["a"])
    }))

  test("begins no job that was decoded after the worker had stopped", () =>
    Effect.gen(function*() {
      const begun: Array<string> = []
      const gate = yield* Deferred.make<void>()
      const slow = Schema.transformOrFail(Schema.String, Schema.String, {
        decode: (text) => Effect.as(Deferred.await(gate), text),
        encode: (text) => Effect.succeed(text)
      })
      const Slow = Task.make("Slow", { payload: { to: slow } })
      const runner = yield* runnerWith(
        Slow.toLayer(({ to }) => Effect.zipRight(Effect.sync(() => begun.push(to)), Effect.never)),
        { drainTimeout: 0 }
      )
      const running = yield* run(runner, job("a", "Slow"))
      const draining = yield* Effect.fork(runner.drain(() => Effect.runPromise(Fiber.await(running))))
      yield* TestClock.adjust("1 second")
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.join(running)).toEqual(Exit.succeed("stopped"))
      yield* Fiber.join(draining)
      expect(begun).toEqual([])
    }))

  test("leaves no fiber behind", () =>
    Effect.gen(function*() {
      const runner = yield* runnerWith(Mail.toLayer(() => Effect.void))
      const before = (yield* Fiber.roots).length
      yield* Fiber.join(yield* run(runner, job("a")))
      // One waits for the next job, and one watches the time limit.
      expect((yield* Fiber.roots).length).toBe(before + 2)
      yield* runner.drain(close)
      yield* until(Effect.map(Fiber.roots, ({ length }) => length === before))
    }))

  test("runs the jobs of some tasks only, and fails others", () =>
    Effect.gen(function*() {
      const runner = yield* runnerWith(Layer.merge(Mail.toLayer(() => Effect.void), Quick.toLayer(() => Effect.void)), {
        tasks: ["Mail"]
      })
      expect(yield* Fiber.join(yield* run(runner, job("a")))).toEqual(Exit.succeed("ended"))
      expect(failureOf(yield* Fiber.join(yield* run(runner, job("a", "Quick"))))).toContain("UnknownTaskError")
      yield* runner.drain(close)
    }))

  test("does not start without a handler for each of its tasks", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(runnerWith(Mail.toLayer(() => Effect.void), { tasks: ["Mail", "Other"] }))
      expect(failureOf(exit)).toContain("Other")
    }))
})
