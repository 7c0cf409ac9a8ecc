/**
 * A connection that is lost, before and in a batch.
 *
 * @internal
 */
import { expect } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Airlock from "../../Airlock.js"
import { FlushError } from "../../AirlockError.js"
import { areSuccesses, type DefineEngineTest, Item, item, turn, until } from "./engineTest.js"

/** @internal */
export const engineFaults = (
  test: DefineEngineTest,
  { recognisesIds }: { readonly recognisesIds: boolean }
): void => {
  test("names what did not leave while its engine is away, and hands it over when that is back", ({ airlock, connection, dispatch, got, work }) =>
    Effect.gen(function*() {
      expect(areSuccesses(yield* dispatch([item("before")]))).toEqual([true])
      yield* connection.cut
      const exit = yield* Effect.all([
        Airlock.enqueue(Item, { text: "a" }),
        Airlock.enqueue(Item, { text: "b" })
      ]).pipe(Airlock.scoped, Effect.exit, Effect.provide(airlock))
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      expect(error).toBeInstanceOf(FlushError)
      expect((error as FlushError).failures.map(({ task }) => task)).toEqual(["SuiteItem", "SuiteItem"])
      yield* connection.restore
      const intents = ["c", "d"].map((text) => item(text))
      yield* Effect.repeat(Effect.zipRight(turn, dispatch(intents)), {
        until: (outcomes) => areSuccesses(outcomes).every(Boolean)
      })
      yield* work()
      // Whether the others left is unknown: the connection can have broken after the engine got them.
      yield* until(() => ["before", "c", "d"].every((text) => got.some((item) => item.text === text)))
    }))

  const brokenOff = recognisesIds
    ? "loses nothing of a batch that breaks off half way, and doubles nothing"
    : "loses nothing of a batch that breaks off half way"
  test(brokenOff, ({ connection, dispatch, got, work }) =>
    Effect.gen(function*() {
      yield* dispatch([item("before")])
      yield* connection.cutAt("BREAKS-OFF")
      const intents = Array.from(
        { length: 50 },
        (_, index) => item(index === 40 ? "BREAKS-OFF" : `${index} ${"x".repeat(10_000)}`)
      )
      let left = intents
      while (left.length > 0) {
        yield* turn
        const outcomes = yield* dispatch(left)
        left = left.filter((_, index) => !Exit.isSuccess(outcomes[index]!))
      }
      yield* work()
      yield* until(() => new Set(got.map(({ id }) => id)).size === 51)
      expect(got.length === 51 || !recognisesIds).toBe(true)
    }))
}
