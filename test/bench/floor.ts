/**
 * The hand-written floor: the least code that delays side effects until the work has succeeded. It keeps an array in a
 * FiberRef, and flushes it in order. It has no ids, no checks of payloads, no policies, no scopes for handlers and no
 * report of failures, and it discards nothing for fibers that failed.
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
