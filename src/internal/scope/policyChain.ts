/**
 * The policies in force at one place, as a linked list, innermost first. An intent keeps the list of its enqueue, so the
 * policies of its scope stay sealed on it when an outer scope captures it.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import type { Policy } from "../../Policy.js"

/** @internal */
export interface PolicyChain {
  readonly policy: Policy<unknown>
  /** The services at the place where the policy was put into force. */
  readonly context: Context.Context<never>
  readonly outer: PolicyChain | undefined
  /** Whether it came from `Airlock.withPolicy`, so that it belongs to a region of code and not to a scope. */
  readonly local: boolean
  /** Whether any policy of the chain decides at the enqueue. */
  readonly onEnqueue: boolean
  /** Whether any policy of the chain decides when the scope settles. */
  readonly allows: boolean
}

/** The policy that dropped an intent, and why. @internal */
export interface Dropped {
  readonly policy: string
  readonly reason: string
}

/** @internal */
export const extend = (
  outer: PolicyChain | undefined,
  policy: Policy<unknown> | undefined,
  context: Context.Context<never>,
  local = false
): PolicyChain | undefined =>
  policy === undefined || (policy.onEnqueue === undefined && policy.allows === undefined)
    ? outer
    : {
      policy,
      context,
      outer,
      local,
      onEnqueue: policy.onEnqueue !== undefined || (outer !== undefined && outer.onEnqueue),
      allows: policy.allows !== undefined || (outer !== undefined && outer.allows)
    }

/** The links of a chain, innermost first. @internal */
export function* links(chain: PolicyChain | undefined): Generator<PolicyChain> {
  for (let at = chain; at !== undefined; at = at.outer) {
    yield at
  }
}

/** Adds a policy unless the chain has it: for a policy of the context, which may already be in force. @internal */
export const extendOnce = (
  outer: PolicyChain | undefined,
  policy: Policy | undefined,
  context: Context.Context<never>
): PolicyChain | undefined => {
  if (policy !== undefined) {
    for (const link of links(outer)) {
      if (link.policy === policy) {
        return outer
      }
    }
  }
  return extend(outer, policy, context)
}

/** Moves the local policies of a chain to another base. They are the ones that still hold in a root scope. @internal */
export const rebaseLocal = (chain: PolicyChain | undefined, base: PolicyChain | undefined): PolicyChain | undefined =>
  [...links(chain)].reduceRight<PolicyChain | undefined>(
    (outer, { context, local, policy }) => local ? extend(outer, policy, context, true) : outer,
    base
  )
