/**
 * Statements with named parameters, and which of their errors are worth a retry. A statement runs in the transaction that is
 * open in the fiber, or outside of a transaction.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { isInTransaction, onConnection } from "./connection.js"
import type { Dialect } from "./dialect.js"
import type { StoredRow } from "./row.js"

/** The values of parameters, by name. @internal */
export type Values = Readonly<Record<string, unknown>>

/** @internal */
export type Prepared = (values: Values) => Effect.Effect<ReadonlyArray<StoredRow>, SqlError>

/**
 * Prepares a text in which `:name` is a parameter. The client must have no transforms.
 *
 * @internal
 */
export const prepare = (client: SqlClient, dialect: Dialect, text: string): Prepared => {
  const names: Array<string> = []
  const sql = text.replace(/:([a-z]+)/gi, (_, name: string) => dialect.placeholder(names.push(name)))
  return (values) => onConnection(client, client.unsafe<StoredRow>(sql, names.map((name) => values[name])))
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value ? value[name as keyof typeof value] : undefined

/**
 * Whether the same statement may succeed if it runs again: it was the victim of a deadlock, a row changed under its snapshot,
 * or another connection was writing to the SQLite file.
 */
const isTransient = ({ cause }: SqlError): boolean =>
  field(cause, "code") === "40P01" ||
  field(cause, "code") === "40001" ||
  field(cause, "errno") === 1213 ||
  field(cause, "errno") === 1020 ||
  String(field(cause, "code")).startsWith("SQLITE_BUSY")

/**
 * Retries after a transient error, at most ten times, if no transaction is open in the fiber. Inside a transaction only the
 * code that opened the transaction can retry: the database may have rolled all of it back.
 *
 * @internal
 */
export const retryOutsideTransaction = <A>(self: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
  Effect.withFiberRuntime((fiber) =>
    isInTransaction(fiber.currentContext) ? self : Effect.retry(self, { while: isTransient, times: 10 })
  )

/** @internal */
export const isMissingTable = ({ cause }: SqlError): boolean =>
  field(cause, "code") === "42P01" ||
  field(cause, "errno") === 1146 ||
  String(field(cause, "message")).startsWith("no such table")
