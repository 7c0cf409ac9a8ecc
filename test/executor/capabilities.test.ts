/**
 * Options of an enqueue that an executor cannot carry out.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Metric, TestClock } from "effect"
import { Airlock, AirlockMetrics, AirlockTest, Executor, type Intent } from "effect-airlock"
import { defectOf } from "../support/exits.js"
import { letOthersRun } from "../support/letOthersRun.js"
import { Index, Next, Step, step, withHandlers, Work } from "../support/tasks.js"
import { recordWarnings, warnings } from "../support/warnings.js"

const every: Required<Omit<Intent.EnqueueOptions, "origin">> = {
  delay: "1 second",
  runAt: new Date(1000),
  queue: "mail",
  priority: 1,
  dedupeKey: "a",
  orderingKey: "a",
  maxAttempts: 2,
  native: { a: 1 }
}

const accepts = (executor: Executor.Executor) =>
  Effect.map(
    Effect.forEach(Object.entries(every), ([name, value]) =>
      Effect.map(
        Effect.exit(Airlock.scoped({ executor })(step("a", { [name]: value }))),
        (exit) => Exit.isSuccess(exit) ? [name] : []
      )),
    (names) => names.flat()
  )

const queue = (capabilities?: Executor.Executor["capabilities"]) =>
  Executor.make({
    name: "queue",
    dispatch: (intents) => Effect.succeed(intents.map(() => Exit.void)),
    ...(capabilities !== undefined && { capabilities })
  })

const Handlers = Step.toLayer(() => Effect.void)

describe("an option of an enqueue", () => {
  const inProcess = ["queue", "orderingKey", "maxAttempts", "native"]
  const executors: Record<string, readonly [Executor.Executor, ReadonlyArray<string>]> = {
    "inProcess": [Executor.inProcess(), inProcess],
    "drain": [Executor.drain(), inProcess],
    "background": [Executor.background(), ["delay", "runAt", ...inProcess]],
    "one that names none": [queue(), []],
    "one that names some": [queue(["delay", "queue"]), ["delay", "queue"]],
    "a combinator around one that names some": [Executor.timed(queue(["delay"]), "1 second"), ["delay"]],
    "a route, by the executor that takes the intent": [
      Executor.route(({ options }) => options.delay === undefined ? queue(["priority"]) : queue(["delay"])),
      ["delay", "priority"]
    ]
  }
  for (const [name, [executor, accepted]] of Object.entries(executors)) {
    it.effect(`is refused unless the executor carries it out: ${name}`, () =>
      Effect.gen(function*() {
        expect(yield* accepts(executor)).toEqual(accepted)
      }).pipe(withHandlers(Handlers)))
  }

  it.effect("is refused by an error that names the task, the option, the executor and the call", () =>
    Effect.gen(function*() {
      const refused = yield* defectOf(
        Airlock.scoped(Effect.suspend(() => step("a", { delay: "1 second", dedupeKey: "a", origin: "checkout" })))
      )
      expect(refused).toMatchObject({
        _tag: "UnsupportedOptionError",
        task: "Step",
        options: ["delay", "dedupeKey"],
        executor: "inProcess",
        site: expect.stringContaining("tasks.ts")
      })
    }).pipe(withHandlers(Handlers)))

  it.effect("is ignored where Airlock is built so, with one warning for each option", () =>
    Effect.gen(function*() {
      yield* Airlock.scoped(Effect.zipRight(step("a", { delay: "1 hour" }), step("b", { delay: "1 hour" })))
      yield* Airlock.scoped(step("c", { delay: "1 hour", priority: 1 }))
      expect(yield* warnings).toEqual(["delay", "priority"].map((option) =>
        `Airlock ignores options of enqueues that the executor "inProcess" cannot carry out: ${option}. ` +
        "Their intents run as if they had none."
      ))
    }).pipe(
      Effect.provide(Handlers.pipe(Layer.provideMerge(Airlock.layer({ unsupportedOptions: "ignore" })))),
      Effect.provide(recordWarnings)
    ))

  it.effect("is accepted by the recording Layers of AirlockTest, whatever it is", () =>
    Effect.gen(function*() {
      for (const layer of [AirlockTest.layer(), AirlockTest.inline({ executor: Executor.inProcess() })]) {
        yield* Airlock.scoped(step("a", every)).pipe(Effect.provide(Handlers.pipe(Layer.provideMerge(layer))))
      }
    }))
})

describe("Executor.background", () => {
  const running = (ran: Array<string>, options?: Executor.BackgroundOptions) =>
    Effect.provide(
      Step.toLayer(({ text }) => Effect.sync(() => void ran.push(text))).pipe(
        Layer.provideMerge(Airlock.layer({ executor: Executor.background(options) }))
      )
    )
  const passes = (time: Parameters<typeof TestClock.adjust>[0]) => Effect.zipRight(TestClock.adjust(time), letOthersRun)

  it.effect("waits for the delay and the runAt of each intent, and not for those of others", () => {
    const ran: Array<string> = []
    return Effect.gen(function*() {
      yield* TestClock.setTime(1000)
      yield* Airlock.scoped(Effect.all([
        step("at 11 s", { delay: "10 seconds" }),
        step("at 5 s", { runAt: new Date(5000) }),
        step("now"),
        step("the later of both", { runAt: new Date(5000), delay: "7 seconds" }),
        step("in the past", { runAt: new Date(0) })
      ]))
      yield* letOthersRun
      expect(ran).toEqual(["now", "in the past"])
      yield* passes("4 seconds")
      expect(ran.slice(2)).toEqual(["at 5 s"])
      yield* passes("2999 millis")
      expect(ran.slice(3)).toEqual([])
      yield* passes("1 milli")
      expect(ran.slice(3)).toEqual(["the later of both"])
      yield* passes("3 seconds")
      expect(ran.slice(4)).toEqual(["at 11 s"])
    }).pipe(running(ran))
  })

  it.effect("waits for longer than a timer can", () => {
    const ran: Array<string> = []
    return Effect.gen(function*() {
      yield* Airlock.scoped(step("a", { delay: "60 days" }))
      yield* passes("59 days")
      expect(ran).toEqual([])
      yield* passes("1 day")
      expect(ran).toEqual(["a"])
    }).pipe(running(ran))
  })

  it.effect("passes on what its executor delays itself", () => {
    const got: Array<unknown> = []
    const executor = Executor.make({
      name: "queue",
      capabilities: ["delay", "runAt"],
      dispatch: (intents) =>
        Effect.sync(() => {
          got.push(...intents.map(({ payload }) => payload))
          return intents.map(() => Exit.void)
        })
    })
    return Effect.gen(function*() {
      yield* Airlock.scoped(step("a", { delay: "1 hour", runAt: new Date(1e12) }))
      yield* letOthersRun
      expect(got).toEqual([{ text: "a" }])
    }).pipe(running([], { executor }))
  })

  it.effect("does not wait at shutdown for a time that has not come, and names what is lost", () => {
    const ran: Array<string> = []
    return Effect.gen(function*() {
      yield* Airlock.scoped(Effect.all([step("later", { delay: "1 second" }), step("now")])).pipe(running(ran))
      expect(ran).toEqual(["now"])
      expect(yield* warnings).toEqual([
        "Airlock shut down before the time of these intents had come, and they are lost: Executor.background keeps them in memory"
      ])
    }).pipe(Effect.provide(recordWarnings))
  })

  it.effect("names and counts what is lost once, though several handlers close", () => {
    const handlers = [Step, Index, Work, Next].map((task) => task.toLayer(() => Effect.void))
    const counted = Metric.value(AirlockMetrics.failed.pipe(
      Metric.tagged("task", "Step"),
      Metric.tagged("reason", "NotAttemptedError")
    ))
    return Effect.gen(function*() {
      const before = yield* counted
      yield* Airlock.scoped(step("later", { delay: "1 second" })).pipe(
        Effect.provide(Layer.provideMerge(
          Layer.mergeAll(Layer.empty, ...handlers),
          Airlock.layer({ executor: Executor.background() })
        ))
      )
      expect(yield* warnings).toHaveLength(1)
      expect((yield* counted).count - before.count).toBe(1)
    }).pipe(Effect.provide(recordWarnings))
  })

  it.effect("refuses a delay that is no finite duration", () =>
    Effect.gen(function*() {
      expect(yield* defectOf(Airlock.scoped(step("a", { delay: "Infinity seconds" as "1 second" })))).toMatchObject({
        _tag: "InvalidPayloadError"
      })
    }).pipe(running([])))
})
