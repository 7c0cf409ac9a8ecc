/**
 * Finds rows, a page at a time.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { all, type Condition, conditionOf, isId, type OutboxFilter } from "./filter.js"
import { limitOf } from "./limit.js"
import { type OutboxRow, outboxRow, readColumns } from "./outboxRow.js"
import { outboxTable } from "./outboxTable.js"

/**
 * Some rows, in the order of their ids, which is the order in which their processes enqueued them.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutboxPage {
  readonly rows: ReadonlyArray<OutboxRow>
  /** The option `cursor` for the next page. Absent on the last page. */
  readonly cursor?: string
}

/** @internal */
export interface FindOptions {
  readonly table: string
  readonly limit: number
  readonly cursor: string | undefined
}

/** The rows with greater ids. @internal */
export const after = (cursor: string | undefined): Condition =>
  cursor === undefined ? { where: "1 = 1", values: {} } : { where: "r.id > :cursor", values: { cursor } }

const select = readColumns.map((name) => `r.${name}`).join(", ")

/** @internal */
export const find = (
  filter: OutboxFilter,
  { cursor, limit, table }: FindOptions
): Effect.Effect<OutboxPage, SqlError, SqlClient> =>
  Effect.flatMap(outboxTable(table), ({ dialect, statement, tables }) => {
    const size = limitOf("find", "limit", limit)
    if (cursor !== undefined && !isId(cursor)) {
      throw new RangeError("Outbox.find needs the `cursor` of another page, and got another text")
    }
    const { values, where } = all([conditionOf(dialect, filter), after(cursor)])
    const rows = statement(`SELECT ${select} FROM ${tables.outbox} AS r WHERE ${where} ORDER BY r.id LIMIT ${size + 1}`)
    return Effect.map(rows(values), (found) => {
      const page = found.slice(0, size).map(outboxRow)
      const last = page.at(-1)
      return { rows: page, ...(found.length > size && last !== undefined && { cursor: last.id }) }
    })
  })
