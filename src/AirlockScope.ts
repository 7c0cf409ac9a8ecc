/**
 * The tag that marks, in the type of an Effect, that it enqueues and needs a scope.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Stream from "effect/Stream"
import { type FlushError, NoScopeError } from "./AirlockError.js"
import type { ScopeView } from "./internal/contract/scope.js"
import { currentOf } from "./internal/scope/currentScope.js"
import { viewOf } from "./internal/scope/plan.js"
import type { Policy } from "./Policy.js"

export type { Limits } from "./internal/contract/limits.js"
export type { ScopeBehavior, ScopedOptions, ScopeOptions, ScopeState, ScopeView } from "./internal/contract/scope.js"

// At run time the tag has a default value, so that a scope puts nothing into the context. Its type is that of a tag without a
// default value, which must be provided.

/**
 * In the requirements of an Effect, `AirlockScope` says that the Effect enqueues and needs a scope. `Airlock.scoped`, the
 * HTTP middleware and `Airlock.unchecked` remove it.
 *
 * The tag is a marker. A `FiberRef` holds the current scope, so that a service which was built long before a request
 * enqueues into the scope of that request. The value of the tag is a view of the running fiber's scope. To read it without
 * a scope is a defect (`NoScopeError`).
 *
 * @example
 * ```ts
 * import { Console, Effect } from "effect"
 * import { AirlockScope } from "effect-airlock"
 *
 * // Effect<void, PolicyFailedError | SettleTimeoutError, AirlockScope>
 * const printPlan = AirlockScope.pipe(
 *   Effect.flatMap((scope) => scope.plan),
 *   Effect.flatMap((plan) => Console.log(String(plan)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class AirlockScope extends (Context.Reference<AirlockScope>()("effect-airlock/AirlockScope", {
  defaultValue: () => currentView
}) as unknown as Context.TagClass<AirlockScope, "effect-airlock/AirlockScope", ScopeView>) {}

const current = (): ScopeView => {
  const fiber = Fiber.getCurrentFiber()
  const scope = fiber._tag === "Some" ? currentOf(fiber.value)?.scope : undefined
  if (scope === undefined) {
    throw new NoScopeError({})
  }
  return viewOf(scope)
}

const currentView: ScopeView = {
  get id() {
    return current().id
  },
  get name() {
    return current().name
  },
  get state() {
    return current().state
  },
  get intents() {
    return current().intents
  },
  get own() {
    return current().own
  },
  get captured() {
    return current().captured
  },
  get plan() {
    return current().plan
  }
}

/**
 * The type of the services that the policy and the approval of a scope need, also of options that may have none. For a
 * widened type such as `ScopeOptions` it is `unknown`.
 *
 * @since 0.1.0
 * @category utility types
 */
export type OptionsContext<Options> =
  | PolicyContext<Property<Options, "policy">>
  | ReturnedContext<Property<Options, "approve">>

/**
 * The type of the error of a scope whose intents did not all leave: a `FlushError`, or the error of `onFlushError`.
 *
 * @since 0.1.0
 * @category utility types
 */
export type FlushErrorOf<Options, A> = RecoveredError<Property<Options, "onFlushError">, A>

/**
 * The type of the services that `onFlushError` of a scope needs.
 *
 * @since 0.1.0
 * @category utility types
 */
export type OnFlushErrorContext<Options> = ReturnedContext<Property<Options, "onFlushError">>

type Property<Options, Key extends string> = Options extends unknown ? Key extends keyof Options ? Options[Key] : never
  : never
type PolicyContext<P> = P extends Policy<infer R> ? R : never
/** A function that only throws returns `never`, from which `unknown` would be inferred. */
type Returned<F> = F extends (argument: never) => infer T ? T : never
type ReturnedContext<F> = Returned<F> extends infer T ? T extends Effect.Effect<unknown, unknown, infer R> ? R : never
  : never
type ReturnedError<F> = Returned<F> extends infer T ? T extends Effect.Effect<unknown, infer E, unknown> ? E : never
  : never
type RecoveredError<F, A> = [F] extends [never] ? FlushError<A>
  : ReturnedError<F> | (undefined extends F ? FlushError<A> : never)

/**
 * Makes an unknown property of generic options a compile error, such as a misspelt `policy`.
 *
 * @since 0.1.0
 * @category utility types
 */
export type Exact<X, Options> = X extends Effect.Effect<any, any, any> | Stream.Stream<any, any, any> ? unknown
  : { readonly [Key in Exclude<keyof X, keyof Options>]: never }

/**
 * Removes the requirement `AirlockScope`. At run time the tag has a default value everywhere.
 *
 * @internal
 */
export const withoutMarker = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, AirlockScope>> =>
  self as Effect.Effect<A, E, Exclude<R, AirlockScope>>
