/**
 * Asking the policies. Each intent's chain is evaluated once, innermost first, until one policy drops it.
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
} from "../AirlockError.js"
import * as Policy from "../Policy.js"
import { type Bounded, bounded } from "./bounded.js"
import { breathe } from "./breathe.js"
import type { IntentRecord } from "./intent.js"
import { extend, type PolicyChain } from "./policyChain.js"
import { type Fate, type Position, rootFork } from "./position.js"
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
    Context.empty(),
    true
  ),
  fork: rootFork(),
  isPolicy: true
}

/** @internal */
export interface Verdict {
  readonly intent: IntentRecord
  readonly decision: "dispatch" | "drop" | "aside"
  readonly policy: string | undefined
  readonly reason: string | undefined
  readonly fate: Fate
}

/** @internal */
export const asideBy = (intent: IntentRecord, fate: Fate): Verdict => ({
  intent,
  decision: "aside",
  policy: undefined,
  reason: fate === "running" ? "its fiber still runs" : `its fiber ${fate === "failed" ? "failed" : "was interrupted"}`,
  fate
})

/** A policy that needs services finds them in the context in which it was put into force. */
const inContextOf = <A, E>(effect: Effect.Effect<A, E, unknown>, { context }: PolicyChain): Effect.Effect<A, E> =>
  Effect.provide(effect as Effect.Effect<A, E>, context)

/**
 * Asks the `onEnqueue` of every policy in force. To fail refuses the intent.
 *
 * @internal
 */
export const askOnEnqueue = (
  scope: Scope,
  intent: IntentRecord
): Effect.Effect<void, PolicyViolation | SettleTimeoutError> => {
  const asked = Effect.gen(function*() {
    for (let at = intent.policies; at !== undefined; at = at.outer) {
      if (at.policy.onEnqueue !== undefined) {
        yield* inContextOf(at.policy.onEnqueue(intent), at)
      }
    }
  })
  return Effect.flatMap(
    bounded(Effect.interruptible(asked), insidePolicy, "A policy", scope.policyTimeout, { onInterruption: "leave" }),
    ({ exit, timeout }): Effect.Effect<void, PolicyViolation | SettleTimeoutError> =>
      timeout !== undefined ? Effect.fail(timeout) : exit ?? Effect.interrupt
  )
}

/**
 * Whether some of these may be dropped. What was asked before the COMMIT of a transaction is not asked again.
 *
 * @internal
 */
export const needDecision = (intents: ReadonlyArray<IntentRecord>): boolean =>
  intents.some(({ durable, policies }) =>
    durable?.verdict === undefined ? policies?.allows === true : durable.verdict.decision !== "dispatch"
  )

/**
 * Gives the verdict on each intent, in order; fails if a policy failed, died or took too long, which decides nothing. An
 * interruption ends the wait, and fails as it does.
 *
 * @internal
 */
export const decide = (
  scope: Scope,
  intents: ReadonlyArray<IntentRecord>
): Effect.Effect<ReadonlyArray<Verdict>, PolicyFailedError | SettleTimeoutError> => {
  if (!needDecision(intents)) {
    return Effect.succeed(intents.map(allowed))
  }
  return Effect.flatMap(
    bounded(Effect.interruptible(evaluate(intents)), insidePolicy, "A policy", scope.policyTimeout, {
      onInterruption: "leave"
    }),
    (answer) => valueOf("A policy", answer)
  )
}

/**
 * What something that decides has decided.
 *
 * @internal
 */
export const valueOf = <A>(
  what: string,
  { exit, timeout }: Bounded<A, never>
): Effect.Effect<A, PolicyFailedError | SettleTimeoutError> =>
  exit !== undefined && Exit.isSuccess(exit)
    ? Effect.succeed(exit.value)
    : Effect.fail(
      timeout ?? new PolicyFailedError({ what, cause: exit === undefined ? "interrupted" : Cause.squash(exit.cause) })
    )

const allowed = (intent: IntentRecord): Verdict => ({
  intent,
  decision: "dispatch",
  policy: undefined,
  reason: undefined,
  fate: "kept"
})

const evaluate = Effect.fnUntraced(function*(intents: ReadonlyArray<IntentRecord>) {
  const verdicts: Array<Verdict> = []
  // By place in the chain, not by policy: one that holds at two places keeps two states.
  const deciders = new Map<PolicyChain, Policy.Decide<unknown>>()
  for (const intent of intents) {
    let verdict = intent.durable?.verdict
    for (let at = intent.policies; at !== undefined && verdict === undefined; at = at.outer) {
      if (at.policy.allows === undefined) {
        continue
      }
      let decider = deciders.get(at)
      if (decider === undefined) {
        decider = yield* inContextOf(at.policy.allows, at)
        deciders.set(at, decider)
      }
      const asked = decider(intent)
      // Most policies decide without an Effect's help; a step of the generator for each of them would cost more than they do.
      const decision: Policy.Decision = Policy.isDecided(asked) ? asked.value : yield* inContextOf(asked, at)
      if (decision !== true) {
        verdict = { intent, decision: "drop", policy: at.policy.name, reason: decision.drop, fate: "kept" }
      }
    }
    verdicts.push(verdict ?? allowed(intent))
    if ((verdicts.length & 0xff) === 0) {
      yield* breathe
    }
  }
  return verdicts
})
