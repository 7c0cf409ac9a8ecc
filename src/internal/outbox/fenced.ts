/**
 * Changing rows that one has claimed, and that no later claim has taken since.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Dialect } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import type { Claimed } from "./row.js"
import { prepare, retryAlone, type Values } from "./statement.js"

/**
 * Gives the ids of those that it changed.
 *
 * @internal
 */
export type Fenced = (
  claimed: ReadonlyArray<Claimed>,
  values?: Values
) => Effect.Effect<ReadonlyArray<string>, SqlError>

/** @internal */
export const makeFenced =
  (client: SqlClient, dialect: Dialect, table: string) => (change: { readonly set: string } | "delete"): Fenced => {
    const text = change === "delete"
      ? dialect.delete(table, "claimed", "")
      : dialect.update(table, "claimed", change.set, "")
    // MySQL does not say which rows it changed. Locked first, they are the same.
    const locked = dialect.name === "mysql"
      ? prepare(client, dialect, `SELECT r.id FROM ${dialect.given(table, "claimed")} FOR UPDATE`)
      : undefined
    const changed = prepare(client, dialect, locked === undefined ? `${text} RETURNING id` : text)
    const own = inOwnTransaction(client, dialect.name)
    return (claimed, values) =>
      claimed.length === 0 ? Effect.succeed([]) : Effect.suspend(() => {
        const given = { ...values, claimed: JSON.stringify(claimed) }
        const rows = locked === undefined
          ? changed(given)
          : own(Effect.flatMap(locked(given), (rows) => Effect.as(changed(given), rows)))
        return retryAlone(Effect.map(rows, (rows) => rows.map(({ id }) => String(id))))
      })
  }
