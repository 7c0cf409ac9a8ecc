/**
 * Runs something that others wrote, bounded in time, from within an uninterruptible region.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { SettleTimeoutError } from "../AirlockError.js"
import { flatMapExit } from "./flatMapExit.js"
import { type Position, startAt } from "./position.js"

/** How long what is interrupted at its limit may still take to answer. */
const grace = Duration.seconds(1)

/** @internal */
export interface Bounded<A, E> {
  /** Absent where an interruption came first, or the limit passed and no answer came within the grace either. */
  readonly exit: Exit.Exit<A, E> | undefined
  readonly timeout: SettleTimeoutError | undefined
}

/**
 * Runs `self` in a fiber of its own, standing at `position`, and as uninterruptible as the caller. Interrupted at its limit, `self` may still answer with what it has.
 *
 * @internal
 */
export const bounded = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  position: Position | undefined,
  what: string,
  limit: Duration.Duration,
  options?: {
    /**
     * Whether an interruption of the caller, which is uninterruptible, ends the wait: at once, or with an answer if one
     * comes within the grace.
     */
    readonly onInterruption?: "leave" | "ask"
  }
): Effect.Effect<Bounded<A, E>, never, R> =>
  Effect.withFiberRuntime((caller, { runtimeFlags }) => {
    // It has the caller's context, which is that of `R`.
    const fiber = startAt(self as Effect.Effect<A, E>, position, caller, runtimeFlags)
    const exit = fiber.unsafePoll()
    if (exit !== null) {
      return Effect.succeed({ exit, timeout: undefined })
    }
    const waiting = answerOrInterrupt(fiber, what, limit)
    if (options?.onInterruption === undefined) {
      return waiting
    }
    const cut = options.onInterruption === "ask" ? answerWithin(fiber, grace) : Effect.succeed(undefined)
    return flatMapExit(
      Effect.interruptible(waiting),
      (waited): Effect.Effect<Bounded<A, E>> =>
        waited._tag === "Success"
          ? waited
          : Effect.zipRight(
            Fiber.interruptFork(fiber),
            Effect.map(cut, (exit) => ({ exit, timeout: undefined }))
          )
    )
  })

const answerOrInterrupt = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  what: string,
  limit: Duration.Duration
): Effect.Effect<Bounded<A, E>> =>
  Effect.flatMap(answerWithin(fiber, limit), (exit): Effect.Effect<Bounded<A, E>> => {
    if (exit !== undefined) {
      return Effect.succeed({ exit, timeout: undefined })
    }
    const timeout = new SettleTimeoutError({ what, millis: Duration.toMillis(limit) })
    return Effect.zipRight(
      Fiber.interruptFork(fiber),
      Effect.map(answerWithin(fiber, grace), (exit) => ({ exit, timeout }))
    )
  })

/**
 * Waits as uninterruptibly as its caller is. `Effect.timeout` does not, even in an uninterruptible region: an interruption
 * of the fiber reaches the children that it races.
 */
const answerWithin = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  limit: Duration.Duration
): Effect.Effect<Exit.Exit<A, E> | undefined> =>
  Effect.withFiberRuntime((caller, { runtimeFlags }) => {
    const timer = startAt(Effect.interruptible(Effect.sleep(limit)), undefined, caller, runtimeFlags)
    return Effect.async<Exit.Exit<A, E> | undefined>((resume) => {
      fiber.addObserver((exit) => resume(Effect.succeed(exit)))
      timer.addObserver(() => resume(Effect.succeed(undefined)))
    }).pipe(Effect.ensuring(Fiber.interruptFork(timer)))
  })
