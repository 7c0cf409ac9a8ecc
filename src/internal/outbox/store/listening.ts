/**
 * Listens to the notifications of writers in other processes.
 *
 * The client's own `listen` is silent for ever when its connection is lost, so a relay listens on a connection that it reserves.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Schedule from "effect/Schedule"
import * as EffectScope from "effect/Scope"
import { channelOf } from "./channel.js"
import { dropReservation, limited, type Reservation, reserve } from "./connection.js"
import { observe, poolSizeOf } from "./driverConnection.js"

/** One connection listens, one is the outbox's own, and the application needs one. */
const leastPool = 3

/** How often the connection is tried: without a word, a half-open connection looks like one without notifications. */
const pingInterval = Duration.seconds(30)

/** The delays until the next connection. One that has lived for a minute begins anew. */
const reconnecting = Schedule.exponential("500 millis").pipe(
  Schedule.union(Schedule.spaced("30 seconds")),
  Schedule.jittered,
  Schedule.resetAfter("1 minute")
)

/**
 * Listens until the Scope closes, and reconnects when the connection is lost. `onNotification` is called with the sender of each
 * notification, and with `undefined` after each LISTEN, because earlier ones may have been missed.
 *
 * Does nothing on other databases, with a pool that has no connection to spare, and with a driver that shows no notifications.
 *
 * @internal
 */
export const listenTo = (
  client: SqlClient,
  table: string,
  onNotification: (sender: string | undefined) => void
): Effect.Effect<void, never, EffectScope.Scope> => {
  const channel = channelOf(client, table)
  if (channel === undefined || poolSizeOf(client) < leastPool) {
    return Effect.void
  }
  let isLost = false
  const listen = listenOnce(client, channel, (sender) => {
    isLost = false
    onNotification(sender)
  })
  return listen.pipe(
    Effect.tapErrorCause((cause) => {
      const log = isLost ? Effect.logDebug : Effect.logWarning
      isLost = true
      return log(
        `The relay of the outbox "${table}" has no connection on which to listen. It polls, and tries to reconnect`,
        cause
      )
    }),
    Effect.retry(reconnecting),
    Effect.ignore,
    Effect.interruptible,
    Effect.forkScoped,
    Effect.asVoid
  )
}

/** Fails when the connection is lost. Ends if the driver shows no notifications. */
const listenOnce = (
  client: SqlClient,
  channel: string,
  onNotification: (sender: string | undefined) => void
): Effect.Effect<void, SqlError> =>
  Effect.suspend(() => {
    const lost = Deferred.unsafeMake<never, SqlError>(FiberId.none)
    let reservation: Reservation | undefined
    let unobserve: (() => void) | undefined
    const reserved = limited((attempt) =>
      Effect.uninterruptible(Effect.map(reserve(client, attempt), (reserved) => {
        reservation = reserved
        unobserve = observe(reserved.connection, {
          onNotification,
          onLoss: (cause) => Deferred.unsafeDone(lost, Exit.fail(new SqlError({ cause, message: "Connection lost" })))
        })
        return { connection: reserved.connection, isObserved: unobserve !== undefined }
      }))
    )
    const release = Effect.suspend(() => {
      if (reservation === undefined) {
        return Effect.void
      }
      unobserve?.()
      // A connection that listens must not go back to the pool.
      return unobserve === undefined ? EffectScope.close(reservation.scope, Exit.void) : dropReservation(reservation)
    })
    const use = Effect.flatMap(reserved, ({ connection, isObserved }) => {
      const execute = (sql: string) =>
        limited((attempt) => {
          attempt.connection = connection
          return connection.executeUnprepared(sql, [], undefined)
        })
      return isObserved
        ? execute(`LISTEN "${channel.replaceAll("\"", "\"\"")}"`).pipe(
          Effect.map(() => onNotification(undefined)),
          Effect.zipRight(
            Effect.raceFirst(Deferred.await(lost), Effect.forever(Effect.delay(execute("SELECT 1"), pingInterval)))
          )
        )
        : Effect.void
    })
    return Effect.ensuring(use, release)
  })
