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
import { globalValue } from "effect/GlobalValue"
import {
  PolicyEnqueueError,
  PolicyFailedError,
  type PolicyViolation,
  type SettleTimeoutError,
  wrongAnswer
} from "../../AirlockError.js"
import * as Policy from "../../Policy.js"
import type { AirlockService } from "../contract/airlock.js"
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
  { interruptible }: Scope,
  limit: Scope["limits"]["policyTimeout"]
): Effect.Effect<DeadlineResult<A, E>> =>
  Effect.withFiberRuntime((fiber) =>
    runWithDeadline(Effect.interruptible(self), {
      what,
      limit,
      update: setCurrent(insidePolicy),
      ...(interruptible && !isInterrupted(fiber) && { onInterrupt: "abandon" })
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
        const asked: unknown = link.policy.onEnqueue(intent)
        if (!Effect.isEffect(asked)) {
          throw wrongAnswer(`The onEnqueue of the policy "${link.policy.name}"`, asked, "an Effect")
        }
        yield* inContextOf(asked as Effect.Effect<void, PolicyViolation>, link)
      }
    }
  })
  return Effect.flatMap(
    Effect.zipRight(
      warnOfUnknownTasks(scope, [intent]),
      runDeciding(evaluated, "A policy", scope, scope.limits.policyTimeout)
    ),
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
      Effect.zipRight(
        warnOfUnknownTasks(scope, intents),
        runDeciding(evaluateAll(intents), "A policy", scope, scope.limits.policyTimeout)
      ),
      (result) => answerOf("A policy", result)
    )
    : Effect.succeed(noneDropped)

/** For each Airlock, the policies whose names were compared with its handlers, and the names of which it has warned. */
const compared = globalValue(
  Symbol.for("effect-airlock/comparedPolicies"),
  () =>
    new WeakMap<AirlockService, { readonly policies: WeakSet<Policy.Policy<unknown>>, readonly told: Set<string> }>()
)

/**
 * Warns if a policy was given the text of a name that has no handler here, and of which none of these intents is: most likely
 * the name is misspelt. Warns once of the same names, because code may make its policy each time. A process without handlers
 * cannot tell.
 */
const warnOfUnknownTasks = (
  { airlock }: Scope,
  intents: ReadonlyArray<IntentRecord>
): Effect.Effect<void> => {
  const { handlers } = airlock
  let last: PolicyChain | undefined
  const warnings: Array<Effect.Effect<void>> = []
  for (const { policies } of intents) {
    // Most intents of a scope have the same chain.
    for (const { policy } of policies === last ? [] : links(policies)) {
      const named = policy[Policy.NamedTasks]
      if (named === undefined || named.size === 0 || handlers.names.length === 0) {
        continue
      }
      const done = compared.get(airlock) ?? { policies: new WeakSet(), told: new Set() }
      if (done.policies.has(policy)) {
        continue
      }
      compared.set(airlock, done)
      done.policies.add(policy)
      const known = new Set([...handlers.names, ...intents.map(({ task }) => task.name)])
      const unknown = [...named].filter((name) => !known.has(name))
      if (unknown.length > 0 && !done.told.has(unknown.join())) {
        done.told.add(unknown.join())
        warnings.push(Effect.logWarning(
          `The policy "${policy.name}" names tasks that have no handler in this Airlock: ${unknown.join(", ")} ` +
            `(registered: ${handlers.names.join(", ")}). Correct the names, or give the policy the tasks themselves.`
        ))
      }
    }
    last = policies
  }
  return warnings.length === 0 ? Effect.void : Effect.all(warnings, { discard: true })
}

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

const allowsOf = ({ policy }: PolicyChain): string => `The allows of the policy "${policy.name}"`

const effectOf = <A>(deciding: Effect.Effect<A, never, unknown>, link: PolicyChain): Effect.Effect<A, never, unknown> =>
  Effect.isEffect(deciding) ? deciding : Effect.die(wrongAnswer(allowsOf(link), deciding, "an Effect"))

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
          if (typeof decider !== "function") {
            throw wrongAnswer(allowsOf(link), decider, "a function that decides about an intent")
          }
          deciders.set(link, decider)
        }
        const deciding = decider(intent)
        // Most policies decide synchronously. For them a step of the generator would cost more than the decision.
        const decision: Policy.Decision = Policy.isDecided(deciding)
          ? deciding.value
          : yield* inContextOf(effectOf(deciding, link), link)
        if (decision !== true) {
          if (!Policy.isDrop(decision)) {
            throw wrongAnswer(allowsOf(link), decision, "true or { drop: \"why\" }")
          }
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
