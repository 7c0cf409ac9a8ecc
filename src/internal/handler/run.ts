/**
 * Runs the handlers of a batch of intents, in order or concurrently, with the time limit and the retries of `RunOptions`.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { NotAttemptedError, SettleTimeoutError } from "../../AirlockError.js"
import type { Intent } from "../../Intent.js"
import type { DispatchReason, Outcome, RunOptions } from "../contract/executor.js"
import { dispatchError } from "../scope/dispatch.js"
import { type IntentRecord, recordsOf } from "../scope/intentRecord.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { flatMapExit } from "../support/flatMapExit.js"
import { yieldToEventLoop } from "../support/yieldToEventLoop.js"
import { BatchedCall, type Call, intentsOf, noteOutcome } from "./calls.js"
import { Lanes, lanesOf } from "./lanes.js"
import { HandlerRunner, type RunnerHandlers } from "./runner.js"

/** Returns an outcome for each intent, even if it is interrupted: then some were not attempted. @internal */
export const runHandlers = (
  handlers: RunnerHandlers,
  callsOf: (intents: ReadonlyArray<IntentRecord>) => ReadonlyArray<Call>,
  intents: ReadonlyArray<Intent>,
  options: RunOptions
): Effect.Effect<ReadonlyArray<Outcome>> =>
  Effect.uninterruptible(Effect.withFiberRuntime((fiber) => {
    const records = recordsOf(intents)
    const calls = callsOf(records)
    const concurrency = Math.min(
      options.concurrency === "unbounded" ? Infinity : options.concurrency ?? 1,
      calls.length
    )
    const lanes = new Lanes(concurrency <= 1 ? [calls] : lanesOf(calls))
    const ended = (exit: Exit.Exit<void>) =>
      Effect.succeed(records.map((record) => record.outcome ?? notAttempted(record, exit)))
    if (concurrency <= 1) {
      return work(handlers, lanes, options, fiber, ended)
    }
    const workers = Effect.forEach(
      Array.from({ length: concurrency }),
      () => Effect.uninterruptible(Effect.withFiberRuntime((fiber) => work(handlers, lanes, options, fiber, identity))),
      { concurrency: "unbounded", discard: true }
    )
    return flatMapExit(Effect.interruptible(workers), ended)
  }))

const notAttempted = ({ task }: IntentRecord, exit: Exit.Exit<unknown>): Outcome =>
  Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)
    ? Exit.fail(new NotAttemptedError({ task: task.name }))
    : Exit.fail(dispatchError(task.name, exit.cause))

/** The work of one worker. For an uninterruptible region; the calls are interruptible. */
const work = <A>(
  handlers: RunnerHandlers,
  lanes: Lanes,
  options: RunOptions,
  fiber: AnyFiber,
  ended: (exit: Exit.Exit<void>) => Effect.Effect<A>
): Effect.Effect<A> => {
  const runner = new HandlerRunner(handlers, fiber, options.executor)
  const next = lanes.worker()
  const first = options.attempt ?? 1
  let call = next()
  let count = 0
  const begin = () =>
    options.retry === undefined
      ? attempt(handlers, runner, call!, options, first)
      : withRetries(handlers, runner, call!, options, first, options.retry)
  const calls = Effect.whileLoop({
    while: () => call !== undefined,
    body: () => (++count & 0xff) === 0 ? Effect.flatMap(yieldToEventLoop, begin) : begin(),
    step: (outcome: Outcome) => {
      if (options.retry === undefined) {
        noteOutcome(call!, outcome)
      }
      if (options.failFast === true && Exit.isFailure(outcome)) {
        lanes.stop()
      }
      call = next()
    }
  })
  return runner.during(calls, ended)
}

/** Repeats a failed call as the schedule says. Notes each outcome, so that an interruption of the wait leaves the last one. */
const withRetries = (
  handlers: RunnerHandlers,
  runner: HandlerRunner,
  call: Call,
  options: RunOptions,
  first: number,
  schedule: Schedule.Schedule<unknown, DispatchReason>
): Effect.Effect<Outcome> =>
  Effect.flatMap(Schedule.driver(schedule), (driver) => {
    const retry = (call: Call, number: number): Effect.Effect<Outcome> =>
      Effect.flatMap(attempt(handlers, runner, call, options, number), (outcome) => {
        noteOutcome(call, outcome)
        if (Exit.isSuccess(outcome)) {
          return Effect.succeed(outcome)
        }
        const retryable = retryableOf(call, number)
        const reason = reasonOf(outcome)
        return retryable === undefined || reason._tag === "UnknownTaskError"
          ? Effect.succeed(outcome)
          // A schedule that dies ends the retries too.
          : Effect.flatMap(
            Effect.exit(driver.next(reason)),
            // A schedule that never pauses must not block the event loop, on which time limits depend.
            (next) =>
              Exit.isSuccess(next)
                ? Effect.flatMap(yieldToEventLoop, () => retry(retryable, number + 1))
                : Effect.succeed(outcome)
          )
      })
    return retry(call, first)
  })

/** The part of a call that may be attempted again: an entry is not, if one of its intents has reached its `maxAttempts`. */
const retryableOf = (call: Call, attempts: number): Call | undefined => {
  const isRetryable = ({ options }: IntentRecord) => attempts < (options.maxAttempts ?? Infinity)
  if (!(call instanceof BatchedCall)) {
    return isRetryable(call) ? call : undefined
  }
  const entries = call.entries.filter(({ intents }) => intents.every(isRetryable))
  return entries.length === 0 || call.defect !== undefined ? undefined : new BatchedCall(call.registration, entries)
}

const attempt = (
  handlers: RunnerHandlers,
  runner: HandlerRunner,
  call: Call,
  { executor, timeout }: RunOptions,
  number: number
): Effect.Effect<Outcome> => {
  if (timeout === undefined) {
    return runner.run(call, number)
  }
  // In a fiber and a runner of its own: a handler that does not end when it is interrupted is not awaited.
  const alone = Effect.uninterruptible(Effect.withFiberRuntime<Outcome>((fiber) => {
    const runner = new HandlerRunner(handlers, fiber, executor)
    return runner.during(Effect.suspend(() => runner.run(call, number)), identity)
  }))
  return Effect.timeoutTo(Effect.disconnect(alone), {
    duration: timeout,
    onSuccess: identity,
    onTimeout: (): Outcome =>
      Exit.fail(
        new SettleTimeoutError({
          what: `The handler of "${intentsOf(call)[0]!.task.name}"`,
          millis: Duration.toMillis(timeout)
        })
      )
  })
}

const reasonOf = (outcome: Exit.Failure<void, DispatchReason>): DispatchReason =>
  Option.getOrThrow(Cause.failureOption(outcome.cause))
