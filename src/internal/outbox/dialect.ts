/**
 * What differs between the databases in the text of the outbox's statements, a record for each.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Column } from "./row.js"

/** @internal */
export type DialectName = "pg" | "mysql" | "sqlite"

/**
 * The rows that a statement is about: by their ids (`:ids`), or by their ids and leases (`:claimed`).
 *
 * @internal
 */
export type Given = "ids" | "claimed"

/** @internal */
export interface Dialect {
  readonly name: DialectName
  /** A name as an identifier; a dot parts the name of a schema from it. */
  readonly quote: (name: string) => string
  /** The place of a parameter in the text. */
  readonly place: (position: number) => string
  /** The clock when the statement began: milliseconds since the epoch. In a transaction it does not stand still. */
  readonly now: string
  /** The same in microseconds, where the database has them: rows that become ready one after the other differ in it. */
  readonly nowMicros: string
  readonly greatest: string
  readonly list: (values: ReadonlyArray<string>) => unknown
  /** The same as a table `r`, for those that select them first. */
  readonly given: (table: string, given: Given) => string
  readonly update: (table: string, given: Given, set: string, where: string) => string
  readonly delete: (table: string, given: Given, where: string) => string
  /** A condition on the task of a row `r`: one of `:tasks`. */
  readonly isOneOfTasks: string
}

const quoteWith = (mark: string) => (name: string): string =>
  name.split(".").map((part) => mark + part.replaceAll(mark, mark + mark) + mark).join(".")

const and = (where: string): string => where === "" ? "" : ` AND ${where}`

/** For those that know no join in an UPDATE or DELETE. */
const changing = (matching: Record<Given, string>): Pick<Dialect, "given" | "update" | "delete"> => ({
  given: (table, given) => `(SELECT * FROM ${table} WHERE ${matching[given]}) AS r`,
  update: (table, given, set, where) => `UPDATE ${table} SET ${set} WHERE ${matching[given]}${and(where)}`,
  delete: (table, given, where) => `DELETE FROM ${table} WHERE ${matching[given]}${and(where)}`
})

const postgres: Dialect = {
  name: "pg",
  quote: quoteWith("\""),
  place: (position) => `$${position}`,
  // Not `now()`, which is when the transaction began. Nor `clock_timestamp()`, for which no index can be asked, and which
  // differs from row to row. EXTRACT would calculate in decimals, which an insert of few rows feels.
  now: "CAST(date_part('epoch', statement_timestamp()) * 1000 AS BIGINT)",
  nowMicros: "CAST(date_part('epoch', statement_timestamp()) * 1000000 AS BIGINT)",
  greatest: "GREATEST",
  list: (values) => values,
  ...changing({
    ids: "id = ANY(CAST(:ids AS UUID[]))",
    claimed: "(id, lease) IN (SELECT CAST(given ->> 'id' AS UUID), given ->> 'lease' " +
      "FROM json_array_elements(CAST(:claimed AS JSON)) AS given)"
  }),
  isOneOfTasks: "r.task = ANY(CAST(:tasks AS TEXT[]))"
}

const mysqlType: Record<Column["type"], string> = {
  id: "CHAR(36) CHARACTER SET ascii COLLATE ascii_bin",
  key: "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
  text: "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
  number: "BIGINT"
}

/**
 * A parameter of JSON as a table.
 *
 * @internal
 */
export const mysqlTable = (
  parameter: string,
  columns: ReadonlyArray<Pick<Column, "name" | "type"> & { readonly path: string }>
): string =>
  `JSON_TABLE(${parameter}, '$[*]' COLUMNS (${
    columns.map(({ name, path, type }) => `${name} ${mysqlType[type]} PATH '${path}'`).join(", ")
  }))`

// Joined in this order each row is found by its primary key, and no other row is locked on the way to it.
const mysqlGiven = (table: string, given: Given): string =>
  given === "ids"
    ? `${mysqlTable(":ids", [{ name: "given_id", type: "id", path: "$" }])} AS given ` +
      `STRAIGHT_JOIN ${table} AS r FORCE INDEX (PRIMARY) ON r.id = given_id`
    : `${
      mysqlTable(":claimed", [
        { name: "given_id", type: "id", path: "$.id" },
        { name: "given_lease", type: "id", path: "$.lease" }
      ])
    } AS given STRAIGHT_JOIN ${table} AS r FORCE INDEX (PRIMARY) ON r.id = given_id AND r.lease = given_lease`

const mysql: Dialect = {
  name: "mysql",
  quote: quoteWith("`"),
  place: () => "?",
  // In UTC: a time of the session's zone is not one moment in the hour when clocks are set back.
  now: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000",
  nowMicros: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
  greatest: "GREATEST",
  list: JSON.stringify,
  given: mysqlGiven,
  update: (table, given, set, where) =>
    `UPDATE ${mysqlGiven(table, given)} SET ${set}${where === "" ? "" : ` WHERE ${where}`}`,
  delete: (table, given, where) => `DELETE r FROM ${mysqlGiven(table, given)}${where === "" ? "" : ` WHERE ${where}`}`,
  // A subquery would be joined, and the rows sorted.
  isOneOfTasks: "JSON_CONTAINS(:tasks, JSON_QUOTE(r.task))"
}

const sqliteNow = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"

const sqlite: Dialect = {
  name: "sqlite",
  quote: quoteWith("\""),
  place: () => "?",
  now: sqliteNow,
  nowMicros: `${sqliteNow} * 1000`,
  greatest: "MAX",
  list: JSON.stringify,
  ...changing({
    ids: "id IN (SELECT value FROM json_each(:ids))",
    claimed: "(id, lease) IN (SELECT value ->> 'id', value ->> 'lease' FROM json_each(:claimed))"
  }),
  isOneOfTasks: "r.task IN (SELECT value FROM json_each(:tasks))"
}

/** @internal */
export const dialects: Record<DialectName, Dialect> = { pg: postgres, mysql, sqlite }

/**
 * Dies for a client of another database.
 *
 * @internal
 */
export const dialectOf = (client: SqlClient): Dialect =>
  client.onDialectOrElse({
    pg: () => postgres,
    mysql: () => mysql,
    sqlite: () => sqlite,
    orElse: () => {
      throw new Error(
        "The outbox knows PostgreSQL, MySQL, MariaDB and SQLite, and this SqlClient is of another database."
      )
    }
  })
