/**
 * One time limit for many actions that run at the same time. One fiber watches all of them, because a timer for each would cost
 * more than a short statement.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type { AnyFiber } from "./effectInternals.js"

/** @internal */
export class TimeLimit {
  /** A test has a clock of its own. */
  private readonly watches = new WeakMap<Clock.Clock, Watch>()
  private readonly millis: number

  constructor(limit: Duration.Duration) {
    this.millis = Duration.toMillis(limit)
  }

  /** Calls a function when the time has passed, by the clock of the fiber, unless the returned function is called before. */
  start(fiber: AnyFiber, onLimit: () => void): () => void {
    const clock = Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock)
    let watch = this.watches.get(clock)
    if (watch === undefined) {
      watch = new Watch(clock, this.millis, false)
      this.watches.set(clock, watch)
    }
    return watch.add(onLimit)
  }
}

interface Action {
  readonly deadline: number
  readonly onLimit: () => void
}

/** Limits the time of actions by one clock. @internal */
export class Watch {
  /** In the order of their deadlines. */
  private readonly running = new Set<Action>()
  private fiber: AnyFiber | undefined

  constructor(
    private readonly clock: Clock.Clock,
    private readonly millis: number,
    /** Whether its timer lasts until `end`, although no action runs: a new timer for each action costs more than the action. */
    private readonly isLasting: boolean
  ) {}

  /** Calls a function when the time has passed, unless the returned function is called before. */

  add(onLimit: () => void): () => void {
    const action: Action = { deadline: this.now() + this.millis, onLimit }
    this.running.add(action)
    this.fiber ??= Effect.runFork(this.watch)
    return () => {
      this.running.delete(action)
      if (this.running.size === 0 && !this.isLasting) {
        // A timer would keep the process alive.
        this.end()
      }
    }
  }

  /** Ends the timer. No action runs any more. */
  end(): void {
    this.fiber?.unsafeInterruptAsFork(FiberId.none)
    this.fiber = undefined
  }

  /** Monotonic, in milliseconds. */
  private now(): number {
    return Number(this.clock.unsafeCurrentTimeNanos()) / 1e6
  }

  private readonly watch: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.now()
    for (const action of this.running) {
      if (action.deadline > now) {
        return Effect.zipRight(this.clock.sleep(Duration.millis(Math.ceil(action.deadline - now))), this.watch)
      }
      this.running.delete(action)
      action.onLimit()
    }
    if (this.isLasting) {
      // The next action ends no sooner.
      return Effect.zipRight(this.clock.sleep(Duration.millis(this.millis)), this.watch)
    }
    this.fiber = undefined
    return Effect.void
  })
}
