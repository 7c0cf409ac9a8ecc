/**
 * Applies the dispositions of a scope's intents: the one place that hands intents over, discards their rows, reports them
 * and dispatches them.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { BufferFullError, DispatchError, type FlushReason, ScopeClosedError } from "../../AirlockError.js"
import * as AirlockMetrics from "../../AirlockMetrics.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { groupBy } from "../support/groupBy.js"
import { dispatchTo } from "./dispatch.js"
import type { Dispositions } from "./disposition.js"
import { noteFiber } from "./fork.js"
import type { IntentRecord } from "./intentRecord.js"
import { warnOfIgnoredExecutor } from "./open.js"
import { discardRows, releaseRows } from "./outboxRows.js"
import { reportDispatched, reportUndispatched } from "./report.js"
import type { CurrentInside, Scope } from "./scope.js"

/** Applies the dispositions. Intents that could not be dispatched get the disposition `Fail`. @internal */
export const apply = (scope: Scope, dispositions: Dispositions, fiber: AnyFiber): Effect.Effect<void> => {
  const { options: { executor }, outer } = scope
  return executor === undefined || outer === undefined
    ? applyAll(scope, dispositions, fiber)
    : Effect.zipLeft(applyAll(scope, dispositions, fiber), warnOfIgnoredExecutor(scope, executor))
}

const applyAll = (scope: Scope, dispositions: Dispositions, fiber: AnyFiber): Effect.Effect<void> => {
  if (dispositions.areAllDispatched) {
    return dispatch(scope, dispositions, dispositions.intents, fiber)
  }
  return Effect.suspend(() => {
    handOver(dispositions, fiber)
    if (scope.journal !== undefined && dispositions.intentsWhere("Discard").length > 0) {
      scope.journal.hasDiscarded = true
    }
    const discarded = discardRows(scope, dispositions.intentsWhere("Discard", "Fail"))
    const reported = Effect.exit(Effect.suspend(() => reportUndispatched(scope, dispositions)))
    return Effect.flatMap(
      Effect.zipRight(discarded, reported),
      (reported) => {
        const dispatched = dispositions.intentsWhere("Dispatch")
        return release(scope, dispositions.intentsWhere("Committed"), dispatched.length > 0, fiber).pipe(
          Effect.zipRight(dispatch(scope, dispositions, dispatched, fiber)),
          // A logger or a tracer that dies must not keep intents from leaving.
          Effect.zipRight(reported)
        )
      }
    )
  })
}

/**
 * Hands intents over to the outer scopes that capture them. An outer scope that has settled meanwhile, or that is full, refuses
 * them. No other fiber runs between this check and the capture.
 */
const handOver = (dispositions: Dispositions, fiber: AnyFiber): void => {
  const captures = groupBy(dispositions.where("HandOver"), ({ disposition }) => disposition.to)
  const refused = new Map<IntentRecord, FlushReason>()
  for (const [outer, captured] of captures) {
    const intents = captured.map(({ intent }) => intent)
    const refusal = refusalOf(outer.scope, intents.length)
    if (refusal === undefined) {
      capture(outer, intents, fiber)
    } else {
      intents.forEach((intent) => refused.set(intent, refusal(intent.task.name)))
    }
  }
  dispositions.fail(refused)
}

/** The reason why a scope cannot capture `count` intents; `undefined` if it can. */
const refusalOf = (
  { buffer, limits: { maxIntents: limit }, name: scope, state }: Scope,
  count: number
): ((task: string) => FlushReason) | undefined =>
  state !== "open"
    ? (task) => new ScopeClosedError({ task, scope, state })
    : buffer.length + count > limit
    ? (task) => new BufferFullError({ task, scope, limit })
    : undefined

/** Adds intents to the buffer of an outer scope. Each intent keeps its chain of policies. */
const capture = (
  { fork, scope: { buffer } }: CurrentInside,
  intents: ReadonlyArray<IntentRecord>,
  fiber: AnyFiber
): void => {
  noteFiber(fork, fiber)
  const isInOrder = buffer.length === 0 || buffer[buffer.length - 1]!.id < intents[0]!.id
  for (const intent of intents) {
    intent.fork = fork
    buffer.push(intent)
  }
  AirlockMetrics.captured.unsafeUpdate(intents.length, [])
  if (!isInOrder) {
    // Scopes that run concurrently hand over in the order in which they end. Ids are in the order of the enqueues.
    buffer.sort((a, b) => a.id < b.id ? -1 : 1)
  }
}

/** If intents are dispatched after the release, it is awaited: intents leave in order. */
const release = (
  scope: Scope,
  intents: ReadonlyArray<IntentRecord>,
  awaited: boolean,
  fiber: AnyFiber
): Effect.Effect<void> =>
  intents.length === 0
    ? Effect.void
    : Effect.map(releaseRows(scope, intents, { awaited }), () => {
      if (scope.journal !== undefined) {
        scope.journal.isOut = true
      }
      reportDispatched(fiber, intents)
    })

/** Gives intents to the executor, if the request of the scope still owns its idempotency key. */
const dispatch = (
  scope: Scope,
  dispositions: Dispositions,
  intents: ReadonlyArray<IntentRecord>,
  fiber: AnyFiber
): Effect.Effect<void> => {
  const { journal } = scope
  return journal === undefined || intents.length === 0
    ? dispatchBatch(scope, dispositions, intents, fiber)
    : Effect.flatMap(journal.beforeDispatch, (mayLeave) => {
      if (mayLeave) {
        return dispatchBatch(scope, dispositions, intents, fiber)
      }
      const cause = new Error("the request took longer than its lease, and another one has its idempotency key now")
      dispositions.fail(
        new Map(intents.map((intent) => [intent, new DispatchError({ task: intent.task.name, cause })]))
      )
      return Effect.void
    })
}

/** Gives intents to the executor, as one batch, in order. */
const dispatchBatch = (
  { airlock, executor, journal, limits }: Scope,
  dispositions: Dispositions,
  intents: ReadonlyArray<IntentRecord>,
  fiber: AnyFiber
): Effect.Effect<void> =>
  intents.length === 0 ? Effect.void : Effect.map(
    dispatchTo(executor, intents, airlock.handlers, { limit: limits.dispatchTimeout }),
    (undispatched) => {
      const failed = new Map(undispatched.map(({ index, reason }) => [intents[index]!, reason]))
      dispositions.fail(failed)
      if (journal !== undefined && undispatched.filter(({ reason }) => wasNotBegun(reason)).length < intents.length) {
        journal.isOut = true
      }
      reportDispatched(fiber, failed.size === 0 ? intents : intents.filter((intent) => !failed.has(intent)))
    }
  )

/** Whether it is certain that the handler of an intent has not begun. */
const wasNotBegun = ({ _tag }: FlushReason): boolean => _tag === "NotAttemptedError" || _tag === "UnknownTaskError"
