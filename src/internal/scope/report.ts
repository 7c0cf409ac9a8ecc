/**
 * Reports the dispositions of a scope's intents, in logs, metrics and span events.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import type { FlushFailure } from "../../AirlockError.js"
import * as AirlockMetrics from "../../AirlockMetrics.js"
import type { Intent } from "../../Intent.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { groupBy } from "../support/groupBy.js"
import { count, type Decision, failed, late, nameOf, tell } from "../telemetry/decision.js"
import { addEvents, isTraced, now } from "../telemetry/spans.js"
import type { DiscardReason, Disposed, Dispositions } from "./disposition.js"
import type { IntentRecord } from "./intentRecord.js"
import type { Scope } from "./scope.js"

const discarded = (level: LogLevel.LogLevel, why: string): Decision<Intent> => ({
  level,
  message: `discarded intents: ${why}`,
  describe: nameOf,
  metric: AirlockMetrics.discarded,
  event: "discarded"
})

const byFiber = discarded(LogLevel.Debug, "the fibers that enqueued them failed or were interrupted")

const discardDecisions: { readonly [Why in DiscardReason]: Decision<Intent> } = {
  ScopeFailed: discarded(LogLevel.Debug, "their scope did not succeed"),
  NotApproved: discarded(LogLevel.Debug, "their plan was not approved"),
  FiberFailed: byFiber,
  FiberInterrupted: byFiber,
  FiberStopped: discarded(
    LogLevel.Warning,
    "the fibers that enqueued them ran unsupervised and were interrupted, as is a stage of a Stream " +
      "that feeds a concurrent one. Enqueue in a fiber that ends by itself"
  ),
  FiberRunning: discarded(
    LogLevel.Warning,
    "the fibers that enqueued them still run though their scope ends. " +
      "Join those fibers, or give them a scope of their own"
  )
}

const dropped: Decision<Disposed<"Drop">> = {
  level: LogLevel.Debug,
  message: "dropped intents: a policy does not let them leave",
  describe: ({ disposition: { by: { policy, reason } }, intent }) => `${nameOf(intent)} by ${policy}: ${reason}`,
  metric: AirlockMetrics.dropped,
  event: "dropped",
  labels: ({ disposition, intent }) => ({ task: intent.task.name, policy: disposition.by.policy })
}

/** Reports the intents that the scope does not dispatch. @internal */
export const reportUndispatched = (scope: Scope, dispositions: Dispositions): Effect.Effect<void> => {
  const discarded = groupBy(dispositions.where("Discard"), ({ disposition }) => discardDecisions[disposition.why])
  return Effect.all([
    ...[...discarded].map(([decision, items]) => tell(decision, items.map(intentOf), scope.name)),
    tell(dropped, dispositions.where("Drop"), scope.name),
    ...reportLate(dispositions)
  ], { discard: true })
}

const intentOf = ({ intent }: { readonly intent: IntentRecord }): IntentRecord => intent

/** Intents that an outer scope refuses because it has settled are reported like late enqueues. */
const reportLate = (dispositions: Dispositions): ReadonlyArray<Effect.Effect<void>> => {
  const scopeOf = ({ disposition: { reason } }: Disposed<"Fail">) =>
    reason._tag === "ScopeClosedError" ? reason.scope : undefined
  return [...groupBy(dispositions.where("Fail"), scopeOf)].map(([scope, items]) =>
    scope === undefined ? Effect.void : tell(late, items.map(intentOf), scope)
  )
}

/** Counts the intents that were dispatched, and traces them. They are not logged. @internal */
export const reportDispatched = (fiber: AnyFiber, intents: ReadonlyArray<IntentRecord>): void => {
  AirlockMetrics.dispatched.unsafeUpdate(intents.length, [])
  if (isTraced(fiber)) {
    addEvents(fiber, "dispatched", intents, (intent) => ({ intent: nameOf(intent) }))
  }
}

/**
 * Counts the scope's own intents when the scope begins to settle, and not at each enqueue. Returns a function that reports
 * the end of the settlement: its size, its time and its failures. Failures are in the `FlushError`, so they are not logged.
 *
 * @internal
 */
export const reportSettling = (
  fiber: AnyFiber,
  scope: Scope
): (failures: ReadonlyArray<FlushFailure>) => void => {
  const began = now(fiber)
  const size = scope.buffer.length
  const own = scope.buffer.reduce((sum, { scopeId }) => scopeId === scope.id ? sum + 1 : sum, 0)
  if (own > 0) {
    AirlockMetrics.enqueued.unsafeUpdate(own, [])
  }
  return (failures) => {
    if (size > 0) {
      AirlockMetrics.scopeSize.unsafeUpdate(size, [])
      AirlockMetrics.flushMillis.unsafeUpdate(Number(now(fiber) - began) / 1e6, [])
    }
    if (failures.length > 0) {
      const { labels } = failed
      count(AirlockMetrics.failed, failures, labels)
      addEvents(fiber, "failed", failures, (failure) => ({
        intent: `${failure.task} ${failure.intentId}`,
        ...labels?.(failure)
      }))
    }
  }
}
