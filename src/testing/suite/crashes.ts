/**
 * Processes that die, and processes that share a database.
 *
 * @internal
 */
import { describe, expect } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Airlock from "../../Airlock.js"
import type { ScopeOptions } from "../../AirlockScope.js"
import type * as Outbox from "../../Outbox.js"
import { type DefineTest, order, otherApplication, request, Sent, transaction } from "./application.js"
import { claimAll, deliver } from "./deliver.js"
import { leasesPass, rows, stale, store, timePasses, untilRows } from "./rows.js"

/** @internal */
export const crashes = (test: DefineTest): void => {
  describe("a process that died", () => {
    /** Starts an application that commits in a request that never ends, and then closes that application. */
    const dies = (options: Outbox.OutboxOptions, scope: ScopeOptions<never> = {}) =>
      Effect.gen(function*() {
        const process = yield* Scope.make()
        const other = yield* Scope.extend(otherApplication(options), process)
        const running = yield* Effect.forkDaemon(
          Effect.provide(request(Effect.zipRight(transaction(order("a")), Effect.never), scope), other)
        )
        yield* untilRows("held", 1)
        // Its Layers close, so it renews no row. Its fiber never ends, so its scope never settles.
        yield* Scope.close(process, Exit.void)
        return running
      })

    test(
      "has its held intents released after heldTimeout, because its data was committed",
      Effect.gen(function*() {
        const running = yield* dies({})
        expect(yield* deliver).toEqual([])
        yield* timePasses
        yield* TestClock.adjust("1 minute")
        yield* Effect.repeatN(Effect.yieldNow(), 100)
        // The row was not renewed.
        expect(yield* stale).toBe(1)
        expect(yield* deliver).toEqual(["a"])
        yield* Fiber.interruptFork(running)
      })
    )

    test(
      "has its held intents discarded after heldTimeout if onExpiry is discard",
      Effect.gen(function*() {
        const running = yield* dies({ onExpiry: "discard" })
        yield* timePasses
        expect([yield* deliver, yield* rows]).toEqual([[], {}])
        yield* Fiber.interruptFork(running)
      })
    )

    test(
      "has its held intents discarded after heldTimeout if an approval was pending",
      Effect.gen(function*() {
        const running = yield* dies({}, { approve: () => Effect.never })
        yield* timePasses
        expect([yield* deliver, yield* rows]).toEqual([[], {}])
        yield* Fiber.interruptFork(running)
      })
    )

    test(
      "has an intent run again, as attempt 2, if it died between the claim and the acknowledgement",
      Effect.gen(function*() {
        yield* transaction(order("a"))
        const { claimed, ids, lease } = yield* claimAll
        yield* (yield* store).begin(lease, { upTo: 0, except: [], last: 1, also: ids })
        expect([claimed.length, yield* deliver]).toEqual([1, []])
        yield* leasesPass
        expect(yield* deliver).toEqual(["a"])
        expect(yield* Sent).toEqual(["a, attempt 2"])
      })
    )
  })

  describe("two applications on one database", () => {
    test(
      "deliver each intent of both once",
      Effect.gen(function*() {
        const other = yield* otherApplication()
        yield* Effect.all([
          Effect.forEach(["a", "b", "c"], (name) => transaction(order(name))),
          Effect.provide(Effect.forEach(["d", "e", "f"], (name) => transaction(order(name))), other)
        ])
        const delivered = yield* Effect.all([deliver, Effect.provide(deliver, other)], { concurrency: 2 })
        const rest = yield* deliver
        expect([...delivered.flat(), ...rest].sort()).toEqual(["a", "b", "c", "d", "e", "f"])
      })
    )
  })

  describe("a dedupeKey", () => {
    test(
      "lets one waiting intent leave, and ignores intents that are held or rolled back",
      Effect.gen(function*() {
        const keyed = { dedupeKey: "key" }
        yield* Effect.exit(transaction(Effect.zipRight(order("rolled back", keyed), Effect.fail("no"))))
        yield* request(Effect.gen(function*() {
          yield* transaction(order("held", keyed))
          yield* Effect.provide(
            transaction(order("a", keyed)).pipe(Airlock.scoped({ independent: true })),
            Context.empty()
          )
          yield* untilRows("held", 1)
          expect(yield* deliver).toEqual(["a"])
          return yield* Effect.fail("500")
        })).pipe(Effect.exit)
        yield* transaction(order("b", keyed))
        yield* transaction(order("c", keyed))
        expect([yield* deliver, yield* rows]).toEqual([["b"], {}])
      })
    )
  })
}
