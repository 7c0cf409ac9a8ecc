/**
 * The lease of a relay: how it is renewed, and what happens when it is lost.
 */
import { SqlClient } from "@effect/sql"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { until } from "../../../support/until.js"
import { insert, isEmpty, isIdle, later, reapSessionOf, rowsUpTo, running, settle, stored, test } from "../testRelay.js"
import { claimed, otherSession, Outbox, row, states } from "../testStore.js"

const gone = new SqlError({ cause: "gone", message: "gone" })

const sessions = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ readonly id: string }>`SELECT id FROM airlock_outbox_relay WHERE name = 'r'`,
    (rows) => rows.map(({ id }) => id)
  ))

describe("the lease of a relay", () => {
  test(
    "is renewed at each third of its time",
    Effect.gen(function*() {
      let beats = 0
      yield* running(() => Effect.void, {
        lease: "30 seconds",
        change: (store) => ({ ...store, heartbeat: (...args) => (beats++, store.heartbeat(...args)) })
      })
      for (let expected = 1; expected <= 6; expected++) {
        yield* TestClock.adjust("9 seconds")
        yield* settle
        expect(beats).toBe(expected - 1)
        yield* TestClock.adjust("1 second")
        yield* settle
        expect(beats).toBe(expected)
      }
    })
  )

  test(
    "does not end while a handler runs for three of them",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const gate = yield* Effect.makeLatch(false)
      yield* insert(row(1))
      const { logs, ran } = yield* running(() => gate.await, { lease: "30 seconds" })
      yield* until(Effect.sync(() => ran.length === 1))
      for (let thirds = 0; thirds < 9; thirds++) {
        // As if that much time had passed in the database.
        yield* sql`UPDATE airlock_outbox_relay SET expires_at = expires_at - 10000 WHERE name = 'r'`
        yield* TestClock.adjust("10 seconds")
        yield* until(Effect.map(
          sql<
            { readonly left: number }
          >`SELECT expires_at - CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS "left"
            FROM airlock_outbox_relay WHERE name = 'r'`,
          ([session]) => session!.left > 21_000
        ))
        expect(yield* (yield* Outbox).reap).toEqual([])
      }
      yield* gate.open
      yield* until(isEmpty)
      expect([ran.length, logs]).toEqual([1, []])
    })
  )

  test(
    "is renewed soon again after a heartbeat that failed",
    Effect.gen(function*() {
      let beats = 0
      const { logs } = yield* running(() => Effect.void, {
        lease: "30 seconds",
        change: (store) => ({
          ...store,
          heartbeat: (...args) => Effect.suspend(() => ++beats <= 3 ? Effect.fail(gone) : store.heartbeat(...args))
        })
      })
      yield* settle
      yield* TestClock.adjust("10 seconds")
      yield* until(Effect.sync(() => beats === 1))
      yield* settle
      yield* TestClock.adjust("5 seconds")
      yield* settle
      expect(beats).toBe(4)
      expect(logs.length).toBe(3)
    })
  )
})

describe("a session that other relays have reaped", () => {
  test(
    "is an error in the log, and a new session takes over",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      yield* insert(...rowsUpTo(2))
      const { logs, ran } = yield* running((n) => n <= 2 ? gate.await : Effect.void, { concurrency: 3 })
      yield* until(Effect.sync(() => ran.length === 2))
      const [before] = yield* sessions
      yield* reapSessionOf("r")
      expect(yield* claimed(2, otherSession)).toEqual([1, 2])
      yield* later(Effect.map(sessions, ([now]) => now !== undefined && now !== before))
      expect(logs).toEqual([
        expect.stringMatching(/^ERROR The relay "r" has lost its lease: .* the 2 intent\(s\) that it runs.* 0 that/)
      ])
      yield* insert(row(3))
      yield* later(Effect.map(states, ({ claimed, ready }) => claimed?.length === 2 && ready === undefined))
      expect(ran.map(({ n }) => n)).toEqual([1, 2, 3])
      yield* gate.open
      yield* until(Effect.sync(() => logs.some((line) => line.includes("were no longer its own"))))
      expect(yield* states).toEqual({ claimed: [1, 2] })
    })
  )

  test(
    "gives up the rows whose handlers have not begun",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      yield* insert(...rowsUpTo(8))
      // The first two are fast, so that the relay claims ahead.
      const { logs, ran } = yield* running((n) => n <= 2 ? Effect.void : gate.await, { concurrency: 1 })
      yield* until(Effect.sync(() => ran.length === 3))
      yield* settle
      const waiting = (yield* states)["claimed"]!.length - 1
      expect(waiting).toBeGreaterThan(0)
      const store = yield* Outbox
      yield* reapSessionOf("r")
      const taken = yield* claimed(10, otherSession)
      expect(taken).toEqual([3, 4, 5, 6, 7, 8])
      // Before the next handler begins, the relay learns that it may not.
      yield* gate.open
      yield* until(Effect.sync(() => logs.some((line) => line.includes("has lost its lease"))))
      yield* settle
      expect(ran.length).toBe(3)
      yield* store.unregister(otherSession)
      yield* later(isEmpty)
      // Row 3 ran twice, as its handler had begun. The others ran once.
      expect(ran.map(({ n }) => n)).toEqual([1, 2, 3, 3, 4, 5, 6, 7, 8])
    })
  )

  test(
    "can still acknowledge rows that no other relay has claimed",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      let begun = false
      yield* insert(row(1))
      const { logs, ran } = yield* running(() => (begun = true, gate.await), {
        // Nor does the relay itself claim it.
        change: (store) => ({
          ...store,
          claim: (options) => begun ? Effect.succeed([]) : store.claim(options)
        })
      })
      yield* until(Effect.sync(() => ran.length === 1))
      yield* reapSessionOf("r")
      expect(yield* stored(1)).toMatchObject({ state: "ready", attempt: 1 })
      yield* later(Effect.sync(() => logs.length === 1))
      yield* gate.open
      yield* until(isEmpty)
      yield* settle
      expect(logs).toEqual([expect.stringContaining("has lost its lease")])
    })
  )

  test(
    "is replaced although the database fails meanwhile",
    Effect.gen(function*() {
      let registers = 0
      const { logs, ran } = yield* running(() => Effect.void, {
        change: (store) => ({
          ...store,
          register: (...args) =>
            Effect.suspend(() => {
              registers++
              return registers === 2 || registers === 3 ? Effect.fail(gone) : store.register(...args)
            })
        })
      })
      yield* reapSessionOf("r")
      yield* later(Effect.sync(() => registers === 4))
      yield* insert(row(1))
      yield* later(isIdle)
      expect([ran.length, yield* sessions]).toEqual([1, [expect.any(String)]])
      expect(logs.filter((line) => line.startsWith("WARN")).length).toBe(2)
    })
  )

  test(
    "may hold a row that its own relay claims again: the rows of both stay known",
    Effect.gen(function*() {
      const gates = [yield* Effect.makeLatch(false), yield* Effect.makeLatch(false)]
      let claims = 0
      let losesAnswer = false
      let runs = 0
      yield* insert(row(1))
      const { ran } = yield* running((n) => n === 2 ? Effect.void : gates[runs++]!.await, {
        concurrency: 3,
        change: (store) => ({
          ...store,
          claim: (options) =>
            Effect.suspend(() => {
              claims++
              return losesAnswer ? (losesAnswer = false, Effect.fail(gone)) : store.claim(options)
            })
        })
      })
      yield* until(Effect.sync(() => ran.length === 1))
      yield* reapSessionOf("r")
      yield* later(Effect.sync(() => ran.length === 2))
      // The first run ends. Then an answer is lost, and the relay gives back what it does not know.
      yield* gates[0]!.open
      yield* settle
      losesAnswer = true
      const before = claims
      yield* insert(row(2))
      yield* later(Effect.sync(() => claims > before + 1))
      yield* settle
      expect((yield* states)["claimed"]).toContain(1)
      yield* Effect.forEach(gates, (gate) => gate.open)
      yield* later(isEmpty)
      expect(ran.filter(({ n }) => n === 1).length).toBe(2)
    })
  )
})
