/**
 * Opening a scope: what holds for it is resolved here, once.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import type { ScopeOptions } from "../AirlockScope.js"
import { CurrentExecutor, type Executor } from "../Executor.js"
import { CurrentPolicy, type Policy } from "../Policy.js"
import type { AirlockService } from "./airlock.js"
import { extend, extendOnce, rebaseLocal } from "./policyChain.js"
import { isInterrupted, noteFiber, type Position, positionOf } from "./position.js"
import { Scope } from "./scope.js"

/**
 * A scope where the fiber stands: inside the scope that is open there, if that may be its parent.
 *
 * @internal
 */
export const openScope = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  airlock: AirlockService,
  options: ScopeOptions,
  mayBeParent: (scope: Scope) => boolean = () => true,
  context: Context.Context<never> = fiber.currentContext
): Scope => {
  const opened = openAt(fiber, airlock, options, mayBeParent, context)
  opened.requestSource = requestSourceIn(fiber.currentContext)
  opened.openedInterrupted = isInterrupted(fiber)
  return opened
}

const openAt = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  airlock: AirlockService,
  options: ScopeOptions,
  mayBeParent: (scope: Scope) => boolean,
  context: Context.Context<never>
): Scope => {
  const position = positionOf(fiber)
  const scope = position?.scope
  // A plan wants to see all intents: inside one, no scope is independent.
  if (scope === undefined || (options.independent === true && !scope.planning) || !mayBeParent(scope)) {
    return openRoot(airlock, context, position, options)
  }
  noteFiber(position!.fork, fiber)
  const policies = extend(extendOnce(position!.policies, policyIn(context), context), options.policy, context)
  return new Scope(airlock, scope.executor, policies, position, options)
}

/**
 * A scope that no other one has a say over. The policies of Airlock, of the code around, of the context and its own add
 * up; of executors, the nearest is taken.
 *
 * @internal
 */
export const openRoot = (
  airlock: AirlockService,
  context: Context.Context<never>,
  position: Position | undefined,
  options: ScopeOptions
): Scope => {
  const around = rebaseLocal(position?.policies, extend(undefined, airlock.policy, context))
  const policies = extend(extendOnce(around, policyIn(context), context), options.policy, context)
  const executor = options.executor ?? executorIn(context) ?? airlock.executor
  const scope = new Scope(airlock, executor.forScope?.() ?? executor, policies, undefined, options)
  scope.cascade = position?.scope?.cascade
  return scope
}

/**
 * A scope for what belongs to another one, but outlives it: all that holds at a position in that one holds for it, and
 * nobody has a say over it.
 *
 * @internal
 */
export const openBeside = (
  position: Position,
  beside: Scope,
  context: Context.Context<never>,
  options: ScopeOptions
): Scope => {
  const policies = extend(extendOnce(position.policies, policyIn(context), context), options.policy, context)
  const scope = new Scope(beside.airlock, options.executor ?? beside.executor, policies, undefined, options)
  scope.cascade = beside.cascade
  scope.planning = beside.planning
  return scope
}

// A Reference has a value even where nobody provided one: only what was provided counts here.
const policyIn = (context: Context.Context<never>): Policy | undefined => context.unsafeMap.get(CurrentPolicy.key)

/**
 * The host's request behind the platform's one: the same object however middleware and routers wrap it. Only the key of the
 * platform's tag is used, so that the core needs no HTTP package.
 */
const requestSourceIn = (context: Context.Context<never>): unknown =>
  context.unsafeMap.get("@effect/platform/HttpServerRequest")?.source

const executorIn = (context: Context.Context<never>): Executor | undefined => context.unsafeMap.get(CurrentExecutor.key)
