/**
 * What a relay makes of the outcome of a handler.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Outbox from "../../Outbox.js"
import { type DefineTest, mail, request, table } from "./application.js"
import { delivered, startMailRelay, storedMails, untilStates } from "./relay.js"
import { timePasses } from "./rows.js"

const hour = 3_600_000

/** The first run of a handler, and what its row says after it. */
interface Outcome {
  readonly first: Effect.Effect<unknown, unknown>
  readonly state: "scheduled" | "dead"
  readonly attempt: number
  /** A part of the error, which is also the history. Absent if nothing failed. */
  readonly error?: string
  /** The least and the greatest time until the next attempt, in milliseconds. */
  readonly delay?: readonly [least: number, greatest: number]
  readonly options?: Outbox.RelayOptions
}

const unprintable = {
  get message(): string {
    throw new Error("no message")
  },
  toString: () => {
    throw new Error("no text")
  }
}

const outcomes: Readonly<Record<string, Outcome>> = {
  "retries a handler that fails, after about a second": {
    first: Effect.fail(new Error("no such address")),
    state: "scheduled",
    attempt: 1,
    error: "no such address",
    delay: [499, 1_001]
  },
  "retries a handler that dies": {
    first: Effect.die(new Error("a bug")),
    state: "scheduled",
    attempt: 1,
    error: "a bug",
    delay: [499, 1_001]
  },
  "retries a handler whose error cannot be printed": {
    first: Effect.fail(unprintable),
    state: "scheduled",
    attempt: 1,
    error: "",
    delay: [499, 1_001]
  },
  "interrupts and retries a handler that takes too long": {
    first: Effect.never,
    state: "scheduled",
    attempt: 1,
    error: "The handler of \"Mail\"",
    delay: [499, 1_001],
    options: { timeout: "10 millis" }
  },
  "retries a handler when it says, if it fails with retryAfter": {
    first: Outbox.retryAfter("1 hour"),
    state: "scheduled",
    attempt: 1,
    error: "1h",
    delay: [hour - 1, hour + 1]
  },
  "runs a handler that snoozes later, and counts no attempt": {
    first: Outbox.snooze("1 hour"),
    state: "scheduled",
    attempt: 0
  },
  "makes a dead letter of an intent whose handler discards it": {
    first: Outbox.discard("moved away"),
    state: "dead",
    attempt: 1,
    error: "moved away"
  },
  "makes a dead letter of an intent whose last attempt fails": {
    first: Effect.fail(new Error("no such address")),
    state: "dead",
    attempt: 1,
    error: "no such address",
    options: { maxAttempts: 1 }
  }
}

/** @internal */
export const outcomesOfHandlers = (test: DefineTest): void => {
  describe("a relay", () => {
    for (const [title, { attempt, delay, error, first, options, state }] of Object.entries(outcomes)) {
      test(
        title,
        Effect.gen(function*() {
          let isFirst = true
          const { runs } = yield* startMailRelay(() =>
            Effect.suspend(() => {
              const self = isFirst ? first : Effect.void
              isFirst = false
              return self
            }), options)
          yield* request(mail("a"))
          yield* untilStates({ [state]: 1 })
          const [row] = yield* storedMails
          expect(row).toMatchObject({ state, attempt })
          expect(row!.history.length).toBe(error === undefined ? 0 : 1)
          if (error !== undefined) {
            expect(row!.error).toContain(error)
            expect(row!.history[0]).toContain(error)
          }
          if (delay !== undefined) {
            expect(row!.delayMillis).toBeGreaterThanOrEqual(delay[0])
            expect(row!.delayMillis).toBeLessThanOrEqual(delay[1])
          }
          if (state === "scheduled") {
            yield* timePasses
            yield* delivered
            expect(runs).toEqual(["a", attempt === 0 ? "a" : "a, attempt 2"])
          }
        }),
        { live: true }
      )
    }

    test(
      "logs each failed attempt once, and keeps the history of a dead letter",
      Effect.gen(function*() {
        const { logs, runs } = yield* startMailRelay((_, attempt) => Effect.fail(new Error(`no ${attempt}`)), {
          maxAttempts: 3
        })
        yield* request(mail("a"))
        for (let attempt = 1; attempt < 3; attempt++) {
          yield* untilStates({ scheduled: 1 })
          yield* timePasses
        }
        yield* untilStates({ dead: 1 })
        expect(runs).toEqual(["a", "a, attempt 2", "a, attempt 3"])
        const [row] = yield* storedMails
        expect(row!.history.map((error) => /no \d/.exec(error)?.[0])).toEqual(["no 1", "no 2", "no 3"])
        expect(logs.map((line) => /^\w+/.exec(line)![0])).toEqual(["WARN", "WARN", "ERROR"])
      }),
      { live: true }
    )

    test(
      "makes dead letters of payloads that cannot be decoded, while others are run",
      Effect.gen(function*() {
        yield* request(Effect.forEach(Array.from({ length: 40 }, (_, n) => `${n}`), (to) => mail(to)))
        const sql = yield* SqlClient
        const ids = yield* sql.unsafe<{ readonly id: string }>(`SELECT id FROM ${table} ORDER BY id`)
        yield* Effect.forEach(
          ids.slice(0, 20),
          ({ id }) => sql`UPDATE ${sql(table)} SET payload = '{"to":1}' WHERE id = ${id}`
        )
        const { runs } = yield* startMailRelay(() => Effect.void, { batchSize: 7, concurrency: 2 })
        yield* untilStates({ dead: 20 })
        expect(runs.sort()).toEqual(Array.from({ length: 20 }, (_, n) => `${n + 20}`))
        const dead = yield* storedMails
        expect(new Set(dead.map(({ attempt }) => attempt))).toEqual(new Set([1]))
        expect(dead[0]!.error).toContain("to")
      }),
      { live: true }
    )
  })
}
