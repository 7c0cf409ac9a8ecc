/**
 * The policies in force at one place, innermost first. An intent keeps the chain it was enqueued under: that seals the
 * policies of its scope on it, wherever it is captured.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import type { Policy } from "../Policy.js"

/** @internal */
export interface PolicyChain {
  readonly policy: Policy<unknown>
  /** The services at the place where it was put into force, which its Effects may need. */
  readonly context: Context.Context<never>
  readonly outer: PolicyChain | undefined
  /** Whether it came from `Airlock.withPolicy`, and so belongs to a region of code instead of a scope. */
  readonly local: boolean
  /** Whether any policy of the chain wants to be asked at the enqueue; at the flush. */
  readonly onEnqueue: boolean
  readonly allows: boolean
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

/**
 * For what a scope finds around it, as against what it was told: a policy that holds already is not added again.
 *
 * @internal
 */
export const extendOnce = (
  outer: PolicyChain | undefined,
  policy: Policy | undefined,
  context: Context.Context<never>
): PolicyChain | undefined => {
  for (let at = outer; at !== undefined; at = at.outer) {
    if (at.policy === policy) {
      return outer
    }
  }
  return extend(outer, policy, context)
}

/**
 * The local policies of a chain, on another base: what still holds in a root scope.
 *
 * @internal
 */
export const rebaseLocal = (
  chain: PolicyChain | undefined,
  base: PolicyChain | undefined
): PolicyChain | undefined => {
  if (chain === undefined) {
    return base
  }
  const outer = rebaseLocal(chain.outer, base)
  return chain.local ? extend(outer, chain.policy, chain.context, true) : outer
}
