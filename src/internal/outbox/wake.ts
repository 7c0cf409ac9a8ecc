/**
 * Relays of this process are woken by what this process writes; those of others poll.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

const sleepers = globalValue(
  Symbol.for("effect-airlock/outboxSleepers"),
  () => new Map<string, Set<Queue.Enqueue<void>>>()
)

/** @internal */
export const wake = (table: string): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const sleeper of sleepers.get(table) ?? []) {
      sleeper.unsafeOffer(undefined)
    }
  })

/** Gives what completes at the next wake, or at once if one came since the last. @internal */
export const sleeper = (table: string): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.tap(Queue.sliding<void>(1), (queue) => {
        const all = sleepers.get(table) ?? new Set()
        sleepers.set(table, all.add(queue))
      }),
      (queue) =>
        Effect.sync(() => {
          sleepers.get(table)?.delete(queue)
        })
    ),
    Queue.take
  )
