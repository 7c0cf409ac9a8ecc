/**
 * The private members of Effect that this package uses. No other file touches them, and {@link missingInternals} checks
 * them when Airlock's Layer is built.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import type * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import { globalValue } from "effect/GlobalValue"
import { getCurrentVersion } from "effect/ModuleVersion"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Request from "effect/Request"
import * as Runtime from "effect/Runtime"
import type * as RuntimeFlags from "effect/RuntimeFlags"
import { defaultScheduler } from "effect/Scheduler"
import type * as EffectScope from "effect/Scope"

/** Members of a fiber that its type does not show. Effect's own run loop uses them. */
interface Internals {
  readonly _fiberRefs: FiberRefs.FiberRefs
  /** The places at which the fiber stops if a request has to wait for its batch. */
  readonly _steps: ReadonlyArray<object>
  /** The supervised fibers that it has forked and that run. */
  readonly _children: ReadonlySet<AnyFiber> | null
  setFiberRefs(refs: FiberRefs.FiberRefs): void
}

/** @internal */
export type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** A FiberRef and the value that it gets. @internal */
export type RefUpdate = readonly [FiberRef.FiberRef<any>, unknown]

/**
 * The FiberRefs of a fiber, which are another object after each change. The public `fiber.getFiberRefs()` is no substitute: it
 * changes a FiberRef itself, and Effect copies all FiberRefs at each change.
 *
 * @internal
 */
export const refsOf = (fiber: AnyFiber): FiberRefs.FiberRefs => (fiber as AnyFiber & Internals)._fiberRefs

/** Sets the FiberRefs of the running fiber. @internal */
export const setRefs = (fiber: AnyFiber, refs: FiberRefs.FiberRefs): void =>
  (fiber as AnyFiber & Internals).setFiberRefs(refs)

/**
 * The running fiber. An Effect does not always end in the fiber in which it began: with request batching, Effect continues
 * it in another fiber.
 *
 * @internal
 */
export const runningFiber = (): AnyFiber => Option.getOrThrow(Fiber.getCurrentFiber())

/** Returns a copy of FiberRefs with several updates. @internal */
export const updatedRefs = (
  refs: FiberRefs.FiberRefs,
  fiber: AnyFiber,
  updates: ReadonlyArray<RefUpdate>
): FiberRefs.FiberRefs => {
  const id = fiber.id()
  const locals = new Map(refs.locals)
  for (const [ref, value] of updates) {
    const stack = locals.get(ref)
    // A value that this fiber set is replaced. A value from its parent stays below it, because a join compares the two.
    locals.set(ref, stack === undefined ? [[id, value]] : [[id, value], ...stack[0][0] === id ? stack.slice(1) : stack])
  }
  return FiberRefs.unsafeMake(locals)
}

/**
 * Updates FiberRefs of the running fiber. Returns a function that restores their former values in the fiber that calls it, and
 * leaves all other FiberRefs as they are.
 *
 * @internal
 */
export const updateRefs = (fiber: AnyFiber, updates: ReadonlyArray<RefUpdate>): () => void => {
  const before = refsOf(fiber)
  const changed = updatedRefs(before, fiber, updates)
  setRefs(fiber, changed)
  return () => {
    const running = runningFiber()
    const now = refsOf(running)
    const restored = now === changed
      ? before
      : updatedRefs(now, running, updates.map(([ref]) => [ref, FiberRefs.getOrDefault(before, ref)]))
    setRefs(running, restored)
  }
}

/** A fiber that starts at once runs on the stack of the fiber that starts it, so only this many start inside each other. */
const maxNesting = 16

let nesting = 0

/**
 * Starts an Effect at once, in a fiber of its own with the context, the flags and the FiberRefs of the running fiber, and one
 * of the FiberRefs updated. An Effect that never waits has usually ended when this returns.
 *
 * @internal
 */
export const startFiber = <A, E>(
  self: Effect.Effect<A, E>,
  fiber: AnyFiber,
  runtimeFlags: RuntimeFlags.RuntimeFlags,
  update?: RefUpdate
): Fiber.RuntimeFiber<A, E> => {
  const runtime = Runtime.make({ context: fiber.currentContext, runtimeFlags, fiberRefs: refsOf(fiber) })
  // If the update changes nothing, the FiberRefs are not copied.
  const updating = update === undefined || fiber.getFiberRef(update[0]) === update[1] ? {} : {
    updateRefs: (refs: FiberRefs.FiberRefs, fiberId: FiberId.Runtime) =>
      FiberRefs.updateAs(refs, { fiberId, fiberRef: update[0], value: update[1] })
  }
  nesting++
  try {
    return Runtime.runFork(runtime, self, { ...updating, immediate: nesting <= maxNesting })
  } finally {
    nesting--
  }
}

/** Effect keeps all unsupervised fibers in one global set. The public `Fiber.roots` copies it. */
const unsupervised = globalValue(
  Symbol.for("effect/FiberScope/Global"),
  (): { readonly roots?: ReadonlySet<AnyFiber> } => ({})
)

/** Whether no other fiber supervises a fiber, because it is a daemon or was forked into a Scope. @internal */
export const isUnsupervised = (fiber: AnyFiber): boolean => unsupervised.roots!.has(fiber)

/** Finds a running fiber among the children of others and the unsupervised fibers. @internal */
export const findFiber = (id: FiberId.Single, parents: ReadonlyArray<AnyFiber>): AnyFiber | undefined => {
  const children = parents.map((fiber) => (fiber as AnyFiber & Internals)._children ?? [])
  for (const fibers of [...children, unsupervised.roots!]) {
    for (const fiber of fibers) {
      if (Equal.equals(fiber.id(), id)) {
        return fiber
      }
    }
  }
  return undefined
}

/**
 * From now on, calls Effect's default scheduler inside of a function. It schedules the turns of all fibers that wait, also of those
 * that a turn of another fiber wakes.
 *
 * @internal
 */
export const wrapScheduling = (around: (schedule: () => void) => void): void => {
  const { scheduleTask } = defaultScheduler
  defaultScheduler.scheduleTask = (...args) => around(() => scheduleTask.apply(defaultScheduler, args))
}

/** Effect sets it while a worker of a concurrent `Effect.forEach` runs, and resets it in each fiber that is forked. */
const forkScopeOverride = globalValue(
  Symbol.for("effect/FiberRef/currentForkScopeOverride"),
  (): FiberRef.FiberRef<Option.Option<unknown>> | undefined => undefined
)

/**
 * Whether a fiber is a worker of a concurrent `Effect.forEach` or `Effect.all`. Such workers are unsupervised, but the
 * fiber that started them waits for them.
 *
 * @internal
 */
export const isForEachWorker = (fiber: AnyFiber): boolean => Option.isSome(fiber.getFiberRef(forkScopeOverride!))

/** Effect sets it to the requests of a batch while their resolver runs, and the fibers of the resolver inherit it. */
const requestMap = globalValue(
  Symbol.for("effect/FiberRef/currentRequestMap"),
  (): FiberRef.FiberRef<Requests> | undefined => undefined
)

/** The requests of a batch. @internal */
export type Requests = ReadonlyMap<unknown, Request.Entry<unknown>>

/** The requests that a fiber resolves. @internal */
export const requestsOf = (fiber: AnyFiber): Requests | undefined => {
  const requests = fiber.getFiberRef(requestMap!)
  return requests.size === 0 ? undefined : requests
}

/**
 * The innermost step of a batched `Effect.forEach` that a fiber runs. A request inside of it ends the step, and Effect
 * continues the rest in another fiber.
 *
 * @internal
 */
export const currentStep = (fiber: AnyFiber): object | undefined => {
  const steps = (fiber as AnyFiber & Internals)._steps
  return steps.length === 0 ? undefined : steps[steps.length - 1]
}

/**
 * Whether a Scope has no finalizers. If Effect's Scope does not have the expected members, the result is `false`, which is safe
 * but slower.
 *
 * @internal
 */
export const hasNoFinalizers = (scope: EffectScope.CloseableScope): boolean => {
  const state: unknown = "state" in scope ? scope.state : undefined
  return Predicate.hasProperty(state, "finalizers") && state.finalizers instanceof Map && state.finalizers.size === 0
}

/**
 * The message of the defect with which Airlock's Layer dies if a private member of Effect is missing. `undefined` if
 * none is missing.
 *
 * @internal
 */
export const missingInternals = (
  fiber: AnyFiber,
  { fiberScope = unsupervised, override = forkScopeOverride, requests = requestMap }: {
    readonly fiberScope?: { readonly roots?: unknown }
    readonly override?: unknown
    readonly requests?: unknown
  } = {}
): string | undefined => {
  const missing = [
    ...Predicate.hasProperty(fiber, "_fiberRefs") ? [] : ["RuntimeFiber._fiberRefs"],
    ...Predicate.hasProperty(fiber, "setFiberRefs") ? [] : ["RuntimeFiber.setFiberRefs"],
    ...Predicate.hasProperty(fiber, "_children") ? [] : ["RuntimeFiber._children"],
    ...Predicate.hasProperty(fiber, "_steps") ? [] : ["RuntimeFiber._steps"],
    ...fiberScope.roots instanceof Set ? [] : ["the set of unsupervised fibers"],
    ...Predicate.hasProperty(override, FiberRef.FiberRefTypeId) ? [] : ["the FiberRef currentForkScopeOverride"],
    ...Predicate.hasProperty(requests, FiberRef.FiberRefTypeId) ? [] : ["the FiberRef currentRequestMap"]
  ]
  return missing.length === 0
    ? undefined
    : `effect-airlock uses private members of Effect that Effect ${getCurrentVersion()} does not have: ${
      missing.join(", ")
    }. ` +
      "Install a version of Effect in the range of effect-airlock's peer dependency, or update effect-airlock."
}
