/**
 * A COMMIT whose answer is lost.
 *
 * @internal
 */
import { describe, expect } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/TestClock"
import * as SqlFault from "../SqlFault.js"
import { type DefineTest, order, orders, request, transaction } from "./application.js"
import { deliver } from "./deliver.js"
import { rows, timePasses } from "./rows.js"

/** @internal */
export const commits = (test: DefineTest): void => {
  describe("a transaction whose COMMIT has an unknown outcome", () => {
    const lost = (when: "before" | "after", around: <A, E, R>(self: Effect.Effect<A, E, R>) => typeof self) =>
      Effect.gen(function*() {
        const fault = yield* SqlFault.SqlFault
        yield* fault.breakAt("COMMIT", when)
        const exit = yield* Effect.exit(around(transaction(order("a"))))
        expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({ _tag: "CommitUnknownError" })
      })

    test(
      "dispatches each intent once if the COMMIT was done",
      Effect.gen(function*() {
        yield* lost("after", (self) => self)
        expect([yield* orders, yield* deliver]).toEqual([["a"], ["a"]])
      })
    )

    test(
      "stores no intent if the COMMIT was not done",
      Effect.gen(function*() {
        yield* lost("before", (self) => self)
        expect([yield* orders, yield* rows]).toEqual([[], {}])
      })
    )

    test(
      "releases the held intents of a request after heldTimeout if the COMMIT was done",
      Effect.gen(function*() {
        yield* lost("after", (self) => Effect.orDie(request(self)) as typeof self)
        expect([yield* orders, yield* rows, yield* deliver]).toEqual([["a"], { held: 1 }, []])
        // The process no longer renews the row.
        yield* timePasses
        yield* TestClock.adjust("20 seconds")
        expect(yield* deliver).toEqual(["a"])
      })
    )
  })
}
