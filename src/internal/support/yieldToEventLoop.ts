/**
 * Yields to the event loop, so that timers and sockets run during a long loop. Effect's own yields are mostly microtasks, which
 * do not let them run.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"

/** A loop yields if its last yield to the event loop was more than this many milliseconds ago. */
const maxMillis = 10

const lastYield = globalValue(Symbol.for("effect-airlock/lastYield"), () => ({ at: 0 }))

/** Node, Bun and Deno have it; browsers and workers do not. */
const { setImmediate } = globalThis as typeof globalThis & {
  readonly setImmediate?: (callback: () => void) => void
}

const schedule = setImmediate ?? ((callback: () => void) => setTimeout(callback, 0))

const yieldOnce = Effect.async<void>((resume) => {
  schedule(() => {
    lastYield.at = performance.now()
    resume(Effect.void)
  })
})

/** Yields to the event loop if the last yield is too long ago. Run it every few hundred steps. @internal */
export const yieldToEventLoop: Effect.Effect<void> = Effect.suspend(() =>
  performance.now() - lastYield.at > maxMillis ? yieldOnce : Effect.void
)
