/**
 * Statements that update or delete rows, and return the ids and keys of those that they changed.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type { Assignments, Dialect, GivenColumn } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import { prepare, type Prepared } from "./statement.js"

/** A condition: the row `r` has neither an `orderingKey` nor a `dedupeKey`. @internal */
export const hasNoKey = "r.ordering_key IS NULL AND r.dedupe_key IS NULL"

/** @internal */
export interface Changes {
  /** Updates rows of `:ids`. */
  readonly update: (set: string, where: string) => Prepared
  /** Updates the rows that have the ids of the objects of `:given`. */
  readonly updateGiven: (columns: ReadonlyArray<GivenColumn>, set: Assignments, where: string) => Prepared
  /** Deletes rows of `:ids`. */
  readonly remove: (where: string) => Prepared
}

/** @internal */
export const makeChanges = (client: SqlClient, dialect: Dialect, table: string): Changes => {
  const statement = (text: string) => prepare(client, dialect, text)
  const inTransaction = inOwnTransaction(client, dialect.name)
  const names = ["id", "task", "ordering_key", "dedupe_key"]
  const ofRow = names.map((name) => `r.${name}`).join(", ")
  const change = (apply: string, lock: string): Prepared => {
    if (dialect.name !== "mysql") {
      return statement(`${apply} RETURNING ${dialect.name === "pg" ? ofRow : names.join(", ")}`)
    }
    // MySQL does not return the rows that it changes. A transaction that locks them first reads the same rows.
    const locked = statement(`${lock} FOR UPDATE`)
    const applied = statement(apply)
    return (values) =>
      inTransaction(Effect.flatMap(
        locked(values),
        (rows) => rows.length === 0 ? Effect.succeed(rows) : Effect.as(applied(values), rows)
      ))
  }
  return {
    update: (set, where) => change(dialect.update(table, set, where), dialect.select(table, ofRow, where)),
    updateGiven: (columns, set, where) =>
      change(dialect.updateGiven(table, columns, set, where), dialect.selectGiven(table, columns, ofRow, where)),
    remove: (where) => change(dialect.delete(table, where), dialect.select(table, ofRow, where))
  }
}
