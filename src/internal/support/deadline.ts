/**
 * Runs an Effect with a deadline inside of an uninterruptible region.
 *
 * `Effect.timeout` cannot be used there: an interruption of the caller reaches the fibers that it races, even in an
 * uninterruptible region. So the Effect runs in a fiber of its own, and an observer waits for it.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { SettleTimeoutError } from "../../AirlockError.js"
import { type RefUpdate, startFiber } from "./effectInternals.js"
import { flatMapExit } from "./flatMapExit.js"

/** The time that an interrupted Effect has to end. */
const grace = Duration.seconds(1)

/** @internal */
export interface DeadlineResult<A, E> {
  /** Absent if the Effect was interrupted and did not end within the grace period. */
  readonly exit: Exit.Exit<A, E> | undefined
  /** Present if the deadline passed. */
  readonly timeout: SettleTimeoutError | undefined
}

/** @internal */
export interface DeadlineOptions {
  /** The subject of the `SettleTimeoutError`: `The executor "outbox"`. */
  readonly what: string
  readonly limit: Duration.Duration
  /** The update of a FiberRef in the fiber of the Effect. */
  readonly update?: RefUpdate
  /**
   * Whether an interruption of the caller interrupts the Effect: `abandon` does not wait for it, `await` waits for its exit
   * within the grace period. Default: the interruption stays pending.
   */
  readonly onInterrupt?: "abandon" | "await"
}

/**
 * Runs `self` in a fiber of its own, which is interruptible if the caller is. When the deadline passes, `self` is interrupted,
 * and has one more second to end.
 *
 * @internal
 */
export const runWithDeadline = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  { limit, onInterrupt, update, what }: DeadlineOptions
): Effect.Effect<DeadlineResult<A, E>, never, R> =>
  Effect.withFiberRuntime((caller, { runtimeFlags }) => {
    // The fiber has the caller's context, which holds `R`.
    const fiber = startFiber(self as Effect.Effect<A, E>, caller, runtimeFlags, update)
    const exit = fiber.unsafePoll()
    if (exit !== null) {
      return Effect.succeed({ exit, timeout: undefined })
    }
    const awaited = exitOrTimeout(fiber, what, limit)
    if (onInterrupt === undefined) {
      return awaited
    }
    const interrupted = onInterrupt === "await" ? exitWithin(fiber, grace) : Effect.succeed(undefined)
    return flatMapExit(
      Effect.interruptible(awaited),
      (result): Effect.Effect<DeadlineResult<A, E>> =>
        result._tag === "Success"
          ? result
          : Effect.zipRight(
            Fiber.interruptFork(fiber),
            Effect.map(interrupted, (exit) => ({ exit, timeout: undefined }))
          )
    )
  })

const exitOrTimeout = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  what: string,
  limit: Duration.Duration
): Effect.Effect<DeadlineResult<A, E>> =>
  Effect.flatMap(exitWithin(fiber, limit), (exit): Effect.Effect<DeadlineResult<A, E>> => {
    if (exit !== undefined) {
      return Effect.succeed({ exit, timeout: undefined })
    }
    const timeout = new SettleTimeoutError({ what, millis: Duration.toMillis(limit) })
    return Effect.zipRight(
      Fiber.interruptFork(fiber),
      Effect.map(exitWithin(fiber, grace), (exit) => ({ exit, timeout }))
    )
  })

/** The exit of a fiber, if it ends in time. The wait is interruptible if the caller is. @internal */
export const exitWithin = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  limit: Duration.Duration
): Effect.Effect<Exit.Exit<A, E> | undefined> =>
  Effect.withFiberRuntime((caller, { runtimeFlags }) => {
    const timer = startFiber(Effect.interruptible(Effect.sleep(limit)), caller, runtimeFlags)
    return Effect.async<Exit.Exit<A, E> | undefined>((resume) => {
      fiber.addObserver((exit) => resume(Effect.succeed(exit)))
      timer.addObserver(() => resume(Effect.succeed(undefined)))
    }).pipe(Effect.ensuring(Effect.sync(() => timer.unsafeInterruptAsFork(FiberId.none))))
  })
