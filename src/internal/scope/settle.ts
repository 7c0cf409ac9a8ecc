/**
 * Settles a scope: `open -> settling -> flushed | discarded`. There is no other way out of a scope.
 *
 * Everything here runs in an uninterruptible region, so that an interruption cannot split a settlement.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { FlushError, type FlushFailure } from "../../AirlockError.js"
import { withCallersStack } from "../support/callSite.js"
import { runWithDeadline } from "../support/deadline.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { flatMapExit } from "../support/flatMapExit.js"
import { withFlushSpan } from "../telemetry/spans.js"
import { apply } from "./apply.js"
import { outsideScopes } from "./currentScope.js"
import { decide, discardAll, type SettleOptions } from "./decide.js"
import { reportSettledAround, reportSettling } from "./report.js"
import type { Scope, Settlement } from "./scope.js"

/**
 * Settles a scope once. A second call returns the settlement of the first.
 *
 * @internal
 */
export const settle = <A>(
  scope: Scope,
  exit: Exit.Exit<A, unknown>,
  options: SettleOptions<A> = {}
): Effect.Effect<Settlement> =>
  Effect.withFiberRuntime((fiber) => {
    if (scope.state !== "open") {
      return settlementOf(scope, fiber)
    }
    if (typeof options.flush !== "function") {
      const settlement = settleEmpty(scope, options.flush ?? Exit.isSuccess(exit))
      if (settlement !== undefined) {
        return Effect.succeed(settlement)
      }
    }
    scope.state = "settling"
    const reportSettled = reportSettling(fiber, scope)
    const settling = flatMapExit(Effect.suspend(() => decide(scope, exit, options, fiber)), (decided) => {
      const dispositions = Exit.isSuccess(decided) ? decided.value : discardAll(scope)
      return flatMapExit(apply(scope, dispositions, fiber), (applied) =>
        flatMapExit(closeExecutor(scope), (closed) => {
          const failures = [...dispositions.failures, ...Exit.isSuccess(closed) ? closed.value : []]
          reportSettled(failures)
          return Effect.succeed(finish(scope, {
            state: dispositions.flushes ? "flushed" : "discarded",
            failures,
            defect: defectOf(decided, applied, closed),
            isLost: losesAny(scope, failures)
          }))
        }))
    })
    const reporting = scope.settledAround === undefined
      ? settling
      : Effect.zipRight(reportSettledAround(scope), settling)
    return scope.buffer.length === 0 ? reporting : withFlushSpan(reporting, fiber, scope)
  })

/**
 * Settles a scope that holds no intents at once, without an Effect, if no code has to be called.
 *
 * @internal
 */
export const settleEmpty = (scope: Scope, flush: boolean): Settlement | undefined =>
  scope.state === "open" && scope.buffer.length === 0 && scope.options.shouldFlush === undefined &&
    scope.executor.close === undefined
    ? finish(scope, flush ? flushedEmpty : discardedEmpty)
    : undefined

const flushedEmpty: Settlement = { state: "flushed", failures: [], defect: Cause.empty, isLost: false }
const discardedEmpty: Settlement = { ...flushedEmpty, state: "discarded" }

/** The settlement of a scope that another call settles, or has settled. */
const settlementOf = (scope: Scope, fiber: AnyFiber): Effect.Effect<Settlement> => {
  if (scope.settlement !== undefined) {
    return Effect.succeed(scope.settlement)
  }
  scope.settled ??= Deferred.unsafeMake<Settlement>(fiber.id())
  return Deferred.await(scope.settled)
}

const finish = (scope: Scope, settlement: Settlement): Settlement => {
  scope.state = settlement.state
  scope.settlement = settlement
  // The executor may still hold the array.
  scope.buffer = []
  if (scope.settled !== undefined) {
    Deferred.unsafeDone(scope.settled, Exit.succeed(settlement))
  }
  return settlement
}

/** The defects of code that settling called. */
const defectOf = (...exits: ReadonlyArray<Exit.Exit<unknown>>): Cause.Cause<never> => {
  const [first = Cause.empty, ...others] = exits.filter(Exit.isFailure).map(({ cause }) =>
    Cause.die(Cause.squash(cause))
  )
  return others.reduce(Cause.parallel, first)
}

const losesAny = ({ buffer }: Scope, failures: ReadonlyArray<FlushFailure>): boolean => {
  const failed = new Set<string>(failures.map(({ intentId }) => intentId))
  return buffer.some(({ durable, id }) => durable !== undefined && failed.has(id))
}

const noFailures: Effect.Effect<ReadonlyArray<FlushFailure>> = Effect.succeed([])

/** Closes an executor that keeps state for the outermost scope. It returns the failures that `dispatch` did not know. */
const closeExecutor = ({ airlock, executor, limits, outer }: Scope): Effect.Effect<ReadonlyArray<FlushFailure>> =>
  outer !== undefined || executor.close === undefined ? noFailures : Effect.flatMap(
    runWithDeadline(Effect.suspend(() => executor.close!(airlock.handlers)), {
      what: `The executor "${executor.name}"`,
      limit: limits.dispatchTimeout,
      update: outsideScopes
    }),
    ({ exit, timeout }) =>
      exit === undefined || Exit.isFailure(exit)
        ? Effect.die(timeout ?? Cause.squash(exit!.cause))
        : Array.isArray(exit.value)
        ? exit
        : Effect.dieMessage(`The \`close\` of the executor "${executor.name}" did not return a list of failures.`)
  )

/**
 * The failure of a settlement, for callers that return no exit of their own.
 *
 * @internal
 */
export const failureOf = <A>(
  scope: Scope,
  exit: Exit.Exit<A, unknown>,
  { defect, failures }: Settlement
): Exit.Exit<void, FlushError<A>> =>
  failures.length > 0
    ? Exit.fail(withCallersStack(new FlushError<A>({ scope: scope.name, failures, exit })))
    : Cause.isEmpty(defect)
    ? Exit.void
    : Exit.failCause(defect)

/**
 * The exit of a scope: the exit of its body, unless an intent that should have left did not. The `FlushError` carries a
 * success of the body, and follows a cause of the body.
 *
 * @internal
 */
export const exitOf = <A, E>(
  scope: Scope,
  exit: Exit.Exit<A, E>,
  settlement: Settlement
): Exit.Exit<A, E | FlushError<A>> => {
  const flush = failureOf(scope, exit, settlement)
  return Exit.isSuccess(flush)
    ? exit
    : Exit.failCause(Exit.isSuccess(exit) ? flush.cause : Cause.sequential(exit.cause, flush.cause))
}
