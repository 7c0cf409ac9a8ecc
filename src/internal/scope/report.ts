/**
 * Reports the dispositions of a scope's intents, in logs, metrics and span events.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import type { FlushFailure } from "../../AirlockError.js"
import * as AirlockMetrics from "../../AirlockMetrics.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { groupBy } from "../support/groupBy.js"
import { count, type Decision, failed, late, nameOf, tell } from "../telemetry/decision.js"
import { addEvents, isTraced, now } from "../telemetry/spans.js"
import { type Disposed, type Dispositions, reasonOf } from "./disposition.js"
import type { IntentRecord } from "./intentRecord.js"
import type { Scope } from "./scope.js"

const discarded: Decision<Disposed<"Discard">> = {
  level: LogLevel.Debug,
  message: "discarded intents: their scope did not succeed",
  describe: ({ intent }) => nameOf(intent),
  metric: AirlockMetrics.discarded,
  event: "discarded"
}

const notApproved: typeof discarded = { ...discarded, message: "discarded intents: their plan was not approved" }

const planned: typeof discarded = { ...discarded, message: "discarded intents: a plan dispatches nothing" }

/** The only discard that surprises: the scope flushes, and these intents do not leave. */
const setAside: typeof discarded = {
  ...discarded,
  level: LogLevel.Warning,
  message:
    "discarded intents though their scope flushed, because of what became of their fibers. Join a fiber before the scope " +
    "ends. Put Airlock.scoped({ independent: true }) around work that should leave whatever becomes of its fiber",
  describe: ({ disposition, intent }) => `${nameOf(intent)}: ${reasonOf(disposition.why)}`
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
  const discards = groupBy(
    dispositions.where("Discard"),
    ({ disposition: { why } }) =>
      dispositions.flushes ? setAside : why === "NotApproved" ? notApproved : why === "Planned" ? planned : discarded
  )
  return Effect.all([
    ...[...discards].map(([decision, items]) => tell(decision, items, scope.name)),
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

/** The fiber of the scope outlives the scope in which it was forked. @internal */
export const reportSettledAround = ({ name, settledAround }: Scope): Effect.Effect<void> =>
  Effect.logDebug(`Airlock opened a root scope: the scope of its fiber, "${settledAround}", has settled`).pipe(
    Effect.annotateLogs("airlock.scope", name)
  )

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
