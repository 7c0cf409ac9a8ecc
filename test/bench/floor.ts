/**
 * The hand-written floor: what someone would write in an afternoon who needs no more than to hold side effects back until
 * the work has succeeded. A FiberRef with an array, flushed in order: no ids, no check of payloads, no policies, no
 * handlers of their own scope, no account of what failed, and no branch that is undone.
 */
import { Effect, FiberRef } from "effect"

interface Held {
  readonly run: (payload: unknown) => Effect.Effect<void>
  readonly payload: unknown
}

const buffer = FiberRef.unsafeMake<Array<Held> | undefined>(undefined)

export const enqueue = <P>(run: (payload: P) => Effect.Effect<void>, payload: P): Effect.Effect<void> =>
  Effect.map(FiberRef.get(buffer), (held) => {
    held!.push({ run: run as (payload: unknown) => Effect.Effect<void>, payload })
  })

export const scoped = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const held: Array<Held> = []
    return Effect.tap(
      Effect.locally(self, buffer, held),
      () => Effect.forEach(held, ({ payload, run }) => run(payload), { discard: true })
    )
  })
