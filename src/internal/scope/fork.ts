/**
 * The tree of fibers of a scope, and what became of a branch of it.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import { type AnyFiber, isUnsupervised } from "../support/effectInternals.js"

/**
 * A node of the tree: one fiber, below the fiber that forked it. The fiber is not known when the node is made. It is noted
 * when it first matters: when the fiber enqueues, or forks another one.
 *
 * @internal
 */
export interface Fork {
  readonly parent: Fork | undefined
  fiber: AnyFiber | undefined
  unsupervised: boolean
  /** Whether another fiber has joined this one. */
  joined: boolean
}

/** @internal */
export const makeFork = (parent: Fork | undefined): Fork => ({
  parent,
  fiber: undefined,
  unsupervised: false,
  joined: false
})

/** @internal */
export const noteFiber = (fork: Fork, fiber: AnyFiber): void => {
  if (fork.fiber === undefined && fork.parent !== undefined) {
    fork.fiber = fiber
    fork.unsupervised = isUnsupervised(fiber)
  }
}

/** How a fiber ended, or that it has not. @internal */
export type Fate = "succeeded" | "failed" | "interrupted" | "running"

/** Whether a fiber was interrupted, even if it has not ended yet, or ended with a success. @internal */
export const isInterrupted = (fiber: AnyFiber): boolean => !Cause.isEmpty(fiber.getFiberRef(FiberRef.interruptedCause))

const fateOf = (fiber: AnyFiber): Fate => {
  const exit = fiber.unsafePoll()
  if (exit === null) {
    return "running"
  }
  if (exit._tag === "Failure") {
    return Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "failed"
  }
  // The loser of Effect.timeout, and a worker of a concurrent Effect.forEach, end with a success that holds a failed Exit.
  if (Exit.isExit(exit.value) && Exit.isFailure(exit.value)) {
    return "failed"
  }
  return isInterrupted(fiber) ? "interrupted" : "succeeded"
}

/**
 * What became of the branch of fibers in which an intent was enqueued, seen from the fiber that settles the scope.
 *
 * The fiber that enqueued must have succeeded, and every fiber above it, because its work was part of theirs. One case is
 * excused: an unsupervised fiber that was interrupted, if it only forked an unsupervised fiber and did not join it. A Stream
 * interrupts the fibers that feed its workers in this way when it ends with a success.
 *
 * @internal
 */
export const fateOfBranch = (fork: Fork, settling: AnyFiber): Fate => {
  let below: Fork | undefined
  for (let at: Fork | undefined = fork; at !== undefined; below = at, at = at.parent) {
    if (at.fiber !== undefined && at.fiber !== settling) {
      const fate = fateOf(at.fiber)
      const excused = fate === "interrupted" && at.unsupervised && below?.unsupervised === true && !below.joined
      if (fate !== "succeeded" && !excused) {
        return fate
      }
    }
  }
  return "succeeded"
}
