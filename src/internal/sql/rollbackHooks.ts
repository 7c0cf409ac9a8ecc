/**
 * What runs when work was rolled back: as the handler of an intent would, once the transaction's connection is free again.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { inProcess } from "../../Executor.js"
import type { AirlockService } from "../airlock.js"
import { bounded } from "../bounded.js"
import { closureOf } from "../enqueue.js"
import { makeId } from "../id.js"
import { IntentRecord } from "../intent.js"
import { rootFork } from "../position.js"
import { type Frame, isRolledBack } from "../transactionConnection.js"

/** @internal */
export interface RollbackHook {
  /** The transaction or savepoint that it was asked for in. */
  readonly frame: Frame
  /** A closure, which belongs to no scope and meets no policy: nothing of it was wished, should all go well. */
  readonly intent: IntentRecord
}

/** @internal */
export const rollbackHook = <A, E, R>(
  frame: Frame,
  effect: Effect.Effect<A, E, R>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): RollbackHook => {
  const { cascade, depth, id } = frame.scope
  const now = Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeMillis()
  const task = { name: "afterRollback", payloadSchema: Schema.Void }
  const closure = closureOf(effect, fiber.currentContext)
  const { currentSpan } = fiber
  return {
    frame,
    intent: new IntentRecord(
      makeId(now),
      task,
      undefined,
      {},
      now,
      id,
      depth,
      cascade,
      currentSpan,
      undefined,
      rootFork(),
      undefined,
      closure
    )
  }
}

/** @internal */
export const runRollbackHooks = (hooks: ReadonlyArray<RollbackHook>, airlock: AirlockService): Effect.Effect<void> => {
  const intents = hooks.filter(({ frame }) => isRolledBack(frame)).map(({ intent }) => intent)
  if (intents.length === 0) {
    return Effect.void
  }
  const dispatched = bounded(
    inProcess().dispatch(intents, airlock.handlers),
    undefined,
    "What runs after a rollback",
    airlock.dispatchTimeout
  )
  return Effect.flatMap(dispatched, ({ exit, timeout }) => {
    const failures = exit !== undefined && Exit.isSuccess(exit) ? exit.value.filter(Exit.isFailure) : []
    return Effect.zipRight(
      timeout === undefined ? Effect.void : Effect.logError("A transaction was rolled back", timeout),
      Effect.forEach(
        failures,
        ({ cause }) =>
          Effect.logError("A transaction was rolled back, and what was to run then failed", Cause.squash(cause)),
        { discard: true }
      )
    )
  })
}
