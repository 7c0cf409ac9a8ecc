/**
 * Records side effects where they arise, and runs them only when the work around them has succeeded.
 *
 * @since 0.1.0
 */

/**
 * Adds intents to the current scope, opens scopes, and builds the `Airlock` service.
 *
 * @since 0.1.0
 */
export * as Airlock from "./Airlock.js"

export {
  /**
   * `Airlock.layer()` with all defaults. Provide it once for the whole application.
   *
   * @since 0.1.0
   * @category layers
   */
  AirlockLive
} from "./Airlock.js"

/**
 * The errors of Airlock.
 *
 * @since 0.1.0
 */
export * as AirlockError from "./AirlockError.js"

/**
 * The metrics of Airlock.
 *
 * @since 0.1.0
 */
export * as AirlockMetrics from "./AirlockMetrics.js"

export {
  /**
   * In the requirements of an Effect, `AirlockScope` says that the Effect enqueues and needs a scope.
   *
   * @since 0.1.0
   * @category tags
   */
  AirlockScope
} from "./AirlockScope.js"

export type {
  /**
   * The limits of a scope.
   *
   * @since 0.1.0
   * @category options
   */
  Limits,
  /**
   * How a scope settles.
   *
   * @since 0.1.0
   * @category options
   */
  ScopeBehavior,
  /**
   * The options of a scope that runs one Effect.
   *
   * @since 0.1.0
   * @category options
   */
  ScopedOptions,
  /**
   * The options of a scope.
   *
   * @since 0.1.0
   * @category options
   */
  ScopeOptions,
  /**
   * The state of a scope.
   *
   * @since 0.1.0
   * @category models
   */
  ScopeState,
  /**
   * A read-only view of a scope.
   *
   * @since 0.1.0
   * @category models
   */
  ScopeView
} from "./AirlockScope.js"

/**
 * Tools for tests of code that enqueues.
 *
 * @since 0.1.0
 */
export * as AirlockTest from "./AirlockTest.js"

/**
 * An executor dispatches the intents of a scope.
 *
 * @since 0.1.0
 */
export * as Executor from "./Executor.js"

/**
 * HTTP middleware that makes each request a scope.
 *
 * @since 0.1.0
 */
export * as HttpMiddleware from "./HttpMiddleware.js"

/**
 * Idempotency keys: a request that is sent twice acts once.
 *
 * @since 0.1.0
 */
export * as Idempotency from "./Idempotency.js"

/**
 * An intent is one request to run a task.
 *
 * @since 0.1.0
 */
export * as Intent from "./Intent.js"

/**
 * A plan lists, as data, what becomes of each intent of a scope and why.
 *
 * @since 0.1.0
 */
export * as Plan from "./Plan.js"

/**
 * A policy decides, for each intent, whether it may leave.
 *
 * @since 0.1.0
 */
export * as Policy from "./Policy.js"

/**
 * A task is a named kind of side effect.
 *
 * @since 0.1.0
 */
export * as Task from "./Task.js"
