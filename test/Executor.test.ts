import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, identity, Layer, Logger, Schedule } from "effect"
import { Airlock, Executor, type Intent } from "effect-airlock"
import { defectOf } from "./support/exits.js"
import { layer, left, note } from "./support/recorder.js"
import { Step, Work, work } from "./support/tasks.js"

const reasons = (self: ReturnType<typeof run>) =>
  Effect.map(Effect.flip(self), (error) => error.failures.map(({ reason }) => reason._tag))

const run = (executor: Executor.Executor) =>
  Effect.forEach(["a", "fail", "b", "die", "c"], note).pipe(Airlock.scoped({ executor }))

describe("Executor.inProcess", () => {
  it.effect("dispatches the other intents after a failure", () =>
    Effect.gen(function*() {
      expect(yield* reasons(run(Executor.inProcess()))).toEqual(["DispatchError", "DispatchError"])
      expect(yield* left).toEqual(["a", "b", "c"])
    }).pipe(Effect.provide(layer())))

  it.effect("attempts no intent after a failure if failFast is set, and the FlushError names each of them", () =>
    Effect.gen(function*() {
      expect(yield* reasons(run(Executor.inProcess({ failFast: true })))).toEqual([
        "DispatchError",
        "NotAttemptedError",
        "NotAttemptedError",
        "NotAttemptedError"
      ])
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))
})

describe("an executor", () => {
  const seen: Array<ReadonlyArray<unknown>> = []
  const recording = Executor.make({
    name: "recording",
    dispatch: (intents, handlers) =>
      Effect.sync(() => {
        seen.push([handlers.names, intents.map(({ payload, task }) => [task.name, payload])])
        return intents.map(() => Exit.void)
      })
  })

  it.effect("gets a scope's intents as one batch, in order, and the names of the tasks that have a handler", () =>
    Effect.gen(function*() {
      yield* Effect.zipRight(note("a"), note("b")).pipe(Airlock.scoped)
      expect(seen).toEqual([[["Note"], [["Note", { text: "a" }], ["Note", { text: "b" }]]]])
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer().pipe(Layer.provide(Executor.layer(recording))))))

  it.effect("is not called if no intent leaves", () =>
    Effect.gen(function*() {
      seen.length = 0
      yield* Effect.void.pipe(Airlock.scoped({ executor: recording, shouldFlush: () => true }))
      expect(seen).toEqual([])
    }).pipe(Effect.provide(layer())))
})

describe("an executor that answers with something else than its outcomes", () => {
  const answers: Record<string, readonly [unknown, string]> = {
    "undefined": [Effect.succeed(undefined), "returned undefined. It has to return one outcome for each intent"],
    "a text": [Effect.succeed("ok"), "returned ok."],
    "too many outcomes": [Effect.succeed([Exit.void, Exit.void]), "returned 2 outcomes for 1 intents"],
    "an outcome that is no Exit": [Effect.succeed([{ ok: true }]), "returned {\"ok\":true} for it, which is no Exit"],
    "an outcome that is null": [Effect.succeed([null]), "gave no outcome for it"],
    "no Effect": [Promise.resolve([]), "which is no Effect"]
  }
  const around: Record<string, (executor: Executor.Executor) => Executor.Executor> = {
    "alone": identity,
    "under Executor.route": (executor) => Executor.route(() => executor),
    "under Executor.retrying": Executor.retrying(Schedule.recurs(1)),
    "under Executor.tapped": Executor.tapped(() => Effect.void)
  }
  for (const [what, [answer, reason]] of Object.entries(answers)) {
    for (const [where, combine] of Object.entries(around)) {
      it.effect(`gives a FlushError that says so: ${what}, ${where}`, () =>
        Effect.gen(function*() {
          const executor = combine(Executor.make({ name: "wrong", dispatch: () => answer as never }))
          const error = yield* note("a").pipe(Airlock.scoped({ executor }), Effect.flip)
          expect(error.failures.map(({ reason }) => reason._tag)).toEqual(["DispatchError"])
          expect(error.failures[0]!.reason.message).toContain(reason)
        }).pipe(Effect.provide(layer())))
    }
  }

  it.effect("logs it, if the executor runs in the background", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ annotations }) => {
        lines.push(JSON.stringify([...annotations]))
      })
      const wrong = Executor.make({ name: "wrong", dispatch: () => Effect.succeed(undefined as never) })
      yield* note("a").pipe(
        Airlock.scoped({ executor: Executor.background({ executor: wrong }) }),
        Effect.provide(layer())
      ).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      expect(lines).toEqual([expect.stringContaining("returned undefined")])
    }))

  it.effect("does not keep the scope from settling, if its `close` does", () =>
    Effect.gen(function*() {
      const executor = { ...Executor.inProcess(), name: "wrong", close: () => Effect.succeed(undefined as never) }
      expect(String(yield* defectOf(note("a").pipe(Airlock.scoped({ executor }))))).toContain(
        "`close` of the executor \"wrong\" did not return a list"
      )
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))
})

describe("Handlers.run, called by a custom executor,", () => {
  it.effect("runs an intent that comes from no scope, and gives its handler the attempt", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const worker = Step.toLayer(({ text }, { attempt, intentId }) =>
        Effect.sync(() => seen.push([text, attempt, intentId]))
      )
      yield* Effect.gen(function*() {
        const { handlers } = yield* Airlock.Airlock
        const job: Intent.Intent = {
          id: "0190163d-8694-739b-aea5-966c26f8ad91" as Intent.IntentId,
          task: Step,
          payload: { text: "from a queue" },
          options: {},
          enqueuedAt: 0,
          scopeId: 0,
          span: undefined
        }
        expect(yield* handlers.run([job], { attempt: 3 })).toEqual([Exit.void])
      }).pipe(Effect.provide(worker.pipe(Layer.provideMerge(Airlock.AirlockLive))))
      expect(seen).toEqual([["from a queue", 3, "0190163d-8694-739b-aea5-966c26f8ad91"]])
    }))
})

describe("a batch of 150 000 intents", () => {
  it.effect("runs through Executor.route and Executor.drain", () =>
    Effect.gen(function*() {
      let ran = 0
      const count = 150_000
      const atOnce = Executor.inProcess()
      for (const executor of [Executor.route(() => atOnce), Executor.drain()]) {
        yield* Effect.forEach(Array.from({ length: count }), () => work(1), { discard: true }).pipe(
          Airlock.scoped({ executor, maxIntents: count }),
          Effect.provide(
            Work.toLayer(() => Effect.sync(() => ran++)).pipe(Layer.provideMerge(Airlock.AirlockLive))
          )
        )
      }
      expect(ran).toBe(2 * count)
    }))
})
