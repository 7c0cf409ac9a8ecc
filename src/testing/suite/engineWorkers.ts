/**
 * Workers: failed attempts, upcasts and the shutdown.
 *
 * @internal
 */
import { expect } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { capabilitiesOf } from "../../internal/contract/executor.js"
import * as Task from "../../Task.js"
import { type DefineEngineTest, Item, item } from "./engineTest.js"

const NewItem = Task.make("SuiteItem", {
  payload: { texts: Schema.Array(Schema.String) },
  version: 2,
  upcast: { 1: (old: { readonly text: string }) => ({ texts: [old.text] }) }
})

/** @internal */
export const engineWorkers = (test: DefineEngineTest): void => {
  test("runs a failed handler again, up to maxAttempts, and tells it the attempt", ({ dispatch, engine, got, untilGot, work }) =>
    Effect.gen(function*() {
      const failing = item("fail", { maxAttempts: 3 })
      if (engine.worker !== undefined && capabilitiesOf(engine.executor, failing).includes("maxAttempts")) {
        yield* work()
        yield* dispatch([failing])
        yield* untilGot(3)
        yield* dispatch([item("after")])
        yield* untilGot(4)
        expect(got.map(({ attempt, text }) => `${text} ${attempt}`)).toEqual(["fail 1", "fail 2", "fail 3", "after 1"])
      }
    }))

  test("runs intents of an older version with the upcasts of its task", ({ dispatch, engine, work }) =>
    Effect.gen(function*() {
      if (engine.worker !== undefined) {
        const texts = yield* Deferred.make<ReadonlyArray<string>>()
        yield* dispatch([item("old")])
        yield* work(NewItem.toLayer((payload) => Deferred.succeed(texts, payload.texts)))
        expect(yield* Deferred.await(texts)).toEqual(["old"])
      }
    }))

  test("waits for the running handler when it stops, and leaves the rest to the next worker", ({ dispatch, engine, got, untilGot, work }) =>
    Effect.gen(function*() {
      if (engine.worker !== undefined) {
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
        yield* Effect.yieldNow()
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(stopping)
        expect(ended).toEqual(["running"])
        yield* work()
        yield* untilGot(1)
        expect(got.map(({ attempt, text }) => `${text} ${attempt}`)).toEqual(["waiting 1"])
      }
    }))
}
