/**
 * The statements of the SQL store, for each database. Times are milliseconds since the epoch, by the clock of the database.
 *
 * @internal
 */
import { type Dialect, type DialectName, dialects } from "../../outbox/store/dialect.js"

/** The columns of a record that a claim looks at. */
const found = (now: string, table: string): string =>
  `SELECT token, fingerprint, state, lease_until - ${now} AS remaining, response FROM ${table} WHERE id = :id`

interface Statements {
  /** Claims a free key. */
  readonly claim: string
  /** The record of a key that is not free. */
  readonly find: string
  readonly renew: string
  readonly keep: string
  readonly complete: string
  readonly release: string
  readonly prune: string
}

/** @internal */
export const statementsOf = (name: DialectName, tableName: string): Statements => {
  const { now, quote }: Dialect = dialects[name]
  const table = quote(tableName)
  const returning = name === "mysql" ? "" : " RETURNING id"
  const own = `WHERE id = :id AND token = :token${returning}`
  const insert =
    `INSERT INTO ${table}${name === "mysql" ? "" : " AS r"} (id, fingerprint, token, state, lease_until, ` +
    `expires_at) VALUES (:id, :fingerprint, :token, 'claimed', ${now} + :lease, ${now} + :lease)`
  return {
    claim: name === "mysql"
      // The second argument of the answer is 0 for a new record, 1 for one that had expired, and 2 for one of another request.
      ? `${insert} ON DUPLICATE KEY UPDATE ` +
        `state = IF(LAST_INSERT_ID(IF(expires_at <= ${now}, 1, 2)) = 1, VALUES(state), state), ` +
        ["fingerprint", "token", "lease_until"].map((column) =>
          `${column} = IF(expires_at <= ${now}, VALUES(${column}), ${column})`
        ).join(", ") +
        `, response = IF(expires_at <= ${now}, NULL, response)` +
        // MySQL assigns from left to right.
        `, expires_at = IF(expires_at <= ${now}, VALUES(expires_at), expires_at)`
      : `${insert} ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, token = excluded.token, ` +
        "state = excluded.state, lease_until = excluded.lease_until, expires_at = excluded.expires_at, response = NULL " +
        `WHERE r.expires_at <= ${now} RETURNING id`,
    find: `${found(now, table)} AND expires_at > ${now}`,
    renew:
      `UPDATE ${table} SET lease_until = CASE WHEN state = 'completed' THEN lease_until ELSE ${now} + :lease END, ` +
      `expires_at = CASE WHEN state = 'claimed' OR (state = 'kept' AND expires_at < ${now} + :lease) ` +
      `THEN ${now} + :lease ELSE expires_at END ${own}`,
    keep: `UPDATE ${table} SET state = CASE WHEN state = 'claimed' THEN 'kept' ELSE state END, ` +
      `expires_at = CASE WHEN lease_until > ${now} + :ttl THEN lease_until ELSE ${now} + :ttl END ${own}`,
    complete: `UPDATE ${table} SET state = 'completed', response = :response, expires_at = ${now} + :ttl ${own}`,
    release: `DELETE FROM ${table} WHERE id = :id AND token = :token AND state <> 'completed'${returning}`,
    prune: name === "mysql"
      ? `DELETE FROM ${table} WHERE expires_at <= ${now} ORDER BY expires_at LIMIT 500`
      : `DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} WHERE expires_at <= ${now} ORDER BY expires_at ` +
        `LIMIT 500${name === "pg" ? " FOR UPDATE SKIP LOCKED" : ""}) RETURNING id`
  }
}

/** The statements that create the table. They do nothing if it exists. @internal */
export const createTable = (name: DialectName, tableName: string): ReadonlyArray<string> => {
  const { quote } = dialects[name]
  const table = quote(tableName)
  const index = `${tableName.slice(tableName.lastIndexOf(".") + 1)}_expires_at`
  const id = name === "mysql" ? "CHAR(64) CHARACTER SET ascii COLLATE ascii_bin" : "CHAR(64)"
  const token = name === "mysql" ? "CHAR(36) CHARACTER SET ascii COLLATE ascii_bin" : "CHAR(36)"
  const response = name === "mysql" ? "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" : "TEXT"
  const columns = [
    `id ${id} PRIMARY KEY`,
    `fingerprint ${id} NOT NULL`,
    `token ${token} NOT NULL`,
    "state VARCHAR(9) NOT NULL",
    "lease_until BIGINT NOT NULL",
    "expires_at BIGINT NOT NULL",
    `response ${response}`,
    ...name === "mysql" ? [`INDEX ${quote(index)} (expires_at)`] : []
  ]
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (\n  ${columns.join(",\n  ")}\n)${name === "mysql" ? " ENGINE=InnoDB" : ""}`,
    ...name === "mysql"
      ? []
      : [
        name === "sqlite" && tableName.includes(".")
          // SQLite names the schema before the index, and not before the table.
          ? `CREATE INDEX IF NOT EXISTS ${quote(`${tableName.slice(0, tableName.lastIndexOf("."))}.${index}`)} ` +
            `ON ${quote(tableName.slice(tableName.lastIndexOf(".") + 1))} (expires_at)`
          : `CREATE INDEX IF NOT EXISTS ${quote(index)} ON ${table} (expires_at)`
      ]
  ]
}
