/**
 * How the relay ends.
 */
import { SqlClient } from "@effect/sql"
import { describe, expect } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { until } from "../../../support/until.js"
import { insert, isEmpty, later, rowsUpTo, running, settle, stored, test } from "../testRelay.js"
import { column, Outbox, row, states } from "../testStore.js"

const sessions = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ readonly running: string }>`SELECT running FROM airlock_outbox_relay WHERE name = 'r'`
)

describe("a relay that shuts down", () => {
  test(
    "waits for the handlers that run, begins no others, and gives back what it has claimed",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      yield* insert(...rowsUpTo(8))
      // The first two are fast, so that the relay claims ahead.
      const { logs, ran, stop } = yield* running((n) => n <= 2 ? Effect.void : gate.await, {
        concurrency: 1,
        drainTimeout: "10 seconds"
      })
      yield* until(Effect.sync(() => ran.length === 3))
      yield* settle
      expect((yield* states)["claimed"]!.length).toBeGreaterThan(1)
      const stopping = yield* Effect.fork(stop)
      yield* settle
      yield* TestClock.adjust("9 seconds")
      yield* settle
      expect(stopping.unsafePoll()).toBe(null)
      yield* gate.open
      yield* Fiber.join(stopping)
      expect(ran.length).toBe(3)
      expect(yield* states).toEqual({ ready: [4, 5, 6, 7, 8] })
      expect(yield* column("attempt")).toEqual([0, 0, 0, 0, 0])
      expect([logs, yield* sessions]).toEqual([[], []])
    })
  )

  test(
    "interrupts the handlers that do not end in time, which counts no attempt",
    Effect.gen(function*() {
      let interrupted = 0
      yield* insert(...rowsUpTo(2))
      const { logs, ran, stop } = yield* running(
        () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)),
        { drainTimeout: "10 seconds", maxAttempts: 1 }
      )
      yield* until(Effect.sync(() => ran.length === 2))
      const stopping = yield* Effect.fork(stop)
      yield* settle
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      expect(interrupted).toBe(2)
      expect(yield* states).toEqual({ ready: [1, 2] })
      expect(yield* stored(1)).toMatchObject({ attempt: 0, error: null, history: null })
      expect([logs, yield* sessions]).toEqual([[], []])
    })
  )

  test(
    "leaves the row of a handler that does not end claimed until the lease ends, and no attempt counts",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const sql = yield* SqlClient.SqlClient
      yield* insert(...rowsUpTo(3))
      const { ran, stop } = yield* running(
        (n) => n === 1 ? Effect.uninterruptible(gate.await) : Effect.never,
        { drainTimeout: "10 seconds" }
      )
      yield* until(Effect.sync(() => ran.length === 3))
      const stopping = yield* Effect.fork(stop)
      yield* settle
      yield* TestClock.adjust("10 seconds")
      yield* settle
      yield* TestClock.adjust("1 second")
      // The Layer of its handler waits for it.
      yield* until(Effect.map(states, ({ ready }) => ready?.length === 2))
      yield* settle
      yield* Effect.gen(function*() {
        expect(yield* states).toEqual({ claimed: [1], ready: [2, 3] })
        expect((yield* sessions).map(({ running }) => JSON.parse(running))).toEqual([{
          upTo: 0,
          except: [],
          last: 0,
          also: []
        }])
        yield* sql`UPDATE airlock_outbox_relay SET expires_at = 0 WHERE name = 'r'`
        expect(yield* (yield* Outbox).reap).toEqual([{ relay: "r", rows: 1, attempts: 0 }])
      }).pipe(Effect.ensuring(gate.open))
      yield* Fiber.join(stopping)
      expect(yield* states).toEqual({ ready: [1, 2, 3] })
      expect(yield* column("attempt")).toEqual([0, 0, 0])
    })
  )

  test(
    "stores the results that it has",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      yield* insert(...rowsUpTo(3))
      const { ran, stop } = yield* running((n) => n === 3 ? Effect.fail("no") : Effect.void, {
        change: (store) => ({
          ...store,
          acknowledge: (...args) => Effect.zipRight(gate.await, store.acknowledge(...args))
        })
      })
      yield* until(Effect.sync(() => ran.length === 3))
      const stopping = yield* Effect.fork(stop)
      yield* settle
      yield* gate.open
      yield* Fiber.join(stopping)
      expect(yield* states).toEqual({ scheduled: [3] })
    })
  )

  const statements = ["look", "claim", "begin", "acknowledge", "heartbeat", "unregister"] as const
  for (const hangs of statements) {
    test(
      `does not wait for a database that does not answer (${hangs})`,
      Effect.gen(function*() {
        let isHanging = false
        const hanging = Effect.suspend(() => {
          isHanging = true
          return Effect.uninterruptible(Effect.never)
        })
        yield* insert(...rowsUpTo(3))
        const { stop } = yield* running(() => Effect.void, {
          change: (store) => ({ ...store, [hangs]: hangs === "look" ? hanging : () => hanging })
        })
        const stopping = hangs === "unregister" ? yield* Effect.fork(stop) : undefined
        yield* later(Effect.sync(() => isHanging))
        const ending = stopping ?? (yield* Effect.fork(stop))
        yield* later(Effect.sync(() => ending.unsafePoll() !== null))
        yield* Fiber.join(ending)
      })
    )
  }

  test(
    "has ended: it begins no new session and claims nothing",
    Effect.gen(function*() {
      yield* insert(row(1))
      const { ran, stop } = yield* running(() => Effect.void)
      yield* until(isEmpty)
      yield* stop
      yield* settle
      yield* TestClock.adjust("1 minute")
      yield* settle
      expect([ran.length, yield* sessions]).toEqual([1, []])
    })
  )
})
