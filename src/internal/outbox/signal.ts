/**
 * What a handler can tell the relay: run me later, wait without an attempt, or give up.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import { DispatchError } from "../../AirlockError.js"
import { errorsOf } from "../support/printError.js"

/** In the message of each signal: executors other than the relay know nothing of signals. */
const elsewhere = "Where no relay runs the handler, this is an ordinary failure."

const cause = Schema.optionalWith(Schema.Defect, { exact: true })

/**
 * A handler asks for its next attempt after a time of its own: see `Outbox.retryAfter`.
 *
 * @since 0.1.0
 * @category errors
 */
export class RetryAfter extends Schema.TaggedError<RetryAfter>("effect-airlock/RetryAfter")("RetryAfter", {
  duration: Schema.DurationFromSelf,
  cause
}) {
  override get message(): string {
    return `The handler asks the relay of the outbox for its next attempt in ${
      Duration.format(this.duration)
    }. ${elsewhere}`
  }
}

/**
 * A handler gives up its intent (see `Outbox.discard`), or an engine refuses it for good.
 *
 * @since 0.1.0
 * @category errors
 */
export class Discard extends Schema.TaggedError<Discard>("effect-airlock/Discard")("Discard", {
  reason: Schema.String,
  cause
}) {
  override get message(): string {
    return `${this.reason}. This asks the relay of the outbox, or the worker of an engine, for no further attempt. ` +
      "Elsewhere it is an ordinary failure."
  }
}

/**
 * A handler asks to be run later, without an attempt: see `Outbox.snooze`.
 *
 * @since 0.1.0
 * @category errors
 */
export class Snooze extends Schema.TaggedError<Snooze>("effect-airlock/Snooze")("Snooze", {
  duration: Schema.DurationFromSelf
}) {
  override get message(): string {
    return `The handler asks the relay of the outbox to run it again in ${
      Duration.format(this.duration)
    }, and not to count this attempt. ${elsewhere}`
  }
}

/** @internal */
export type Signal = RetryAfter | Discard | Snooze

const isSignal = Schema.is(Schema.Union(RetryAfter, Discard, Snooze))

const isDispatchError = Schema.is(DispatchError)

/** How many errors of a chain of causes are looked at. */
const maxDepth = 10

/**
 * The signal of a handler whose run failed: the first one among the errors of its outcome, the causes of these errors, and what
 * a Promise of a runtime was rejected with. An error that names the run of another handler is not looked into.
 *
 * @internal
 */
export const signalOf = (failed: Cause.Cause<unknown>): Signal | undefined =>
  first(
    // An outcome has the errors of its handler in a `DispatchError`.
    errorsOf(failed).flatMap((error) => isDispatchError(error) ? [error.cause].concat(error.also ?? []) : error),
    (error) => signalIn(error, 0)
  )

const first = <A, B>(values: ReadonlyArray<A>, f: (value: A) => B | undefined): B | undefined => {
  for (const value of values) {
    const found = f(value)
    if (found !== undefined) {
      return found
    }
  }
  return undefined
}

const signalIn = (error: unknown, depth: number): Signal | undefined => {
  if (typeof error !== "object" || error === null || depth > maxDepth) {
    return undefined
  }
  try {
    return isDispatchError(error)
      ? undefined
      : isSignal(error)
      ? error
      : Runtime.isFiberFailure(error)
      ? first(errorsOf(error[Runtime.FiberFailureCauseId]), (inner) => signalIn(inner, depth + 1))
      : "cause" in error
      ? signalIn(error.cause, depth + 1)
      : undefined
  } catch {
    // The error is a Proxy that throws, or one of its getters threw.
    return undefined
  }
}
