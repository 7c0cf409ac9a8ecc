/**
 * How a batched handler gets the payloads of many intents in one call.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { Airlock, type Task } from "effect-airlock"
import { letOthersRun } from "../support/letOthersRun.js"
import { Index, index, Next, next, Step, step, withHandlers, Work, work } from "../support/tasks.js"

describe("a batched handler", () => {
  const batched = (options?: Task.BatchOptions<{ readonly text: string }>) =>
    Effect.gen(function*() {
      const ran: Array<ReadonlyArray<string>> = []
      const handlers = Layer.mergeAll(
        Step.toLayer(({ text }) => Effect.sync(() => ran.push([`step ${text}`]))),
        Index.toLayerBatched(
          (payloads) => Effect.sync(() => ran.push(payloads.map(({ text }) => text))),
          options
        )
      )
      return { ran, handlers }
    })

  it.effect("gets all payloads of a flush in order, after the other handlers", () =>
    Effect.gen(function*() {
      const { handlers, ran } = yield* batched()
      yield* Effect.all([index("1"), step("a"), index("2"), step("b"), index("3")]).pipe(
        Airlock.scoped,
        withHandlers(handlers)
      )
      expect(ran).toEqual([["step a"], ["step b"], ["1", "2", "3"]])
    }))

  it.effect("is called as few times as maxSize allows, even after payloads were merged", () =>
    Effect.gen(function*() {
      const { handlers, ran } = yield* batched({ maxSize: 2, key: ({ text }) => text[0] })
      yield* Effect.forEach(["a1", "b1", "a2", "c1", "c2", "d1"], (text) => index(text)).pipe(
        Airlock.scoped,
        withHandlers(handlers)
      )
      expect(ran).toEqual([["b1", "a2"], ["c2", "d1"]])
    }))

  it.effect("gets payloads with one key merged, in the order of the enqueues", () =>
    Effect.gen(function*() {
      const { handlers, ran } = yield* batched({
        key: ({ text }) => text[0],
        merge: (earlier, later) => ({ text: `${earlier.text},${later.text}` })
      })
      yield* Effect.forEach(["a1", "b1", "a2", "a3"], (text) => index(text)).pipe(
        Airlock.scoped,
        withHandlers(handlers)
      )
      expect(ran).toEqual([["b1", "a1,a2,a3"]])
    }))

  it.effect("is called before a later intent of another task with the same orderingKey", () =>
    Effect.gen(function*() {
      const { handlers, ran } = yield* batched()
      yield* Effect.all([
        index("1", { orderingKey: "k" }),
        index("2"),
        step("a", { orderingKey: "k" }),
        index("3", { orderingKey: "k" })
      ]).pipe(Airlock.scoped, withHandlers(handlers))
      expect(ran).toEqual([["1", "2"], ["step a"], ["3"]])
    }))

  it.effect("gets a context for each payload, and that of the last intent for a merged payload", () =>
    Effect.gen(function*() {
      let contexts: ReadonlyArray<Task.HandlerContext> = []
      const ids = yield* Effect.forEach(["a1", "b1", "a2"], (text) => index(text)).pipe(
        Airlock.scoped,
        withHandlers(Index.toLayerBatched((_, each) =>
          Effect.sync(() => {
            contexts = each
          }), { key: ({ text }) => text[0] }))
      )
      expect(contexts.map(({ attempt, intentId }) => [attempt, intentId])).toEqual([[1, ids[1]], [1, ids[2]]])
    }))

  it.effect("fails each intent of a call that fails, merged intents too, and no other", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const ids: Array<string> = []
      const error = yield* Effect.forEach(["a1", "a2", "b1", "c1"], (text) => index(text)).pipe(
        Effect.tap((all) => ids.push(...all)),
        Airlock.scoped,
        Effect.flip,
        withHandlers(Index.toLayerBatched((payloads) =>
          payloads[0].text === "a2"
            ? Effect.fail(new Error("no"))
            : Effect.sync(() => ran.push(...payloads.map(({ text }) => text))), {
          maxSize: 2,
          key: ({ text }) => text[0]
        }))
      )
      expect(error.failures.map(({ intentId }) => intentId)).toEqual(ids.slice(0, 3))
      expect(ran).toEqual(["c1"])
    }))

  it.effect("fails only the intent whose key function throws", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const error = yield* Effect.forEach(["a1", "bad", "a2"], (text) => index(text)).pipe(
        Airlock.scoped,
        Effect.flip,
        withHandlers(
          Index.toLayerBatched((payloads) => Effect.sync(() => ran.push(...payloads.map(({ text }) => text))), {
            key: ({ text }) => {
              if (text === "bad") {
                throw new Error("no key")
              }
              return text
            }
          })
        )
      )
      expect(error.failures.map(({ reason }) => reason.message)).toEqual(["Dispatching \"Index\" failed: no key"])
      expect(ran).toEqual(["a1", "a2"])
    }))

  it.effect("dispatches its own intents if it succeeds", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      yield* Effect.forEach(["1", "2"], (text) => index(text)).pipe(
        Airlock.scoped,
        withHandlers(Layer.mergeAll(
          Index.toLayerBatched((payloads) => Effect.forEach(payloads, ({ text }) => step(text))),
          Step.toLayer(({ text }) => Effect.sync(() => ran.push(text)))
        ))
      )
      expect(ran).toEqual(["1", "2"])
    }))

  it.scoped("gets its payloads in an array if its Layer was built during the flush", () =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const got: Array<unknown> = []
      const airlock = yield* Layer.build(
        Work.toLayer(() => gate.await).pipe(Layer.provideMerge(Airlock.AirlockLive))
      )
      const running = yield* Effect.fork(
        Effect.zipRight(work(1), next(2)).pipe(Airlock.scoped, Effect.provide(airlock))
      )
      yield* letOthersRun
      yield* Layer.build(Next.toLayerBatched((payloads) => Effect.sync(() => got.push(payloads)))).pipe(
        Effect.provide(airlock)
      )
      yield* gate.open
      yield* Fiber.join(running)
      expect(got).toEqual([[{ n: 2 }]])
    }))

  it("refuses a maxSize below 1", () => {
    expect(() => Index.toLayerBatched(() => Effect.void, { maxSize: 0 })).toThrow(
      "toLayerBatched of \"Index\" needs a maxSize of at least 1, and got 0"
    )
  })
})
