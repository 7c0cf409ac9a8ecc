/**
 * The FiberRef that holds the current scope, policies and fork of a fiber. No other file touches it.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import { globalValue } from "effect/GlobalValue"
import { type AnyFiber, refsOf, type RefUpdate, setRefs, updatedRefs, updateRefs } from "../support/effectInternals.js"
import { flatMapExit } from "../support/flatMapExit.js"
import { makeFork, noteFiber } from "./fork.js"
import { rebaseLocal } from "./policyChain.js"
import { type Current, isInside, type Scope } from "./scope.js"
import { scopeOf } from "./view.js"

/** A forked fiber has the same scope and policies, and a node of its own in the tree of fibers. */
const forkCurrent = (current: Current | undefined): Current | undefined => {
  if (current === undefined || current.scope === undefined || current.scope.settlement !== undefined) {
    return current
  }
  const running = Fiber.getCurrentFiber()
  // If a captured runtime forks, the running fiber is another one than the parent.
  if (running._tag === "Some" && running.value.getFiberRef(currentRef) === current) {
    noteFiber(current.fork, running.value)
  }
  return { scope: current.scope, policies: current.policies, fork: makeFork(current.fork) }
}

/**
 * Holds a handle, because fibers share a scope. A join does not replace the handle of the parent; it only notes that the
 * child was joined. The FiberRef is global, so that two copies of this package in one process see the same scopes.
 */
const currentRef: FiberRef.FiberRef<Current | undefined> = globalValue(
  Symbol.for("effect-airlock/currentScope"),
  () =>
    FiberRef.unsafeMake<Current | undefined>(undefined, {
      fork: forkCurrent,
      join: (parent, child) => {
        if (child !== undefined) {
          child.fork.joined = true
        }
        return parent
      }
    })
)

/** The current scope, policies and fork of a fiber. @internal */
export const currentOf = (fiber: AnyFiber): Current | undefined => {
  let current = fiber.getFiberRef(currentRef)
  // The fiber that entered a scope leaves it when the scope settles. A fiber that it forked stays in the scope, which refuses
  // its enqueues.
  while (current !== undefined && current === current.scope && current.scope.settlement !== undefined) {
    if (current.scope.entered === undefined) {
      break
    }
    current = current.scope.entered.from
  }
  return insideProvidedScope(fiber, current)
}

/**
 * The FiberRef does not hold a scope that was opened while a Layer was built: only the service `AirlockScope` refers to it.
 */
const insideProvidedScope = (fiber: AnyFiber, current: Current | undefined): Current | undefined => {
  const provided = scopeOf(fiber.currentContext.unsafeMap.get("effect-airlock/AirlockScope"))
  if (provided === undefined || provided.settlement !== undefined || current?.isPolicy === true) {
    return current
  }
  const scope = current?.scope
  if (scope === provided || (scope !== undefined && !isInside(provided, scope))) {
    return current
  }
  return {
    scope: provided,
    policies: scope === undefined ? rebaseLocal(current?.policies, provided.policies) : provided.policies,
    fork: provided.fork
  }
}

/** The update that sets the current scope, policies and fork. @internal */
export const setCurrent = (current: Current | undefined): RefUpdate => [currentRef, current]

/** The update for code that runs outside of all scopes: executors, handlers, engines. @internal */
export const outsideScopes: RefUpdate = setCurrent(undefined)

/** @internal */
export const locally = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  current: Current | undefined
): Effect.Effect<A, E, R> => Effect.locally(self, currentRef, current)

/**
 * Runs an Effect in a scope, with further updates of FiberRefs, and returns its exit. It must run in an uninterruptible
 * region; the Effect itself may restore interruptibility. There it is cheaper than `Effect.locally`, which is a bracket.
 *
 * @internal
 */
export const exitInside = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  fiber: AnyFiber,
  scope: Scope,
  ...updates: ReadonlyArray<RefUpdate>
): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.suspend(() => {
    const restore = updateRefs(fiber, [setCurrent(scope), ...updates])
    return flatMapExit(self, (exit) => {
      restore()
      return Effect.succeed(exit)
    })
  })

/**
 * Enters a scope without a bracket. When the scope has settled, the fiber is in its former scope again.
 *
 * @internal
 */
export const enter = (fiber: AnyFiber, scope: Scope, ...updates: ReadonlyArray<RefUpdate>): void => {
  scope.entered = { from: fiber.getFiberRef(currentRef) }
  setRefs(fiber, updatedRefs(refsOf(fiber), fiber, [setCurrent(scope), ...updates]))
}

/** Leaves a scope that the running fiber entered. @internal */
export const exitEntered = (scope: Scope): Effect.Effect<void> =>
  FiberRef.update(currentRef, (current) => current === scope ? scope.entered?.from : current)

/**
 * Resets the FiberRefs of a fiber to former values, with some updates. An interruption that arrived meanwhile stays
 * pending.
 *
 * @internal
 */
export const resetRefs = (fiber: AnyFiber, refs: FiberRefs.FiberRefs, ...updates: ReadonlyArray<RefUpdate>): void => {
  const interruption: RefUpdate = [FiberRef.interruptedCause, fiber.getFiberRef(FiberRef.interruptedCause)]
  const isNoted = FiberRefs.getOrDefault(refs, FiberRef.interruptedCause) === interruption[1]
  const all = isNoted ? updates : [...updates, interruption]
  setRefs(fiber, all.length === 0 ? refs : updatedRefs(refs, fiber, all))
}
