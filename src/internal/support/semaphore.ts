/**
 * A FIFO semaphore whose `take` reports whether it got the permits. An interruption or a time limit can end the wait, and no
 * permit is lost: `Effect.Semaphore` can lose a permit that it grants at the moment of an interruption.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { startFiber } from "./effectInternals.js"

interface Waiter {
  readonly count: number
  granted: boolean
  resume: () => void
}

/** @internal */
export interface TakeOptions {
  /** Sets whether the wait is interruptible. Default: it is. */
  readonly restore?: <A>(self: Effect.Effect<A>) => Effect.Effect<A>
  /** The maximum time to wait. Default: no limit. */
  readonly limit?: Duration.Duration
}

/** @internal */
export class Semaphore {
  private readonly waiters: Array<Waiter> = []

  constructor(private free: number) {}

  /**
   * Waits for permits and takes them. Returns `false` if an interruption or the limit ended the wait: then it has taken no
   * permit. For an uninterruptible region.
   */
  take(count: number, { limit, restore = Effect.interruptible }: TakeOptions = {}): Effect.Effect<boolean> {
    return Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
      if (this.waiters.length === 0 && this.free >= count) {
        this.free -= count
        return Effect.succeed(true)
      }
      const waiter: Waiter = { count, granted: false, resume: () => {} }
      this.waiters.push(waiter)
      const timer = limit && startFiber(Effect.interruptible(Effect.sleep(limit)), fiber, runtimeFlags)
      const granted = Effect.async<void>((resume) => {
        waiter.resume = () => resume(Effect.void)
        timer?.addObserver(waiter.resume)
        if (waiter.granted) {
          waiter.resume()
        }
      })
      return Effect.flatMap(Effect.exit(restore(granted)), () => {
        if (!waiter.granted) {
          this.waiters.splice(this.waiters.indexOf(waiter), 1)
          this.grant()
        }
        return Effect.as(timer === undefined ? Effect.void : Fiber.interruptFork(timer), waiter.granted)
      })
    })
  }

  /** Takes permits without waiting, even if none is free. Then others wait until enough are given back. */
  overdraw(count: number): void {
    this.free -= count
  }

  /** Gives permits back. */
  give(count: number): void {
    this.free += count
    this.grant()
  }

  private grant(): void {
    while (this.waiters.length > 0 && this.waiters[0]!.count <= this.free) {
      const waiter = this.waiters.shift()!
      this.free -= waiter.count
      waiter.granted = true
      waiter.resume()
    }
  }
}
