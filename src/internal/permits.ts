/**
 * Room for so many at a time; who comes first is let in first. Who is interrupted while it waits has taken nothing: an
 * Effect semaphore may lose what it has granted at that very moment.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

interface Waiting {
  readonly count: number
  granted: boolean
  resume: () => void
}

/** @internal */
export class Permits {
  private readonly waiting: Array<Waiting> = []

  constructor(private free: number) {}

  /** For an uninterruptible region: whether the permits were taken, which they are not if an interruption comes first. */
  take(count: number): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      if (this.waiting.length === 0 && this.free >= count) {
        this.free -= count
        return Effect.succeed(true)
      }
      const waiting: Waiting = { count, granted: false, resume: () => {} }
      this.waiting.push(waiting)
      const granted = Effect.async<void>((resume) => {
        waiting.resume = () => resume(Effect.void)
        if (waiting.granted) {
          waiting.resume()
        }
      })
      return Effect.map(Effect.exit(Effect.interruptible(granted)), (exit) => {
        if (Exit.isFailure(exit) && !waiting.granted) {
          this.waiting.splice(this.waiting.indexOf(waiting), 1)
          this.grant()
        }
        return waiting.granted
      })
    })
  }

  /** Takes what there is not, and owes it. */
  overdraw(count: number): void {
    this.free -= count
  }

  give(count: number): void {
    this.free += count
    this.grant()
  }

  private grant(): void {
    while (this.waiting.length > 0 && this.waiting[0]!.count <= this.free) {
      const waiting = this.waiting.shift()!
      this.free -= waiting.count
      waiting.granted = true
      waiting.resume()
    }
  }
}
