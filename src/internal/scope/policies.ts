/**
 * Evaluates policies: at the enqueue, and when a scope settles. Each intent's chain is evaluated once, innermost first,
 * until a policy drops it.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import {
  PolicyEnqueueError,
  PolicyFailedError,
  type PolicyViolation,
  type SettleTimeoutError
} from "../../AirlockError.js"
import * as Policy from "../../Policy.js"
import { type DeadlineResult, runWithDeadline } from "../support/deadline.js"
import { yieldToEventLoop } from "../support/yieldToEventLoop.js"
import { setCurrent } from "./currentScope.js"
import { isInterrupted, makeFork } from "./fork.js"
import { type IntentRecord, isInserted } from "./intentRecord.js"
import { type Dropped, extend, links, type PolicyChain } from "./policyChain.js"
import type { Current, Scope } from "./scope.js"

/**
 * The {@link Current} of a running policy: no scope, and a policy by which scopes that it opens refuse every enqueue.
 *
 * @internal
 */
export const insidePolicy: Current = {
  scope: undefined,
  policies: extend(
    undefined,
    Policy.make({
      name: "policies may not enqueue",
      onEnqueue: (intent) => Effect.die(new PolicyEnqueueError({ task: intent.task.name }))
    }),
    Context.empty(),
    true
  ),
  fork: makeFork(undefined),
  isPolicy: true
}

/** Provides a policy's Effect with the context in which the policy was put into force. */
const inContextOf = <A, E>(effect: Effect.Effect<A, E, unknown>, { context }: PolicyChain): Effect.Effect<A, E> =>
  Effect.provide(effect as Effect.Effect<A, E>, context)

/**
 * Runs code that decides for a scope: it cannot enqueue, it has a deadline, and an interruption ends it. An interruption that
 * is pending before does not: a scope that asks although it was interrupted flushes all the same.
 *
 * @internal
 */
export const runDeciding = <A, E>(
  self: Effect.Effect<A, E>,
  what: string,
  limit: Scope["limits"]["policyTimeout"]
): Effect.Effect<DeadlineResult<A, E>> =>
  Effect.withFiberRuntime((fiber) =>
    runWithDeadline(Effect.interruptible(self), {
      what,
      limit,
      update: setCurrent(insidePolicy),
      ...(!isInterrupted(fiber) && { onInterrupt: "abandon" })
    })
  )

/** Runs `onEnqueue` of every policy in force. A failure refuses the intent. @internal */
export const evaluateOnEnqueue = (
  scope: Scope,
  intent: IntentRecord
): Effect.Effect<void, PolicyViolation | SettleTimeoutError> => {
  const evaluated = Effect.gen(function*() {
    for (const link of links(intent.policies)) {
      if (link.policy.onEnqueue !== undefined) {
        yield* inContextOf(link.policy.onEnqueue(intent), link)
      }
    }
  })
  return Effect.flatMap(
    runDeciding(evaluated, "A policy", scope.limits.policyTimeout),
    ({ exit, timeout }): Effect.Effect<void, PolicyViolation | SettleTimeoutError> =>
      timeout !== undefined ? Effect.fail(timeout) : exit ?? Effect.interrupt
  )
}

/** Whether a policy may drop one of these intents. @internal */
export const mayDrop = (intents: ReadonlyArray<IntentRecord>): boolean =>
  intents.some((intent) =>
    !isInserted(intent) && (intent.policies?.allows === true || intent.durable?.dropped !== undefined)
  )

/**
 * The intents that a policy drops. Fails if a policy failed, died or took too long: then nothing is decided.
 *
 * @internal
 */
export const evaluate = (
  scope: Scope,
  intents: ReadonlyArray<IntentRecord>
): Effect.Effect<ReadonlyMap<IntentRecord, Dropped>, PolicyFailedError | SettleTimeoutError> =>
  mayDrop(intents)
    ? Effect.flatMap(
      runDeciding(evaluateAll(intents), "A policy", scope.limits.policyTimeout),
      (result) => answerOf("A policy", result)
    )
    : Effect.succeed(noneDropped)

const noneDropped: ReadonlyMap<IntentRecord, Dropped> = new Map()

/** The answer of code that decides. @internal */
export const answerOf = <A>(
  what: string,
  { exit, timeout }: DeadlineResult<A, never>
): Effect.Effect<A, PolicyFailedError | SettleTimeoutError> =>
  exit !== undefined && Exit.isSuccess(exit)
    ? Effect.succeed(exit.value)
    : Effect.fail(
      timeout ?? new PolicyFailedError({ what, cause: exit === undefined ? "interrupted" : Cause.squash(exit.cause) })
    )

const evaluateAll = Effect.fnUntraced(function*(intents: ReadonlyArray<IntentRecord>) {
  const dropped = new Map<IntentRecord, Dropped>()
  // A policy that is in force at two places keeps a state for each.
  const deciders = new Map<PolicyChain, Policy.Decide<unknown>>()
  let evaluated = 0
  for (const intent of intents) {
    // What was decided before the COMMIT is not decided again.
    let drop = intent.durable?.dropped
    let link = isInserted(intent) ? undefined : intent.policies
    while (link !== undefined && drop === undefined) {
      if (link.policy.allows !== undefined) {
        let decider = deciders.get(link)
        if (decider === undefined) {
          decider = yield* inContextOf(link.policy.allows, link)
          deciders.set(link, decider)
        }
        const deciding = decider(intent)
        // Most policies decide synchronously. For them a step of the generator would cost more than the decision.
        const decision: Policy.Decision = Policy.isDecided(deciding)
          ? deciding.value
          : yield* inContextOf(deciding, link)
        if (decision !== true) {
          drop = { policy: link.policy.name, reason: decision.drop }
        }
      }
      link = link.outer
    }
    if (drop !== undefined) {
      dropped.set(intent, drop)
    }
    if ((++evaluated & 0xff) === 0) {
      yield* yieldToEventLoop
    }
  }
  return dropped
})
