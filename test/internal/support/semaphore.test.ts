import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, TestClock } from "effect"
import { Semaphore } from "../../../src/internal/support/semaphore.js"

const yieldOften = Effect.repeatN(Effect.yieldNow(), 20)

describe("Semaphore", () => {
  it.effect("grants permits in the order of the waiters, also where a later one needs fewer", () =>
    Effect.gen(function*() {
      const semaphore = new Semaphore(2)
      const granted: Array<string> = []
      const take = (name: string, count: number) =>
        Effect.fork(Effect.uninterruptible(Effect.map(semaphore.take(count), () => granted.push(name))))
      yield* take("first", 2)
      yield* take("second", 2)
      yield* yieldOften
      expect(granted).toEqual(["first"])
      semaphore.give(1)
      yield* take("third", 1)
      yield* yieldOften
      expect(granted).toEqual(["first"])
      semaphore.give(1)
      yield* yieldOften
      expect(granted).toEqual(["first", "second"])
      semaphore.give(2)
      yield* yieldOften
      expect(granted).toEqual(["first", "second", "third"])
    }))

  it.effect("takes no permit for a waiter that is interrupted, and lets the next one in", () =>
    Effect.gen(function*() {
      const semaphore = new Semaphore(1)
      expect(yield* semaphore.take(1)).toBe(true)
      let taken: boolean | undefined
      const waiting = yield* Effect.fork(Effect.uninterruptible(Effect.map(semaphore.take(1), (answer) => {
        taken = answer
      })))
      yield* yieldOften
      yield* Fiber.interrupt(waiting)
      expect(taken).toBe(false)
      semaphore.give(1)
      expect(yield* semaphore.take(1)).toBe(true)
    }))

  it.effect("lets in the waiters behind one that is interrupted", () =>
    Effect.gen(function*() {
      const semaphore = new Semaphore(1)
      const first = yield* Effect.fork(Effect.uninterruptible(semaphore.take(2)))
      yield* yieldOften
      const second = yield* Effect.fork(Effect.uninterruptible(semaphore.take(1)))
      yield* yieldOften
      expect(second.unsafePoll()).toBe(null)
      yield* Fiber.interrupt(first)
      yield* yieldOften
      expect(second.unsafePoll()).toEqual(Exit.succeed(true))
    }))

  it.effect("takes no permit when the limit passes, also in an uninterruptible region", () =>
    Effect.gen(function*() {
      const semaphore = new Semaphore(1)
      expect(yield* semaphore.take(1)).toBe(true)
      // A daemon, so that the test fails and does not hang if the limit never passes.
      const waiting = yield* Effect.forkDaemon(
        Effect.uninterruptible(semaphore.take(1, { limit: Duration.seconds(1), restore: (self) => self }))
      )
      yield* yieldOften
      yield* TestClock.adjust("1 second")
      yield* yieldOften
      expect(waiting.unsafePoll()).toEqual(Exit.succeed(false))
      semaphore.give(1)
      expect(yield* semaphore.take(1)).toBe(true)
    }))

  it.effect("lets waiters wait until an overdraft is given back", () =>
    Effect.gen(function*() {
      const semaphore = new Semaphore(1)
      semaphore.overdraw(2)
      let granted = false
      yield* Effect.fork(Effect.uninterruptible(Effect.map(semaphore.take(1), () => {
        granted = true
      })))
      yield* yieldOften
      semaphore.give(1)
      yield* yieldOften
      expect(granted).toBe(false)
      semaphore.give(1)
      yield* yieldOften
      expect(granted).toBe(true)
    }))
})
