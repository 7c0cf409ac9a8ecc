/**
 * The parts of the outbox's statements that differ between the databases, a record for each database.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Column } from "./row.js"

/** @internal */
export type DialectName = "pg" | "mysql" | "sqlite"

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
  /** The rows whose id is one of `:ids`, as an item of a FROM clause, with the alias `r`. */
  readonly rowsOf: (table: string) => string
  /** Updates the rows whose id is one of `:ids`. An empty `where` is no further condition. */
  readonly update: (table: string, set: string, where?: string) => string
  /** Deletes the rows whose id is one of `:ids`. An empty `where` is no further condition. */
  readonly delete: (table: string, where?: string) => string
  /** Selects the rows whose id is one of `:ids`, with the alias `r`. */
  readonly select: (table: string, columns: string, where?: string) => string
  /** The parameter `:given`, a JSON array of objects, as an item of a FROM clause, which needs an alias. */
  readonly given: (columns: ReadonlyArray<GivenColumn>) => string
  /** Updates the rows that have the ids of the objects of `:given`, which have the alias `given`. */
  readonly updateGiven: (
    table: string,
    columns: ReadonlyArray<GivenColumn>,
    set: Assignments,
    where?: string
  ) => string
  /** Selects these rows. */
  readonly selectGiven: (table: string, columns: ReadonlyArray<GivenColumn>, select: string, where: string) => string
  /** The value of a parameter in a LIMIT clause. */
  readonly limit: (limit: number) => unknown
  /** Locks the rows of a SELECT, and leaves out those that are locked by others. */
  readonly skipLocked: string
  /** Locks the rows of a SELECT until the transaction ends, so that nobody deletes them. */
  readonly keepLocked: string
  /** A condition: the id of the row is none of `:ids`. */
  readonly isNoneOfIds: string
}

/** A field of the objects of `:given`. @internal */
export interface GivenColumn extends Pick<Column, "name" | "type"> {
  /** The name of the column. Default: that of the field. */
  readonly as?: string
}

/** An expression for each column, in the order in which MySQL assigns them. @internal */
export type Assignments = Readonly<Record<string, string>>

const assignmentsTo = (prefix: string, set: Assignments): string =>
  Object.entries(set).map(([column, value]) => `${prefix}${column} = ${value}`).join(", ")

/** The id of an object of `:given`. */
const givenId: GivenColumn = { name: "id", type: "id", as: "given_id" }

const quoteWith = (mark: string) => (name: string): string =>
  name.split(".").map((part) => mark + part.replaceAll(mark, mark + mark) + mark).join(".")

const and = (where: string | undefined): string => where === undefined ? "" : ` AND (${where})`

const whereIf = (where: string | undefined): string => where === undefined ? "" : ` WHERE ${where}`

/** Selects rows by a condition. MySQL selects them by a join instead. */
const selectingBy = (
  condition: string,
  given: Dialect["given"]
): Pick<Dialect, "select" | "rowsOf" | "update" | "delete" | "given" | "updateGiven" | "selectGiven"> => ({
  given,
  selectGiven: (table, columns, select, where) =>
    `SELECT ${select} FROM ${
      given([givenId, ...columns])
    } AS given JOIN ${table} AS r ON r.id = given.given_id WHERE ${where}`,
  updateGiven: (table, columns, set, where) =>
    `UPDATE ${table} AS r SET ${assignmentsTo("", set)} FROM ${given([givenId, ...columns])} AS given ` +
    `WHERE r.id = given.given_id${and(where)}`,
  select: (table, columns, where) => `SELECT ${columns} FROM ${table} AS r WHERE ${condition}${and(where)}`,
  rowsOf: (table) => `(SELECT * FROM ${table} AS r WHERE ${condition}) AS r`,
  update: (table, set, where) => `UPDATE ${table} AS r SET ${set} WHERE ${condition}${and(where)}`,
  delete: (table, where) => `DELETE FROM ${table} AS r WHERE ${condition}${and(where)}`
})

const postgresType: Record<Column["type"], string> = { id: "UUID", key: "TEXT", text: "TEXT", number: "BIGINT" }

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
  ...selectingBy(
    "r.id = ANY(CAST(:ids AS UUID[]))",
    (columns) =>
      `(SELECT ${
        columns.map(({ as, name, type }) => `CAST(value ->> '${name}' AS ${postgresType[type]}) AS ${as ?? name}`).join(
          ", "
        )
      } FROM JSON_ARRAY_ELEMENTS(CAST(:given AS JSON)))`
  ),
  limit: (limit) => limit,
  skipLocked: " FOR UPDATE SKIP LOCKED",
  keepLocked: " FOR KEY SHARE",
  isNoneOfIds: "NOT id = ANY(CAST(:ids AS UUID[]))"
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

const mysqlGiven = (columns: ReadonlyArray<GivenColumn>): string =>
  mysqlJsonTable(":given", columns.map(({ as, name, type }) => ({ name: as ?? name, type, path: `$.${name}` })))

// A join in this order finds each row by its primary key, and so locks no other row.

const mysqlGivenRows = (table: string, columns: ReadonlyArray<GivenColumn>): string =>
  `${
    mysqlGiven([givenId, ...columns])
  } AS given STRAIGHT_JOIN ${table} AS r FORCE INDEX (PRIMARY) ON r.id = given.given_id`

const mysqlRowsOf = (table: string): string =>
  `${mysqlJsonTable(":ids", [{ name: "given_id", type: "id", path: "$" }])} AS given ` +
  `STRAIGHT_JOIN ${table} AS r FORCE INDEX (PRIMARY) ON r.id = given_id`

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
  update: (table, set, where) => `UPDATE ${mysqlRowsOf(table)} SET ${set}${whereIf(where)}`,
  delete: (table, where) => `DELETE r FROM ${mysqlRowsOf(table)}${whereIf(where)}`,
  select: (table, columns, where) => `SELECT ${columns} FROM ${mysqlRowsOf(table)}${whereIf(where)}`,
  given: mysqlGiven,
  updateGiven: (table, columns, set, where) =>
    `UPDATE ${mysqlGivenRows(table, columns)} SET ${assignmentsTo("r.", set)}${whereIf(where)}`,
  selectGiven: (table, columns, select, where) =>
    `SELECT ${select} FROM ${mysqlGivenRows(table, columns)} WHERE ${where}`,
  // The driver sends a number as a DOUBLE, which MySQL does not accept as a LIMIT.
  limit: String,
  skipLocked: " FOR UPDATE SKIP LOCKED",
  keepLocked: " LOCK IN SHARE MODE",
  isNoneOfIds: "NOT JSON_CONTAINS(:ids, JSON_QUOTE(id))"
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
  ...selectingBy(
    "r.id IN (SELECT value FROM json_each(:ids))",
    (columns) =>
      `(SELECT ${columns.map(({ as, name }) => `JSON_EXTRACT(value, '$.${name}') AS ${as ?? name}`).join(", ")} ` +
      "FROM JSON_EACH(:given))"
  ),
  limit: (limit) => limit,
  // A transaction of SQLite that writes is alone.
  skipLocked: "",
  keepLocked: "",
  isNoneOfIds: "id NOT IN (SELECT value FROM json_each(:ids))"
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
