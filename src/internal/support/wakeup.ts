/**
 * Wakes one waiting fiber. A wake-up while no fiber waits is kept for the next wait, so that none is lost.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

/** @internal */
export class Wakeup {
  private isPending = false
  private resume: (() => void) | undefined

  wake(): void {
    if (this.resume === undefined) {
      this.isPending = true
    } else {
      const resume = this.resume
      this.resume = undefined
      resume()
    }
  }

  readonly wait: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.isPending) {
      this.isPending = false
      return resume(Effect.void)
    }
    const waiting = () => resume(Effect.void)
    this.resume = waiting
    return Effect.sync(() => {
      if (this.resume === waiting) {
        this.resume = undefined
      }
    })
  })
}
