/**
 * Executors that wrap another one: `retrying`, `timed` and `tapped`.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schedule, TestClock } from "effect"
import { Airlock, AirlockError, Executor } from "effect-airlock"
import { reasonsIn } from "../support/flushErrors.js"
import { letOthersRun } from "../support/letOthersRun.js"
import { Step, step, withHandlers, Work, work } from "../support/tasks.js"
import { recordWarnings, warnings } from "../support/warnings.js"

describe("an executor around another one", () => {
  it.effect("Executor.retrying dispatches only the failed intents again, in order", () =>
    Effect.gen(function*() {
      const batches: Array<ReadonlyArray<string>> = []
      const engine = Executor.make({
        name: "engine",
        dispatch: (intents) =>
          Effect.sync(() => {
            const texts = intents.map(({ payload }) => (payload as { text: string }).text)
            batches.push(texts)
            return texts.map((text) =>
              text === "good" || batches.length === 3
                ? Exit.void
                : Exit.fail(new AirlockError.DispatchError({ task: "Step", cause: new Error("away") }))
            )
          })
      })
      const running = yield* Effect.all([step("1"), step("good"), step("2")]).pipe(
        Airlock.scoped({ executor: Executor.retrying(engine, Schedule.spaced("1 second")) }),
        Effect.provide(Airlock.AirlockLive),
        Effect.fork
      )
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(running)
      expect(batches).toEqual([["1", "good", "2"], ["1", "2"], ["1", "2"]])
    }))

  it.effect("Executor.retrying gives the outcomes that it knows if it is interrupted while it waits", () =>
    Effect.gen(function*() {
      const failsTwo = Executor.make({
        name: "engine",
        dispatch: (intents) =>
          Effect.succeed(intents.map(({ payload }) =>
            (payload as { text: string }).text === "good"
              ? Exit.void
              : Exit.fail(new AirlockError.DispatchError({ task: "Step", cause: new Error("away") }))
          ))
      })
      const running = yield* Effect.all([step("good"), step("bad")]).pipe(
        Airlock.scoped({
          executor: Executor.retrying(failsTwo, Schedule.spaced("1 hour")),
          dispatchTimeout: "1 second"
        }),
        Effect.flip,
        Effect.provide(Airlock.AirlockLive),
        Effect.fork
      )
      yield* letOthersRun
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(running)
      expect(error.failures.map(({ reason }) => reason.message)).toEqual(["Dispatching \"Step\" failed: away"])
    }))

  it.effect("Executor.timed ends at its own limit, before dispatchTimeout", () =>
    Effect.gen(function*() {
      const running = yield* step("a").pipe(
        Airlock.scoped({
          executor: Executor.timed(Executor.make({ name: "slow", dispatch: () => Effect.never }), "3 seconds")
        }),
        Effect.flip,
        Effect.provide(Airlock.AirlockLive),
        Effect.fork
      )
      yield* letOthersRun
      yield* TestClock.adjust("3 seconds")
      const error = yield* Fiber.join(running)
      expect(error.failures[0]!.reason.message).toContain("The executor \"slow\" did not complete within 3000 ms.")
    }))

  it.effect("Executor.tapped calls its function with each outcome, and a failure of that function changes nothing", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const executor = Executor.tapped(Executor.inProcess(), ({ payload }, outcome) =>
        Effect.suspend(() => {
          told.push(`${(payload as { text: string }).text} ${outcome._tag}`)
          return told.length === 2 ? Effect.die("told enough") : Effect.void
        }))
      const error = yield* Effect.all([step("good"), step("bad"), step("good")]).pipe(
        Airlock.scoped({ executor }),
        Effect.flip,
        withHandlers(Step.toLayer(({ text }) => text === "bad" ? Effect.fail("no") : Effect.void))
      )
      expect(told).toEqual(["good Success", "bad Failure", "good Success"])
      expect(error.failures.length).toBe(1)
    }))

  it.effect("Executor.timed passes an interruption on, so that no handler runs after dispatchTimeout", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const ran: Array<number> = []
      const running = yield* Effect.zipRight(work(1), work(2)).pipe(
        Airlock.scoped({
          executor: Executor.inProcess().pipe(Executor.timed("10 minutes")),
          dispatchTimeout: "1 minute"
        }),
        Effect.flip,
        Effect.provide(
          Work.toLayer(({ n }) => Effect.zipRight(n === 1 ? gate.await : Effect.void, Effect.sync(() => ran.push(n))))
            .pipe(
              Layer.provideMerge(Airlock.AirlockLive)
            )
        ),
        Effect.fork
      )
      yield* letOthersRun
      yield* TestClock.adjust("1 minute")
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(running)
      yield* gate.open
      yield* letOthersRun
      expect(reasonsIn(error)).toEqual(["SettleTimeoutError", "SettleTimeoutError"])
      expect(ran).toEqual([])
    }))

  it.effect("Executor.retrying dispatches again after a defect, and keeps the outcomes that it knows", () =>
    Effect.gen(function*() {
      const sent: Array<ReadonlyArray<unknown>> = []
      const engine = Executor.make({
        name: "engine",
        dispatch: (intents) =>
          Effect.suspend(() => {
            const ns = intents.map(({ payload }) => (payload as { n: number }).n)
            sent.push(ns)
            return sent.length === 1
              ? Effect.succeed(ns.map((n) =>
                n === 1 ? Exit.void : Exit.fail(new AirlockError.DispatchError({ task: "Work", cause: "full" }))
              ))
              : Effect.die(new Error("ECONNREFUSED"))
          })
      })
      const error = yield* Effect.all([work(1), work(2)]).pipe(
        Airlock.scoped({ executor: Executor.retrying(engine, Schedule.recurs(2)) }),
        Effect.flip,
        Effect.provide(Airlock.AirlockLive)
      )
      expect(sent).toEqual([[1, 2], [2], [2]])
      expect(error.failures.map(({ reason }) => reason.message)).toEqual(["Dispatching \"Work\" failed: ECONNREFUSED"])
    }))

  it.effect("Executor.tapped gets the outcomes of a batch that Executor.drain ran", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const executor = Executor.drain().pipe(
        Executor.tapped((_, outcome) => Effect.sync(() => told.push(outcome._tag)))
      )
      const error = yield* work(1).pipe(
        Airlock.scoped({ executor }),
        Effect.flip,
        Effect.provide(Work.toLayer(() => Effect.fail("no")).pipe(Layer.provideMerge(Airlock.AirlockLive)))
      )
      expect(told).toEqual(["Failure"])
      expect(reasonsIn(error)).toEqual(["DispatchError"])
    }))

  it.effect.each([
    ["undefined", undefined],
    ["no list", Effect.succeed({ length: 1 })],
    ["more outcomes than intents", Effect.succeed([Exit.void, Exit.void])],
    ["no outcome", Effect.succeed([])],
    ["an outcome that is no Exit", Effect.succeed(["done"])]
  ])(
    "Executor.tapped blames the executor for its answer, not the function that is told: %s",
    ([, answer]) =>
      Effect.gen(function*() {
        const told: Array<string> = []
        const wrong = Executor.make({ name: "wrong", dispatch: () => answer as never })
        const error = yield* step("a").pipe(
          Airlock.scoped({
            executor: Executor.tapped(wrong, (_, outcome) => Effect.sync(() => told.push(outcome._tag)))
          }),
          Effect.flip,
          Effect.provide(Airlock.AirlockLive)
        )
        expect(error.message).toMatch(/the executor "wrong" (returned|gave)/)
        expect(yield* warnings).toEqual([])
        expect(told.every((tag) => tag === "Failure")).toBe(true)
      }).pipe(Effect.provide(recordWarnings))
  )
})
