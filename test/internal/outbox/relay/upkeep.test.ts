/**
 * What the relay does once a minute, and how its parts go on after a defect.
 */
import { SqlClient } from "@effect/sql"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { until } from "../../../support/until.js"
import { insert, isEmpty, rowsUpTo, running, settle, test } from "../testRelay.js"
import { row, states, table } from "../testStore.js"

/** Lets ready rows have waited for longer. */
const age = (minutes: number) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql.unsafe(`UPDATE ${table} SET ready_at = ready_at - ${minutes * 60_000_000} WHERE state = 'ready'`)
  )

describe("rows that no live relay can run", () => {
  /** A relay that counts its looks for such rows, and lets minutes pass. */
  const looking = Effect.gen(function*() {
    let looks = 0
    const relay = yield* running(() => Effect.void, {
      unroutableAfter: "10 minutes",
      pollInterval: "1 day",
      lease: "1 day",
      parts: ({ unroutable }) => ({
        unroutable: (olderThanMillis) => Effect.tap(unroutable(olderThanMillis), () => Effect.sync(() => looks++))
      })
    })
    yield* until(Effect.sync(() => looks === 1))
    yield* settle
    const minutes = (count: number) =>
      Effect.repeatN(
        Effect.suspend(() => {
          const before = looks
          return TestClock.adjust("1 minute").pipe(
            Effect.zipRight(until(Effect.sync(() => looks === before + 1))),
            Effect.zipRight(settle)
          )
        }),
        count - 1
      )
    return { ...relay, minutes }
  })

  test(
    "are a warning when they have waited for the time of unroutableAfter, once an hour for each lane",
    Effect.gen(function*() {
      yield* insert(row(1, { task: "Gone" }), row(2, { task: "Gone" }))
      yield* age(9)
      const { logs, minutes } = yield* looking
      yield* minutes(3)
      expect(logs).toEqual([])
      yield* age(1)
      yield* minutes(1)
      const warning =
        /^WARN No live relay can run the intents of "(.*)" version (\d+) in the queue "(.*)": .* has waited for 10m/
      expect(logs).toEqual([expect.stringMatching(warning)])
      expect(warning.exec(logs[0]!)!.slice(1)).toEqual(["Gone", "1", "default"])
      yield* minutes(30)
      expect(logs.length).toBe(1)
      yield* insert(row(3, { version: 2 }), row(4, { task: "Gone", queue: "mail" }))
      yield* age(10)
      yield* minutes(1)
      expect(logs.slice(1).map((line) => warning.exec(line)!.slice(1))).toEqual([
        ["Note", "2", "default"],
        ["Gone", "1", "mail"]
      ])
      yield* minutes(28)
      expect(logs.length).toBe(3)
      yield* minutes(1)
      expect(logs.length).toBe(4)
      expect(logs[3]).toContain("\"Gone\" version 1 in the queue \"default\"")
      expect(yield* states).toEqual({ ready: [1, 2, 3, 4] })
    })
  )
})

describe("done rows", () => {
  test(
    "that cannot be deleted are a warning, and are tried again",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      let prunes = 0
      yield* insert(...rowsUpTo(3))
      const { logs } = yield* running(() => Effect.void, {
        keepDone: "1 day",
        change: (store) => ({
          ...store,
          prune: (...args) =>
            Effect.suspend(() =>
              ++prunes <= 2 ? Effect.fail(new SqlError({ cause: "gone", message: "gone" })) : store.prune(...args)
            )
        })
      })
      yield* until(Effect.map(states, ({ done }) => done?.length === 3))
      yield* sql`UPDATE airlock_outbox SET done_at = done_at - 86400000`
      expect([prunes, logs]).toEqual([1, [expect.stringMatching(/^WARN The relay could not delete .*done.* gone/s)]])
      yield* TestClock.adjust("1 minute")
      yield* until(Effect.sync(() => logs.length === 2))
      yield* TestClock.adjust("59 seconds")
      yield* settle
      expect([prunes, (yield* states)["done"]!.length]).toEqual([2, 3])
      yield* TestClock.adjust("1 second")
      yield* until(isEmpty)
      expect([prunes, logs.length]).toEqual([3, 2])
    })
  )

  test(
    "that cannot be deleted do not keep the relay from its other warnings",
    Effect.gen(function*() {
      yield* insert(row(1, { task: "Gone" }))
      yield* age(10)
      const { logs } = yield* running(() => Effect.void, {
        keepDone: "1 day",
        change: (store) => ({ ...store, prune: () => Effect.fail(new SqlError({ cause: "gone", message: "gone" })) })
      })
      yield* until(Effect.sync(() => logs.length === 2))
      expect(logs.join()).toContain("No live relay can run the intents of \"Gone\"")
    })
  )
})

describe("a part of the relay that dies", () => {
  test(
    "is an error in the log, begins anew after a second, and does not hold the others up",
    Effect.gen(function*() {
      let waits = 0
      yield* insert(row(1))
      const { logs, notify, ran } = yield* running(() => Effect.void, {
        pollInterval: "1 hour",
        parts: ({ notified }) => ({
          notified: Effect.suspend(() => ++waits <= 2 ? Effect.dieMessage(`defect ${waits}`) : notified)
        })
      })
      yield* until(isEmpty)
      yield* settle
      const died = /^ERROR A part of the relay died, and begins anew.* defect (\d)/s
      expect([waits, logs]).toEqual([1, [expect.stringMatching(died)]])
      yield* TestClock.adjust("999 millis")
      yield* settle
      expect(waits).toBe(1)
      yield* TestClock.adjust("1 millis")
      yield* settle
      expect(logs.map((line) => died.exec(line)?.[1])).toEqual(["1", "2"])
      yield* insert(row(2))
      yield* notify
      yield* TestClock.adjust("1 second")
      yield* until(isEmpty)
      expect(ran.map(({ n }) => n)).toEqual([1, 2])
      expect(logs.length).toBe(2)
    })
  )
})
