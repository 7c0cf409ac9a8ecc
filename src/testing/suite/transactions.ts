/**
 * The intents of transactions and of scopes without an outer scope.
 *
 * @internal
 */
import { describe, expect } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Airlock from "../../Airlock.js"
import * as Policy from "../../Policy.js"
import * as SqlFault from "../SqlFault.js"
import { type DefineTest, mail, order, orders, request, table, transaction } from "./application.js"
import { deliver } from "./deliver.js"
import { rows } from "./rows.js"

/** @internal */
export const transactions = (test: DefineTest): void => {
  describe("a transaction without an outer scope", () => {
    test(
      "stores its intents with its rows, and each leaves once",
      Effect.gen(function*() {
        yield* transaction(Effect.all([order("a"), order("b")]))
        expect(yield* rows).toEqual({ ready: 2 })
        expect(yield* deliver).toEqual(["a", "b"])
        expect(yield* deliver).toEqual([])
        expect(yield* rows).toEqual({})
      })
    )

    test(
      "stores no intent if it is rolled back",
      Effect.gen(function*() {
        yield* Effect.exit(transaction(Effect.zipRight(order("a"), Effect.fail("no"))))
        yield* Effect.exit(transaction(Effect.zipRight(order("a"), Effect.die("no"))))
        expect([yield* orders, yield* rows]).toEqual([[], {}])
      })
    )

    test(
      "discards the intents of a savepoint that is rolled back, and stores the others",
      Effect.gen(function*() {
        yield* transaction(Effect.gen(function*() {
          yield* order("a")
          yield* Effect.ignore(transaction(Effect.zipRight(order("b"), Effect.fail("no"))))
          yield* transaction(order("c"))
        }))
        expect([yield* orders, yield* deliver]).toEqual([["a", "c"], ["a", "c"]])
      })
    )

    test(
      "stores only the intents of its last attempt if it is retried",
      Effect.gen(function*() {
        let attempt = 0
        yield* transaction(Effect.zipRight(
          order("a"),
          Effect.suspend(() => ++attempt < 3 ? Effect.fail("again") : Effect.void)
        )).pipe(Effect.retry({ times: 5 }))
        expect([yield* orders, yield* deliver]).toEqual([["a"], ["a"]])
      })
    )

    test(
      "is rolled back if its intents cannot be inserted",
      Effect.gen(function*() {
        const fault = yield* SqlFault.SqlFault
        yield* fault.breakAt(table, "before")
        const exit = yield* Effect.exit(transaction(order("a")))
        expect(Exit.isFailure(exit)).toBe(true)
        expect([yield* orders, yield* rows]).toEqual([[], {}])
      })
    )

    test(
      "does not store an intent that a policy drops, and evaluates the policy once, before the COMMIT",
      Effect.gen(function*() {
        let asked = 0
        const policy = Policy.make({
          name: "no b",
          allows: ({ payload }) => {
            asked++
            return Effect.succeed((payload as { to: string }).to !== "b" || { drop: "b" })
          }
        })
        yield* transaction(Effect.all([order("a"), order("b")])).pipe(Airlock.withPolicy(policy))
        expect([yield* orders, yield* deliver, asked]).toEqual([["a", "b"], ["a"], 2])
      })
    )

    test(
      "is rolled back if a policy dies",
      Effect.gen(function*() {
        const policy = Policy.make({ name: "broken", allows: () => Effect.die("no") })
        const exit = yield* Effect.exit(transaction(order("a")).pipe(Airlock.withPolicy(policy)))
        expect(Exit.isFailure(exit)).toBe(true)
        expect([yield* orders, yield* rows]).toEqual([[], {}])
      })
    )
  })

  describe("a scope without a transaction", () => {
    test(
      "stores its intents if it succeeds, and none if it fails",
      Effect.gen(function*() {
        yield* request(Effect.all([mail("a"), mail("b")]))
        yield* Effect.exit(request(Effect.zipRight(mail("c"), Effect.fail("no"))))
        expect(yield* deliver).toEqual(["a", "b"])
      })
    )

    test(
      "fails with a FlushError that names the intents which could not be stored",
      Effect.gen(function*() {
        const fault = yield* SqlFault.SqlFault
        const exit = yield* fault.whileDown(Effect.exit(request(mail("a"))))
        expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({
          _tag: "FlushError",
          failures: [{ task: "Mail", reason: { _tag: "DispatchError" } }]
        })
        expect(yield* rows).toEqual({})
      })
    )
  })
}
