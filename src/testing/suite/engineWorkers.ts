/**
 * Workers: failed attempts, upcasts and the shutdown.
 *
 * @internal
 */
import { expect } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import * as Airlock from "../../Airlock.js"
import * as Task from "../../Task.js"
import { type DefineEngineTest, Item, item, turn } from "./engineTest.js"

const NewItem = Task.make("SuiteItem", {
  payload: { texts: Schema.Array(Schema.String) },
  version: 2,
  upcast: { 1: (old: { readonly text: string }) => ({ texts: [old.text] }) }
})

/** @internal */
export const engineWorkers = (test: DefineEngineTest): void => {
  test("runs a failed handler again, and tells it the attempt", ({ dispatch, work }) =>
    Effect.gen(function*() {
      const attempts: Array<number> = []
      const succeeded = yield* Deferred.make<void>()
      yield* work(Item.toLayer((_, { attempt }) => {
        attempts.push(attempt)
        return attempt === 1 ? Effect.fail(new Error("the first attempt")) : Deferred.succeed(succeeded, undefined)
      }))
      yield* dispatch([item("a")])
      yield* Deferred.await(succeeded)
      expect(attempts).toEqual([1, 2])
    }))

  test("runs a failed handler up to maxAttempts, or refuses the option", ({ carriesOut, dispatch, got, untilGot, work }) =>
    Effect.gen(function*() {
      const failing = item("fail", { maxAttempts: 3 })
      if (yield* carriesOut(failing)) {
        yield* work()
        yield* dispatch([failing])
        yield* untilGot(3)
        yield* dispatch([item("after")])
        yield* untilGot(4)
        expect(got.map(({ attempt, text }) => `${text} ${attempt}`)).toEqual(["fail 1", "fail 2", "fail 3", "after 1"])
      }
    }))

  test("flushes what a handler enqueues if it succeeds, and discards it if it fails", ({ dispatch, got, untilGot, work }) =>
    Effect.gen(function*() {
      const recording = Item.toLayer(({ text }, { attempt, intentId }) =>
        Effect.suspend(() => {
          got.push({ id: intentId, text, attempt })
          return text !== "first"
            ? Effect.void
            : Effect.zipRight(
              Airlock.enqueue(Item, { text: `of attempt ${attempt}` }),
              attempt === 1 ? Effect.fail(new Error("the first attempt")) : Effect.void
            )
        })
      )
      yield* work(recording)
      yield* dispatch([item("first")])
      yield* untilGot(3)
      expect(got.map(({ text }) => text)).toEqual(["first", "first", "of attempt 2"])
    }))

  test("runs intents of an older version with the upcasts of its task", ({ dispatch, work }) =>
    Effect.gen(function*() {
      const texts = yield* Deferred.make<ReadonlyArray<string>>()
      yield* dispatch([item("old")])
      yield* work(NewItem.toLayer((payload) => Deferred.succeed(texts, payload.texts)))
      expect(yield* Deferred.await(texts)).toEqual(["old"])
    }))

  test("links the span of a handler to that of its enqueue", ({ airlock, work }) =>
    Effect.gen(function*() {
      const linked = yield* Deferred.make<ReadonlyArray<string>>()
      const handler = Item.toLayer(() =>
        Effect.flatMap(
          Effect.orDie(Effect.currentSpan),
          ({ links }) => Deferred.succeed(linked, links.map(({ span }) => span.traceId))
        )
      )
      // Handlers have spans only if the application has a tracer of its own.
      const { context, span } = yield* Effect.tracer
      yield* Effect.withTracer(work(handler), Tracer.make({ context, span }))
      const request = yield* Effect.makeSpan("request")
      yield* Airlock.enqueue(Item, { text: "a" }).pipe(
        Airlock.scoped,
        Effect.withParentSpan(request),
        Effect.provide(airlock)
      )
      expect(yield* Deferred.await(linked)).toContain(request.traceId)
    }))

  test("waits for the running handler when it stops, and leaves the rest to the next worker", ({ dispatch, got, untilGot, work }) =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const ended: Array<string> = []
      const { stop } = yield* work(Item.toLayer(({ text }) =>
        Deferred.succeed(begun, undefined).pipe(
          Effect.zipRight(Deferred.await(gate)),
          Effect.zipRight(Effect.sync(() => ended.push(text)))
        )
      ))
      yield* dispatch([item("running"), item("waiting")])
      yield* Deferred.await(begun)
      const stopping = yield* Effect.fork(stop)
      // A worker that does not wait would have stopped by then.
      yield* Effect.repeatN(turn, 100)
      expect(yield* Fiber.poll(stopping)).toEqual(Option.none())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(stopping)
      expect(ended).toEqual(["running"])
      yield* work()
      yield* untilGot(1)
      expect(got.map(({ attempt, text }) => `${text} ${attempt}`)).toEqual(["waiting 1"])
    }))
}
