/**
 * Options of an enqueue that a row of the outbox cannot hold.
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit } from "effect"
import { Airlock } from "effect-airlock"
import { application, mail, storedPayloads } from "../support/outbox.js"

describe("an enqueue for an outbox", () => {
  const options: Record<string, readonly [Parameters<typeof Airlock.enqueue>[2], string]> = {
    "an infinite delay": [
      { delay: Duration.infinity },
      "options.delay: expected a finite duration, of at most 8.64e15 milliseconds"
    ],
    "a delay that is no duration": [
      { delay: "1e-7 seconds" as Duration.DurationInput },
      "options.delay: expected a finite duration, of at most 8.64e15 milliseconds"
    ],
    "a delay that is no number": [
      { delay: Number.NaN },
      "options.delay: expected a finite duration, of at most 8.64e15 milliseconds"
    ],
    "an orderingKey that is no string": [
      { orderingKey: null as unknown as string },
      "options.orderingKey: expected at most 255 characters, none of them NUL or a half of a surrogate pair"
    ],
    "an origin that is no string": [{ origin: 5n as unknown as string }, "options.origin: expected a string"],
    "a runAt that is no valid Date": [{ runAt: new Date(Number.NaN) }, "options.runAt: expected a valid Date"],
    "a maxAttempts of 0": [
      { maxAttempts: 0 },
      "options.maxAttempts: expected a whole number above 0, of at most 32 bits"
    ],
    "a priority that is no number": [
      { priority: Number.NaN },
      "options.priority: expected a whole number of at most 32 bits"
    ],
    "an orderingKey that is too long": [
      { orderingKey: "k".repeat(256) },
      "options.orderingKey: expected at most 255 characters, none of them NUL or a half of a surrogate pair"
    ],
    "a delay that no database can add to its clock": [
      { delay: 1e20 },
      "options.delay: expected a finite duration, of at most 8.64e15 milliseconds"
    ],
    "a priority of more than 32 bits": [
      { priority: 3e9 },
      "options.priority: expected a whole number of at most 32 bits"
    ],
    "a dedupeKey that UTF-8 cannot hold": [
      { dedupeKey: "a\uD800" },
      "options.dedupeKey: expected at most 255 characters, none of them NUL or a half of a surrogate pair"
    ],
    "native options that JSON changes": [
      { native: { at: new Date(0) } },
      "options.native: expected what JSON can hold"
    ],
    "native options that JSON cannot hold": [{ native: { n: 1n } }, "options.native: expected what JSON can hold"]
  }
  for (const [name, [given, issue]] of Object.entries(options)) {
    it.scoped(`refuses ${name}`, () =>
      Effect.gen(function*() {
        const refused = yield* Airlock.scoped(
          Effect.zipRight(mail("a"), Effect.exit(mail("b", given)))
        )
        expect(Exit.isFailure(refused) && Cause.squash(refused.cause)).toMatchObject({
          _tag: "InvalidPayloadError",
          issues: [issue]
        })
        expect(yield* storedPayloads).toEqual(["{\"to\":\"a\"}"])
      }).pipe(Effect.provide(application)))
  }
})
