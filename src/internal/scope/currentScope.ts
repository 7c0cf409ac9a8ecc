/**
 * The FiberRef that holds the current scope, policies and fork of a fiber. No other file touches it.
 *
 * @internal
 */
import * as Differ from "effect/Differ"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import { identity } from "effect/Function"
import { globalValue } from "effect/GlobalValue"
import * as Predicate from "effect/Predicate"
import {
  type AnyFiber,
  currentStep,
  findFiber,
  refsOf,
  type RefUpdate,
  runningFiber,
  setRefs,
  updatedRefs,
  updateRefs
} from "../support/effectInternals.js"
import { flatMapExit } from "../support/flatMapExit.js"
import { type Fork, makeFork, moveToFiber, noteFiber, noteJoin } from "./fork.js"
import { rebaseLocal } from "./policyChain.js"
import { type Current, findScope, isInside, type Scope } from "./scope.js"
import { scopeOf } from "./view.js"

/** A forked fiber has the same scope and policies, and a node of its own in the tree of fibers. */
const forkCurrent = (value: Current | undefined): Current | undefined => {
  const running = Fiber.getCurrentFiber()
  // If a captured runtime forks, the running fiber is another one than the parent.
  const parent = running._tag === "Some" && running.value.getFiberRef(currentRef) === value ? running.value : undefined
  const current = parent === undefined ? value : afterSettled(value)
  if (current?.scope === undefined) {
    return current
  }
  const { policies, scope } = current
  if (scope.settlement !== undefined) {
    // Only the fiber that entered the scope leaves it. A scope that has settled needs no tree.
    return current === scope ? { scope, policies, fork: scope.fork } : current
  }
  return { scope, policies, fork: makeFork(parent === undefined ? current.fork : notedFork(parent, current), parent) }
}

/**
 * A joined fiber belongs to the fiber that joined it. If it has entered a scope that is still open, so has the other one: the
 * Layers that `Layer.mergeAll` merges are built in fibers of their own.
 */
const joinCurrent = (value: Current | undefined, joined: Current | undefined): Current | undefined => {
  const [current, child] = [afterSettled(value), afterSettled(joined)]
  if (child?.scope === undefined) {
    return value
  }
  const joiner = forkIn(child.scope, current)
  if (joiner !== undefined) {
    noteFiber(joiner, runningFiber())
    noteJoin(child.fork, joiner)
  }
  const { entered, outer, settlement } = child.scope
  const isHandedOver = child === child.scope && entered !== undefined && settlement === undefined &&
    child.scope !== current?.scope && outer?.scope === current?.scope
  if (isHandedOver) {
    entered.fiber = runningFiber()
  }
  return isHandedOver ? child : value
}

/** The node at which a fiber stands in the tree of a scope, if it is in that scope or in one inside it. */
const forkIn = (scope: Scope, current: Current | undefined): Fork | undefined => {
  const inner = findScope(current?.scope, (at) => at === scope || at.outer?.scope === scope)
  return inner === undefined ? undefined : inner === scope ? current!.fork : inner.outer!.fork
}

/**
 * Holds a handle, because fibers share a scope. The FiberRef is global, so that two copies of this package in one process
 * see the same scopes.
 *
 * Effect asks for the difference of two values, and applies it, when a fiber is joined, and when a request ends the step of a
 * batched `Effect.forEach` in one fiber and Effect continues it in another one.
 */
const currentRef: FiberRef.FiberRef<Current | undefined> = globalValue(
  Symbol.for("effect-airlock/currentScope"),
  () =>
    FiberRef.unsafeMakePatch<Current | undefined, (old: Current | undefined) => Current | undefined>(undefined, {
      differ: Differ.make({
        empty: identity,
        combine: (first, second) => (value) => second(first(value)),
        diff: (_, value) => {
          const forks = forksOfStep(value)
          return () => {
            // Effect runs the rest a second time, interrupted, if another item fails.
            forks.splice(0).forEach(continueStep)
            return value
          }
        },
        patch: (patch, value) => patch(value)
      }),
      fork: forkCurrent,
      join: joinCurrent
    })
)

/** The nodes of a step that the running fiber has left, to wait for a request. */
const forksOfStep = (current: Current | undefined): Array<Fork> =>
  forksOf(current).filter(({ fiber, step }) =>
    fiber !== undefined && step !== undefined && fiber === runningFiber() && step !== currentStep(fiber)
  )

const continueStep = (fork: Fork): void => {
  const running = runningFiber()
  moveToFiber(fork, running, currentStep(running))
}

/** The nodes of a fiber in its scope and in the scopes around it. */
const forksOf = (current: Current | undefined): ReadonlyArray<Fork> => {
  const forks: Array<Fork> = []
  for (let at = current; at !== undefined; at = at.scope?.outer) {
    forks.push(at.fork)
  }
  return forks
}

/**
 * The node of the running fiber, which is noted now: what becomes of the fiber decides about what it does here. An item of a
 * batched `Effect.forEach` gets a node of its own, because Effect may continue it in another fiber.
 *
 * @internal
 */
export const notedFork = (fiber: AnyFiber, { fork, policies, scope }: Current): Fork => {
  const own = ownFork(fiber, fork, scope)
  noteFiber(own, fiber)
  noteUnknown(fiber, own.parent)
  if (own !== fork) {
    setRefs(fiber, updatedRefs(refsOf(fiber), fiber, [setCurrent({ scope, policies, fork: own })]))
  }
  return own
}

const ownFork = (fiber: AnyFiber, fork: Fork, scope: Scope | undefined): Fork => {
  if (fork.parent === undefined) {
    const isForeign = scope?.fork === fork && scope.entered !== undefined && scope.entered.fiber !== fiber
    return isForeign ? makeFork(fork) : fork
  }
  const step = currentStep(fiber)
  if (step === undefined || fork.step === step) {
    return fork
  }
  noteFiber(fork, fiber)
  return makeFork(fork.step === undefined ? fork : fork.parent, undefined, step)
}

/** Finds the fibers that handed their runtimes to code that is not Effect, if they have not been noted and still run. */
const noteUnknown = (fiber: AnyFiber, from: Fork | undefined): void => {
  for (let at = from; at?.parent !== undefined && at.fiber === undefined && at.fate === undefined; at = at.parent) {
    const fork = at
    const ancestors = refsOf(fiber).locals.get(currentRef) ?? []
    const entry = ancestors.find(([, value]) => (value as Current | undefined)?.fork === fork)
    const owner = entry && findFiber(entry[0], forkersOf(fork))
    if (owner === undefined) {
      // It is not looked for again.
      fork.fate = "unknown"
    } else {
      noteFiber(fork, owner)
    }
  }
}

/** The fibers among whose children a fiber may be. A worker of a concurrent `Effect.forEach` forks for the fiber above it. */
const forkersOf = (fork: Fork): ReadonlyArray<AnyFiber> => {
  const forkers: Array<AnyFiber> = []
  for (let at: Fork | undefined = fork; at !== undefined; at = at.parent) {
    forkers.push(...[at.fiber, at.forkedBy].filter(Predicate.isNotUndefined))
  }
  return forkers
}

/** The current scope, policies and fork of a fiber. @internal */
export const currentOf = (fiber: AnyFiber): Current | undefined =>
  insideProvidedScope(fiber, afterSettled(fiber.getFiberRef(currentRef)))

/**
 * A fiber whose value is the scope itself has entered it, and leaves it when the scope has settled. Any other fiber has a value
 * that `forkCurrent` made: it stays in the scope, which refuses its enqueues.
 */
const afterSettled = (value: Current | undefined): Current | undefined => {
  let current = value
  while (current !== undefined && current === current.scope && current.scope.settlement !== undefined) {
    if (current.scope.entered === undefined) {
      break
    }
    current = current.scope.entered.from
  }
  return current
}

/**
 * The FiberRef does not hold a scope that was opened while a Layer was built: only the service `AirlockScope` refers to it.
 */
const insideProvidedScope = (fiber: AnyFiber, current: Current | undefined): Current | undefined => {
  const provided = scopeOf(fiber.currentContext.unsafeMap.get("effect-airlock/AirlockScope"))
  if (provided === undefined || current?.isPolicy === true) {
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
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    FiberRef.getAndSet(currentRef, current),
    () => self,
    (before) =>
      FiberRef.update(currentRef, (now) =>
        // An item of a batched `Effect.forEach` may have got its node meanwhile.
        before?.scope === undefined || now === undefined || now.scope !== before.scope || now.fork.step === undefined
          ? before
          : { scope: before.scope, policies: before.policies, fork: now.fork })
  )

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
  scope.entered = { fiber, from: fiber.getFiberRef(currentRef) }
  enterForGood(fiber, scope, ...updates)
}

/**
 * Enters a scope that the fiber does not leave: what it enqueues after the scope has settled is late.
 *
 * @internal
 */
export const enterForGood = (fiber: AnyFiber, scope: Scope, ...updates: ReadonlyArray<RefUpdate>): void =>
  setRefs(fiber, updatedRefs(refsOf(fiber), fiber, [setCurrent(scope), ...updates]))

/** Whether a fiber has opened its current scope itself. @internal */
export const isOpenedBy = (fiber: AnyFiber): boolean => currentOf(fiber)?.scope?.fork.forkedBy === fiber

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
