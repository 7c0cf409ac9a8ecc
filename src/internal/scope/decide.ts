/**
 * Decides what becomes of each intent of a scope that settles: by its fiber, the exit, the outer scopes, the policies and
 * the approval, in this order. Only the list of dispositions is changed.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import { type PolicyFailedError, type SettleTimeoutError, wrongAnswer } from "../../AirlockError.js"
import { withCallersStack } from "../support/callSite.js"
import type { AnyFiber } from "../support/effectInternals.js"
import {
  committed,
  discard,
  discardByFate,
  type DiscardReason,
  dispatch,
  type Disposition,
  Dispositions
} from "./disposition.js"
import { fatesSeenFrom, isInterrupted } from "./fork.js"
import { type IntentRecord, isInserted } from "./intentRecord.js"
import { planOf, viewOf } from "./plan.js"
import { answerOf, evaluate, mayDrop, runDeciding } from "./policies.js"
import type { Scope } from "./scope.js"

/** @internal */
export interface SettleOptions<A = unknown> {
  /**
   * Whether to flush. A function gets the exit with which the scope ends. Default: `shouldFlush` of the scope's options
   * decides, or else the exit.
   */
  readonly flush?: false | ((exit: Exit.Exit<A, unknown>) => boolean)
  /** Whether to ignore a pending interruption of the fiber, because the exit alone says whether the scope succeeded. */
  readonly byExitAlone?: boolean
}

/**
 * Computes the dispositions of a scope's intents. A defect of code that decides, such as `shouldFlush`, is its defect.
 *
 * @internal
 */
export const decide = <A>(
  scope: Scope,
  exit: Exit.Exit<A, unknown>,
  options: SettleOptions<A>,
  fiber: AnyFiber
): Effect.Effect<Dispositions> => {
  const isCancelled = () => options.byExitAlone !== true && scope.interruptible && isInterrupted(fiber)
  const endsInterrupted = isCancelled()
  const dispositions = byFibers(scope, fiber)
  if (scope.planning && scope.outer === undefined) {
    return Effect.succeed(discardUndecided(dispositions, "Planned"))
  }
  if (!flushes(scope, endsInterrupted ? interruptedExit(exit, fiber) : exit, options, dispositions)) {
    return Effect.succeed(discardUndecided(dispositions))
  }
  byOuterScopes(scope, dispositions)
  const asked = dispositions.undecided
  if (asked.length === 0 || (scope.options.approve === undefined && !mayDrop(asked))) {
    return Effect.succeed(complete(dispositions))
  }
  return Effect.map(Effect.either(byPoliciesAndApproval(scope, asked, dispositions)), (approved) => {
    if (!endsInterrupted && isCancelled()) {
      return discardUndecided(dispositions)
    }
    if (approved._tag === "Left") {
      dispositions.decide(() => ({ _tag: "Fail", reason: approved.left }))
    } else if (!approved.right) {
      dispositions.flushes = false
      dispositions.decide(() => discard("NotApproved"))
    }
    return complete(dispositions)
  })
}

/** The dispositions of a scope whose intents are all discarded. @internal */
export const discardAll = (scope: Scope): Dispositions =>
  discardUndecided(new Dispositions(scope.buffer, () => undefined))

const discardUndecided = (dispositions: Dispositions, why: DiscardReason = "ScopeFailed"): Dispositions => {
  dispositions.flushes = false
  dispositions.decide(() => discard(why))
  return dispositions
}

/** An intent does not leave if its branch of fibers did not succeed, or if a savepoint beside it was rolled back. */
const byFibers = (scope: Scope, fiber: AnyFiber): Dispositions => {
  const fateOf = fatesSeenFrom(fiber)
  return new Dispositions(scope.buffer, (intent) => discardByFate(intent, fateOf(intent.fork)))
}

/** The exit of a body in a fiber with a pending interruption: the fiber ends with this exit. */
const interruptedExit = <A>(exit: Exit.Exit<A, unknown>, fiber: AnyFiber): Exit.Exit<A, unknown> => {
  if (Exit.isInterrupted(exit)) {
    return exit
  }
  const interruption = fiber.getFiberRef(FiberRef.interruptedCause)
  return Exit.failCause(Exit.isSuccess(exit) ? interruption : Cause.sequential(exit.cause, interruption))
}

/** A function that is asked is obeyed. */
const flushes = <A>(
  scope: Scope,
  exit: Exit.Exit<A, unknown>,
  { flush }: SettleOptions<A>,
  dispositions: Dispositions
): boolean => {
  const { shouldFlush } = scope.options
  if (flush === undefined && shouldFlush === undefined) {
    return Exit.isSuccess(exit)
  }
  const answer: unknown = flush === undefined
    ? shouldFlush!(exit, dispositions.undecided)
    : typeof flush === "function"
    ? flush(exit)
    : flush
  if (typeof answer !== "boolean") {
    throw withCallersStack(wrongAnswer(`The shouldFlush of the scope "${scope.name}"`, answer, "true or false"))
  }
  return answer
}

/** Outer scopes capture intents, the nearest first, unless their `beforeDescendantFlushes` lets them pass. */
const byOuterScopes = (scope: Scope, dispositions: Dispositions): void => {
  let leaving = scope.outer === undefined ? [] : dispositions.undecided
  for (let outer = scope.outer; outer !== undefined && leaving.length > 0; outer = outer.scope.outer) {
    const handOver: Disposition = { _tag: "HandOver", to: outer }
    const passing = passingOf(outer.scope, leaving, scope)
    dispositions.decide((intent) => passing.has(intent) ? undefined : handOver)
    leaving = dispositions.undecided
  }
}

/** The intents that an outer scope lets pass. */
const passingOf = (outer: Scope, leaving: ReadonlyArray<IntentRecord>, scope: Scope): ReadonlySet<unknown> => {
  const { beforeDescendantFlushes } = outer.options
  const answer: unknown = beforeDescendantFlushes === undefined ? [] : beforeDescendantFlushes(leaving, viewOf(scope))
  const known = new Set<unknown>(leaving)
  if (!Array.isArray(answer) || !answer.every((intent) => known.has(intent))) {
    throw wrongAnswer(
      `The beforeDescendantFlushes of the scope "${outer.name}"`,
      answer,
      "an array of some of the intents that it was given"
    )
  }
  return new Set(answer)
}

/** Drops the intents that policies drop, and returns whether the plan is approved. */
const byPoliciesAndApproval = Effect.fnUntraced(function*(
  scope: Scope,
  asked: ReadonlyArray<IntentRecord>,
  dispositions: Dispositions
) {
  dispositions.drop(yield* evaluate(scope, asked))
  return yield* approve(scope, dispositions)
})

const approve = (
  scope: Scope,
  dispositions: Dispositions
): Effect.Effect<boolean, PolicyFailedError | SettleTimeoutError> => {
  const { approve } = scope.options
  if (approve === undefined) {
    return Effect.succeed(true)
  }
  const what = "The approval of a plan"
  // The scope settles in the context in which it was opened, which has the services of the approval.
  const approved = Effect.suspend(() => {
    const answer: unknown = approve(planOf(scope, dispositions))
    return Effect.isEffect(answer)
      ? Effect.map(answer as Effect.Effect<unknown>, (answer) => {
        if (typeof answer !== "boolean") {
          throw wrongAnswer(what, answer, "true or false")
        }
        return answer
      })
      : Effect.die(wrongAnswer(what, answer, "an Effect"))
  })
  return Effect.flatMap(
    runDeciding(approved, what, scope, scope.limits.approveTimeout),
    (result) => answerOf(what, result)
  )
}

/** The undecided intents leave. */
const complete = (dispositions: Dispositions): Dispositions => {
  dispositions.decide((intent) => isInserted(intent) ? committed : dispatch)
  return dispositions
}
