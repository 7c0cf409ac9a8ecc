/**
 * The one place that knows the FiberRef of where a fiber stands (its scope, the policies in force, the fork it is).
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import { globalValue } from "effect/GlobalValue"
import * as Runtime from "effect/Runtime"
import type * as RuntimeFlags from "effect/RuntimeFlags"
import type { AirlockScope } from "../AirlockScope.js"
import { type AnyFiber, change, refsOf, type RefUpdate, setRefs, updated } from "./fiberRefs.js"
import { flatMapExit } from "./flatMapExit.js"
import { type PolicyChain, rebaseLocal } from "./policyChain.js"
import type { Scope } from "./scope.js"

/** @internal */
export interface Position {
  readonly scope: Scope | undefined
  readonly policies: PolicyChain | undefined
  readonly fork: Fork
  /** Whether a policy runs here: then no scope is looked for. */
  readonly isPolicy?: boolean
}

/**
 * A fiber's place in the tree of fibers of its scope. The fiber is not known when the fork is made: it is noted when it
 * first matters, which is when it enqueues or forks itself.
 *
 * @internal
 */
export interface Fork {
  readonly parent: Fork | undefined
  fiber: AnyFiber | undefined
  daemon: boolean
  /** Whether another fiber has joined it, and so made its work part of its own. */
  joined: boolean
}

/** @internal */
export const rootFork = (): Fork => ({ parent: undefined, fiber: undefined, daemon: false, joined: false })

const forkPosition = (position: Position | undefined): Position | undefined => {
  if (position === undefined || position.scope === undefined || position.scope.settlement !== undefined) {
    return position
  }
  const current = Fiber.getCurrentFiber()
  // A fork can also come from a captured runtime, where the running fiber is another one.
  if (current._tag === "Some" && current.value.getFiberRef(currentPosition) === position) {
    noteFiber(position.fork, current.value)
  }
  return {
    scope: position.scope,
    policies: position.policies,
    fork: { parent: position.fork, fiber: undefined, daemon: false, joined: false }
  }
}

/**
 * A handle that is set for a region, and never joined back into a parent: two fibers share the scope, not the value. Global, so that two copies of this package in one process see the same scopes.
 *
 * @internal
 */
export const currentPosition: FiberRef.FiberRef<Position | undefined> = globalValue(
  Symbol.for("effect-airlock/currentPosition"),
  () =>
    FiberRef.unsafeMake<Position | undefined>(undefined, {
      fork: forkPosition,
      join: (parent, child) => {
        if (child !== undefined) {
          child.fork.joined = true
        }
        return parent
      }
    })
)

const currentBatch: FiberRef.FiberRef<unknown> = globalValue(
  Symbol.for("effect-airlock/currentBatch"),
  () => FiberRef.unsafeMake<unknown>(undefined)
)

/**
 * The batch that is carried in the background where a fiber runs: what its handlers enqueue belongs to it.
 *
 * @internal
 */
export const batchIn = (fiber: AnyFiber): unknown => fiber.getFiberRef(currentBatch)

/** @internal */
export const inBatch = <A, E, R>(self: Effect.Effect<A, E, R>, batch: unknown): Effect.Effect<A, E, R> =>
  Effect.locally(self, currentBatch, batch)

/**
 * Effect keeps the fibers that no other fiber supervises (daemons, those forked into a Scope) in one global set. There
 * is no cheaper public way to ask whether a fiber is one of them: `Fiber.roots` copies the set.
 */
const unsupervised = globalValue(
  Symbol.for("effect/FiberScope/Global"),
  (): { readonly roots: ReadonlySet<unknown> } => ({ roots: new Set() })
)

/** @internal */
export const noteFiber = (fork: Fork, fiber: AnyFiber): void => {
  if (fork.fiber === undefined && fork.parent !== undefined) {
    fork.fiber = fiber
    fork.daemon = unsupervised.roots.has(fiber)
  }
}

/** @internal */
export type Fate = "kept" | "failed" | "interrupted" | "running"

const fateOf = (fiber: AnyFiber): Fate => {
  const exit = fiber.unsafePoll()
  if (exit === null) {
    return "running"
  }
  if (exit._tag === "Failure") {
    return Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "failed"
  }
  // The loser of Effect.timeout, and a worker of a concurrent Effect.forEach, end with a Success that holds the failure.
  if (Exit.isExit(exit.value) && Exit.isFailure(exit.value)) {
    return "failed"
  }
  return isInterrupted(fiber) ? "interrupted" : "kept"
}

/**
 * What became of the branch of fibers that an intent was enqueued in, seen from the fiber that settles.
 *
 * The fiber that enqueued must have ended well, and so must those that forked it, for its work was part of theirs. But
 * a daemon that only forked other daemons for it, and joined none, may have been interrupted: so a Stream ends the fibers
 * that feed its workers.
 *
 * @internal
 */
export const fateOfBranch = (fork: Fork, settling: AnyFiber): Fate => {
  let below: Fork | undefined
  for (let at: Fork | undefined = fork; at !== undefined; below = at, at = at.parent) {
    if (at.fiber !== undefined && at.fiber !== settling) {
      const fate = fateOf(at.fiber)
      const excused = fate === "interrupted" && at.daemon && below?.daemon === true && !below.joined
      if (fate !== "kept" && !excused) {
        return fate
      }
    }
  }
  return "kept"
}

/**
 * Where a fiber stands. A scope that was opened while a Layer was built may be known by its service alone.
 *
 * @internal
 */
export const positionOf = (fiber: AnyFiber): Position | undefined => {
  let position = fiber.getFiberRef(currentPosition)
  // Only for the fiber that entered: one that it forked, and that is late, is to be told so.
  while (position !== undefined && position === position.scope && position.scope.entered && isSettled(position.scope)) {
    position = position.scope.enteredFrom
  }
  const service: unknown = fiber.currentContext.unsafeMap.get("effect-airlock/AirlockScope")
  if (!isScope(service) || service.settlement !== undefined || position?.isPolicy === true) {
    return position
  }
  const scope = position?.scope
  if (scope !== undefined && !isInside(service, scope)) {
    return position
  }
  return scope === service ? position : {
    scope: service,
    policies: scope === undefined ? rebaseLocal(position?.policies, service.policies) : service.policies,
    fork: service.fork
  }
}

/** @internal */
export const ScopeTypeId: unique symbol = Symbol.for("effect-airlock/Scope")

const isScope = (u: unknown): u is Scope => typeof u === "object" && u !== null && ScopeTypeId in u

const isSettled = (scope: Scope): boolean => scope.settlement !== undefined

const isInside = (scope: Scope, outer: Scope): boolean => {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer?.scope) {
    if (at === outer) {
      return true
    }
  }
  return false
}

/**
 * Whether an interruption waits for the fiber, or is what it ends of.
 *
 * @internal
 */
export const isInterrupted = (fiber: AnyFiber): boolean => !Cause.isEmpty(fiber.getFiberRef(FiberRef.interruptedCause))

/** @internal */
export const locally = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  position: Position | undefined
): Effect.Effect<A, E, R> => Effect.locally(self, currentPosition, position)

/**
 * Gives the fiber the FiberRefs that it had at some time, but for some of them. That it was interrupted meanwhile is not
 * forgotten.
 *
 * @internal
 */
export const standAs = (fiber: AnyFiber, refs: FiberRefs.FiberRefs, ...updates: ReadonlyArray<RefUpdate>): void => {
  const interruption: RefUpdate = [FiberRef.interruptedCause, fiber.getFiberRef(FiberRef.interruptedCause)]
  const isKnown = FiberRefs.getOrDefault(refs, FiberRef.interruptedCause) === interruption[1]
  const all = isKnown ? updates : [...updates, interruption]
  setRefs(fiber, all.length === 0 ? refs : updated(refs, fiber, all))
}

/** What makes a fiber stand at a position. @internal */
export const standing = (position: Position | undefined): RefUpdate => [currentPosition, position]

/**
 * Gives the exit of an Effect that runs in a scope, and with other FiberRefs set as asked. Only for an uninterruptible
 * region, of which the Effect may restore what it likes: cheaper there than `Effect.locally`, which is a bracket.
 *
 * @internal
 */
export const exitWithin = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  fiber: AnyFiber,
  scope: Scope,
  ...also: ReadonlyArray<RefUpdate>
): Effect.Effect<Exit.Exit<A, E>, never, Exclude<R, AirlockScope>> => {
  const ran = Effect.suspend(() => {
    const back = change(fiber, [standing(scope), ...also])
    return flatMapExit(self, (exit) => {
      back()
      return Effect.succeed(exit)
    })
  })
  // The marker has a value at run time wherever it is asked for; here it has the one that the requirement means.
  return ran as Effect.Effect<Exit.Exit<A, E>, never, Exclude<R, AirlockScope>>
}

/**
 * Lets the fiber that runs enter a scope for good: when the scope has settled, the fiber stands where it stood before.
 *
 * @internal
 */
export const enter = (fiber: AnyFiber, scope: Scope, ...also: ReadonlyArray<RefUpdate>): void => {
  scope.entered = true
  scope.enteredFrom = fiber.getFiberRef(currentPosition)
  setRefs(fiber, updated(refsOf(fiber), fiber, [standing(scope), ...also]))
}

/** @internal */
export const leave = (scope: Scope): Effect.Effect<void> =>
  FiberRef.update(currentPosition, (position) => position === scope ? scope.enteredFrom : position)

/** A fiber that is started at once adds to the stack of whoever starts it: this many may be started inside each other. */
const maxNesting = 16

let nesting = 0

/**
 * Starts an Effect at once, in a fiber of its own that stands at a position and has the flags of the fiber that runs. What
 * needs no waiting has mostly ended when this returns.
 *
 * @internal
 */
export const startAt = <A, E>(
  self: Effect.Effect<A, E>,
  position: Position | undefined,
  fiber: AnyFiber,
  runtimeFlags: RuntimeFlags.RuntimeFlags
): Fiber.RuntimeFiber<A, E> => {
  const runtime = Runtime.make({ context: fiber.currentContext, runtimeFlags, fiberRefs: refsOf(fiber) })
  // Each change of a FiberRef copies all of them: not where the fiber stands there already.
  const moving = fiber.getFiberRef(currentPosition) === position ? {} : {
    updateRefs: (refs: FiberRefs.FiberRefs, fiberId: FiberId.Runtime) =>
      FiberRefs.updateAs(refs, { fiberId, fiberRef: currentPosition, value: position })
  }
  nesting++
  try {
    return Runtime.runFork(runtime, self, { ...moving, immediate: nesting <= maxNesting })
  } finally {
    nesting--
  }
}
