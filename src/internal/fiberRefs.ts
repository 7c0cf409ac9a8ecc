/**
 * The FiberRefs of a fiber, read and set in as few copies as can be. Effect copies all of them at each change, and its own
 * operators once more to look at them.
 *
 * @internal
 */
import * as Fiber from "effect/Fiber"
import type * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"

/** What Effect's run loop does itself; the type of a fiber does not show it. */
interface Internals {
  readonly _fiberRefs: FiberRefs.FiberRefs
  setFiberRefs(refs: FiberRefs.FiberRefs): void
}

/** @internal */
export type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * What a FiberRef is to be set to.
 *
 * @internal
 */
export type RefUpdate = readonly [FiberRef.FiberRef<any>, unknown]

/**
 * The FiberRefs of a fiber, which are another object after each change. `fiber.getFiberRefs()` makes such a change itself:
 * it notes the runtime flags, which only a fiber that is joined is asked for.
 *
 * @internal
 */
export const refsOf = (fiber: AnyFiber): FiberRefs.FiberRefs => (fiber as AnyFiber & Internals)._fiberRefs

/**
 * The fiber that runs. An Effect does not always end in the fiber that it began in: where requests are batched, Effect goes
 * on in another one with what is left to do.
 *
 * @internal
 */
export const runningFiber = (): AnyFiber => Option.getOrThrow(Fiber.getCurrentFiber())

/** Only for the fiber that runs. @internal */
export const setRefs = (fiber: AnyFiber, refs: FiberRefs.FiberRefs): void =>
  (fiber as AnyFiber & Internals).setFiberRefs(refs)

/** FiberRefs, with some of them set by a fiber. @internal */
export const updated = (
  refs: FiberRefs.FiberRefs,
  fiber: AnyFiber,
  updates: ReadonlyArray<RefUpdate>
): FiberRefs.FiberRefs => {
  const id = fiber.id()
  const locals = new Map(refs.locals)
  for (const [ref, value] of updates) {
    const stack = locals.get(ref)
    // What a fiber set itself it replaces; what it has from its parent stays below, to be told apart when it is joined.
    locals.set(ref, stack === undefined ? [[id, value]] : [[id, value], ...stack[0][0] === id ? stack.slice(1) : stack])
  }
  return FiberRefs.unsafeMake(locals)
}

/**
 * Sets FiberRefs of the fiber that runs, and gives the way back for the one that runs then, which leaves alone what else was
 * changed meanwhile.
 *
 * @internal
 */
export const change = (fiber: AnyFiber, updates: ReadonlyArray<RefUpdate>): () => void => {
  const before = refsOf(fiber)
  const changed = updated(before, fiber, updates)
  setRefs(fiber, changed)
  return () => {
    const running = runningFiber()
    const now = refsOf(running)
    const back = now === changed
      ? before
      : updated(now, running, updates.map(([ref]) => [ref, FiberRefs.getOrDefault(before, ref)]))
    setRefs(running, back)
  }
}
