/**
 * Inserts rows. This is often the last statement of a user's transaction, so its cost matters.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { onConnection } from "./connection.js"
import { type Dialect, mysqlJsonTable } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import { columns, type NewRow } from "./row.js"
import { prepare } from "./statement.js"
import { dueWhenReleased, readyAt, stateWhenReleased } from "./transition.js"

/**
 * The state in which rows are inserted. A ready row can be claimed when it is committed and its own time has come. A held row
 * waits for a release; if it is not renewed for `heldMillis`, it expires, and is then released or discarded.
 *
 * @internal
 */
export type InsertOptions =
  | { readonly state: "ready" }
  | { readonly state: "held", readonly heldMillis: number, readonly onExpiry: "release" | "discard" }

/** @internal */
export type Insert = (rows: ReadonlyArray<NewRow>, options: InsertOptions) => Effect.Effect<void, SqlError>

/** @internal */
export const makeInsert = (client: SqlClient, dialect: Dialect, table: string): Insert => {
  const insert = (dialect.name === "pg" ? insertValues : insertJson)(client, dialect, table)
  const inTransaction = inOwnTransaction(client, dialect.name)
  return (rows, options) =>
    Effect.suspend(() => {
      if (rows.length === 0) {
        return Effect.void
      }
      const [first, ...others] = partsOf(rows)
      return others.length === 0
        ? insert(first!, options)
        // All rows or none: a scope that is told that its intents were not stored would enqueue them again.
        : inTransaction(Effect.forEach([first!, ...others], (part) => insert(part, options), { discard: true }))
    })
}

/** A statement of PostgreSQL has at most 65 535 parameters, and a row at most ten. */
const maxRowsPerStatement = 5_000

/**
 * MySQL refuses a statement that is larger than `max_allowed_packet`, which is 16 MiB on MariaDB, and was 4 MiB on MySQL. The
 * quotes of a payload are escaped in the statement, and some characters have four bytes.
 */
const maxCharactersPerStatement = 500_000

/** Cuts rows into the parts that one statement inserts. A row that is larger than the limit is a part of its own. */
const partsOf = (rows: ReadonlyArray<NewRow>): ReadonlyArray<ReadonlyArray<NewRow>> => {
  const parts: Array<ReadonlyArray<NewRow>> = []
  let start = 0
  let characters = 0
  for (let end = 0; end < rows.length; end++) {
    // The other columns are short.
    const size = rows[end]!.payload.length + (rows[end]!.options?.length ?? 0) + 100
    if (end > start && (end - start === maxRowsPerStatement || characters + size > maxCharactersPerStatement)) {
      parts.push(rows.slice(start, end))
      start = end
      characters = 0
    }
    characters += size
  }
  parts.push(start === 0 ? rows : rows.slice(start))
  return parts
}

/**
 * PostgreSQL parses each statement of the client anew, so the statement is as short as its rows allow:
 *
 * - Numbers are written into it, because a parameter costs the driver more.
 * - A text that equals that of the row before uses the same parameter.
 * - A column in which all rows have the default is left out. By default, a row is ready from now on.
 */
const insertValues = (client: SqlClient, dialect: Dialect, table: string): Insert => {
  const literal = (value: number) => String(Math.round(value))
  const stateAndDueAt = ({ availableAt, delayMillis }: NewRow) => {
    const times = [
      ...(availableAt === null ? [] : [literal(availableAt)]),
      ...(delayMillis === null ? [] : [`${dialect.now} + ${literal(delayMillis)}`])
    ]
    const time = `${dialect.greatest}(${times.join(", ")})`
    return times.length === 0
      ? "'ready', NULL"
      : `CASE WHEN ${time} > ${dialect.now} THEN 'scheduled' ELSE 'ready' END, ` +
        `CASE WHEN ${time} > ${dialect.now} THEN ${time} END`
  }
  const statement = (rows: ReadonlyArray<NewRow>, options: InsertOptions) => {
    const usedColumns = columns.filter(({ field, initial }) => rows.some((row) => row[field] !== initial))
    const anyWaits = rows.some((row) => row.availableAt !== null || row.delayMillis !== null)
    const parameters: Array<string> = []
    /** The latest text of each column, and its placeholder. */
    const texts: Array<string> = []
    const placeholders: Array<string> = []
    const placeholderOf = (column: number, text: string) => {
      if (texts[column] !== text) {
        texts[column] = text
        placeholders[column] = dialect.placeholder(parameters.push(text))
      }
      return placeholders[column]!
    }
    const valueOf = (column: number, value: string | number | null) =>
      value === null ? "NULL" : typeof value === "number" ? literal(value) : placeholderOf(column, value)
    const stateValuesOf = (row: NewRow) =>
      options.state === "held"
        ? `, 'held', NULL, ${dialect.now} + ${literal(options.heldMillis)}, '${options.onExpiry}'`
        : anyWaits
        ? `, ${stateAndDueAt(row)}`
        : ""
    let values = ""
    for (const row of rows) {
      values += values === "" ? "(" : ", ("
      for (let column = 0; column < usedColumns.length; column++) {
        values += (column === 0 ? "" : ", ") + valueOf(column, row[usedColumns[column]!.field])
      }
      values += `${stateValuesOf(row)})`
    }
    const stateColumns = options.state === "held"
      ? ", state, ready_at, due_at, on_expiry"
      : anyWaits
      ? ", state, due_at"
      : ""
    const names = usedColumns.map(({ name }) => name).join(", ") + stateColumns
    return onConnection(client, client.unsafe(`INSERT INTO ${table} (${names}) VALUES ${values}`, parameters))
  }
  return (rows, options) => Effect.asVoid(Effect.suspend(() => statement(rows, options)))
}

const encodeRows = (rows: ReadonlyArray<NewRow>) =>
  JSON.stringify(rows, (_, value: unknown) => typeof value === "number" ? Math.round(value) : value)

/** The statement is the same for any number of rows, so the driver prepares it once. */
const insertJson = (client: SqlClient, dialect: Dialect, table: string): Insert => {
  const names = columns.map(({ name }) => name).join(", ")
  const rowsTable = dialect.name === "mysql"
    ? mysqlJsonTable(":rows", columns.map(({ field, name, type }) => ({ name, type, path: `$.${field}` })))
    : `(SELECT ${
      columns.map(({ field, name }) => `value ->> '$.${field}' AS ${name}`).join(", ")
    } FROM json_each(:rows))`
  const into = `INSERT INTO ${table} (${names}, state, ready_at, due_at, on_expiry) SELECT ${names}, `
  const ready = prepare(
    client,
    dialect,
    `${into}${stateWhenReleased(dialect)}, ${readyAt(dialect, table, "given")}, ${dueWhenReleased(dialect)}, NULL ` +
      `FROM ${rowsTable} AS given`
  )
  const held = prepare(
    client,
    dialect,
    `${into}'held', NULL, ${dialect.now} + :held, :expiry FROM ${rowsTable} AS given`
  )
  return (rows, options) =>
    Effect.asVoid(Effect.suspend(() =>
      options.state === "ready"
        ? ready({ rows: encodeRows(rows) })
        : held({ rows: encodeRows(rows), held: Math.round(options.heldMillis), expiry: options.onExpiry })
    ))
}
