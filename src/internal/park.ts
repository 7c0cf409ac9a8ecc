/**
 * Writing intents in the transaction that they were enqueued in, last before its COMMIT: what is committed is kept with its
 * data, and what the database rolls back was never there.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { PolicyFailedError, SettleTimeoutError } from "../AirlockError.js"
import type { Transactional } from "../Executor.js"
import { bounded } from "./bounded.js"
import { decide } from "./decide.js"
import type { IntentRecord } from "./intent.js"
import { fateOfBranch } from "./position.js"
import type { Scope } from "./scope.js"
import { isRolledBack } from "./transactionConnection.js"

/**
 * For the frame of a transaction. Here, where nothing can be taken back any more but with the whole transaction, the chain of
 * an intent's policies is asked: only what they let through is written.
 *
 * @internal
 */
export const park = (
  scope: Scope,
  database: unknown,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Effect.Effect<void, unknown> => {
  const parkable = scope.planning ?
    [] :
    scope.buffer.filter((intent) =>
      transactionalOf(scope, intent)?.database === database && !isRolledBack(intent.beside) &&
      fateOfBranch(intent.fork, fiber) === "kept"
    )
  return parkable.length === 0 ? Effect.void : Effect.flatMap(
    // A transaction whose intents nobody can decide about is better not committed.
    Effect.orDie<void, PolicyFailedError | SettleTimeoutError, never>(decideNow(scope, parkable)),
    () => {
      const allowed = parkable.filter(({ durable }) => durable?.verdict?.decision === "dispatch")
      const how = { held: scope.outer !== undefined, undecided: mustBeApproved(scope) }
      return forShares(scope, allowed, (transactional, intents) =>
        Effect.map(transactional.park(intents, how), () => {
          for (const { durable } of intents) {
            durable!.parked = how.held ? "held" : "ready"
          }
        }))
    }
  )
}

const decideNow = (scope: Scope, intents: ReadonlyArray<IntentRecord>) =>
  Effect.map(decide(scope, intents), (verdicts) => {
    for (const verdict of verdicts) {
      verdict.intent.durable!.verdict = verdict
    }
  })

const mustBeApproved = (scope: Scope): boolean => {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer?.scope) {
    if (at.options.approve !== undefined) {
      return true
    }
  }
  return false
}

/**
 * The transaction of a frame was not committed, and what was written in it is not there; or nobody knows, and nobody has a say
 * over it any more.
 *
 * @internal
 */
export const unpark = (scope: Scope): Effect.Effect<void> => {
  const parked = scope.buffer.filter(isParked)
  for (const { durable } of parked) {
    durable!.parked = undefined
  }
  return forShares(scope, parked, ({ detach }, intents) => detach(intents))
}

/** @internal */
export const isParked = ({ durable }: IntentRecord): boolean => durable?.parked !== undefined

/** What was committed with nobody around to refuse it has left already. @internal */
export const hasLeft = ({ durable }: IntentRecord): boolean => durable?.parked === "ready"

/** @internal */
export const tellLeft = (scope: Scope, intents: ReadonlyArray<IntentRecord>): Effect.Effect<void> =>
  forShares(scope, intents, ({ committed }, intents) => committed(intents))

/**
 * Scopes around refused what a transaction had written.
 *
 * @internal
 */
export const discardParked = (scope: Scope, intents: ReadonlyArray<IntentRecord>): Effect.Effect<void> => {
  const parked = intents.filter(isParked)
  // In a fiber of its own: an interruption that waits for this one is often why they are discarded.
  return forShares(
    scope,
    parked,
    ({ discard }, intents) => bounded(discard(intents), undefined, "A discard", scope.dispatchTimeout)
  )
}

/** Each outbox with its share of the intents, in turn. */
const forShares = <E>(
  scope: Scope,
  intents: ReadonlyArray<IntentRecord>,
  f: (transactional: Transactional, intents: ReadonlyArray<IntentRecord>) => Effect.Effect<unknown, E>
): Effect.Effect<void, E> => {
  const [first, ...others] = sharesOf(scope, intents)
  // Mostly there is one, for which `Effect.forEach` would cost more than it does.
  return first === undefined ? Effect.void : Effect.asVoid(
    others.reduce((before, share) => Effect.flatMap(before, () => f(...share)), f(...first))
  )
}

const transactionalOf = ({ executor }: Scope, intent: IntentRecord): Transactional | undefined =>
  intent.durable === undefined ? undefined : executor.transactional?.(intent)

const sharesOf = (
  scope: Scope,
  intents: ReadonlyArray<IntentRecord>
): ReadonlyMap<Transactional, Array<IntentRecord>> => {
  const shares = new Map<Transactional, Array<IntentRecord>>()
  for (const intent of intents) {
    const transactional = transactionalOf(scope, intent)!
    const share = shares.get(transactional)
    if (share === undefined) {
      shares.set(transactional, [intent])
    } else {
      share.push(intent)
    }
  }
  return shares
}
