/**
 * Registers the Effects of `SqlTransaction.afterRollback`, and runs them as closures when the transaction has released its
 * connection.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { AirlockService } from "../contract/airlock.js"
import { outsideScopes } from "../scope/currentScope.js"
import type { Frame } from "../scope/frame.js"
import { closureOf, type IntentRecord, recordOf } from "../scope/intentRecord.js"
import { isRolledBack } from "../scope/transactionTag.js"
import { runWithDeadline } from "../support/deadline.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { makeId } from "../support/id.js"

/** @internal */
export interface RollbackHook {
  /** The transaction or savepoint in which it was registered. */
  readonly frame: Frame
  /** The Effect as an intent. It is in no scope's buffer, so no policy can drop it. */
  readonly intent: IntentRecord
}

/** @internal */
export const rollbackHook = <A, E, R>(
  frame: Frame,
  effect: Effect.Effect<A, E, R>,
  fiber: AnyFiber
): RollbackHook => {
  const { cascade, depth, id: scopeId } = frame.scope
  const now = Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeMillis()
  return {
    frame,
    intent: recordOf({
      id: makeId(now),
      task: { name: "afterRollback", payloadSchema: Schema.Void },
      payload: undefined,
      enqueuedAt: now,
      scopeId,
      depth,
      cascade,
      span: fiber.currentSpan,
      closure: closureOf(effect, fiber.currentContext)
    })
  }
}

/** @internal */
export const runRollbackHooks = (
  hooks: ReadonlyArray<RollbackHook>,
  airlock: AirlockService
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const intents = hooks.filter(({ frame }) => isRolledBack(frame)).map(({ intent }) => intent)
    if (intents.length === 0) {
      return
    }
    const { exit, timeout } = yield* runWithDeadline(airlock.handlers.run(intents), {
      what: "The Effects of SqlTransaction.afterRollback",
      limit: airlock.dispatchTimeout,
      update: outsideScopes
    })
    if (timeout !== undefined) {
      yield* Effect.logError(
        "A transaction was rolled back, and its SqlTransaction.afterRollback did not end in time",
        timeout
      )
    }
    const outcomes = exit !== undefined && Exit.isSuccess(exit) ? exit.value : []
    for (const { cause } of outcomes.filter(Exit.isFailure)) {
      yield* Effect.logError(
        "A transaction was rolled back, and its SqlTransaction.afterRollback failed",
        Cause.squash(cause)
      )
    }
  })
