/**
 * The service that an application provides once.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as EffectScope from "effect/Scope"
import type { Policy } from "../../Policy.js"
import type { Executor, Handlers } from "./executor.js"
import type { ResolvedLimits } from "./limits.js"
import type { ScopeBehavior } from "./scope.js"
import type { HandlerDefinition } from "./task.js"

/**
 * What becomes of an enqueue with an option that its executor cannot carry out. `refuse`: it is a defect
 * (`UnsupportedOptionError`). `ignore`: the intent runs as if it had no such option, and that is logged once as a warning.
 *
 * @since 0.1.0
 * @category options
 */
export type UnsupportedOptions = "refuse" | "ignore"

/**
 * The settings for all scopes of an application, and the handlers of its tasks. `Airlock.layer` builds it from
 * `AirlockOptions`.
 *
 * @since 0.1.0
 * @category services
 */
export interface AirlockService extends ResolvedLimits {
  readonly policy: Policy
  readonly executor: Executor
  /** How scopes settle whose own options do not say. */
  readonly scope?: ScopeBehavior<never>
  readonly shutdownTimeout: Duration.Duration
  readonly unsupportedOptions: UnsupportedOptions
  /** The handlers of the application's tasks, for executors and workers that run them. */
  readonly handlers: Handlers
  /** Registers a handler until the `Scope` closes. @internal */
  readonly register: (definition: HandlerDefinition) => Effect.Effect<void, never, EffectScope.Scope>
}

/**
 * The service that opens scopes and runs handlers. An application provides it once, with `AirlockLive` or `Airlock.layer`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Airlock } from "effect-airlock"
 *
 * // the names of all tasks that have a handler
 * const names = Effect.map(Airlock.Airlock, ({ handlers }) => handlers.names)
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class Airlock extends Context.Tag("effect-airlock/Airlock")<Airlock, AirlockService>() {}
