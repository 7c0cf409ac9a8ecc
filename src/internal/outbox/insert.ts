/**
 * The statement that inserts rows: often the last of a user's transaction, so that what it costs is seen.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { type Dialect, mysqlTable } from "./dialect.js"
import { columns, type NewRow } from "./row.js"
import { prepare } from "./statement.js"
import { dueWhenReady, readyAt } from "./transition.js"

/**
 * Ready rows may be claimed as soon as they are committed, or when their own time has come. Held ones wait for a release,
 * and after `heldMillis` come out by themselves, or go.
 *
 * @internal
 */
export type InsertAs =
  | { readonly state: "ready" }
  | { readonly state: "held", readonly heldMillis: number, readonly onExpiry: "release" | "discard" }

/** @internal */
export type Insert = (rows: ReadonlyArray<NewRow>, how: InsertAs) => Effect.Effect<void, SqlError>

/** @internal */
export const makeInsert = (client: SqlClient, dialect: Dialect, table: string): Insert =>
  dialect.name === "pg" ? insertValues(client, dialect, table) : insertJson(client, dialect, table)

/** PostgreSQL takes 65 535 parameters, and a row has ten texts at most. */
const rowsOfAStatement = 5_000

/**
 * PostgreSQL parses each statement that comes through the client anew. Numbers stand in its text, for each parameter costs
 * the driver more than that; a text that is that of the row before is not sent again, and columns that have their default
 * do not stand there at all: by default a row is ready, from now on.
 */
const insertValues = (client: SqlClient, dialect: Dialect, table: string): Insert => {
  const literal = (value: number) => String(Math.round(value))
  const dueAt = ({ availableAt, delayMillis }: NewRow) => {
    const times = [
      ...(availableAt === null ? [] : [literal(availableAt)]),
      ...(delayMillis === null ? [] : [`${dialect.now} + ${literal(delayMillis)}`])
    ]
    return times.length === 0 ? "NULL" : `${dialect.greatest}(${times.join(", ")})`
  }
  const statement = (rows: ReadonlyArray<NewRow>, how: InsertAs) => {
    const used = columns.filter(({ field, initial }) => rows.some((row) => row[field] !== initial))
    const waits = rows.some((row) => row.availableAt !== null || row.delayMillis !== null)
    const parameters: Array<string> = []
    /** By column: the text of the row before, and its place. */
    const texts: Array<string> = []
    const places: Array<string> = []
    const placeOf = (column: number, text: string) => {
      if (texts[column] !== text) {
        texts[column] = text
        places[column] = dialect.place(parameters.push(text))
      }
      return places[column]!
    }
    const valueOf = (column: number, value: string | number | null) =>
      value === null ? "NULL" : typeof value === "number" ? literal(value) : placeOf(column, value)
    const ownOf = (row: NewRow) =>
      how.state === "held"
        ? `, 'held', NULL, ${dialect.now} + ${literal(how.heldMillis)}, '${how.onExpiry}'`
        : waits
        ? `, ${dueAt(row)}`
        : ""
    let values = ""
    for (const row of rows) {
      values += values === "" ? "(" : ", ("
      for (let column = 0; column < used.length; column++) {
        values += (column === 0 ? "" : ", ") + valueOf(column, row[used[column]!.field])
      }
      values += `${ownOf(row)})`
    }
    const own = how.state === "held" ? ", state, ready_at, due_at, on_expiry" : waits ? ", due_at" : ""
    const names = used.map(({ name }) => name).join(", ") + own
    return client.unsafe(`INSERT INTO ${table} (${names}) VALUES ${values}`, parameters)
  }
  return (rows, how) =>
    Effect.suspend(() => {
      if (rows.length <= rowsOfAStatement) {
        return rows.length === 0 ? Effect.void : Effect.asVoid(statement(rows, how))
      }
      const parts: Array<ReadonlyArray<NewRow>> = []
      for (let i = 0; i < rows.length; i += rowsOfAStatement) {
        parts.push(rows.slice(i, i + rowsOfAStatement))
      }
      return Effect.forEach(parts, (part) => statement(part, how), { discard: true })
    })
}

const json = (rows: ReadonlyArray<NewRow>) =>
  JSON.stringify(rows, (_, value: unknown) => typeof value === "number" ? Math.round(value) : value)

/** One text for any number of rows, so that it is prepared once. */
const insertJson = (client: SqlClient, dialect: Dialect, table: string): Insert => {
  const names = columns.map(({ name }) => name).join(", ")
  const given = dialect.name === "mysql"
    ? mysqlTable(":rows", columns.map(({ field, name, type }) => ({ name, type, path: `$.${field}` })))
    : `(SELECT ${
      columns.map(({ field, name }) => `value ->> '$.${field}' AS ${name}`).join(", ")
    } FROM json_each(:rows))`
  const into = `INSERT INTO ${table} (${names}, state, ready_at, due_at, on_expiry) SELECT ${names}, `
  const ready = prepare(
    client,
    dialect,
    `${into}'ready', ${readyAt(dialect, table, "given")}, ${dueWhenReady(dialect)}, NULL FROM ${given} AS given`
  )
  const held = prepare(
    client,
    dialect,
    `${into}'held', NULL, ${dialect.now} + :held, :expiry FROM ${given} AS given`
  )
  return (rows, how) =>
    Effect.suspend(() =>
      rows.length === 0
        ? Effect.void
        : Effect.asVoid(
          how.state === "ready"
            ? ready({ rows: json(rows) })
            : held({ rows: json(rows), held: Math.round(how.heldMillis), expiry: how.onExpiry })
        )
    )
}
