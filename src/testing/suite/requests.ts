/**
 * Transactions in a request, which decides about their intents when it ends.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Airlock from "../../Airlock.js"
import * as Policy from "../../Policy.js"
import * as SqlFault from "../SqlFault.js"
import { type DefineTest, mail, order, orders, otherApplication, request, transaction } from "./application.js"
import { deliver } from "./deliver.js"
import { released, rows, stale, timePasses, until, untilRows } from "./rows.js"

/** @internal */
export const requests = (test: DefineTest): void => {
  describe("a transaction in a request", () => {
    test(
      "holds its intents until the request succeeds, and they leave with the request's other intents",
      Effect.gen(function*() {
        yield* request(Effect.gen(function*() {
          yield* transaction(order("a"))
          yield* mail("b")
          expect(yield* rows).toEqual({ held: 1 })
          expect(yield* deliver).toEqual([])
        }))
        expect(yield* rows).toEqual({ ready: 2 })
        expect(yield* deliver).toEqual(["a", "b"])
      })
    )

    test(
      "releases the rows of an orderingKey before the request ends, so that no later transaction overtakes them",
      Effect.gen(function*() {
        yield* request(transaction(order("a", { orderingKey: "key" })))
        expect(yield* rows).toEqual({ ready: 1 })
      })
    )

    test(
      "has released its intents when the application has closed",
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const other = yield* Scope.extend(otherApplication(), scope)
        yield* Effect.provide(request(Effect.all([transaction(order("a")), transaction(order("b"))])), other)
        yield* Scope.close(scope, Exit.void)
        expect(yield* rows).toEqual({ ready: 2 })
      })
    )

    test(
      "discards its intents if the request fails after the COMMIT",
      Effect.gen(function*() {
        yield* Effect.exit(request(Effect.gen(function*() {
          yield* transaction(order("a"))
          yield* transaction(order("b"))
          return yield* Effect.fail("500")
        })))
        yield* timePasses
        expect([yield* orders, yield* rows, yield* deliver]).toEqual([["a", "b"], {}, []])
      })
    )

    test(
      "discards its intents at once if the request is interrupted after the COMMIT",
      Effect.gen(function*() {
        const running = yield* Effect.fork(request(Effect.zipRight(transaction(order("a")), Effect.never)))
        yield* untilRows("held", 1)
        yield* Fiber.interrupt(running)
        expect(yield* rows).toEqual({})
      })
    )

    test(
      "discards its intents if shouldFlush or beforeDescendantFlushes throws",
      Effect.gen(function*() {
        const throws = () => {
          throw new Error("a hook")
        }
        yield* Effect.exit(request(transaction(order("a")), { shouldFlush: throws }))
        yield* Effect.exit(request(transaction(order("b")), { beforeDescendantFlushes: throws }))
        expect([yield* orders, yield* rows]).toEqual([["a", "b"], {}])
      })
    )

    test(
      "holds its intents while a slow request runs, and discards them if the request fails",
      Effect.gen(function*() {
        const gate = yield* Effect.makeLatch(false)
        const running = yield* Effect.fork(Effect.exit(request(Effect.gen(function*() {
          yield* transaction(order("a"))
          yield* gate.await
          return yield* Effect.fail("500")
        }))))
        yield* untilRows("held", 1)
        for (let times = 0; times < 5; times++) {
          // The time of the held rows passes, and the process renews them.
          yield* timePasses
          yield* TestClock.adjust("20 seconds")
          yield* until(Effect.map(stale, (stale) => stale === 0))
          expect(yield* deliver).toEqual([])
        }
        yield* gate.open
        yield* Fiber.join(running)
        expect(yield* rows).toEqual({})
      })
    )

    test(
      "discards its intents if its fiber fails after the COMMIT, although the request succeeds",
      Effect.gen(function*() {
        yield* request(Effect.gen(function*() {
          const child = yield* Effect.fork(Effect.zipRight(transaction(order("a")), Effect.fail("after the COMMIT")))
          yield* Fiber.await(child)
          yield* transaction(order("b"))
        }))
        yield* released
        expect([yield* orders, yield* deliver, yield* rows]).toEqual([["a", "b"], ["b"], {}])
      })
    )

    test(
      "discards its intents if approve returns false",
      Effect.gen(function*() {
        yield* request(transaction(order("a")), { approve: () => Effect.succeed(false) })
        expect([yield* orders, yield* rows]).toEqual([["a"], {}])
        yield* request(transaction(order("b")), { approve: () => Effect.succeed(true) })
        yield* released
        expect(yield* deliver).toEqual(["b"])
      })
    )

    test(
      "discards its intents if approve dies, and the FlushError names them",
      Effect.gen(function*() {
        const exit = yield* Effect.exit(request(transaction(order("a")), { approve: () => Effect.die("no") }))
        expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({
          _tag: "FlushError",
          failures: [{ task: "Mail", reason: { _tag: "PolicyFailedError" } }]
        })
        expect([yield* orders, yield* rows]).toEqual([["a"], {}])
      })
    )

    test(
      "stores no intent under dropAll or Airlock.plan",
      Effect.gen(function*() {
        const watched = Effect.zipRight(transaction(order("a")), rows)
        expect(yield* request(watched, { policy: Policy.dropAll })).toEqual({})
        const sql = yield* SqlClient
        yield* sql`DELETE FROM airlock_suite_orders`
        let seen: unknown
        const plan = yield* Airlock.plan(Effect.tap(watched, (rows) => {
          seen = rows
        }))
        expect([plan.entries.map(({ decision }) => decision), seen, yield* rows]).toEqual([["dispatch"], {}, {}])
      })
    )

    test(
      "releases its intents later if the release fails, and the request succeeds",
      Effect.gen(function*() {
        const fault = yield* SqlFault.SqlFault
        yield* request(Effect.zipRight(transaction(order("a")), fault.breakAt("UPDATE", "before")))
        expect(yield* rows).toEqual({ held: 1 })
        yield* TestClock.adjust("20 seconds")
        yield* untilRows("ready", 1)
        expect(yield* deliver).toEqual(["a"])
      })
    )

    test(
      "releases its intents if the request's other intents cannot be inserted",
      Effect.gen(function*() {
        const fault = yield* SqlFault.SqlFault
        const exit = yield* Effect.exit(request(Effect.gen(function*() {
          yield* transaction(order("a"))
          yield* mail("fails to leave")
          yield* fault.breakAt("INSERT", "before")
        })))
        expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({
          _tag: "FlushError",
          failures: [{ task: "Mail", reason: { _tag: "DispatchError" } }]
        })
        expect([yield* deliver, yield* rows]).toEqual([["a"], {}])
      })
    )

    test(
      "discards its intents later if the discard fails",
      Effect.gen(function*() {
        const fault = yield* SqlFault.SqlFault
        yield* Effect.exit(request(Effect.gen(function*() {
          yield* transaction(order("a"))
          yield* fault.breakAt("DELETE", "before")
          return yield* Effect.fail("500")
        })))
        expect(yield* rows).toEqual({ held: 1 })
        yield* TestClock.adjust("20 seconds")
        yield* released
        yield* timePasses
        expect([yield* deliver, yield* rows]).toEqual([[], {}])
      })
    )
  })
}
