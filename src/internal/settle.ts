/**
 * Settling a scope, step by step: `open -> settling -> flushed | discarded`. There is no other way out of a scope.
 *
 * Everything here runs in an uninterruptible region, so that an interruption cannot split a settlement.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { LazyArg } from "effect/Function"
import {
  BufferFullError,
  FlushError,
  type FlushFailure,
  type FlushReason,
  type PolicyFailedError,
  ScopeClosedError,
  type SettleTimeoutError
} from "../AirlockError.js"
import * as AirlockMetrics from "../AirlockMetrics.js"
import { bounded } from "./bounded.js"
import { withCallersStack } from "./callSite.js"
import { asideBy, decide, insidePolicy, needDecision, valueOf, type Verdict } from "./decide.js"
import { dispatchWithin } from "./dispatch.js"
import type { IntentRecord } from "./intent.js"
import { discardParked, hasLeft, tellLeft } from "./park.js"
import { makePlan } from "./planOf.js"
import { fateOfBranch, isInterrupted, noteFiber, type Position } from "./position.js"
import * as report from "./report.js"
import type { Scope } from "./scope.js"
import * as tracing from "./tracing.js"
import { isRolledBack } from "./transactionConnection.js"

/** @internal */
export interface Settlement {
  readonly state: "flushed" | "discarded"
  /** The intents that should have left, and did not. */
  readonly failures: ReadonlyArray<FlushFailure>
  /** A defect of code that was asked while settling, such as `shouldFlush`. */
  readonly defect: Cause.Cause<never>
  /** Whether one of those was to be kept by a durable executor, and is not. */
  readonly isLost: boolean
}

/** @internal */
export interface SettleHow {
  /** Decides instead of the exit. */
  readonly flush?: boolean | LazyArg<boolean>
  /** The exit alone decides: an interruption that waits undoes nothing. So it is when the database has committed. */
  readonly byExitAlone?: boolean
}

const settled = (
  state: Settlement["state"],
  failures: ReadonlyArray<FlushFailure> = [],
  defect: Cause.Cause<never> = Cause.empty
): Settlement => ({ state, failures, defect, isLost: false })

const nothingLeft = settled("flushed")
const nothingKept = settled("discarded")

/**
 * Settles a scope, once: whoever comes second gets what the first one got.
 *
 * @internal
 */
export const settle = (
  scope: Scope,
  exit: Exit.Exit<unknown, unknown>,
  how: SettleHow = {}
): Effect.Effect<Settlement> =>
  Effect.withFiberRuntime((fiber) => {
    if (scope.settlement !== undefined) {
      return Effect.succeed(scope.settlement)
    }
    if (scope.state !== "open") {
      scope.latecomers ??= Deferred.unsafeMake<Settlement>(fiber.id())
      return Deferred.await(scope.latecomers)
    }
    if (typeof how.flush !== "function") {
      const settlement = settleEmpty(scope, how.flush ?? Exit.isSuccess(exit))
      if (settlement !== undefined) {
        return Effect.succeed(settlement)
      }
    }
    scope.state = "settling"
    const size = scope.buffer.length
    const since = report.now(fiber)
    report.enqueued(scope)
    const end = (settlement: Settlement) => {
      report.settled(fiber, size, since, settlement.failures)
      const isLost = settlement.failures.length > 0 && losesAny(scope, settlement)
      return Effect.succeed(finish(scope, isLost ? { ...settlement, isLost } : settlement))
    }
    const settling = Effect.matchCauseEffect(Effect.suspend(() => steps(scope, exit, how, fiber)), {
      onFailure: (cause) =>
        Effect.flatMap(discardParked(scope, stillIn(scope)), () =>
          closeExecutor(scope, settled("discarded", [], Cause.die(Cause.squash(cause))), end)),
      onSuccess: (settlement) =>
        closeExecutor(scope, settlement, end)
    })
    return tracing.flush(settling, fiber, scope)
  })

/** What no scope around has taken over. */
const stillIn = (scope: Scope): ReadonlyArray<IntentRecord> => {
  const handed = new Set<IntentRecord>()
  for (let at = scope.outer?.scope; at !== undefined; at = at.outer?.scope) {
    at.buffer.forEach((intent) => handed.add(intent))
  }
  return scope.buffer.filter((intent) => !handed.has(intent))
}

const losesAny = (scope: Scope, { failures }: Settlement): boolean => {
  const failed = new Set<string>(failures.map(({ intentId }) => intentId))
  return scope.buffer.some(({ durable, id }) => durable !== undefined && failed.has(id))
}

/** An executor that keeps account of the scope says what it did not know before. */
const closeExecutor = (
  scope: Scope,
  settlement: Settlement,
  end: (settlement: Settlement) => Effect.Effect<Settlement>
): Effect.Effect<Settlement> => {
  const { airlock, dispatchTimeout, executor, outer } = scope
  if (outer !== undefined || executor.close === undefined) {
    return end(settlement)
  }
  const what = `The executor "${executor.name}"`
  const closed = Effect.suspend(() => executor.close!(airlock.handlers))
  return Effect.flatMap(
    bounded(closed, undefined, what, dispatchTimeout),
    ({ exit, timeout }) =>
      end(
        exit !== undefined && Exit.isSuccess(exit)
          ? { ...settlement, failures: [...settlement.failures, ...exit.value] }
          : {
            ...settlement,
            defect: Cause.parallel(settlement.defect, Cause.die(timeout ?? Cause.squash(exit!.cause)))
          }
      )
  )
}

/**
 * Settles a scope that holds nothing, where nobody wants to be asked: at once, without an Effect.
 *
 * @internal
 */
export const settleEmpty = (scope: Scope, flush: boolean): Settlement | undefined =>
  scope.state === "open" && scope.buffer.length === 0 && scope.options.shouldFlush === undefined &&
    scope.executor.close === undefined
    ? finish(scope, flush ? nothingLeft : nothingKept)
    : undefined

/** Step 7. */
const finish = (scope: Scope, settlement: Settlement): Settlement => {
  scope.state = settlement.state
  scope.settlement = settlement
  scope.buffer.length = 0
  if (scope.latecomers !== undefined) {
    Deferred.unsafeDone(scope.latecomers, Exit.succeed(settlement))
  }
  return settlement
}

/**
 * What could not leave, for whoever has no exit to give back.
 *
 * @internal
 */
export const failureOf = (
  scope: Scope,
  exit: Exit.Exit<unknown, unknown>,
  { defect, failures }: Settlement
): Exit.Exit<void, FlushError> =>
  failures.length > 0
    ? Exit.fail(withCallersStack(new FlushError({ scope: scope.name, failures, exit })))
    : Cause.isEmpty(defect)
    ? Exit.void
    : Exit.failCause(defect)

/**
 * What the scope's body gives in the end: its own exit, unless an intent that should have left did not. Nothing is
 * hidden: a failed flush carries the body's exit, and a cause keeps what it was.
 *
 * @internal
 */
export const giveBack = <A, E>(
  scope: Scope,
  exit: Exit.Exit<A, E>,
  settlement: Settlement
): Exit.Exit<A, E | FlushError> => {
  const flush = failureOf(scope, exit, settlement)
  return Exit.isSuccess(flush)
    ? exit
    : Exit.failCause(Exit.isSuccess(exit) ? flush.cause : Cause.sequential(exit.cause, flush.cause))
}

const steps = (
  scope: Scope,
  exit: Exit.Exit<unknown, unknown>,
  how: SettleHow,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Effect.Effect<Settlement> => {
  const interrupted = () => how.byExitAlone !== true && !scope.openedInterrupted && isInterrupted(fiber)
  const { aside, kept } = setAside(scope, fiber)
  const flush = (typeof how.flush === "function" ? how.flush() : how.flush) ??
    scope.options.shouldFlush?.(exit, kept) ?? Exit.isSuccess(exit)
  const isPlain = aside.length === 0 && scope.outer === undefined && scope.options.approve === undefined
  if (isPlain && flush && !interrupted() && !needDecision(kept)) {
    // The short way of most scopes.
    return dispatch(scope, kept, [], fiber)
  }
  return Effect.gen(function*() {
    yield* reportAside(scope, aside)
    yield* discardParked(scope, aside.map(({ intent }) => intent))
    if (!flush || interrupted()) {
      yield* discardParked(scope, kept)
      yield* report.discarded(scope, kept)
      return settled("discarded")
    }
    const { leaving, refused } = yield* offerToAncestors(scope, kept, fiber)
    if (leaving.length === 0) {
      return settled("flushed", refused)
    }
    const decided = yield* Effect.either(
      Effect.flatMap(
        decide(scope, leaving),
        (verdicts) =>
          Effect.map(approve(scope, inOrder([...aside, ...verdicts])), (approved) => ({ verdicts, approved }))
      )
    )
    if (interrupted()) {
      yield* discardParked(scope, leaving)
      yield* report.discarded(scope, leaving)
      return settled("discarded", refused)
    }
    if (decided._tag === "Left") {
      yield* discardParked(scope, leaving)
      return settled("flushed", [...refused, ...failAll(leaving, () => decided.left)])
    }
    const { approved, verdicts } = decided.right
    yield* report.dropped(scope, verdicts.filter(({ decision }) => decision === "drop"))
    const allowed = verdicts.flatMap(({ decision, intent }) => decision === "dispatch" ? [intent] : [])
    if (!approved) {
      yield* discardParked(scope, allowed)
      yield* report.disapproved(scope, allowed)
      return settled("discarded", refused)
    }
    return yield* dispatch(scope, allowed, refused, fiber)
  })
}

/** Between steps 5 and 6: whoever must approve of the plan is asked. */
const approve = (
  scope: Scope,
  verdicts: ReadonlyArray<Verdict>
): Effect.Effect<boolean, PolicyFailedError | SettleTimeoutError> => {
  const { approve } = scope.options
  if (approve === undefined) {
    return Effect.succeed(true)
  }
  const what = "The approval of a plan"
  // The services that it needs are those of whoever opened the scope, in whose context the scope settles.
  const asked = Effect.suspend(() => approve(makePlan(scope, verdicts))) as Effect.Effect<boolean>
  return Effect.flatMap(
    bounded(Effect.interruptible(asked), insidePolicy, what, scope.approveTimeout, { onInterruption: "leave" }),
    (answer) => valueOf(what, answer)
  )
}

/** Step 2: the intents of fibers that failed, were interrupted or still run do not leave. */
const setAside = (
  scope: Scope,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): { readonly kept: ReadonlyArray<IntentRecord>, readonly aside: ReadonlyArray<Verdict> } => {
  const kept: Array<IntentRecord> = []
  const aside: Array<Verdict> = []
  for (const intent of scope.buffer) {
    const fate = isRolledBack(intent.beside) ? "failed" : fateOfBranch(intent.fork, fiber)
    if (fate === "kept") {
      kept.push(intent)
    } else {
      aside.push(asideBy(intent, fate))
    }
  }
  return { kept, aside }
}

const reportAside = (scope: Scope, aside: ReadonlyArray<Verdict>): Effect.Effect<void> => {
  if (aside.length === 0) {
    return Effect.void
  }
  const isStopped = ({ fate, intent }: Verdict) => fate === "interrupted" && intent.fork.daemon
  const intentsOf = (pick: (verdict: Verdict) => boolean) => aside.filter(pick).map(({ intent }) => intent)
  return Effect.all([
    report.running(scope, intentsOf(({ fate }) => fate === "running")),
    report.stopped(scope, intentsOf(isStopped)),
    report.undone(scope, intentsOf((verdict) => verdict.fate !== "running" && !isStopped(verdict)))
  ], { discard: true })
}

/** Ids are in the order of the enqueues. */
const inOrder = (verdicts: ReadonlyArray<Verdict>): ReadonlyArray<Verdict> =>
  [...verdicts].sort((a, b) => a.intent.id < b.intent.id ? -1 : 1)

/**
 * Step 4: ancestors are asked, nearest first, and what they keep is theirs now. A frame lets nothing pass: it has no option
 * to. An intent carries its chain of policies, so those of the scope it leaves stay sealed on it.
 */
const offerToAncestors = Effect.fnUntraced(function*(
  scope: Scope,
  intents: ReadonlyArray<IntentRecord>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
) {
  // All of them are asked before anyone gets anything: one that throws leaves everything where it was.
  const shares: Array<readonly [Position, Scope, ReadonlyArray<IntentRecord>]> = []
  let leaving = intents
  for (let at = scope.outer; leaving.length > 0 && at?.scope !== undefined; at = at.scope.outer) {
    const ancestor = at.scope
    const passing = new Set(ancestor.options.beforeDescendantFlushes?.(leaving, scope))
    const staying = leaving.filter((intent) => !passing.has(intent))
    leaving = leaving.filter((intent) => passing.has(intent))
    if (staying.length > 0) {
      shares.push([at, ancestor, staying])
    }
  }
  const refused: Array<FlushFailure> = []
  for (const [at, ancestor, staying] of shares) {
    if (ancestor.state !== "open") {
      yield* discardParked(scope, staying)
      yield* report.late(ancestor, staying)
      refused.push(
        ...failAll(staying, (task) => new ScopeClosedError({ task, scope: ancestor.name, state: ancestor.state }))
      )
    } else if (ancestor.buffer.length + staying.length > ancestor.maxIntents) {
      yield* discardParked(scope, staying)
      const limit = ancestor.maxIntents
      refused.push(...failAll(staying, (task) => new BufferFullError({ task, scope: ancestor.name, limit })))
    } else {
      noteFiber(at.fork, fiber)
      const isLate = ancestor.buffer.length > 0 && ancestor.buffer[ancestor.buffer.length - 1]!.id > staying[0]!.id
      for (const intent of staying) {
        intent.fork = at.fork
        ancestor.buffer.push(intent)
      }
      AirlockMetrics.captured.unsafeUpdate(staying.length, [])
      if (isLate) {
        // Scopes side by side hand over when they end; ids are in the order of the enqueues.
        ancestor.buffer.sort((a, b) => a.id < b.id ? -1 : 1)
      }
    }
  }
  return { leaving, refused }
})

/** Step 6: what the policies let through goes to the executor, as one batch, in order. */
const dispatch = (
  scope: Scope,
  intents: ReadonlyArray<IntentRecord>,
  refused: ReadonlyArray<FlushFailure>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Effect.Effect<Settlement> => {
  const { airlock, dispatchTimeout, executor } = scope
  const left = executor.transactional === undefined ? [] : intents.filter(hasLeft)
  if (left.length > 0) {
    return Effect.flatMap(tellLeft(scope, left), () => {
      report.dispatched(fiber, left, [])
      return dispatch(scope, intents.filter((intent) => !hasLeft(intent)), refused, fiber)
    })
  }
  return intents.length === 0 ? Effect.succeed(settled("flushed", refused)) : Effect.map(
    dispatchWithin(executor, intents, airlock.handlers, dispatchTimeout),
    (undispatched) => {
      const failures = undispatched.map(({ index, reason }): FlushFailure => {
        const { id, task } = intents[index]!
        return { intentId: id, task: task.name, reason }
      })
      report.dispatched(fiber, intents, failures)
      return settled("flushed", [...refused, ...failures])
    }
  )
}

const failAll = (
  intents: ReadonlyArray<IntentRecord>,
  reason: (task: string) => FlushReason
): Array<FlushFailure> =>
  intents.map((intent) => ({ intentId: intent.id, task: intent.task.name, reason: reason(intent.task.name) }))
