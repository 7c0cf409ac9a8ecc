/**
 * What becomes of a row whose handler has ended.
 */
import { SqlClient } from "@effect/sql"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect } from "@effect/vitest"
import { Effect, Layer, Metric, Schedule, TestClock } from "effect"
import { AirlockMetrics, Task } from "effect-airlock"
import * as Relay from "effect-airlock/Outbox"
import { until } from "../../../support/until.js"
import {
  insert,
  isEmpty,
  isIdle,
  later,
  Note,
  passBackoff,
  reapSessionOf,
  relayWith,
  rowsUpTo,
  running,
  settle,
  stored,
  test
} from "../testRelay.js"
import { claimed, idOf, otherSession, row, states } from "../testStore.js"

const gone = new SqlError({ cause: "gone", message: "gone" })

const delayOf = (n: number) => Effect.map(stored(n), (row) => row!.due_at! - row!.failed_at!)

/** Lets the next attempt run, and waits until its result is stored. */
const nextAttempt = (n: number, attempt: number) =>
  Effect.zipRight(passBackoff, later(Effect.map(stored(n), (row) => row?.attempt === attempt)))

describe("a row", () => {
  test(
    "stays claimed while its handler runs, and is acknowledged when the handler has ended",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      yield* insert(...rowsUpTo(2))
      const { ran } = yield* running(() => gate.await)
      yield* until(Effect.sync(() => ran.length === 2))
      yield* settle
      expect(yield* states).toEqual({ claimed: [1, 2] })
      yield* gate.open
      yield* until(isEmpty)
    })
  )
})

describe("a failed attempt", () => {
  test(
    "is followed by the next one with a growing delay, and the last one by a dead letter",
    Effect.gen(function*() {
      const failures = Metric.value(Metric.tagged(AirlockMetrics.failedAttempts, "task", "Note"))
      const deaths = Metric.value(Metric.tagged(AirlockMetrics.deadLetters, "task", "Note"))
      const before = { failures: (yield* failures).count, deaths: (yield* deaths).count }
      yield* insert(row(1))
      const { logs, ran } = yield* running((n, attempt) => Effect.fail(new Error(`no ${n}.${attempt}`)), {
        maxAttempts: 3
      })
      yield* until(Effect.map(states, ({ scheduled }) => scheduled?.length === 1))
      const first = yield* delayOf(1)
      expect(first).toBeGreaterThanOrEqual(500)
      expect(first).toBeLessThanOrEqual(1_000)
      yield* nextAttempt(1, 2)
      const second = yield* delayOf(1)
      expect(second).toBeGreaterThanOrEqual(1_000)
      expect(second).toBeLessThanOrEqual(2_000)
      yield* nextAttempt(1, 3)
      expect(ran.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
      expect(yield* stored(1)).toMatchObject({ state: "dead", error: expect.stringContaining("no 1.3"), due_at: null })
      expect(logs).toEqual([
        expect.stringMatching(
          new RegExp(
            `^WARN Attempt 1 of 3 of intent ${
              idOf(1)
            } of "Note" failed. The next one is in ${first}ms: .*no 1.1\\n +at `,
            "s"
          )
        ),
        expect.stringMatching(/^WARN Attempt 2 of 3 .*no 1.2/s),
        expect.stringMatching(
          new RegExp(
            `^ERROR Intent ${
              idOf(1)
            } of "Note" is a dead letter after attempt 3 of 3, and stays in the outbox: .*no 1.3`,
            "s"
          )
        )
      ])
      expect((yield* failures).count - before.failures).toBe(3)
      expect((yield* deaths).count - before.deaths).toBe(1)
    })
  )

  test(
    "counts against the limit of the row, else of its task, else of the relay",
    Effect.gen(function*() {
      const Limited = Task.make("Limited", { payload: Note.payloadSchema, retry: { maxAttempts: 2 } })
      yield* insert(row(1, { task: "Limited", maxAttempts: 1 }), row(2, { task: "Limited" }), row(3))
      yield* relayWith(
        Layer.mergeAll(Limited.toLayer(() => Effect.fail("no")), Note.toLayer(() => Effect.fail("no"))),
        { maxAttempts: 3 }
      )
      yield* until(isIdle)
      expect(yield* states).toEqual({ dead: [1], scheduled: [2, 3] })
      yield* nextAttempt(2, 2)
      yield* until(Effect.map(states, ({ dead, scheduled }) => dead?.length === 2 && scheduled?.length === 1))
      expect(yield* states).toEqual({ dead: [1, 2], scheduled: [3] })
      yield* nextAttempt(3, 3)
      expect(yield* states).toEqual({ dead: [1, 2, 3] })
    })
  )

  test(
    "is the error of a dead letter, if the next relay has a lower limit",
    Effect.gen(function*() {
      yield* insert(row(1))
      const { stop } = yield* running(() => Effect.fail("the cause"))
      yield* until(isIdle)
      yield* stop
      yield* passBackoff
      const { logs, ran } = yield* running(() => Effect.void, { maxAttempts: 1 })
      yield* later(Effect.map(states, ({ dead }) => dead?.length === 1))
      expect(yield* stored(1)).toMatchObject({ attempt: 1, error: expect.stringContaining("the cause") })
      yield* until(Effect.sync(() => logs.length > 0))
      expect([ran, logs]).toEqual([[], [expect.stringContaining("the limit is lower than before")]])
    })
  )

  test(
    "is followed by the next one when the schedule of its task says so, until the schedule ends",
    Effect.gen(function*() {
      const Scheduled = Task.make("Note", {
        payload: Note.payloadSchema,
        retry: { schedule: Schedule.intersect(Schedule.spaced("42 seconds"), Schedule.recurs(1)) }
      })
      yield* insert(row(1))
      yield* relayWith(Scheduled.toLayer(() => Effect.fail("no")))
      yield* until(Effect.map(states, ({ scheduled }) => scheduled?.length === 1))
      expect(yield* delayOf(1)).toBe(42_000)
      yield* nextAttempt(1, 2)
      expect(yield* states).toEqual({ dead: [1] })
    })
  )

  test(
    "is in the history of the row, which has the last ten",
    Effect.gen(function*() {
      yield* insert(row(1))
      yield* TestClock.setTime(1_000_000)
      yield* running((_, attempt) => Effect.fail(`no ${attempt}`))
      for (let attempt = 1; attempt <= 12; attempt++) {
        yield* nextAttempt(1, attempt)
      }
      const history = JSON.parse((yield* stored(1))!.history!) as ReadonlyArray<{ readonly at: number }>
      expect(history).toMatchObject(
        Array.from(
          { length: 10 },
          (_, index) => ({ attempt: index + 3, error: expect.stringContaining(`no ${index + 3}`), relay: "r" })
        )
      )
      expect(history.every(({ at }, index) => at >= (history[index - 1]?.at ?? 1_000_000))).toBe(true)
    })
  )
})

const circular: { self?: unknown } = {}
circular.self = circular

const throws = () => {
  throw new Error("a trap")
}

const unprintable: Record<string, unknown> = {
  "has a bigint": { amount: 1n },
  "is an Error with a bigint": Object.assign(new Error("no"), { amount: 1n }),
  "is circular": circular,
  "has no prototype": Object.create(null),
  "has a getter that throws": Object.defineProperty({}, "message", { get: throws, enumerable: true }),
  "has a cause that throws": Object.defineProperty(new Error("no"), "cause", { get: throws }),
  "is a Proxy that throws": new Proxy({}, { get: throws, has: throws, getPrototypeOf: throws, ownKeys: throws }),
  "is an Error behind a Proxy that throws": new Proxy(new Error("no"), {
    get: throws,
    has: throws,
    getPrototypeOf: throws,
    ownKeys: throws
  }),
  "has texts that no database stores": "\0 \uD800",
  "is undefined": undefined
}

describe("an error that is hard to print", () => {
  for (const [what, error] of Object.entries(unprintable)) {
    for (const kind of ["fail", "die"] as const) {
      test(
        `counts like others, and holds nothing up: it ${what} (${kind})`,
        Effect.gen(function*() {
          yield* insert(...rowsUpTo(3))
          const { logs, ran } = yield* running(
            (n) => n === 3 ? Effect.void : kind === "fail" ? Effect.fail(error) : Effect.die(error),
            { maxAttempts: 2 }
          )
          yield* until(isIdle)
          expect(yield* states).toEqual({ scheduled: [1, 2] })
          expect((yield* stored(1))!.error).not.toBe(null)
          yield* nextAttempt(1, 2)
          yield* until(Effect.map(states, ({ dead }) => dead?.length === 2))
          expect(ran.length).toBe(5)
          expect(logs.map((line) => line.slice(0, 5))).toEqual(["WARN ", "WARN ", "ERROR", "ERROR"])
        })
      )
    }
  }
})

describe("a handler can ask", () => {
  test(
    "for its next attempt after a time, which counts this one",
    Effect.gen(function*() {
      yield* insert(row(1))
      const { logs } = yield* running(() => Relay.retryAfter("7 minutes", { cause: new Error("busy") }), {
        maxAttempts: 2
      })
      yield* until(isIdle)
      expect(yield* delayOf(1)).toBe(420_000)
      expect(yield* stored(1)).toMatchObject({ attempt: 1, error: expect.stringContaining("busy") })
      expect(logs).toEqual([expect.stringContaining("The next one is in 7m")])
      yield* nextAttempt(1, 2)
      expect(yield* states).toEqual({ dead: [1] })
    })
  )

  test(
    "for no further attempt",
    Effect.gen(function*() {
      yield* insert(row(1))
      const { logs } = yield* running(() => Relay.discard("no such address"))
      yield* until(isIdle)
      expect(yield* stored(1)).toMatchObject({
        state: "dead",
        attempt: 1,
        error: expect.stringContaining("no such address")
      })
      expect(logs).toEqual([expect.stringMatching(/^ERROR .*no such address/s)])
    })
  )

  test(
    "to wait, which counts no attempt and keeps the last error",
    Effect.gen(function*() {
      yield* insert(row(1))
      const { logs, ran } = yield* running(
        (_, attempt) => attempt === 1 ? Effect.fail("first") : Relay.snooze("1 hour"),
        { maxAttempts: 2 }
      )
      yield* nextAttempt(1, 1)
      const first = (yield* stored(1))!
      for (let runs = 2; runs <= 4; runs++) {
        yield* passBackoff
        yield* later(Effect.sync(() => ran.length === runs))
        yield* until(isIdle)
      }
      const last = (yield* stored(1))!
      expect(last).toMatchObject({ state: "scheduled", attempt: 1, error: first.error, history: first.history })
      expect(ran.map(({ attempt }) => attempt)).toEqual([1, 2, 2, 2])
      expect(logs.length).toBe(1)
    })
  )
})

describe("results", () => {
  test(
    "are stored together",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      const stored: Array<number> = []
      yield* insert(...rowsUpTo(40))
      const { ran } = yield* running(
        (n) => Effect.zipRight(gate.await, n % 2 === 0 ? Effect.void : Effect.fail("no")),
        {
          concurrency: 40,
          change: (store) => ({
            ...store,
            acknowledge: (...args) => (stored.push(args[1].length), store.acknowledge(...args)),
            fail: (...args) => (stored.push(args[1].length), store.fail(...args))
          })
        }
      )
      yield* until(Effect.sync(() => ran.length === 40))
      yield* gate.open
      yield* until(isIdle)
      expect(stored.reduce((a, b) => a + b)).toBe(40)
      expect(stored.length).toBeLessThanOrEqual(4)
    })
  )

  test(
    "are stored when the database answers again, and no handler runs twice",
    Effect.gen(function*() {
      let isDown = true
      const whileUp = <A>(statement: Effect.Effect<A, SqlError>) =>
        Effect.suspend(() => isDown ? Effect.fail(gone) : statement)
      yield* insert(...rowsUpTo(10))
      const { logs, ran } = yield* running((n) => n === 1 ? Effect.fail("no") : Effect.void, {
        change: (store) => ({
          ...store,
          acknowledge: (...args) => whileUp(store.acknowledge(...args)),
          fail: (...args) => whileUp(store.fail(...args))
        })
      })
      yield* until(Effect.sync(() => ran.length === 10))
      for (let second = 0; second < 2; second++) {
        yield* TestClock.adjust("1 second")
        yield* settle
      }
      expect((yield* states)["claimed"]!.length).toBe(10)
      isDown = false
      yield* later(isIdle)
      expect(yield* states).toEqual({ scheduled: [1] })
      expect(ran.length).toBe(10)
      expect(logs).toEqual([expect.stringContaining("WARN Attempt 1 of 25")])
    })
  )

  test(
    "may be stored if a statement failed: then the relay does not say that others have its rows",
    Effect.gen(function*() {
      let tries = 0
      yield* insert(row(1))
      const { logs } = yield* running(() => Effect.void, {
        change: (store) => ({
          ...store,
          // The first one succeeds in the database, and its answer is lost.
          acknowledge: (...args) =>
            Effect.flatMap(
              store.acknowledge(...args),
              (ids) => ++tries === 1 ? Effect.fail(gone) : Effect.succeed(ids)
            )
        })
      })
      yield* later(Effect.sync(() => logs.length > 0))
      expect([tries, logs]).toEqual([2, [expect.stringContaining("does not know what became of 1 intent(s)")]])
      expect(yield* states).toEqual({})
    })
  )

  test(
    "are stored in parts, so that no statement is too large for the database",
    Effect.gen(function*() {
      const parts: Array<number> = []
      yield* insert(...rowsUpTo(120))
      yield* running(() => Effect.fail("no"), {
        concurrency: 120,
        change: (store) => ({
          ...store,
          fail: (...args) => (parts.push(args[1].length), store.fail(...args))
        })
      })
      yield* until(isIdle)
      expect(parts.reduce((a, b) => a + b)).toBe(120)
      expect(Math.max(...parts)).toBe(50)
    })
  )

  test(
    "that the database refuses for long are a warning, although the lease does not end",
    Effect.gen(function*() {
      let isRefused = true
      const refused = new SqlError({ cause: "no", message: "permission denied" })
      yield* insert(row(1))
      const { logs } = yield* running(() => Effect.void, {
        change: (store) => ({
          ...store,
          acknowledge: (...args) => Effect.suspend(() => isRefused ? Effect.fail(refused) : store.acknowledge(...args))
        })
      })
      yield* later(Effect.sync(() => logs.length > 0))
      isRefused = false
      yield* later(isEmpty)
      expect(logs).toEqual([
        expect.stringMatching(/^WARN The relay could not store the results of handlers, .*permission denied/s)
      ])
    })
  )

  test(
    "are given up when the lease has ended, with an error",
    Effect.gen(function*() {
      yield* insert(row(1))
      const { logs, ran } = yield* running(() => Effect.void, {
        change: (store) => ({
          ...store,
          acknowledge: () => Effect.fail(gone),
          heartbeat: () => Effect.fail(gone)
        })
      })
      yield* until(Effect.sync(() => ran.length === 1))
      yield* later(Effect.sync(() => logs.some((line) => line.startsWith("ERROR"))))
      expect(logs.filter((line) => line.startsWith("ERROR"))).toEqual([
        expect.stringContaining("could not store the results of 1 intent(s) before its lease ended")
      ])
    })
  )

  test(
    "that were given up leave no row claimed for ever, if no other relay has taken the lease over",
    Effect.gen(function*() {
      let isDown = true
      const whileUp = <A>(statement: Effect.Effect<A, SqlError>) =>
        Effect.suspend(() => isDown ? Effect.fail(gone) : statement)
      yield* insert(...rowsUpTo(4))
      const { logs, ran } = yield* running((n) => n > 2 ? Effect.fail("no") : Effect.void, {
        change: (store) => ({
          ...store,
          acknowledge: (...args) => whileUp(store.acknowledge(...args)),
          fail: (...args) => whileUp(store.fail(...args)),
          heartbeat: (...args) => whileUp(store.heartbeat(...args))
        })
      })
      yield* until(Effect.sync(() => ran.length === 4))
      yield* later(Effect.sync(() => logs.filter((line) => line.includes("before its lease ended")).length === 2))
      isDown = false
      // Sooner than the upkeep looks for such rows, once a minute.
      yield* TestClock.adjust("10 seconds")
      yield* until(isIdle)
      expect(yield* states).toEqual({ scheduled: [3, 4] })
      expect(ran.length).toBe(8)
    })
  )

  test(
    "change nothing if another relay has claimed the row meanwhile, and that is reported",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      yield* insert(row(1), row(2))
      const { logs, ran } = yield* running((n) =>
        Effect.zipRight(gate.await, n === 1 ? Effect.void : Effect.fail("no"))
      )
      yield* until(Effect.sync(() => ran.length === 2))
      yield* reapSessionOf("r")
      expect(yield* claimed(2, otherSession)).toEqual([1, 2])
      yield* gate.open
      yield* until(Effect.sync(() => logs.filter((line) => line.includes("were no longer its own")).length === 2))
      const sql = yield* SqlClient.SqlClient
      expect(yield* sql`SELECT state, lease, error FROM airlock_outbox`).toEqual(
        Array.from({ length: 2 }, () => ({
          state: "claimed",
          lease: otherSession,
          // The other relay counted it when it reaped the session.
          error: expect.stringContaining("died or lost its lease")
        }))
      )
    })
  )
})

describe("rows that have run", () => {
  test(
    "stay for the time of keepDone",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const pruned: Array<number> = []
      yield* insert(...rowsUpTo(1_203))
      const { ran } = yield* running(() => Effect.void, {
        keepDone: "1 day",
        concurrency: 500,
        change: (store) => ({
          ...store,
          prune: (...args) => Effect.tap(store.prune(...args), (count) => pruned.push(count))
        })
      })
      yield* until(Effect.map(states, ({ done }) => done?.length === 1_203))
      yield* TestClock.adjust("1 minute")
      yield* settle
      expect((yield* states)["done"]!.length).toBe(1_203)
      yield* sql`UPDATE airlock_outbox SET done_at = done_at - 86400000 WHERE id <> ${idOf(1)}`
      yield* TestClock.adjust("1 minute")
      yield* until(Effect.map(states, ({ done }) => done?.length === 1))
      expect(pruned.filter((count) => count > 0)).toEqual([500, 500, 202])
      expect([yield* states, ran.length]).toEqual([{ done: [1] }, 1_203])
    })
  )

  test(
    "are deleted at once without keepDone",
    Effect.gen(function*() {
      yield* insert(row(1))
      yield* running(() => Effect.void)
      yield* until(isEmpty)
    })
  )
})
