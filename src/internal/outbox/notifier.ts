/**
 * Notifies relays that rows are ready: those of this process directly, and on PostgreSQL those of other processes as well.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { listenTo } from "./store/listening.js"
import { sendTo } from "./store/sending.js"

/** The relays of each table. A global value, so that two copies of the package in one process share it. */
const listeners = globalValue(
  Symbol.for("effect-airlock/outboxListeners"),
  () => new Map<string, Set<Queue.Enqueue<void>>>()
)

/** The name of this process in its notifications, for its relays, which were notified before these come. */
const thisProcess = globalValue(Symbol.for("effect-airlock/outboxSender"), () => crypto.randomUUID())

/** Notifies the relays of this process. @internal */
export const notifyHere = (table: string): void => {
  for (const listener of listeners.get(table) ?? []) {
    listener.unsafeOffer(undefined)
  }
}

/** Returns a function that notifies the relays of a table. It is for use after the COMMIT, and does not wait. @internal */
export const notifier = (client: SqlClient, table: string): Effect.Effect<() => void, never, Scope.Scope> =>
  Effect.map(sendTo(client, table, thisProcess), (send) => () => {
    notifyHere(table)
    send()
  })

/**
 * Returns an Effect that completes at the next notification, or at once if there was one since it last completed.
 *
 * @internal
 */
export const listen = (
  client: SqlClient,
  table: string
): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const queue = yield* Effect.acquireRelease(
      Effect.tap(Queue.sliding<void>(1), (queue) => {
        const listenersOfTable = listeners.get(table) ?? new Set()
        listeners.set(table, listenersOfTable.add(queue))
      }),
      (queue) =>
        Effect.sync(() => {
          listeners.get(table)?.delete(queue)
        })
    )
    yield* listenTo(client, table, (sender) => {
      if (sender !== thisProcess) {
        queue.unsafeOffer(undefined)
      }
    })
    return Queue.take(queue)
  })
