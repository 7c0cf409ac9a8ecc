/**
 * An outage of the engine to which a relay hands rows over: while it lasts, the relay claims no rows and hands none over.
 *
 * It begins when an engine takes nothing of a batch, and is half a second long. Then the relay tries again. If the engine still
 * takes nothing, the next outage is twice as long, up to 30 seconds.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { Wakeup } from "../../support/wakeup.js"

const firstMillis = 500
const lastMillis = 30_000

/** @internal */
export class Outage {
  isOn = false
  /** The number of outages so far. A batch that began before the last of them tells nothing new about the engine. */
  count = 0
  private nextMillis = firstMillis
  private readonly began = new Wakeup()

  /** The engine took nothing of a batch. Returns the length of the outage, unless it had begun when the batch failed. */
  begin(countAtStart: number): number | undefined {
    if (countAtStart !== this.count) {
      return undefined
    }
    const millis = this.nextMillis
    this.nextMillis = Math.min(2 * millis, lastMillis)
    this.millis = millis
    this.count++
    this.isOn = true
    this.began.wake()
    return millis
  }

  /** The engine took something. */
  over(): void {
    this.nextMillis = firstMillis
  }

  private millis = 0

  /** Waits for an outage and for its end, and then lets the relay go on. */
  ending(goOn: () => void): Effect.Effect<void> {
    return Effect.zipRight(
      this.began.wait,
      Effect.suspend(() =>
        Effect.delay(
          Effect.sync(() => {
            this.isOn = false
            goOn()
          }),
          this.millis
        )
      )
    )
  }
}
