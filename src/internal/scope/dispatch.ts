/**
 * Gives a batch to an executor, with a deadline, and finds out what became of each intent.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { DispatchError, NotAttemptedError, SettleTimeoutError, UnknownTaskError } from "../../AirlockError.js"
import type { Intent } from "../../Intent.js"
import type { DispatchReason, Executor, Handlers, Outcome } from "../contract/executor.js"
import { runWithDeadline } from "../support/deadline.js"
import { errorsOf, printHeadline } from "../support/printError.js"
import { outsideScopes } from "./currentScope.js"

/** An intent that was not dispatched, by its place in the batch. @internal */
export interface Undispatched {
  readonly index: number
  readonly reason: DispatchReason
}

/** @internal */
export interface DispatchOptions {
  readonly limit: Duration.Duration
  /** Whether an interruption of the caller, which is uninterruptible, interrupts the executor. Default: `false`. */
  readonly interruptible?: boolean
}

/** Dispatches a batch and returns the intents that were not dispatched, in order, however the executor ends. @internal */
export const dispatchTo = (
  executor: Executor,
  intents: ReadonlyArray<Intent>,
  handlers: Handlers,
  { interruptible = false, limit }: DispatchOptions
): Effect.Effect<ReadonlyArray<Undispatched>> =>
  Effect.map(
    runWithDeadline(Effect.suspend(() => callExecutor(executor, intents, handlers)), {
      what: `The executor "${executor.name}"`,
      limit,
      update: outsideScopes,
      ...(interruptible && { onInterrupt: "await" })
    }),
    ({ exit: ended, timeout }) => {
      const exit = ended && checkAnswer(executor, intents, ended)
      const outcomes = exit !== undefined && Exit.isSuccess(exit) ? exit.value : []
      const undispatched: Array<Undispatched> = []
      for (let index = 0; index < intents.length; index++) {
        const intent = intents[index]!
        // If the executor returned no outcome, the handler of the intent may still have ended.
        const outcome = outcomes[index] ?? outcomeOf(intent)
        if (outcome === undefined || outcome._tag !== "Success") {
          const reason = timeout !== undefined && wasNotAttempted(outcome)
            ? timeout
            : reasonOf(executor, intent, exit, outcome)
          undispatched.push({ index, reason })
        }
      }
      return undispatched
    }
  )

/** Calls an executor. One of the application may return no Effect. @internal */
export const callExecutor = (
  { dispatch, name }: Pick<Executor, "name" | "dispatch">,
  intents: ReadonlyArray<Intent>,
  handlers: Handlers
): ReturnType<Executor["dispatch"]> => {
  const dispatched: unknown = dispatch(intents, handlers)
  return Effect.isEffect(dispatched)
    ? dispatched as ReturnType<Executor["dispatch"]>
    : Effect.die(wrongAnswer(name, `${printHeadline(dispatched)}, which is no Effect`))
}

/**
 * The exit of an executor, as a defect if what it returned is no list of outcomes, or has more outcomes than there are intents:
 * then nothing says what became of which intent.
 *
 * @internal
 */
export const checkAnswer = (
  { name }: Pick<Executor, "name">,
  intents: ReadonlyArray<Intent>,
  exit: Exit.Exit<ReadonlyArray<Outcome>>
): Exit.Exit<ReadonlyArray<Outcome | undefined>> => {
  const answer: unknown = Exit.isSuccess(exit) ? exit.value : []
  return !Array.isArray(answer)
    ? Exit.die(wrongAnswer(name, printHeadline(answer)))
    : answer.length > intents.length
    ? Exit.die(wrongAnswer(name, `${answer.length} outcomes for ${intents.length} intents`))
    : exit
}

const wrongAnswer = (executor: string, answer: string): Error =>
  new Error(`the executor "${executor}" returned ${answer}. It has to return one outcome for each intent`)

/** The outcome of the handler of an intent in this process, if it has ended. @internal */
export const outcomeOf = (intent: Intent & { readonly outcome?: Outcome | undefined }): Outcome | undefined =>
  intent.outcome

/** An executor of the application may return outcomes that do not fit their type. */
const isDispatchReason = Schema.is(Schema.Union(DispatchError, UnknownTaskError, NotAttemptedError, SettleTimeoutError))

/** @internal */
export const wasNotAttempted = (outcome: Outcome | undefined): boolean =>
  outcome === undefined || Exit.isFailure(outcome) &&
    Option.exists(Cause.failureOption(outcome.cause), (reason) => reason._tag === "NotAttemptedError")

/** Why an intent was not dispatched, by its outcome, or by the exit of the executor if there is no outcome. @internal */
export const reasonOf = (
  executor: Executor,
  { task: { name: task } }: Intent,
  exit: Exit.Exit<unknown> | undefined,
  outcome: Outcome | undefined
): DispatchReason => {
  if (outcome !== undefined && !Exit.isExit(outcome)) {
    const cause = new Error(
      `the executor "${executor.name}" returned ${printHeadline(outcome)} for it, which is no Exit`
    )
    return new DispatchError({ task, cause })
  }
  if (outcome !== undefined && Exit.isFailure(outcome)) {
    return Option.getOrElse(
      Option.filter(Cause.failureOption(outcome.cause), isDispatchReason),
      () => dispatchError(task, outcome.cause)
    )
  }
  return exit !== undefined && Exit.isFailure(exit)
    ? dispatchError(task, exit.cause)
    : new DispatchError({ task, cause: new Error(`the executor "${executor.name}" gave no outcome for it`) })
}

/** The error of an intent whose handler or executor failed, with all errors of the Cause. @internal */
export const dispatchError = (task: string, failed: Cause.Cause<unknown>): DispatchError => {
  const [cause, ...also] = errorsOf(failed)
  return new DispatchError(also.length === 0 ? { task, cause } : { task, cause, also })
}
