/**
 * Statements with named parameters, on whatever transaction is open in the fiber, or alone.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { transactionIn } from "../transactionConnection.js"
import type { Dialect } from "./dialect.js"
import type { Stored } from "./row.js"

/** @internal */
export type Values = Readonly<Record<string, unknown>>

/** @internal */
export type Prepared = (values: Values) => Effect.Effect<ReadonlyArray<Stored>, SqlError>

/**
 * Prepares a text in which `:name` is a parameter. The client must have no transforms.
 *
 * @internal
 */
export const prepare = (client: SqlClient, dialect: Dialect, text: string): Prepared => {
  const names: Array<string> = []
  const placed = text.replace(/:([a-z]+)/gi, (_, name: string) => dialect.place(names.push(name)))
  return (values) => client.unsafe<Stored>(placed, names.map((name) => values[name]))
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value ? value[name as keyof typeof value] : undefined

/** Deadlocks, and rows that changed under a snapshot: the same statement may succeed when it is run again. */
const isPassing = ({ cause }: SqlError): boolean =>
  field(cause, "code") === "40P01" ||
  field(cause, "code") === "40001" ||
  field(cause, "errno") === 1213 ||
  field(cause, "errno") === 1020 ||
  String(field(cause, "code")).startsWith("SQLITE_BUSY")

/**
 * Runs what was the victim of a deadlock again, at most ten times. Inside a transaction that is its owner's to do: all that
 * it did is lost.
 *
 * @internal
 */
export const retryAlone = <A>(self: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
  Effect.withFiberRuntime((fiber) =>
    transactionIn(fiber.currentContext) === undefined ? Effect.retry(self, { while: isPassing, times: 10 }) : self
  )

/** @internal */
export const isMissingTable = ({ cause }: SqlError): boolean =>
  field(cause, "code") === "42P01" ||
  field(cause, "errno") === 1146 ||
  String(field(cause, "message")).startsWith("no such table")
