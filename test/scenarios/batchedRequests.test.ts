/**
 * Batched requests: after such a request Effect continues the program in another fiber.
 */
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Airlock, Executor, Task } from "effect-airlock"
import { batched, get } from "../support/batching.js"
import { layer, left, note } from "../support/recorder.js"

const Job = Task.make("Job", { payload: Schema.Number })

describe("a body that Effect continues in another fiber to batch its requests", () => {
  it.effect("leaves its scope in that other fiber, and enqueues into the outer scope again", () =>
    Effect.gen(function*() {
      yield* batched(
        [1, 2],
        (id) => Effect.zipRight(Airlock.scoped(Effect.zipRight(get(id), note(`inner ${id}`))), note(`after ${id}`))
      ).pipe(
        Airlock.scoped
      )
      expect((yield* left).sort()).toEqual(["after 1", "after 2", "inner 1", "inner 2"])
    }).pipe(Effect.provide(layer())))

  it.effect("keeps a handler's scope and services, and restores those of the executor's fiber", () =>
    Effect.gen(function*() {
      const service = Context.GenericTag<string>("service")
      const seen: Array<unknown> = []
      const look = Effect.map(Effect.serviceOption(service), (found) => seen.push(Option.getOrUndefined(found)))
      const Live = Job.toLayer((n) => Effect.zipRight(get(n), Effect.zipRight(note(`cascade ${n}`), look))).pipe(
        Layer.provide(Layer.succeed(service, "the handler's"))
      )
      const batching = Executor.make({
        name: "batching",
        dispatch: (intents, handlers) =>
          Effect.map(
            Effect.forEach([intents.slice(0, 1), intents.slice(1)], (some) => Effect.tap(handlers.run(some), look), {
              batching: true,
              concurrency: 2
            }),
            (outcomes) => outcomes.flat()
          )
      })
      yield* Effect.forEach([1, 2], (n) => Airlock.enqueue(Job, n)).pipe(
        Airlock.scoped({ executor: batching }),
        Effect.provide(Live)
      )
      expect(seen).toEqual(["the handler's", undefined, "the handler's", undefined])
      expect((yield* left).sort()).toEqual(["cascade 1", "cascade 2"])
    }).pipe(Effect.provide(layer())))
})
