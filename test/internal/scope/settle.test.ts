import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { Airlock, Executor } from "effect-airlock"
import { withoutMarker } from "../../../src/AirlockScope.js"
import { exitInside } from "../../../src/internal/scope/currentScope.js"
import { openScope } from "../../../src/internal/scope/open.js"
import { settle } from "../../../src/internal/scope/settle.js"
import { layer, left, note } from "../../support/recorder.js"

describe("settle", () => {
  it.effect("settles a scope once, and gives each later call, during or after that, the first result", () =>
    Effect.gen(function*() {
      const airlock = yield* Airlock.Airlock
      const [dispatching, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      let dispatches = 0
      const failing = Executor.make({
        name: "failing",
        dispatch: () =>
          Effect.sync(() => dispatches++).pipe(
            Effect.zipRight(Deferred.succeed(dispatching, void 0)),
            Effect.zipRight(Deferred.await(go)),
            Effect.zipRight(Effect.die("no engine"))
          )
      })
      const scope = yield* Effect.withFiberRuntime<ReturnType<typeof openScope>>((fiber) => {
        const scope = openScope(fiber, { airlock, options: { executor: failing } })
        return Effect.as(withoutMarker(exitInside(note("a"), fiber, scope)), scope)
      })
      const first = yield* Effect.fork(settle(scope, Exit.void))
      yield* Deferred.await(dispatching)
      const second = yield* Effect.fork(settle(scope, Exit.fail("another exit")))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(go, void 0)
      const settlement = yield* Fiber.join(first)
      expect(settlement.failures.length).toBe(1)
      expect(yield* Fiber.join(second)).toBe(settlement)
      expect(yield* settle(scope, Exit.void)).toBe(settlement)
      expect(dispatches).toBe(1)
    }).pipe(Effect.provide(layer())))

  it.effect("asks shouldFlush about an exit that has the pending interruption of the fiber", () =>
    Effect.gen(function*() {
      const airlock = yield* Airlock.Airlock
      const [begun, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const asked: Array<Exit.Exit<unknown, unknown>> = []
      const shouldFlush = (exit: Exit.Exit<unknown, unknown>) => {
        asked.push(exit)
        return true
      }
      const settling = yield* Effect.withFiberRuntime((fiber) => {
        const scope = openScope(fiber, { airlock, options: { shouldFlush } })
        return withoutMarker(exitInside(note("a"), fiber, scope)).pipe(
          Effect.zipRight(Deferred.succeed(begun, void 0)),
          Effect.zipRight(Deferred.await(go)),
          Effect.zipRight(settle(scope, Exit.void))
        )
      }).pipe(Effect.uninterruptible, Effect.fork)
      yield* Deferred.await(begun)
      yield* Fiber.interruptFork(settling)
      yield* Effect.yieldNow()
      yield* Deferred.succeed(go, void 0)
      yield* Fiber.await(settling)
      expect(asked.map(Exit.isInterrupted)).toEqual([true])
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))
})
