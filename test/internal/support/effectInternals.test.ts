import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { getCurrentVersion } from "effect/ModuleVersion"
import { type AnyFiber, missingInternals, startFiber } from "../../../src/internal/support/effectInternals.js"

const fiber = Effect.withFiberRuntime<AnyFiber>(Effect.succeed)

describe("the check of Effect's private members", () => {
  it.effect("finds all of them in this version of Effect", () =>
    Effect.gen(function*() {
      expect(missingInternals(yield* fiber)).toBeUndefined()
    }))

  it.effect("names each missing member, and Effect's version", () =>
    Effect.gen(function*() {
      // A fiber of a version that has renamed them.
      const other = Object.create(null) as AnyFiber
      const message = missingInternals(other, { fiberScope: {}, override: null, requests: null })
      expect(message).toContain(`Effect ${getCurrentVersion()}`)
      const members = [
        "RuntimeFiber._fiberRefs",
        "RuntimeFiber.setFiberRefs",
        "RuntimeFiber._children",
        "RuntimeFiber._steps",
        "the set of unsupervised fibers",
        "the FiberRef currentForkScopeOverride",
        "the FiberRef currentRequestMap"
      ]
      for (const member of members) {
        expect(message).toContain(member)
      }
      expect(missingInternals(yield* fiber, { fiberScope: { roots: [] } })).toContain("the set of unsupervised fibers")
    }))
})

describe("startFiber", () => {
  it.effect("starts every fiber, but only a few inside each other, so that the stack does not overflow", () =>
    Effect.gen(function*() {
      let [started, depth, deepest] = [0, 0, 0]
      const startOthers = (count: number): Effect.Effect<void> =>
        Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
          started++
          depth++
          deepest = Math.max(deepest, depth)
          if (count > 0) {
            startFiber(startOthers(count - 1), fiber, runtimeFlags)
          }
          depth--
          return Effect.void
        })
      yield* startOthers(100)
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      expect(started).toBe(101)
      expect(deepest).toBeLessThan(30)
    }))
})
