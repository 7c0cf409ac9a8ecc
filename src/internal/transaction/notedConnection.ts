/**
 * The connection of statements outside of a transaction, in a request with an idempotency key: such a statement commits by
 * itself, so the request's journal notes that it has written.
 *
 * @internal
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { Journal } from "../scope/journal.js"

/** @internal */
export const notedConnection = (connection: Connection, journal: Journal): Connection => {
  const note = <A>(sql: string, statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    isRead(sql) ? statement : Effect.onExit(statement, (exit) => {
      if (exit._tag === "Success" || exit.cause._tag !== "Fail" || !isRefused(exit.cause.error)) {
        journal.isOut = true
      }
      return Effect.void
    })
  return {
    execute: (sql, params, transformRows) => note(sql, connection.execute(sql, params, transformRows)),
    executeRaw: (sql, params) => note(sql, connection.executeRaw(sql, params)),
    executeValues: (sql, params) => note(sql, connection.executeValues(sql, params)),
    executeUnprepared: (sql, params, transformRows) =>
      note(sql, connection.executeUnprepared(sql, params, transformRows)),
    executeStream: (sql, params, transformRows) =>
      isRead(sql) ? connection.executeStream(sql, params, transformRows) : Stream.suspend(() => {
        journal.isOut = true
        return connection.executeStream(sql, params, transformRows)
      })
  }
}

/** A function that a SELECT calls may write all the same. That is not seen. */
const isRead = (sql: string): boolean =>
  /^[\s(]*(?:select|show|explain|values|table|pragma|describe)\b/i.test(sql) ||
  (/^\s*with\b/i.test(sql) && !/\b(?:insert|update|delete|merge)\b/i.test(sql))

/** Whether the database has answered with an error. After an error of the connection, the statement may have committed. */
const isRefused = ({ cause }: SqlError): boolean =>
  Predicate.hasProperty(cause, "severity") || Predicate.hasProperty(cause, "sqlState") ||
  (Predicate.hasProperty(cause, "code") && String(cause.code).startsWith("SQLITE_"))
