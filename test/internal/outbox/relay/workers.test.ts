/**
 * How the relay runs handlers, and limits the time of each.
 */
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { Task } from "effect-airlock"
import { until } from "../../../support/until.js"
import { insert, isEmpty, later, Note, relayWith, rowsUpTo, running, settle, stored, test } from "../testRelay.js"
import { row, states } from "../testStore.js"

describe("the time limit of a handler", () => {
  test(
    "interrupts it, which is a failed attempt",
    Effect.gen(function*() {
      let interrupted = 0
      yield* insert(...rowsUpTo(2))
      const { logs, ran } = yield* running(
        (n) => n === 2 ? Effect.void : Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)),
        { timeout: "1 minute" }
      )
      yield* until(Effect.map(states, ({ claimed }) => claimed?.length === 1))
      yield* TestClock.adjust("59 seconds")
      yield* settle
      expect(yield* states).toEqual({ claimed: [1] })
      yield* TestClock.adjust("1 second")
      yield* until(Effect.map(states, ({ scheduled }) => scheduled?.length === 1))
      yield* settle
      expect([ran.length, interrupted]).toEqual([2, 1])
      expect(yield* stored(1)).toMatchObject({ attempt: 1, error: expect.stringContaining("60000") })
      expect(logs).toEqual([expect.stringMatching(/^WARN Attempt 1 of 25 .*The handler of "Note"/s)])
    })
  )

  test(
    "can be one of its task",
    Effect.gen(function*() {
      const Quick = Task.make("Note", { payload: Note.payloadSchema, retry: { timeout: "5 seconds" } })
      yield* insert(row(1))
      yield* relayWith(Quick.toLayer(() => Effect.never), { timeout: "1 minute" })
      yield* until(Effect.map(states, ({ claimed }) => claimed?.length === 1))
      yield* settle
      yield* TestClock.adjust("4 seconds")
      yield* settle
      expect(yield* states).toEqual({ claimed: [1] })
      yield* TestClock.adjust("1 second")
      yield* until(Effect.map(states, ({ scheduled }) => scheduled?.length === 1))
    })
  )

  test(
    "frees its slot although it does not end, and its late outcome changes nothing",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      let ended = false
      yield* insert(...rowsUpTo(3))
      const { logs, ran } = yield* running(
        (n) =>
          n > 1
            ? Effect.void
            : Effect.uninterruptible(Effect.zipRight(gate.await, Effect.sync(() => ended = true))),
        { timeout: "1 minute", concurrency: 1 }
      )
      yield* until(Effect.sync(() => ran.length === 1))
      yield* TestClock.adjust("1 minute")
      yield* until(Effect.sync(() => ran.length === 3))
      yield* until(Effect.map(states, ({ claimed, ready }) => claimed === undefined && ready === undefined))
      expect(ended).toBe(false)
      yield* gate.open
      yield* until(Effect.sync(() => ended))
      yield* settle
      expect(yield* states).toEqual({ scheduled: [1] })
      expect(yield* stored(1)).toMatchObject({ attempt: 1 })
      expect(logs.length).toBe(1)
    })
  )
})

describe("a handler that is interrupted", () => {
  const ways = {
    "by itself": () => Effect.interrupt,
    "with its fiber": () =>
      Effect.withFiberRuntime<void>((fiber) => Effect.zipRight(Fiber.interruptFork(fiber), Effect.never))
  }
  for (const [way, handler] of Object.entries(ways)) {
    test(
      `${way} has failed, and the others go on`,
      Effect.gen(function*() {
        yield* insert(...rowsUpTo(5))
        const { logs, ran } = yield* running((n) => n === 2 ? handler() : Effect.void)
        yield* until(Effect.map(states, ({ claimed, ready }) => claimed === undefined && ready === undefined))
        expect(ran.length).toBe(5)
        expect(yield* states).toEqual({ scheduled: [2] })
        expect(yield* stored(2)).toMatchObject({ attempt: 1, error: expect.stringContaining("nterrupt") })
        expect(logs.length).toBe(1)
      })
    )
  }
})

describe("the fibers of handlers", () => {
  test(
    "are one for those that do not wait, and a handler that waits does not hold them up",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const fibers: Array<string> = []
      yield* insert(...rowsUpTo(6))
      const { ran } = yield* running((n) =>
        Effect.withFiberRuntime<void>((fiber) => {
          fibers.push(String(fiber.id().id))
          return n === 3 ? gate.await : Effect.void
        })
      )
      yield* until(Effect.sync(() => ran.length === 6))
      expect(ran.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5, 6])
      const [first, , , second] = fibers
      expect(first).not.toBe(second)
      expect(fibers).toEqual([first, first, first, second, second, second])
      yield* gate.open
      yield* until(isEmpty)
    })
  )
})

describe("after the lease has ended by the clock of the process", () => {
  test(
    "no handler begins, until the lease is renewed",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      let isCutOff = true
      yield* insert(...rowsUpTo(3))
      const { logs, ran } = yield* running(() => Effect.void, {
        lease: "30 seconds",
        change: (store) => ({
          ...store,
          begin: (lease, ids) => Effect.zipRight(gate.await, store.begin(lease, ids)),
          heartbeat: (...args) =>
            Effect.suspend(() =>
              isCutOff ? Effect.fail(new SqlError({ cause: "cut off", message: "cut off" })) : store.heartbeat(...args)
            )
        })
      })
      yield* until(Effect.map(states, ({ claimed }) => claimed?.length === 3))
      yield* settle
      yield* TestClock.adjust("30 seconds")
      // The session is still there, because no other relay has reaped it.
      yield* gate.open
      yield* settle
      yield* TestClock.adjust("10 seconds")
      yield* settle
      expect(ran).toEqual([])
      expect(logs.join()).toContain("The relay could not renew its lease, and will try again")
      isCutOff = false
      yield* later(isEmpty)
      expect(ran).toEqual([1, 2, 3].map((n) => ({ n, attempt: 1 })))
    })
  )

  test(
    "the relay does not reap its own session",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      let looks = 0
      yield* insert(...rowsUpTo(2))
      const { ran } = yield* running(() => Effect.void, {
        lease: "30 seconds",
        change: (store) => ({
          ...store,
          look: Effect.suspend(() => (looks++, store.look)),
          heartbeat: (...args) => Effect.zipRight(gate.await, store.heartbeat(...args))
        })
      })
      yield* until(isEmpty)
      yield* settle
      yield* TestClock.adjust("30 seconds")
      yield* settle
      const before = looks
      yield* TestClock.adjust("5 seconds")
      yield* settle
      expect(looks).toBe(before)
      yield* insert(row(3))
      yield* gate.open
      yield* later(isEmpty)
      expect(ran.length).toBe(3)
    })
  )
})
