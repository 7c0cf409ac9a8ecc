/**
 * Opens a scope: the policies and the executor that hold for it are resolved here, once.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import { CurrentPolicy, type Policy } from "../../Policy.js"
import type { AirlockService } from "../contract/airlock.js"
import { currentExecutorKey, type Executor } from "../contract/executor.js"
import type { ScopeOptions } from "../contract/scope.js"
import type { AnyFiber } from "../support/effectInternals.js"
import type { Cascade } from "./cascade.js"
import { currentOf, notedFork } from "./currentScope.js"
import { isInterrupted } from "./fork.js"
import { journalIn } from "./journal.js"
import { extend, extendOnce, rebaseLocal } from "./policyChain.js"
import { type Current, type CurrentInside, findScope, Scope } from "./scope.js"

/** @internal */
export interface OpenOptions {
  readonly airlock: AirlockService
  readonly options: ScopeOptions
  /** The context in which its policies and its executor are looked up. Default: that of the fiber. */
  readonly context?: Context.Context<never>
  /** Whether the current scope may become its outer scope. Default: it may. */
  readonly mayBeOuter?: (scope: Scope) => boolean
  /** Whether an interruption cancels the scope. Default: it does. */
  readonly interruptible?: boolean
}

/** Opens a scope inside the current scope of a fiber, or a root scope. @internal */
export const openScope = (
  fiber: AnyFiber,
  { airlock, context = fiber.currentContext, mayBeOuter, options, ...rest }: OpenOptions
): Scope => {
  const current = currentOf(fiber)
  const around = stillOpen(current)
  // A fiber that is interrupted already opens the scope for its cleanup.
  const interruptible = rest.interruptible !== false && !isInterrupted(fiber)
  if (around === undefined || !canBeOuter(around.scope, options, mayBeOuter)) {
    return openRoot({ airlock, context, current, options, interruptible, openedBy: fiber })
  }
  // A fiber whose own scope has settled has no node in the tree of the scope around that one.
  const fork = around === current ? notedFork(fiber, around) : around.fork
  const outer = fork === around.fork ? around : { scope: around.scope, policies: around.policies, fork }
  return new Scope({
    airlock,
    executor: outer.scope.executor,
    policies: extend(extendOnce(current?.policies, policyIn(context), context), options.policy, context),
    outer,
    context,
    options,
    cascade: outer.scope.cascade,
    planning: outer.scope.planning,
    interruptible,
    openedBy: fiber
  })
}

/** The current scope, or if that has settled, the innermost scope around it that has not. */
const stillOpen = (current: Current | undefined): CurrentInside | undefined => {
  let at = current
  while (at?.scope?.settlement !== undefined) {
    at = at.scope.outer
  }
  return isInsideScope(at) ? at : undefined
}

const isInsideScope = (current: Current | undefined): current is CurrentInside => current?.scope !== undefined

/** A plan shows all intents: inside one, no scope is a root. */
const canBeOuter = (
  scope: Scope,
  { independent }: ScopeOptions,
  mayBeOuter: OpenOptions["mayBeOuter"] = () => true
): boolean => scope.planning || (independent !== true && mayBeOuter(scope))

/** @internal */
export interface RootOptions {
  readonly airlock: AirlockService
  readonly options: ScopeOptions
  readonly context: Context.Context<never>
  /** The {@link Current} of the fiber that opens the root. Its local policies hold for the root too. */
  readonly current: Current | undefined
  /** Default: the cascade of the current scope. */
  readonly cascade?: Cascade | undefined
  readonly planning?: boolean
  readonly interruptible?: boolean
  readonly openedBy?: AnyFiber
}

/**
 * Opens a scope without an outer scope. The policies of Airlock, of the code around, of the context and of the options add
 * up. The executor is that of the options, else of the context, else of Airlock.
 *
 * @internal
 */
export const openRoot = (
  { airlock, cascade, context, current, interruptible = true, openedBy, options, planning = false }: RootOptions
): Scope => {
  const base = rebaseLocal(current?.policies, extend(undefined, airlock.policy, context))
  const executor = options.executor ?? executorIn(context) ?? airlock.executor
  return new Scope({
    airlock,
    executor: executor.forScope?.() ?? executor,
    policies: extend(extendOnce(base, policyIn(context), context), options.policy, context),
    outer: undefined,
    context,
    options,
    cascade: cascade ?? (current?.scope?.settlement === undefined ? current?.scope?.cascade : undefined),
    // What began inside a plan stays a dry run when the plan has ended.
    planning: planning || current?.scope?.planning === true,
    interruptible,
    settledAround: current?.scope?.settlement && current.scope.name,
    ...(openedBy !== undefined && { openedBy })
  })
}

/**
 * Opens a scope for work that belongs to the current scope but outlives it, such as a streamed body: the same settings
 * hold, and no scope can refuse its intents.
 *
 * @internal
 */
export const openBeside = (current: CurrentInside, context: Context.Context<never>, options: ScopeOptions): Scope => {
  const { airlock, cascade, executor, planning } = current.scope
  const scope = new Scope({
    airlock,
    executor: options.executor ?? executor,
    policies: extend(extendOnce(current.policies, policyIn(context), context), options.policy, context),
    // A plan shows the intents of the body, too.
    outer: planning ? stillOpen(current) : undefined,
    // It is no part of a request.
    context: Context.empty(),
    options,
    cascade,
    planning,
    interruptible: true
  })
  // But what it sends may not be sent twice.
  scope.journal = journalIn(context)
  return scope
}

/** The names of the executors of which each Airlock has warned. */
const warned = globalValue(
  Symbol.for("effect-airlock/ignoredExecutors"),
  () => new WeakMap<AirlockService, Set<string>>()
)

/**
 * Warns that the executor of a scope's options is ignored because the scope is inside another one. Once for each name
 * of an executor, because code opens the same scope again and again, and may make its executor each time.
 *
 * @internal
 */
export const warnOfIgnoredExecutor = (scope: Scope, ignored: Executor): Effect.Effect<void> => {
  const uses = (at: Scope): boolean => at.outer === undefined && at.options.executor === ignored
  const names = warned.get(scope.airlock) ?? new Set()
  if (
    names.has(ignored.name) || scope.planning || ignored === scope.executor || findScope(scope, uses) !== undefined
  ) {
    return Effect.void
  }
  warned.set(scope.airlock, names.add(ignored.name))
  return Effect.logWarning(
    `Airlock ignores the executor "${ignored.name}" of the scope "${scope.name}", because the scope is inside another scope ` +
      `or a transaction, whose executor "${scope.executor.name}" counts. Give the option to the outermost scope, or open an ` +
      "independent scope"
  )
}

// A Reference has a default value: only a provided one counts here.
const policyIn = (context: Context.Context<never>): Policy | undefined => context.unsafeMap.get(CurrentPolicy.key)

const executorIn = (context: Context.Context<never>): Executor | undefined => context.unsafeMap.get(currentExecutorKey)
