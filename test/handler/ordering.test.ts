/**
 * In which order handlers run, and how many at a time.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { Airlock } from "effect-airlock"
import { letOthersRun } from "../support/letOthersRun.js"
import { Index, index, Step, step, withHandlers } from "../support/tasks.js"

describe("concurrent handlers", () => {
  it.effect("run as many at once as concurrency allows", () =>
    Effect.gen(function*() {
      const arrived: Array<string> = []
      const all = yield* Deferred.make<void>()
      // Each handler waits for all others. If one fewer ran at once, none would end.
      yield* Effect.forEach(Array.from({ length: 8 }, (_, n) => `${n}`), (text) => step(text)).pipe(
        Airlock.scoped,
        withHandlers(
          Step.toLayer(({ text }) =>
            Effect.suspend(() =>
              arrived.push(text) === 8 ? Effect.asVoid(Deferred.succeed(all, undefined)) : Deferred.await(all)
            )
          ),
          { concurrency: 8 }
        )
      )
      expect(arrived).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"])
    }))

  it.effect("run in order for one orderingKey, and a slow one delays only its own key", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const gate = yield* Effect.makeLatch(false)
      const running = yield* Effect.forEach(
        ["a1", "b1", "a2", "b2", "c1", "a3"],
        (text) => step(text, { orderingKey: text[0]! })
      ).pipe(
        Airlock.scoped,
        withHandlers(
          Step.toLayer(({ text }) =>
            Effect.zipRight(text === "a1" ? gate.await : Effect.void, Effect.sync(() => ran.push(text)))
          ),
          { concurrency: "unbounded" }
        ),
        Effect.fork
      )
      yield* letOthersRun
      expect(ran).toEqual(["b1", "b2", "c1"])
      yield* gate.open
      yield* Fiber.join(running)
      expect(ran).toEqual(["b1", "b2", "c1", "a1", "a2", "a3"])
    }))

  it.effect("wait, for a batched call, for the earlier intents of all its orderingKeys", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const gate = yield* Effect.makeLatch(false)
      const running = yield* Effect.all([
        step("a1", { orderingKey: "a" }),
        step("b1", { orderingKey: "b" }),
        index("a2", { orderingKey: "a" }),
        index("b2", { orderingKey: "b" }),
        step("b3", { orderingKey: "b" }),
        step("c1", { orderingKey: "c" })
      ]).pipe(
        Airlock.scoped,
        withHandlers(
          Layer.mergeAll(
            Step.toLayer(({ text }) =>
              Effect.zipRight(text === "a1" ? gate.await : Effect.void, Effect.sync(() => ran.push(text)))
            ),
            Index.toLayerBatched((payloads) => Effect.sync(() => ran.push(payloads.map(({ text }) => text).join("+"))))
          ),
          { concurrency: "unbounded" }
        ),
        Effect.fork
      )
      yield* letOthersRun
      expect(ran).toEqual(["c1"])
      yield* gate.open
      yield* Fiber.join(running)
      expect(ran).toEqual(["c1", "a1", "b1", "a2+b2", "b3"])
    }))
})
