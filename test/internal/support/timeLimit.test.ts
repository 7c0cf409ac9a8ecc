/**
 * One time limit for many actions: each has its own time, and nothing waits when all have ended.
 */
import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, TestClock } from "effect"
import { runningFiber } from "../../../src/internal/support/effectInternals.js"
import { TimeLimit } from "../../../src/internal/support/timeLimit.js"
import { letOthersRun } from "../../support/letOthersRun.js"

const pass = (millis: number) => Effect.zipRight(TestClock.adjust(millis), letOthersRun)

const start = Effect.sync(() => {
  const limit = new TimeLimit(Duration.millis(100))
  const over: Array<string> = []
  const begin = (name: string) => limit.start(runningFiber(), () => over.push(name))
  return { begin, over }
})

describe("TimeLimit", () => {
  it.effect("gives each action its own time", () =>
    Effect.gen(function*() {
      const { begin, over } = yield* start
      begin("a")
      yield* letOthersRun
      yield* pass(60)
      begin("b")
      const endOfC = begin("c")
      yield* pass(40)
      expect(over).toEqual(["a"])
      endOfC()
      yield* pass(59)
      expect(over).toEqual(["a"])
      yield* pass(1)
      expect(over).toEqual(["a", "b"])
      begin("d")
      yield* letOthersRun
      yield* pass(100)
      expect(over).toEqual(["a", "b", "d"])
    }))

  it.effect("has one timer while actions run, and none when they have ended", () => {
    let timers = 0
    const timer = Effect.acquireUseRelease(
      Effect.sync(() => timers++),
      () => Effect.never,
      () => Effect.sync(() => timers--)
    )
    const clock: Clock.Clock = Object.create(Clock.make(), { sleep: { value: () => timer } })
    return Effect.gen(function*() {
      const { begin } = yield* start
      for (let round = 0; round < 2; round++) {
        const ends = [begin("a"), begin("b")]
        yield* letOthersRun
        expect(timers).toBe(1)
        ends.forEach((end) => end())
        yield* letOthersRun
        expect(timers).toBe(0)
      }
    }).pipe(Effect.withClock(clock))
  })
})
