/**
 * Updates or deletes claimed rows by their ids and leases. A row that was claimed again since has another lease, and does not
 * change.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Dialect } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import type { RowClaim } from "./row.js"
import { prepare, retryOutsideTransaction, type Values } from "./statement.js"

/**
 * Updates or deletes rows, and returns the ids of the rows that it changed.
 *
 * @internal
 */
export type UpdateClaimed = (
  claimed: ReadonlyArray<RowClaim>,
  values?: Values
) => Effect.Effect<ReadonlyArray<string>, SqlError>

/** @internal */
export const makeUpdateClaimed =
  (client: SqlClient, dialect: Dialect, table: string) =>
  (change: { readonly set: string } | "delete"): UpdateClaimed => {
    const sql = change === "delete"
      ? dialect.delete(table, "claimed", "")
      : dialect.update(table, "claimed", change.set, "")
    // MySQL does not return the rows that it changes. A transaction that locks them first reads the same rows.
    const lock = dialect.name === "mysql"
      ? prepare(client, dialect, `SELECT r.id FROM ${dialect.rowsOf(table, "claimed")} FOR UPDATE`)
      : undefined
    const apply = prepare(client, dialect, lock === undefined ? `${sql} RETURNING id` : sql)
    const inTransaction = inOwnTransaction(client, dialect.name)
    return (claimed, values) =>
      claimed.length === 0 ? Effect.succeed([]) : Effect.suspend(() => {
        const parameters = { ...values, claimed: JSON.stringify(claimed) }
        const rows = lock === undefined
          ? apply(parameters)
          : inTransaction(Effect.flatMap(lock(parameters), (rows) => Effect.as(apply(parameters), rows)))
        return retryOutsideTransaction(Effect.map(rows, (rows) => rows.map(({ id }) => String(id))))
      })
  }
