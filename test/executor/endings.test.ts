/**
 * Every built-in executor with every way in which a handler can end, one at a time and concurrently, robust and
 * failFast: which handlers ran, and which failures the `FlushError` names.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, HashMap, Layer, Logger, Option, Schedule, Schema, TestClock } from "effect"
import { Airlock, type AirlockError, Executor, type Intent, Task } from "effect-airlock"

const Probe = Task.make("Probe", { payload: { text: Schema.String, ending: Schema.String } })
const Many = Task.make("Many", { payload: { text: Schema.String } })

const endings = ["success", "failure", "defect", "interrupt", "timeout", "batch"] as const
type Ending = (typeof endings)[number]

type OnOutcome = (intent: Intent.Intent, outcome: Executor.Outcome) => Effect.Effect<void>

const executors: Record<string, (run: Executor.RunOptions, onOutcome: OnOutcome) => Executor.Executor> = {
  inProcess: (run) => Executor.inProcess(run),
  background: (run, onOutcome) =>
    Executor.background({ executor: Executor.tapped(Executor.inProcess(run), onOutcome) }),
  drain: (run) => Executor.drain({ run }),
  route: (run) => {
    const executor = Executor.inProcess(run)
    return Executor.route(() => executor)
  },
  "retrying, not again": (run) => Executor.retrying(Executor.inProcess(run), Schedule.stop),
  timed: (run) => Executor.timed(Executor.inProcess(run), "1 hour")
}

const reasons: Record<Exclude<Ending, "success">, string> = {
  failure: "DispatchError: it failed",
  defect: "DispatchError: it died",
  interrupt: "DispatchError: Interrupted by fibers",
  timeout: "SettleTimeoutError",
  batch: "DispatchError: the batch failed"
}

const handle = (ending: string) =>
  ending === "failure"
    ? Effect.fail(new Error("it failed"))
    : ending === "defect"
    ? Effect.die(new Error("it died"))
    : ending === "interrupt"
    ? Effect.interrupt
    : Effect.never

/** The texts enqueued before and after the intent whose handler ends in another way. */
const wave = (concurrency: number) => {
  const first = Array.from({ length: concurrency }, (_, index) => `first ${index}`)
  return { first, second: ["second 0", "second 1"] }
}

const shown = (task: string, reason: AirlockError.FlushReason) =>
  `${task} ${reason._tag}${
    reason._tag === "DispatchError" ? `: ${(reason.cause as Error).message.split(": #")[0]}` : ""
  }`

const runCell = (makeExecutor: (typeof executors)[string], options: {
  readonly ending: Ending
  readonly concurrency: number
  readonly failFast: boolean
}) =>
  Effect.gen(function*() {
    const { concurrency, ending, failFast } = options
    const ran: Array<string> = []
    const logged: Array<string> = []
    const gate = yield* Effect.makeLatch(false)
    const isGated = concurrency > 1 && ending !== "timeout"
    let waiting = 0
    const { first, second } = wave(concurrency - 1)
    const Handlers = Layer.mergeAll(
      Probe.toLayer(({ ending, text }) =>
        ending === "success"
          ? Effect.zipRight(
            Effect.suspend(() => {
              waiting++
              return isGated && text.startsWith("first") ? gate.await : Effect.void
            }),
            Effect.sync(() => ran.push(text))
          )
          : handle(ending)
      ),
      Many.toLayerBatched((payloads) =>
        Effect.fail(new Error(payloads.length === 2 ? "the batch failed" : "not one batch"))
      )
    )
    const logger = Logger.make(({ annotations, message }) => {
      logged.push(
        `${message}`,
        ...Option.getOrElse(HashMap.get(annotations, "airlock.intents"), () => []) as Array<string>
      )
    })
    const later: Array<string> = []
    const executor = makeExecutor({ concurrency, failFast, timeout: "10 seconds" }, ({ task }, outcome) =>
      Effect.sync(() => {
        if (Exit.isFailure(outcome) && outcome.cause._tag === "Fail") {
          later.push(shown(task.name, outcome.cause.error))
        }
      }))
    const fiber = yield* Effect.gen(function*() {
      yield* Effect.forEach(first, (text) =>
        Airlock.enqueue(Probe, { text, ending: "success" }))
      if (ending === "batch") {
        // A later intent of another task with the same key forces the batch to run before the end of the flush.
        yield* Airlock.enqueue(Many, { text: "one" }, { orderingKey: "key" })
        yield* Airlock.enqueue(Many, { text: "two" }, { orderingKey: "key" })
      } else if (ending !== "success") {
        yield* Airlock.enqueue(Probe, { text: "bad", ending })
      }
      yield* Effect.forEach(second, (text) =>
        Airlock.enqueue(Probe, { text, ending: "success" }, ending === "batch" ? { orderingKey: "key" } : {}))
    }).pipe(
      Airlock.scoped({ executor }),
      Effect.exit,
      Effect.provide(Handlers.pipe(Layer.provideMerge(Airlock.AirlockLive))),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Effect.fork
    )
    yield* Effect.repeatN(Effect.yieldNow(), 200)
    if (isGated) {
      expect(waiting).toBe(failFast && ending !== "success" ? first.length : first.length + second.length)
    }
    yield* gate.open
    yield* TestClock.adjust("10 seconds")
    const exit = yield* Fiber.join(fiber)
    const said = Exit.isFailure(exit) && exit.cause._tag === "Fail"
      ? exit.cause.error.failures.map(({ reason, task }) =>
        shown(task, reason)
      )
      : []
    return { exit, said, later, ran: ran.sort(), logged }
  })

describe("an executor", () => {
  for (const [name, makeExecutor] of Object.entries(executors)) {
    for (const ending of endings) {
      for (const concurrency of [1, 8]) {
        for (const failFast of [false, true]) {
          const cell = `${name} reports each intent when one ends in ${ending}, concurrency ${concurrency}, ${
            failFast ? "failFast" : "robust"
          }`
          it.effect(cell, () =>
            Effect.gen(function*() {
              const { first, second } = wave(concurrency - 1)
              const { exit, later, logged, ran, said } = yield* runCell(makeExecutor, { ending, concurrency, failFast })
              const isStopped = ending !== "success" && failFast && (concurrency === 1 || ending !== "timeout")
              expect(ran).toEqual(isStopped ? first : [...first, ...second])
              const task = ending === "batch" ? "Many" : "Probe"
              const failed = ending === "success"
                ? []
                : Array(ending === "batch" ? 2 : 1).fill(`${task} ${reasons[ending]}`)
              const expected = [...failed, ...isStopped ? second.map(() => "Probe NotAttemptedError") : []]
              if (name === "background") {
                expect(Exit.isSuccess(exit)).toBe(true)
                expect(later).toEqual(expected)
                expect(logged.length).toBe(expected.length === 0 ? 0 : 1 + expected.length)
              } else {
                expect(said).toEqual(expected)
              }
            }))
        }
      }
    }
  }
})
