/**
 * Changes how an executor dispatches.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import type { Intent } from "../../Intent.js"
import type { DispatchReason, Executor, Outcome } from "../contract/executor.js"
import { callExecutor, checkAnswer, dispatchTo, reasonOf } from "../scope/dispatch.js"
import { yieldToEventLoop } from "../support/yieldToEventLoop.js"
import { withDispatch } from "./make.js"

/** @internal */
export const retrying = (
  self: Executor,
  schedule: Schedule.Schedule<unknown, ReadonlyArray<DispatchReason>>
): Executor =>
  withDispatch(self, (dispatch) => (intents, handlers) =>
    Effect.flatMap(Schedule.driver(schedule), (driver) => {
      const outcomes: Array<Outcome> = []
      const attempt = (indices: ReadonlyArray<number>): Effect.Effect<ReadonlyArray<Outcome>> => {
        const batch = indices.map((index) => intents[index]!)
        return Effect.flatMap(
          Effect.exit(Effect.suspend(() => callExecutor({ name: self.name, dispatch }, batch, handlers))),
          (ended) => {
            const exit = checkAnswer(self, batch, ended)
            indices.forEach((index, position) => {
              const outcome = Exit.isSuccess(exit) ? exit.value[position] : undefined
              outcomes[index] = outcome ?? Exit.fail(reasonOf(self, intents[index]!, exit, undefined))
            })
            const retryable = indices.filter((index) => isRetryable(outcomes[index]!))
            if (retryable.length === 0 || Exit.isInterrupted(exit)) {
              return Effect.succeed(outcomes)
            }
            const reasons = retryable.map((index) => reasonOf(self, intents[index]!, undefined, outcomes[index]))
            // If it is interrupted while it waits, it returns the outcomes that it has.
            return Effect.flatMap(
              Effect.exit(Effect.interruptible(driver.next(reasons))),
              // A schedule that never pauses must not block the event loop, on which time limits depend.
              (next) =>
                Exit.isSuccess(next)
                  ? Effect.zipRight(yieldToEventLoop, Effect.suspend(() => attempt(retryable)))
                  : Effect.succeed(outcomes)
            )
          }
        )
      }
      return attempt(intents.map((_, index) => index))
    }))

const isRetryable = (outcome: Outcome): boolean =>
  Exit.isFailure(outcome) && !(outcome.cause._tag === "Fail" && outcome.cause.error._tag === "UnknownTaskError")

/** @internal */
export const timed = (self: Executor, limit: Duration.Duration): Executor =>
  withDispatch(self, (dispatch) => (intents, handlers) =>
    Effect.map(
      dispatchTo({ ...self, dispatch }, intents, handlers, { limit, interruptible: true }),
      (undispatched) => {
        const outcomes: Array<Outcome> = intents.map(() => Exit.void)
        for (const { index, reason } of undispatched) {
          outcomes[index] = Exit.fail(reason)
        }
        return outcomes
      }
    ))

/** @internal */
export const tapped = (
  self: Executor,
  onOutcome: (intent: Intent, outcome: Outcome) => Effect.Effect<void>
): Executor =>
  withDispatch(
    self,
    (dispatch) => (intents, handlers) =>
      Effect.flatMap(callExecutor({ name: self.name, dispatch }, intents, handlers), (outcomes) => {
        const exit = checkAnswer(self, intents, Exit.succeed(outcomes))
        if (Exit.isFailure(exit)) {
          return Effect.failCause(exit.cause)
        }
        const known = (intent: Intent, outcome: Outcome | undefined): Outcome =>
          Exit.isExit(outcome) ? outcome : Exit.fail(reasonOf(self, intent, exit, outcome))
        const tapping = Effect.forEach(intents, (intent, index) =>
          Effect.catchAllCause(
            Effect.suspend(() => onOutcome(intent, known(intent, outcomes[index]))),
            (cause) => Effect.logWarning("A function given to Executor.tapped failed", cause)
          ), { discard: true })
        // The outcomes are returned however the tapping ends.
        return Effect.as(Effect.exit(Effect.interruptible(tapping)), outcomes)
      })
  )
