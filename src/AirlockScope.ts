/**
 * The tag that marks, in the type of an Effect, that it has side effects to say and needs a scope to say them in.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { NoScopeError, type PolicyFailedError, type SettleTimeoutError } from "./AirlockError.js"
import type { Executor } from "./Executor.js"
import type { Intent } from "./Intent.js"
import { positionOf } from "./internal/position.js"
import type { Plan } from "./Plan.js"
import type { Policy } from "./Policy.js"

/**
 * The life of a scope. Only an `open` one accepts intents.
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
 * A scope as those see it who look: logs, middleware, tests. Nothing can be changed through it.
 *
 * @since 0.1.0
 * @category models
 */
export interface ScopeView {
  /** Unique in this process. */
  readonly id: number
  readonly name: string
  readonly state: ScopeState
  /** What it holds now, in the order in which it was enqueued: its own intents and those of scopes inside it. */
  readonly intents: ReadonlyArray<Intent>
  /** Those enqueued in the scope itself. */
  readonly own: ReadonlyArray<Intent>
  /** Those that came from scopes inside it, which succeeded. */
  readonly captured: ReadonlyArray<Intent>
  /** What would become of what it holds, if it succeeded now. To look changes nothing. */
  readonly plan: Effect.Effect<Plan, PolicyFailedError | SettleTimeoutError>
}

/**
 * In the requirements of an Effect, `AirlockScope` says: this enqueues. `Airlock.scoped`, the HTTP middleware and
 * `Airlock.unchecked` take it away.
 *
 * It is a marker. Which scope an intent goes to is decided by the fiber (a `FiberRef`), so that a service that was
 * built long before a request still enqueues into the scope of that request. The service itself shows the scope of
 * whichever fiber looks.
 *
 * @since 0.1.0
 * @category tags
 */
export class AirlockScope extends // With a default at run time, a scope need not put anything into the context when it opens; the type stays that of a
// service that someone must provide.
(Context.Reference<AirlockScope>()("effect-airlock/AirlockScope", {
  defaultValue: () => viewHere
}) as unknown as Context.TagClass<AirlockScope, "effect-airlock/AirlockScope", ScopeView>) {}

const here = (): ScopeView => {
  const fiber = Fiber.getCurrentFiber()
  const scope = fiber._tag === "Some" ? positionOf(fiber.value)?.scope : undefined
  if (scope === undefined) {
    throw new NoScopeError({})
  }
  return scope
}

const viewHere: ScopeView = {
  get id() {
    return here().id
  },
  get name() {
    return here().name
  },
  get state() {
    return here().state
  },
  get intents() {
    return here().intents
  },
  get own() {
    return here().own
  },
  get captured() {
    return here().captured
  },
  get plan() {
    return here().plan
  }
}

/**
 * The bounds within which scopes settle. Given to `Airlock.layer` they hold for all scopes, given to a scope for that one.
 *
 * @since 0.1.0
 * @category options
 */
export interface Limits {
  /**
   * How many bytes a payload may have, encoded by its Schema as JSON in UTF-8. Default: not limited, and so not measured,
   * because to measure is to encode.
   */
  readonly maxPayloadBytes?: number
  /** How many handlers deep a handler may be that enqueues. Default: 100. */
  readonly maxCascade?: number
  /** How many intents a scope may hold, captured ones included. Default: 10 000. */
  readonly maxIntents?: number
  /** How long the policies may take to decide about a scope's intents. Default: 5 seconds. */
  readonly policyTimeout?: Duration.DurationInput
  /** How long the approval of a plan may take. Default: 5 minutes. */
  readonly approveTimeout?: Duration.DurationInput
  /** How long the executor may take over a scope's intents. Default: 60 seconds. */
  readonly dispatchTimeout?: Duration.DurationInput
}

/**
 * @since 0.1.0
 * @category options
 */
export interface ScopeOptions extends Limits {
  /** For logs and errors. Default: `scope` and a number. */
  readonly name?: string
  /** Holds beside all other policies in force. */
  readonly policy?: Policy<unknown>
  /**
   * Asked before anything leaves, where the scope is the one that lets it leave: `false` discards all of it. An
   * interruption while it is asked discards at once. Default: not asked.
   */
  readonly approve?: (plan: Plan) => Effect.Effect<boolean, never, unknown>
  /** For an outermost scope: how its intents leave. Inside another scope it is ignored, with a warning. */
  readonly executor?: Executor
  /** Opens a root scope even inside another one, which then has no say over it. Default: `false`. */
  readonly independent?: boolean
  /** Whether the scope flushes. Default: if it succeeded. */
  readonly shouldFlush?: (exit: Exit.Exit<unknown, unknown>, intents: ReadonlyArray<Intent>) => boolean
  /**
   * Asked when a scope inside this one hands over its intents: those that it returns go on outwards, and leave if no
   * other scope keeps them; the others stay and share this scope's fate. Not asked inside a SQL transaction, past
   * which nothing goes before it commits. Default: all stay.
   */
  readonly beforeDescendantFlushes?: (intents: ReadonlyArray<Intent>, descendant: ScopeView) => ReadonlyArray<Intent>
}

/**
 * The services that the policy and the approval of a scope need.
 *
 * @since 0.1.0
 * @category utility types
 */
export type OptionsContext<Options> =
  | (Options extends { readonly policy: Policy<infer R> } ? R : never)
  | (Options extends { readonly approve: (plan: Plan) => Effect.Effect<boolean, never, infer R> } ? R : never)

/**
 * Refuses, in a generic parameter, a property that the options do not have: a misspelt policy must not compile.
 *
 * @since 0.1.0
 * @category utility types
 */
export type Exact<X, Options> = X extends Effect.Effect<any, any, any> ? unknown
  : { readonly [Key in Exclude<keyof X, keyof Options>]: never }
