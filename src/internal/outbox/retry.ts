/**
 * When a failed attempt is followed by the next one.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as Intervals from "effect/ScheduleIntervals"
import type { DispatchReason } from "../../AirlockError.js"
import { runWithDeadline } from "../support/deadline.js"

type TaskSchedule = Schedule.Schedule<unknown, DispatchReason>

/** The longest delay: the columns of an outbox take no infinite time. */
const maxDelay = Duration.toMillis("36500 days")

/** The time limit of a schedule, which may run Effects: no other result of the relay is stored meanwhile. */
const scheduleLimit = Duration.seconds(1)

const firstDelay = 1_000
const lastDelay = 3_600_000

/**
 * The delay of a task without a schedule after attempt n, counted from 1: one second, doubled after each attempt, at most one
 * hour (`longest`, in milliseconds), reduced by a random part of up to half.
 *
 * @internal
 */
export const backoff = (attempt: number, longest: number = lastDelay): Effect.Effect<Duration.Duration> =>
  Effect.map(
    Random.next,
    (random) => Duration.millis(Math.min(firstDelay * 2 ** (attempt - 1), longest) * (0.5 + random / 2))
  )

/**
 * The delay between attempt n, counted from 1, which has failed with this error, and the next one. None if the schedule has
 * ended: the intent is then a dead letter.
 *
 * The attempts of an intent can run in different processes, so the schedule has no state between them. It is run anew for n
 * steps, each with this error. Between two steps their delay has passed, and the last step is now.
 *
 * A schedule that dies, or does not end, is a mistake in the application, and no reason to give up the intent: the default applies.
 *
 * @internal
 */
export const delayAfter = (
  schedule: TaskSchedule | undefined,
  attempt: number,
  error: DispatchReason
): Effect.Effect<Option.Option<Duration.Duration>> =>
  schedule === undefined
    ? Effect.asSome(backoff(attempt))
    : Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.flatMap(
        runWithDeadline(Effect.interruptible(Effect.suspend(() => replay(schedule, attempt, error, now))), {
          what: "The retry schedule of a task",
          limit: scheduleLimit
        }),
        ({ exit, timeout }) =>
          exit !== undefined && Exit.isSuccess(exit)
            ? exit
            : Effect.zipRight(
              Effect.logWarning(
                "The retry schedule of a task died or did not end. Its intent is retried with the default delay.",
                timeout ?? exit?.cause
              ),
              Effect.asSome(backoff(attempt))
            )
      ))

const replay = Effect.fnUntraced(
  function*(schedule: TaskSchedule, attempt: number, error: DispatchReason, now: number) {
    // How long the delays are in sum says when the first step was.
    const before = yield* walk(schedule, attempt - 1, error, now)
    if (Option.isNone(before)) {
      return Option.none()
    }
    const walked = yield* walk(schedule, attempt - 1, error, now - before.value.millis)
    if (Option.isNone(walked)) {
      return Option.none()
    }
    const [, , decision] = yield* schedule.step(now, error, walked.value.state)
    return ScheduleDecision.isDone(decision) ? Option.none() : Option.some(Duration.millis(delayOf(decision, now)))
  }
)

/** Takes steps of a schedule from its start. None if it ends before the last one. */
const walk = Effect.fnUntraced(function*(schedule: TaskSchedule, steps: number, error: DispatchReason, from: number) {
  let state: unknown = schedule.initial
  let millis = 0
  for (let step = 0; step < steps; step++) {
    const [next, , decision] = yield* schedule.step(from + millis, error, state)
    if (ScheduleDecision.isDone(decision)) {
      return Option.none<{ readonly state: unknown, readonly millis: number }>()
    }
    state = next
    millis += delayOf(decision, from + millis)
  }
  return Option.some({ state, millis })
})

const delayOf = (decision: ScheduleDecision.ScheduleDecision, now: number): number =>
  ScheduleDecision.isDone(decision) ? 0 : limitMillis(Intervals.start(decision.intervals) - now)

const limitMillis = (millis: number): number => Math.min(Math.max(millis, 0), maxDelay)

/** A delay that an outbox can store, in milliseconds: at least 0, and at most a hundred years. @internal */
export const toDelayMillis = (delay: Duration.Duration): number => limitMillis(Duration.toMillis(delay))
