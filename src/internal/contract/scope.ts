/**
 * The options of a scope and its view. The public names stand in `AirlockScope`.
 */
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { FlushError, PolicyFailedError, SettleTimeoutError } from "../../AirlockError.js"
import type { Intent } from "../../Intent.js"
import type { Plan } from "../../Plan.js"
import type { Policy } from "../../Policy.js"
import type { Executor } from "./executor.js"
import type { Limits } from "./limits.js"

/**
 * The state of a scope. Only an `open` scope accepts intents.
 *
 * ```
 * open -> settling -> flushed | discarded
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export type ScopeState = "open" | "settling" | "flushed" | "discarded"

/**
 * A read-only view of a scope, for logs, middleware and tests.
 *
 * @since 0.1.0
 * @category models
 */
export interface ScopeView {
  /** Unique in this process. */
  readonly id: number
  /** The name in logs and errors. */
  readonly name: string
  readonly state: ScopeState
  /** The intents that the scope holds, its own and captured ones, in the order of their enqueues. */
  readonly intents: ReadonlyArray<Intent>
  /** The intents that were enqueued in the scope itself. */
  readonly own: ReadonlyArray<Intent>
  /** The intents that scopes inside this one handed over when they succeeded. */
  readonly captured: ReadonlyArray<Intent>
  /**
   * The plan of the scope if it succeeded now. Reading it changes nothing. It fails if a policy dies, or if the policies
   * exceed `policyTimeout`.
   */
  readonly plan: Effect.Effect<Plan, PolicyFailedError | SettleTimeoutError>
}

/**
 * How a scope settles. `Airlock.layer` takes it for all scopes of an application, and the options of a scope override it for
 * that scope.
 *
 * @since 0.1.0
 * @category options
 */
export interface ScopeBehavior<R = unknown> {
  /**
   * Approves the plan before any intent is dispatched; `false` discards all intents. It is called only by a scope that
   * dispatches intents itself, and may take `approveTimeout`. An interruption during the call discards all intents at once.
   * Default: no approval.
   */
  readonly approve?: (plan: Plan) => Effect.Effect<boolean, never, R>
  /**
   * Decides whether the scope flushes, and is obeyed. `exit` is the exit of the scope's body. If an interruption of the
   * scope's fiber is pending when the body ends, it is part of `exit`. An interruption that comes later, while policies or
   * the approval decide, discards all intents. If the function throws, all intents are discarded. Default: the scope flushes
   * if `exit` is a success.
   */
  readonly shouldFlush?: (exit: Exit.Exit<unknown, unknown>, intents: ReadonlyArray<Intent>) => boolean
  /**
   * Called when a scope inside this one succeeds. This scope does not capture the returned intents: they go on to the next
   * outer scope, and are dispatched if no outer scope captures them. It captures all other intents. A SQL transaction
   * between the two scopes captures all intents until its COMMIT. Default: this scope captures all intents.
   */
  readonly beforeDescendantFlushes?: (intents: ReadonlyArray<Intent>, descendant: ScopeView) => ReadonlyArray<Intent>
}

/**
 * The options of a scope. `R` is what its policy and its approval need. A function that takes options for scopes without
 * requirements takes `ScopeOptions<never>`.
 *
 * @since 0.1.0
 * @category options
 */
export interface ScopeOptions<R = unknown> extends Limits, ScopeBehavior<R> {
  /** The name in logs and errors. Default: `scope` and a number. */
  readonly name?: string
  /** A policy, added to all other policies in force. Default: none. */
  readonly policy?: Policy<R>
  /**
   * The executor of an outermost scope. A scope inside another one, or inside a transaction, uses the executor of the
   * outermost scope. It ignores this option, and logs one warning for each executor. Default: the executor of the context (`Executor.layer`), else that of Airlock.
   */
  readonly executor?: Executor
  /**
   * Whether the scope has no outer scope, even if it is opened inside another one. Then no outer scope captures its
   * intents. Default: `false`.
   */
  readonly independent?: boolean
}

/**
 * The options of a scope that runs one Effect.
 *
 * @since 0.1.0
 * @category options
 */
export interface ScopedOptions<R = unknown> extends ScopeOptions<R> {
  /**
   * Runs if some intents should have left and did not. `error` names each of them with its reason; it is logged as an error
   * in any case. If the Effect succeeds, the exit of the body stands; if it fails, it replaces the `FlushError`. It runs when
   * the scope has settled, so that it can enqueue into an outer scope. Default: the scope fails with the `FlushError`.
   */
  readonly onFlushError?: (error: FlushError) => Effect.Effect<void, unknown, R>
}
