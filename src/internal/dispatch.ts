/**
 * Handing a batch to an executor, bounded in time, and finding out what became of each intent.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { DispatchError, NotAttemptedError, SettleTimeoutError, UnknownTaskError } from "../AirlockError.js"
import type { DispatchReason, Executor, Handlers, Outcome } from "../Executor.js"
import type { Intent } from "../Intent.js"
import { bounded } from "./bounded.js"

/** @internal */
export interface Undispatched {
  readonly index: number
  readonly reason: DispatchReason
}

/**
 * Gives those that were not dispatched, in order, whatever the executor did.
 *
 * @internal
 */
export const dispatchWithin = (
  executor: Executor,
  intents: ReadonlyArray<Intent>,
  handlers: Handlers,
  limit: Duration.Duration,
  /** Whether an interruption of the caller, which is uninterruptible, is passed on to the executor. */
  passesOnInterruption = false
): Effect.Effect<ReadonlyArray<Undispatched>> =>
  Effect.map(
    bounded(
      Effect.suspend(() => executor.dispatch(intents, handlers)),
      undefined,
      `The executor "${executor.name}"`,
      limit,
      passesOnInterruption ? { onInterruption: "ask" } : {}
    ),
    ({ exit, timeout }) => {
      const outcomes = exit !== undefined && Exit.isSuccess(exit) ? exit.value : []
      const undispatched: Array<Undispatched> = []
      for (let index = 0; index < intents.length; index++) {
        const intent = intents[index]!
        // Where no answer came, those whose handlers have run are known all the same.
        const outcome = outcomes[index] ?? outcomeOf(intent)
        if (outcome === undefined || Exit.isFailure(outcome)) {
          const reason = timeout !== undefined && wasNotAttempted(outcome)
            ? timeout
            : reasonOf(executor, intent, exit, outcome)
          undispatched.push({ index, reason })
        }
      }
      return undispatched
    }
  )

/** What the handler of an intent came to in this process, where one has ended. @internal */
export const outcomeOf = (intent: Intent & { readonly outcome?: Outcome | undefined }): Outcome | undefined =>
  intent.outcome

/** What an executor of someone else gives may be something else than its type says. */
const isDispatchReason = Schema.is(Schema.Union(DispatchError, UnknownTaskError, NotAttemptedError, SettleTimeoutError))

/** @internal */
export const wasNotAttempted = (outcome: Outcome | undefined): boolean =>
  outcome === undefined || Exit.isFailure(outcome) &&
    Option.exists(Cause.failureOption(outcome.cause), (reason) => reason._tag === "NotAttemptedError")

/** Why an intent was not dispatched, whatever its executor said of it. @internal */
export const reasonOf = (
  executor: Executor,
  { task: { name: task } }: Intent,
  exit: Exit.Exit<unknown> | undefined,
  outcome: Outcome | undefined
): DispatchReason => {
  if (outcome !== undefined && Exit.isFailure(outcome)) {
    return Option.getOrElse(
      Option.filter(Cause.failureOption(outcome.cause), isDispatchReason),
      () => new DispatchError({ task, cause: Cause.squash(outcome.cause) })
    )
  }
  const cause = exit !== undefined && Exit.isFailure(exit)
    ? Cause.squash(exit.cause)
    : new Error(`the executor "${executor.name}" gave no outcome for it`)
  return new DispatchError({ task, cause })
}

/**
 * Another way to dispatch. What an executor would say only when its scope ends is asked for after each batch: a combinator
 * is to see what became of it.
 *
 * @internal
 */
export const withDispatch = (
  self: Executor,
  change: (dispatch: Executor["dispatch"]) => Executor["dispatch"]
): Executor => ({ ...Struct.omit(self, "close", "forScope"), dispatch: change(self.dispatch) })
