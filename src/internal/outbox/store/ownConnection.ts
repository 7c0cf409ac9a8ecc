/**
 * A connection of the outbox's own, for statements that must not wait in the pool of the application: renewals, releases and
 * discards of held rows, notifications, and the heartbeat of a relay.
 *
 * It is reserved when the first Layer asks for it, shared by all Layers with the same client, and dropped with the last of
 * them. It is never given back to the pool, because it has settings of its own. When a statement fails on it, it is dropped,
 * and the next statement reserves another one.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { globalValue } from "effect/GlobalValue"
import type * as EffectScope from "effect/Scope"
import { type Attempt, dropReservation, limited, onHeld, type Reservation, reserve } from "./connection.js"
import { isClosed, poolSizeOf } from "./driverConnection.js"

/** @internal */
export interface OwnConnection {
  /** Runs statements on the connection, one caller after the other. Not for use inside of a transaction. */
  readonly run: <A>(self: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>
}

/** Runs each statement on a connection of the pool. */
const shared: OwnConnection = { run: (self) => self }

/**
 * PostgreSQL reads a small table whole instead of its index, even if it has thousands of rows and the statement names three.
 * All statements on this connection name their rows by an index. Where a plan must read a table whole nevertheless, its cost is
 * then so high that PostgreSQL would compile the statement, which takes a hundred times as long as running it.
 */
const settings = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; " +
  "SET enable_seqscan = off; SET jit = off"

class Reserved implements OwnConnection {
  users = 0
  private reservation: Reservation | undefined
  private readonly turn = Effect.unsafeMakeSemaphore(1)

  constructor(private readonly client: SqlClient) {}

  run<A>(self: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return this.turn.withPermits(1)(Effect.onExit(
      limited((attempt) =>
        Effect.flatMap(this.reserved(attempt), (connection) => {
          attempt.connection = connection
          return onHeld(connection, self)
        })
      ),
      (exit) => Exit.isSuccess(exit) ? Effect.void : this.drop
    ))
  }

  private reserved(attempt: Attempt): Effect.Effect<Connection, SqlError> {
    if (this.reservation !== undefined && !isClosed(this.reservation.connection)) {
      return Effect.succeed(this.reservation.connection)
    }
    return Effect.uninterruptible(
      Effect.flatMap(Effect.zipRight(this.drop, reserve(this.client, attempt)), (reservation) => {
        // From now on a failure drops it.
        this.reservation = reservation
        const { connection } = reservation
        return Effect.as(
          this.client.onDialectOrElse({
            pg: () => connection.executeUnprepared(settings, [], undefined),
            orElse: () => Effect.void
          }),
          connection
        )
      })
    )
  }

  /** Drops the connection after a failure, or when no Layer uses it any more. */
  readonly drop: Effect.Effect<void> = Effect.suspend(() => {
    const { reservation } = this
    if (reservation === undefined) {
      return Effect.void
    }
    this.reservation = undefined
    return dropReservation(reservation)
  })
}

/** What a connection is for. */
type Use = "upkeep" | "claims" | "results"

/** A relay takes connections for its claims and results only from a pool that has this many, so that it leaves some. */
const spare: Record<Use, number> = { upkeep: 2, claims: 6, results: 6 }

/** By the `reserve` of their clients, which all clients of one database share. */
const connections = globalValue(
  Symbol.for("effect-airlock/outbox/ownConnections"),
  () => new WeakMap<object, Map<Use, Reserved>>()
)

const reservedFor = (client: SqlClient, use: Use): Reserved => {
  const ofClient = connections.get(client.reserve) ?? new Map<Use, Reserved>()
  connections.set(client.reserve, ofClient)
  const reserved = ofClient.get(use) ?? new Reserved(client)
  ofClient.set(use, reserved)
  return reserved
}

/**
 * The own connection of a client, until the Scope closes. A small pool has none to spare, and neither has SQLite: there, each
 * statement waits in the pool.
 *
 * @internal
 */
export const ownConnection = (
  client: SqlClient,
  use: Use = "upkeep"
): Effect.Effect<OwnConnection, never, EffectScope.Scope> =>
  poolSizeOf(client) < spare[use] ? Effect.succeed(shared) : Effect.acquireRelease(
    Effect.suspend(() => {
      const connection = reservedFor(client, use)
      connection.users++
      // If it cannot be reserved now, the next statement tries again.
      return Effect.as(Effect.ignore(connection.run(Effect.void)), connection)
    }),
    (connection) => Effect.suspend(() => --connection.users === 0 ? connection.drop : Effect.void)
  )
