/**
 * The delay after a failed attempt, of which nothing is kept between attempts but their number.
 */
import { describe, expect, it } from "@effect/vitest"
import { Array as Arr, Duration, Effect, Exit, Option, Random, Schedule, TestClock } from "effect"
import { AirlockError } from "effect-airlock"
import { delayAfter, toDelayMillis } from "../../../src/internal/outbox/retry.js"
import { letOthersRun } from "../../support/letOthersRun.js"
import { recordWarnings, warnings } from "../../support/warnings.js"

const failed = new AirlockError.DispatchError({ task: "Mail", cause: "busy" })

type RetrySchedule = Parameters<typeof delayAfter>[0]

/** The delays after attempts, in seconds, up to the first that has none. */
const delays = (
  schedule: RetrySchedule,
  attempts: ReadonlyArray<number>,
  error: AirlockError.DispatchReason = failed
) =>
  Effect.forEach(attempts, (attempt) =>
    Effect.map(
      delayAfter(schedule, attempt, error),
      Option.match({ onNone: () => "dead", onSome: (delay) => Duration.toMillis(delay) / 1000 })
    ))

const random = (value: number) => Effect.withRandom(Random.fixed([value]))

describe("without a schedule, the delay", () => {
  it.effect("is a second, doubled after each attempt up to an hour, and has no end", () =>
    Effect.gen(function*() {
      expect(yield* delays(undefined, [1, 2, 3, 12, 13, 1000, 5000]).pipe(random(1))).toEqual([
        1,
        2,
        4,
        2048,
        3600,
        3600,
        3600
      ])
    }))

  it.effect("is reduced by a random part of up to half", () =>
    Effect.gen(function*() {
      expect(yield* delays(undefined, [1, 3]).pipe(random(0))).toEqual([0.5, 2])
      expect(yield* delays(undefined, [1, 3]).pipe(random(0.5))).toEqual([0.75, 3])
    }))
})

describe("a task's schedule", () => {
  const attempts = [1, 2, 3, 4, 5]
  const schedules: Record<string, readonly [RetrySchedule, ReadonlyArray<number | string>]> = {
    "exponential": [Schedule.exponential("1 second"), [1, 2, 4, 8, 16]],
    "spaced, three times": [
      Schedule.intersect(Schedule.spaced("5 seconds"), Schedule.recurs(3)),
      [5, 5, 5, "dead", "dead"]
    ],
    "at once, then slowly": [
      Schedule.andThen(Schedule.recurs(2), Schedule.spaced("1 hour")),
      [0, 0, 3600, 3600, 3600]
    ],
    "up to a time, which the delays make up": [
      Schedule.exponential("1 second").pipe(Schedule.upTo("5 seconds")),
      [1, 2, 4, "dead", "dead"]
    ],
    "never again": [Schedule.stop, ["dead", "dead", "dead", "dead", "dead"]]
  }
  for (const [name, [schedule, expected]] of Object.entries(schedules)) {
    it.effect(`gives the delay of an attempt by its number alone: ${name}`, () =>
      Effect.gen(function*() {
        expect(yield* delays(schedule, attempts)).toEqual(expected)
        // In another order, and at another time, as other processes would.
        yield* TestClock.adjust("3 days")
        expect(yield* delays(schedule, Arr.reverse(attempts))).toEqual(Arr.reverse(expected))
      }))
  }

  it.effect("that names times of day counts from now, at each attempt", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(new Date("2024-05-06T10:20:00Z"))
      expect(yield* delays(Schedule.cron("0 * * * *"), [1, 2, 7])).toEqual([2400, 2400, 2400])
    }))

  it.effect("decides by the error of the attempt", () =>
    Effect.gen(function*() {
      const unlessUnknown = Schedule.whileInput(
        Schedule.spaced("1 second"),
        (error: AirlockError.DispatchReason) => error._tag !== "UnknownTaskError"
      )
      expect(yield* delays(unlessUnknown, [1, 2])).toEqual([1, 1])
      const unknown = new AirlockError.UnknownTaskError({ task: "Mail", known: [] })
      expect(yield* delays(unlessUnknown, [1, 2], unknown)).toEqual(["dead", "dead"])
    }))

  it.effect("is jittered anew for each attempt", () =>
    Effect.gen(function*() {
      const jittered = Schedule.jittered(Schedule.exponential("1 second"))
      expect(yield* delays(jittered, [1, 3]).pipe(random(0))).toEqual([0.8, 3.2])
      expect(yield* delays(jittered, [1, 3]).pipe(random(1))).toEqual([1.2, 4.8])
    }))

  it.effect("has delays that a database can store", () =>
    Effect.gen(function*() {
      const century = 36_500 * 24 * 60 * 60
      expect(yield* delays(Schedule.spaced("1000000 days"), [1, 2])).toEqual([century, century])
      expect([Duration.infinity, Duration.zero, Duration.seconds(1)].map(toDelayMillis)).toEqual([
        century * 1000,
        0,
        1000
      ])
    }))

  it.effect("that dies is replaced by the default delay, with a warning", () =>
    Effect.gen(function*() {
      const broken = Schedule.mapEffect(Schedule.forever, () => Effect.die(new Error("broken schedule")))
      const throwing = Schedule.whileInput(Schedule.forever, () => {
        throw new Error("broken schedule")
      })
      expect(yield* delays(broken, [1, 3]).pipe(random(1))).toEqual([1, 4])
      expect(yield* delays(throwing, [2]).pipe(random(1))).toEqual([2])
      expect(yield* warnings).toHaveLength(3)
      expect((yield* warnings)[0]).toContain("The retry schedule of a task died")
    }).pipe(Effect.provide(recordWarnings)))

  it.effect("that does not end is replaced by the default delay, also where nothing can interrupt it", () =>
    Effect.gen(function*() {
      const endless = [Effect.never, Effect.uninterruptible(Effect.never)]
        .map((never) => Schedule.mapEffect(Schedule.forever, () => never))
      const delayed = yield* Effect.fork(
        Effect.uninterruptible(Effect.forEach(endless, (schedule) => delays(schedule, [1]))).pipe(random(1))
      )
      yield* Effect.yieldNow()
      for (let second = 0; second < 3; second++) {
        yield* TestClock.adjust("1 second")
        yield* letOthersRun
      }
      expect(delayed.unsafePoll()).toEqual(Exit.succeed([[1], [1]]))
      expect(yield* warnings).toHaveLength(2)
    }).pipe(Effect.provide(recordWarnings)))
})
