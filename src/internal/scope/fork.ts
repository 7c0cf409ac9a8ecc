/**
 * The tree of fibers of a scope, and what became of a branch of it.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import {
  type AnyFiber,
  isForEachWorker,
  isUnsupervised,
  type Requests,
  requestsOf
} from "../support/effectInternals.js"

/** What became of a fiber when it ended, or of a branch of fibers. @internal */
export type Fate = "succeeded" | "failed" | "interrupted" | "running" | "unknown"

/**
 * A node of the tree: one fiber, below the fiber that forked it. The fiber is not known when the node is made. It is noted
 * when it first matters: when the fiber enqueues, or forks another one.
 *
 * @internal
 */
export interface Fork {
  readonly parent: Fork | undefined
  /** The fiber that forked it, until it is noted; for the root of the tree, the fiber that opened the scope. */
  forkedBy: AnyFiber | undefined
  /** The fiber, from the moment it is noted until it ends. */
  fiber: AnyFiber | undefined
  /** What became of the fiber, once it has ended. */
  fate: Fate | undefined
  /** The fibers that joined it. Its work is part of theirs, and no longer of the fiber that forked it. */
  joiners: Array<Fork> | undefined
  /**
   * The step of a batched `Effect.forEach`, if the node stands for one item of it. After a request Effect continues the
   * item in another fiber, to which the node then moves.
   */
  step: object | undefined
  /** The requests that the fiber resolves, if it belongs to a `RequestResolver`. */
  requests: Requests | undefined
}

/** @internal */
export const makeFork = (parent: Fork | undefined, forkedBy?: AnyFiber, step?: object): Fork => ({
  parent,
  forkedBy,
  fiber: undefined,
  fate: undefined,
  joiners: undefined,
  step,
  requests: undefined
})

/** Notes the fiber of a node. The root of the tree has none: it is the fiber of the scope itself. @internal */
export const noteFiber = (fork: Fork, fiber: AnyFiber): void => {
  if (fork.parent !== undefined && fork.fiber === undefined && (fork.fate === undefined || fork.fate === "unknown")) {
    fork.fate = undefined
    observe(fork, fiber)
  }
}

/** The fate is taken when the fiber ends: an interruption that comes later leaves its mark on the fiber too. */
const observe = (fork: Fork, fiber: AnyFiber): void => {
  const stops = isUnsupervised(fiber) && !isForEachWorker(fiber)
  fork.fiber = fiber
  fork.forkedBy = undefined
  fork.requests = requestsOf(fiber)
  if (fork.requests !== undefined && fork.parent?.requests !== fork.requests) {
    // A daemon runs the batch for the fiber that forked it and waits for the requests, but not for the end of the daemon.
    fork.joiners = [fork.parent?.parent ?? fork]
  }
  fiber.addObserver((exit) => {
    if (fork.fiber === fiber) {
      fork.fiber = undefined
      fork.fate = fateOf(fiber, exit, stops)
    }
  })
}

/** Whether a fiber was interrupted, even if it has not ended yet, or ended with a success. @internal */
export const isInterrupted = (fiber: AnyFiber): boolean => !Cause.isEmpty(fiber.getFiberRef(FiberRef.interruptedCause))

/**
 * What became of a fiber that ends. No other fiber waits for one that runs unsupervised, such as a daemon or a stage of a Stream:
 * an interruption stops it, and does not undo what it did before.
 */
const fateOf = (fiber: AnyFiber, exit: Exit.Exit<unknown, unknown>, stops: boolean): Fate => {
  // The loser of Effect.timeout, and a worker of a concurrent Effect.forEach, end with a success that holds a failed Exit.
  // A worker of a concurrent Stream ends with one inside another.
  let end = exit
  while (Exit.isSuccess(end) && Exit.isExit(end.value)) {
    end = end.value
  }
  if (Exit.isFailure(end) && !Cause.isInterruptedOnly(end.cause)) {
    return "failed"
  }
  return !stops && (Exit.isFailure(end) || isInterrupted(fiber)) ? "interrupted" : "succeeded"
}

/** Notes that a fiber was joined by another one: so it has succeeded. A fiber that fails cannot be joined. @internal */
export const noteJoin = (fork: Fork, joiner: Fork): void => {
  if (fork.fate === "unknown") {
    fork.fate = "succeeded"
  }
  if (fork.joiners === undefined) {
    fork.joiners = [joiner]
  } else if (fork.joiners[fork.joiners.length - 1] !== joiner) {
    fork.joiners.push(joiner)
  }
}

/** Effect continues an item of a batched `Effect.forEach` in another fiber, as part of another step. @internal */
export const moveToFiber = (fork: Fork, fiber: AnyFiber, step: object | undefined): void => {
  fork.fate = undefined
  fork.step = step
  observe(fork, fiber)
}

/**
 * Returns a function that says what became of a branch of fibers, seen from the fiber that settles its scope.
 *
 * The fiber of a node must have succeeded. So must a fiber that joined it, or if none has, the fiber that forked it; and so
 * on, up to the fiber of the scope.
 *
 * @internal
 */
export const fatesSeenFrom = (settling: AnyFiber): (fork: Fork) => Fate => {
  let fates: Map<Fork, Fate> | undefined
  return (fork) => {
    if (fork.parent === undefined) {
      return "succeeded"
    }
    fates ??= new Map()
    const fate = fates.get(fork) ?? fateOfBranch(fork, settling)
    fates.set(fork, fate)
    return fate
  }
}

const fateOfBranch = (fork: Fork, settling: AnyFiber): Fate => {
  let first: Fate | undefined
  const branch = new Set([fork])
  // A Set is extended while it is iterated, and has each node once.
  for (const at of branch) {
    const fate = fateOfFork(at, settling)
    if (fate !== "succeeded") {
      first ??= fate
    } else if (at.parent === undefined) {
      return fate
    } else {
      for (const owner of at.joiners ?? [at.parent]) {
        branch.add(owner)
      }
    }
  }
  return first ?? "unknown"
}

const fateOfFork = ({ fate, fiber, joiners, parent, requests }: Fork, settling: AnyFiber): Fate =>
  parent === undefined || fiber === settling
    ? "succeeded"
    : fate ?? (fiber === undefined
      ? joiners === undefined ? "unknown" : "succeeded"
      : isResolved(requests)
      ? "succeeded"
      : "running")

/** The work of a resolver is done when its requests are completed, even if its fibers still run. */
const isResolved = (requests: Requests | undefined): boolean =>
  requests !== undefined && [...requests.values()].every(({ state }) => state.completed)
