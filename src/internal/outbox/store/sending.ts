/**
 * Sends notifications to the relays of other processes.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as EffectScope from "effect/Scope"
import { channelOf } from "./channel.js"
import { limitedOn, withConnection } from "./connection.js"
import { ownConnection } from "./ownConnection.js"

/** The least time between two notifications of an outbox: PostgreSQL does the COMMITs of notifications one after the other. */
const pause = Duration.millis(5)

/** A notification does not outlive a crash of the database, so its COMMIT does not wait for the disk. */
const notification = "SELECT set_config('synchronous_commit', 'off', TRUE), pg_notify($1, $2)"

/**
 * Returns a function that notifies relays, for use after a COMMIT. It does not wait: a fiber sends the notification on the
 * outbox's own connection, one for all that was notified since the last one. When the Scope closes, it sends what is left.
 *
 * @internal
 */
export const sendTo = (
  client: SqlClient,
  table: string,
  sender: string
): Effect.Effect<() => void, never, EffectScope.Scope> =>
  Effect.gen(function*() {
    const channel = channelOf(client, table)
    if (channel === undefined) {
      return () => {}
    }
    const own = yield* ownConnection(client)
    const statement = withConnection(
      client,
      // An error of the server, such as that of a full queue, is no reason to drop the connection.
      (connection) =>
        Effect.either(
          limitedOn(connection, connection.executeUnprepared(notification, [channel, sender], undefined))
        )
    )
    const sending = new Sending(
      Effect.catchAllCause(
        Effect.flatten(own.run(statement)),
        (cause) => Effect.logDebug(`The outbox "${table}" could not notify the relays of other processes`, cause)
      )
    )
    yield* Effect.addFinalizer(() => sending.sendPending)
    yield* Effect.forkScoped(sending.run)
    return () => sending.notify()
  })

class Sending {
  private isPending = false
  private wake: (() => void) | undefined

  constructor(private readonly send: Effect.Effect<unknown>) {}

  notify(): void {
    this.isPending = true
    this.wake?.()
  }

  readonly sendPending: Effect.Effect<unknown> = Effect.suspend(() => {
    if (!this.isPending) {
      return Effect.void
    }
    this.isPending = false
    return this.send
  })

  private readonly pending = Effect.async<void>((resume) => {
    if (this.isPending) {
      return resume(Effect.void)
    }
    this.wake = () => {
      this.wake = undefined
      resume(Effect.void)
    }
  })

  /** Runs until it is interrupted. An interruption waits for the notification that it sends. */
  readonly run: Effect.Effect<never> = Effect.uninterruptibleMask((restore) =>
    Effect.forever(
      restore(this.pending).pipe(
        Effect.zipRight(this.sendPending),
        Effect.zipRight(restore(Effect.sleep(pause)))
      )
    )
  )
}
