/**
 * When a handler that failed runs again.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schedule, TestClock } from "effect"
import { Airlock, Executor } from "effect-airlock"
import { reasonsIn } from "../support/flushErrors.js"
import { letOthersRun } from "../support/letOthersRun.js"
import { next, Step, step, withHandlers, Work, work } from "../support/tasks.js"
describe("the retry schedule of handlers", () => {
  const flaky = (failures: number) => {
    const attempts: Array<number> = []
    const handlers = Step.toLayer((_, { attempt }) =>
      Effect.suspend(() => attempts.push(attempt) <= failures ? Effect.fail(new Error(`no ${attempt}`)) : Effect.void)
    )
    return { attempts, handlers }
  }

  it.effect("runs a failed handler again at its times, and the handler gets the number of the attempt", () =>
    Effect.gen(function*() {
      const { attempts, handlers } = flaky(2)
      const running = yield* step("a").pipe(
        Airlock.scoped,
        withHandlers(handlers, { retry: Schedule.exponential("1 second") }),
        Effect.fork
      )
      yield* letOthersRun
      expect(attempts).toEqual([1])
      yield* TestClock.adjust("1 second")
      expect(attempts).toEqual([1, 2])
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(running)
      expect(attempts).toEqual([1, 2, 3])
    }))

  it.effect("gets the reason of each failure, and the FlushError has the last one", () =>
    Effect.gen(function*() {
      const { attempts, handlers } = flaky(10)
      const error = yield* step("a").pipe(
        Airlock.scoped,
        Effect.flip,
        withHandlers(handlers, {
          retry: Schedule.recurWhile((reason: Executor.DispatchReason) => !reason.message.endsWith("no 3"))
        })
      )
      expect(attempts).toEqual([1, 2, 3])
      expect(error.failures[0]!.reason.message).toBe("Dispatching \"Step\" failed: no 3")
    }))

  it.effect("ends at an intent's maxAttempts", () =>
    Effect.gen(function*() {
      const { attempts, handlers } = flaky(10)
      yield* step("a", { maxAttempts: 2 }).pipe(
        Airlock.scoped,
        Effect.flip,
        withHandlers(handlers, { retry: Schedule.recurs(5) })
      )
      expect(attempts).toEqual([1, 2])
    }))

  it.effect("leaves the last failure in the FlushError if the flush ends before the next attempt", () =>
    Effect.gen(function*() {
      const { handlers } = flaky(10)
      const running = yield* step("a").pipe(
        Airlock.scoped({ dispatchTimeout: "1 second" }),
        Effect.flip,
        withHandlers(handlers, { retry: Schedule.spaced("1 hour") }),
        Effect.fork
      )
      yield* letOthersRun
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(running)
      expect(error.failures[0]!.reason.message).toBe("Dispatching \"Step\" failed: no 1")
    }))

  it.effect("does not retry a task without a handler, and delays no other intent", () =>
    Effect.gen(function*() {
      const ran: Array<number> = []
      const error = yield* Effect.zipRight(next(0), work(1)).pipe(
        Airlock.scoped,
        Effect.flip,
        withHandlers(Work.toLayer(({ n }) => Effect.sync(() => ran.push(n))), { retry: Schedule.spaced("1 second") })
      )
      expect(reasonsIn(error)).toEqual(["UnknownTaskError"])
      expect(ran).toEqual([1])
    }))

  it.effect("ends only for its own intent if it dies", () =>
    Effect.gen(function*() {
      const ran: Array<number> = []
      const error = yield* Effect.all([work(1), work(2)]).pipe(
        Airlock.scoped,
        Effect.flip,
        withHandlers(
          Work.toLayer(({ n }) => n === 1 ? Effect.fail(new Error("its own")) : Effect.sync(() => ran.push(n))),
          {
            retry: Schedule.recurWhile((): boolean => {
              throw new Error("a bad predicate")
            })
          }
        )
      )
      expect(error.failures.map(({ reason }) => reason.message)).toEqual(["Dispatching \"Work\" failed: its own"])
      expect(ran).toEqual([2])
    }))

  it.effect("leaves an intent at its maxAttempts out of the next call of its batch, and no other", () =>
    Effect.gen(function*() {
      const calls: Array<ReadonlyArray<number>> = []
      const error = yield* Effect.all([
        work(1),
        Airlock.enqueue(Work, { n: 2 }, { maxAttempts: 1 }),
        work(3)
      ]).pipe(
        Airlock.scoped,
        Effect.flip,
        withHandlers(
          Work.toLayerBatched((payloads) =>
            Effect.suspend(() =>
              calls.push(payloads.map(({ n }) => n)) === 1 ? Effect.fail(new Error("once")) : Effect.void
            )
          ),
          { retry: Schedule.recurs(1) }
        )
      )
      expect(calls).toEqual([[1, 2, 3], [1, 3]])
      expect(error.failures.length).toBe(1)
    }))

  // Without a pause the timer of the limit must run all the same, long before these many attempts.
  const many = 20_000
  const endless = (begun: () => number) =>
    step("a").pipe(Airlock.scoped({ dispatchTimeout: "20 millis" }), Effect.flip, Effect.map(() => begun()))

  it.live("cannot block the event loop past the limit of the dispatch, even if it never pauses", () =>
    Effect.gen(function*() {
      let begun = 0
      const handlers = Step.toLayer(() => Effect.suspend(() => ++begun < many ? Effect.fail("no") : Effect.void))
      const attempts = yield* endless(() => begun).pipe(withHandlers(handlers, { retry: Schedule.forever }))
      expect(attempts).toBeLessThan(many)
    }))

  it.live("cannot block the event loop either as the schedule of Executor.retrying", () =>
    Effect.gen(function*() {
      let begun = 0
      const failing = Executor.make({
        name: "failing",
        dispatch: () => Effect.sync(() => [++begun < many ? Exit.die("no") : Exit.void])
      })
      const attempts = yield* endless(() => begun).pipe(
        Effect.provide(Airlock.layer({ executor: Executor.retrying(failing, Schedule.forever) }))
      )
      expect(attempts).toBeLessThan(many)
    }))
})
