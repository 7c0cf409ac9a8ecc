/**
 * Notifies the relays of this process that rows are ready. The relays of other processes find them when they poll.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

/** The relays of each table. A global value, so that two copies of the package in one process share it. */
const listeners = globalValue(
  Symbol.for("effect-airlock/outboxListeners"),
  () => new Map<string, Set<Queue.Enqueue<void>>>()
)

/** Notifies the relays of a table. @internal */
export const notify = (table: string): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const listener of listeners.get(table) ?? []) {
      listener.unsafeOffer(undefined)
    }
  })

/** Returns an Effect that completes at the next notification, or at once if there was one since it last completed. @internal */
export const listen = (table: string): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.tap(Queue.sliding<void>(1), (queue) => {
        const listenersOfTable = listeners.get(table) ?? new Set()
        listeners.set(table, listenersOfTable.add(queue))
      }),
      (queue) =>
        Effect.sync(() => {
          listeners.get(table)?.delete(queue)
        })
    ),
    Queue.take
  )
