import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { Airlock, Executor } from "effect-airlock"
import { layer, left, note } from "../support/recorder.js"

const reasons = (self: ReturnType<typeof run>) =>
  Effect.map(Effect.flip(self), (error) => error.failures.map(({ reason }) => reason._tag))

const run = (executor: Executor.Executor) =>
  Effect.forEach(["a", "fail", "b", "die", "c"], note).pipe(Airlock.scoped({ executor }))

describe("Executor.inProcess", () => {
  it.effect("is robust: it goes on after a failure", () =>
    Effect.gen(function*() {
      expect(yield* reasons(run(Executor.inProcess()))).toEqual(["DispatchError", "DispatchError"])
      expect(yield* left).toEqual(["a", "b", "c"])
    }).pipe(Effect.provide(layer())))

  it.effect("with failFast does not attempt what comes after a failure, and names it", () =>
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

  it.effect("gets a scope's intents as one batch, in order, and knows which tasks have a handler", () =>
    Effect.gen(function*() {
      yield* Effect.zipRight(note("a"), note("b")).pipe(Airlock.scoped)
      expect(seen).toEqual([[["Note"], [["Note", { text: "a" }], ["Note", { text: "b" }]]]])
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer().pipe(Layer.provide(Executor.layer(recording))))))

  it.effect("is not asked where nothing leaves", () =>
    Effect.gen(function*() {
      seen.length = 0
      yield* Effect.void.pipe(Airlock.scoped({ executor: recording, shouldFlush: () => true }))
      expect(seen).toEqual([])
    }).pipe(Effect.provide(layer())))
})
