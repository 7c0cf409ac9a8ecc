/**
 * The parts of the outbox's statements that differ between the databases, a record for each database.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Column } from "./row.js"

/** @internal */
export type DialectName = "pg" | "mysql" | "sqlite"

/**
 * The parameter that selects the rows of a statement: `:ids`, or `:claimed` for ids with leases.
 *
 * @internal
 */
export type Selector = "ids" | "claimed"

/** @internal */
export interface Dialect {
  readonly name: DialectName
  /** Quotes the name of a table or index. A dot separates the name of a schema from it. */
  readonly quote: (name: string) => string
  /** The placeholder of a parameter, whose position counts from 1. */
  readonly placeholder: (position: number) => string
  /** The time at which the statement began, in milliseconds since the epoch. It is not the same for a whole transaction. */
  readonly now: string
  /**
   * The same time in microseconds, if the clock of the database is that precise. Rows that become ready in one statement after
   * another need different times.
   */
  readonly nowMicros: string
  /** The function that returns the greatest of its arguments. */
  readonly greatest: string
  /** Encodes a list as the value of one parameter. */
  readonly list: (values: ReadonlyArray<string>) => unknown
  /** The selected rows as an item of a FROM clause, with the alias `r`. */
  readonly rowsOf: (table: string, selector: Selector) => string
  /** Updates the selected rows. An empty `where` is no further condition. */
  readonly update: (table: string, selector: Selector, set: string, where: string) => string
  /** Deletes the selected rows. An empty `where` is no further condition. */
  readonly delete: (table: string, selector: Selector, where: string) => string
  /** A condition: the task of the row `r` is one of `:tasks`. */
  readonly isOneOfTasks: string
}

const quoteWith = (mark: string) => (name: string): string =>
  name.split(".").map((part) => mark + part.replaceAll(mark, mark + mark) + mark).join(".")

const and = (where: string): string => where === "" ? "" : ` AND ${where}`

/** Selects rows by a condition. MySQL selects them by a join instead. */
const selectingBy = (condition: Record<Selector, string>): Pick<Dialect, "rowsOf" | "update" | "delete"> => ({
  rowsOf: (table, selector) => `(SELECT * FROM ${table} WHERE ${condition[selector]}) AS r`,
  update: (table, selector, set, where) => `UPDATE ${table} SET ${set} WHERE ${condition[selector]}${and(where)}`,
  delete: (table, selector, where) => `DELETE FROM ${table} WHERE ${condition[selector]}${and(where)}`
})

const postgres: Dialect = {
  name: "pg",
  quote: quoteWith("\""),
  placeholder: (position) => `$${position}`,
  // `now()` is the time at which the transaction began. `clock_timestamp()` differs from row to row, and a condition on it
  // cannot use an index. EXTRACT computes in decimals, which makes an insert of few rows slower.
  now: "CAST(date_part('epoch', statement_timestamp()) * 1000 AS BIGINT)",
  nowMicros: "CAST(date_part('epoch', statement_timestamp()) * 1000000 AS BIGINT)",
  greatest: "GREATEST",
  list: (values) => values,
  ...selectingBy({
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
 * A JSON parameter as a table.
 *
 * @internal
 */
export const mysqlJsonTable = (
  parameter: string,
  columns: ReadonlyArray<Pick<Column, "name" | "type"> & { readonly path: string }>
): string =>
  `JSON_TABLE(${parameter}, '$[*]' COLUMNS (${
    columns.map(({ name, path, type }) => `${name} ${mysqlType[type]} PATH '${path}'`).join(", ")
  }))`

/** A join in this order finds each row by its primary key, and so locks no other row. */
const mysqlRowsOf = (table: string, selector: Selector): string =>
  selector === "ids"
    ? `${mysqlJsonTable(":ids", [{ name: "given_id", type: "id", path: "$" }])} AS given ` +
      `STRAIGHT_JOIN ${table} AS r FORCE INDEX (PRIMARY) ON r.id = given_id`
    : `${
      mysqlJsonTable(":claimed", [
        { name: "given_id", type: "id", path: "$.id" },
        { name: "given_lease", type: "id", path: "$.lease" }
      ])
    } AS given STRAIGHT_JOIN ${table} AS r FORCE INDEX (PRIMARY) ON r.id = given_id AND r.lease = given_lease`

const mysql: Dialect = {
  name: "mysql",
  quote: quoteWith("`"),
  placeholder: () => "?",
  // In UTC: in the session's time zone, a time in the hour in which clocks are set back is ambiguous.
  now: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000",
  nowMicros: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
  greatest: "GREATEST",
  list: JSON.stringify,
  rowsOf: mysqlRowsOf,
  update: (table, selector, set, where) =>
    `UPDATE ${mysqlRowsOf(table, selector)} SET ${set}${where === "" ? "" : ` WHERE ${where}`}`,
  delete: (table, selector, where) =>
    `DELETE r FROM ${mysqlRowsOf(table, selector)}${where === "" ? "" : ` WHERE ${where}`}`,
  // MySQL would join a subquery, and sort the rows.
  isOneOfTasks: "JSON_CONTAINS(:tasks, JSON_QUOTE(r.task))"
}

const sqliteNow = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"

const sqlite: Dialect = {
  name: "sqlite",
  quote: quoteWith("\""),
  placeholder: () => "?",
  now: sqliteNow,
  nowMicros: `${sqliteNow} * 1000`,
  greatest: "MAX",
  list: JSON.stringify,
  ...selectingBy({
    ids: "id IN (SELECT value FROM json_each(:ids))",
    claimed: "(id, lease) IN (SELECT value ->> 'id', value ->> 'lease' FROM json_each(:claimed))"
  }),
  isOneOfTasks: "r.task IN (SELECT value FROM json_each(:tasks))"
}

/** @internal */
export const dialects: Record<DialectName, Dialect> = { pg: postgres, mysql, sqlite }

/**
 * The dialect of a client. Throws if the client is of another database.
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
        "The outbox supports PostgreSQL, MySQL, MariaDB and SQLite, and this SqlClient is of another database. " +
          "Provide a client of one of these."
      )
    }
  })
