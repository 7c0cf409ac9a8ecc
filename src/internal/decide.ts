/**
 * Asking the policies. Each intent's chain is evaluated once, innermost first, until one policy drops it.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { PolicyEnqueueError, PolicyFailedError, type SettleTimeoutError } from "../AirlockError.js"
import type { Intent } from "../Intent.js"
import * as Policy from "../Policy.js"
import { bounded } from "./bounded.js"
import type { IntentRecord } from "./intent.js"
import { extend, type PolicyChain } from "./policyChain.js"
import { locally, type Position, rootFork } from "./position.js"
import type { Scope } from "./scope.js"

/**
 * Where policies run: no scope to enqueue into, and in any scope that they might open, no enqueue either.
 *
 * @internal
 */
export const insidePolicy: Position = {
  scope: undefined,
  policies: extend(
    undefined,
    Policy.make({
      name: "policies may not enqueue",
      onEnqueue: (intent) => Effect.die(new PolicyEnqueueError({ task: intent.task.name }))
    }),
    true
  ),
  fork: rootFork()
}

/** @internal */
export interface Dropped {
  readonly intent: IntentRecord
  readonly policy: string
  readonly reason: string
}

/** @internal */
export interface Decided {
  readonly allowed: ReadonlyArray<IntentRecord>
  readonly dropped: ReadonlyArray<Dropped>
}

/**
 * Asks the `onEnqueue` of every policy in force. To fail refuses the intent.
 *
 * @internal
 */
export const askOnEnqueue = (intent: IntentRecord) =>
  locally(
    Effect.gen(function*() {
      for (let at = intent.policies; at !== undefined; at = at.outer) {
        if (at.policy.onEnqueue !== undefined) {
          yield* at.policy.onEnqueue(intent)
        }
      }
    }),
    insidePolicy
  )

/** @internal */
export const needDecision = (intents: ReadonlyArray<IntentRecord>): boolean =>
  intents.some((intent) => intent.policies?.allows === true)

/**
 * Gives the decision for each intent; fails if a policy failed, died or took too long, which decides nothing.
 *
 * @internal
 */
export const decide = (
  scope: Scope,
  intents: ReadonlyArray<IntentRecord>
): Effect.Effect<Decided, PolicyFailedError | SettleTimeoutError> => {
  if (!needDecision(intents)) {
    return Effect.succeed({ allowed: intents, dropped: [] })
  }
  return Effect.flatMap(
    bounded(Effect.interruptible(evaluate(intents)), insidePolicy, "A policy", scope.policyTimeout),
    ({ exit, timeout }) => {
      if (exit !== undefined && Exit.isSuccess(exit)) {
        return Effect.succeed(exit.value)
      }
      return Effect.fail(
        timeout ?? new PolicyFailedError({ cause: exit === undefined ? undefined : Cause.squash(exit.cause) })
      )
    }
  )
}

const isDone = (effect: Effect.Effect<Policy.Decision>): effect is Exit.Success<Policy.Decision, never> =>
  Exit.isExit(effect) && effect._tag === "Success"

type Decide = (intent: Intent) => Effect.Effect<Policy.Decision>

const evaluate = Effect.fnUntraced(function*(intents: ReadonlyArray<IntentRecord>) {
  const allowed: Array<IntentRecord> = []
  const dropped: Array<Dropped> = []
  // By place in the chain, not by policy: one that holds at two places keeps two states.
  const deciders = new Map<PolicyChain, Decide>()
  for (const intent of intents) {
    let drop: Dropped | undefined
    for (let at = intent.policies; at !== undefined && drop === undefined; at = at.outer) {
      if (at.policy.allows === undefined) {
        continue
      }
      let decider = deciders.get(at)
      if (decider === undefined) {
        decider = yield* at.policy.allows
        deciders.set(at, decider)
      }
      const asked = decider(intent)
      // Most policies decide without an Effect's help; a step of the generator for each of them would cost more than they do.
      const decision: Policy.Decision = isDone(asked) ? asked.value : yield* asked
      if (decision !== true) {
        drop = { intent, policy: at.policy.name, reason: decision.drop }
      }
    }
    if (drop === undefined) {
      allowed.push(intent)
    } else {
      dropped.push(drop)
    }
  }
  return { allowed, dropped }
})
