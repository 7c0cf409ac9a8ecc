/**
 * The connections of the drivers under `@effect/sql`, found by their members: how to drop one, and how to hear its
 * notifications. `@effect/sql-pg` has a `pg` client, and `@effect/sql-mysql2` a `conn`.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"

/** A client is a function. */
const member = (value: unknown, name: string): unknown =>
  (typeof value === "object" || typeof value === "function") && value !== null && name in value
    ? value[name as keyof typeof value]
    : undefined

const call = (value: unknown, name: string, ...parameters: ReadonlyArray<unknown>): unknown => {
  const method = member(value, name)
  return typeof method === "function" ? method.apply(value, parameters) : undefined
}

/** The connection of the driver. A transaction of `SqlTransaction.layer` has it as its `raw`. */
const rawOf = (connection: Connection): unknown => member(connection, "raw") ?? connection

/**
 * Closes the socket of a connection at once, without a word to the server, which may not answer. The pool does not use the
 * connection again. Does nothing if the database is inside the process.
 *
 * @internal
 */
export const dropConnection = (connection: Connection): void => {
  const raw = rawOf(connection)
  const pg = member(raw, "pg")
  if (pg !== undefined) {
    // A pool takes no client back that is ending.
    void Promise.resolve(call(pg, "end")).catch(() => {})
  }
  // Without an error, the driver of MySQL does not tell the statement that waits for an answer.
  call(socketOf(connection), "destroy", new Error("The connection was dropped"))
  call(member(raw, "conn"), "destroy")
}

/** What happens to a connection while no statement runs on it. @internal */
export interface ConnectionEvents {
  readonly onNotification: (payload: string) => void
  readonly onLoss: (cause: unknown) => void
}

/**
 * Observes a connection of PostgreSQL. Returns how to stop that, and `undefined` if the driver is not known.
 *
 * @internal
 */
export const observe = (
  connection: Connection,
  { onLoss, onNotification }: ConnectionEvents
): (() => void) | undefined => {
  const pg = member(rawOf(connection), "pg")
  if (typeof member(pg, "on") !== "function" || typeof member(pg, "off") !== "function") {
    return undefined
  }
  const listeners = Object.entries({
    notification: (message: unknown) => onNotification(String(member(message, "payload"))),
    error: onLoss,
    end: onLoss
  })
  listeners.forEach(([event, listener]) => call(pg, "on", event, listener))
  return () => listeners.forEach(([event, listener]) => call(pg, "off", event, listener))
}

/** The socket of a connection; `undefined` if the database is inside the process. */
const socketOf = (connection: Connection): unknown => {
  const raw = rawOf(connection)
  return member(member(member(raw, "pg"), "connection"), "stream") ?? member(member(raw, "conn"), "stream")
}

/** Whether the socket of a connection is closed, by the server or by this process. @internal */
export const isClosed = (connection: Connection): boolean => member(socketOf(connection), "destroyed") === true

/**
 * The maximum number of connections of a client's pool. 1 if its database is inside the process.
 *
 * @internal
 */
export const poolSizeOf = (client: SqlClient): number => {
  const config = member(client, "config")
  const isSqlite = client.onDialectOrElse({ sqlite: () => true, orElse: () => false })
  // Both drivers have ten connections by default.
  return isSqlite ? 1 : Number(
    member(config, "maxConnections") ?? member(member(config, "poolConfig"), "connectionLimit") ?? 10
  )
}
