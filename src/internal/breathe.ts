/**
 * Lets timers and sockets have their turn in a long loop. Effect's own yields are microtasks for a long while.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"

/** A loop that has not let the event loop turn for this many milliseconds does. */
const tooLong = 10

const lastTurn = globalValue(Symbol.for("effect-airlock/lastTurn"), () => ({ at: 0 }))

/** Node, Bun and Deno have it, browsers and workers do not. */
const { setImmediate } = globalThis as typeof globalThis & {
  readonly setImmediate?: (callback: () => void) => void
}

const immediately = setImmediate ?? ((callback: () => void) => setTimeout(callback, 0))

const turn = Effect.async<void>((resume) => {
  immediately(() => {
    lastTurn.at = performance.now()
    resume(Effect.void)
  })
})

/** To be run every few hundred steps: turns the event loop if that was too long ago. @internal */
export const breathe: Effect.Effect<void> = Effect.suspend(() =>
  performance.now() - lastTurn.at > tooLong ? turn : Effect.void
)
