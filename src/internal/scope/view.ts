/**
 * The read-only view of a scope, which is also the value of the service `AirlockScope`.
 *
 * @internal
 */
import type { ScopeView } from "../contract/scope.js"
import type { Scope } from "./scope.js"

/** The property of a view that holds its scope. */
const ScopeKey: unique symbol = Symbol.for("effect-airlock/Scope")

/** @internal */
export interface ViewOfScope extends ScopeView {
  readonly [ScopeKey]: Scope
}

/** Makes the view of a scope. `planOf` makes the plan that it shows. @internal */
export const makeView = (scope: Scope, planOf: (scope: Scope) => ScopeView["plan"]): ViewOfScope => ({
  [ScopeKey]: scope,
  id: scope.id,
  get name() {
    return scope.name
  },
  get state() {
    return scope.state
  },
  get intents() {
    return scope.buffer.slice()
  },
  get own() {
    return scope.own
  },
  get captured() {
    return scope.captured
  },
  get plan() {
    return planOf(scope)
  }
})

/** The scope of a view, or `undefined` for any other value. @internal */
export const scopeOf = (service: unknown): Scope | undefined =>
  typeof service === "object" && service !== null && ScopeKey in service
    ? (service as ViewOfScope)[ScopeKey]
    : undefined
