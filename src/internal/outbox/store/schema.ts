/**
 * The tables of the outbox: the statements that create them on each database, and the check of their version
 * when a Layer is built.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { onConnection } from "./connection.js"
import { type DialectName, dialectOf, dialects } from "./dialect.js"
import { defaultQueue } from "./row.js"
import { isMissingTable } from "./statement.js"
import { indexName, quotedTables, tableNames } from "./tables.js"

/**
 * The version of the tables that this package reads and writes.
 *
 * @internal
 */
export const schemaVersion = 2

/**
 * The tables of the outbox are missing in the database, or have another version than this package expects. Run
 * `Outbox.migrate` or your own migration, or update the package if the tables are newer.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutboxSchemaError
  extends Schema.TaggedError<OutboxSchemaError>("effect-airlock/OutboxSchemaError")("OutboxSchemaError", {
    /** The name of the outbox's table, as in the options of the Layer. */
    table: Schema.String,
    reason: Schema.Literal("missing", "older", "newer"),
    /** The version of the tables. Absent if they are missing. */
    found: Schema.optionalWith(Schema.Number, { exact: true }),
    /** The version that this package reads and writes. */
    expected: Schema.Number
  })
{
  override get message(): string {
    return this.reason === "missing"
      ? `The outbox table "${this.table}" is missing in this database. ` +
        "Run Outbox.migrate, or a migration of your own with Outbox.migrations or Outbox.ddl."
      : this.reason === "older"
      ? `The outbox table "${this.table}" has version ${this.found}, but effect-airlock needs version ${this.expected}. ` +
        "Run the migrations of the outbox."
      : `The outbox table "${this.table}" has version ${this.found}, but effect-airlock needs version ${this.expected}. ` +
        "Update effect-airlock."
  }
}

/**
 * Only held and scheduled rows have a `due_at`. A relay of version 1, which sets it when it claims a row, fails because of this.
 *
 * @internal
 */
export const waitsForItsTime = "CONSTRAINT waits_for_its_time CHECK (due_at IS NULL OR state IN ('held', 'scheduled'))"

/** The indexes of PostgreSQL and SQLite, which contain only the rows that their statements look for. */
const partialIndexes = (on: string, index: (name: string) => string): ReadonlyArray<string> => [
  `CREATE INDEX IF NOT EXISTS ${index("ready")} ON ${on} (queue, task, version, priority, ready_at, id)
  WHERE state = 'ready'`,
  `CREATE INDEX IF NOT EXISTS ${index("due")} ON ${on} (due_at) WHERE due_at IS NOT NULL`,
  `CREATE INDEX IF NOT EXISTS ${index("lease")} ON ${on} (lease) WHERE state = 'claimed'`,
  `CREATE INDEX IF NOT EXISTS ${index("ordering")} ON ${on} (ordering_key, state, ready_at, id)
  WHERE ordering_key IS NOT NULL`,
  `CREATE INDEX IF NOT EXISTS ${index("dedupe")} ON ${on} (task, dedupe_key, state, ready_at, id)
  WHERE dedupe_key IS NOT NULL`,
  `CREATE INDEX IF NOT EXISTS ${index("dead")} ON ${on} (failed_at) WHERE state = 'dead'`,
  `CREATE INDEX IF NOT EXISTS ${index("done")} ON ${on} (done_at) WHERE state = 'done'`
]

const postgres = (table: string): ReadonlyArray<string> => {
  const { quote } = dialects.pg
  const names = tableNames(table)
  const index = (name: string) => quote(indexName(table, name))
  return [
    `CREATE TABLE IF NOT EXISTS ${quote(names.outbox)} (
  id UUID NOT NULL PRIMARY KEY,
  state TEXT NOT NULL DEFAULT 'ready',
  task TEXT NOT NULL,
  version INTEGER NOT NULL,
  payload TEXT NOT NULL,
  options TEXT,
  queue TEXT NOT NULL DEFAULT '${defaultQueue}',
  priority INTEGER NOT NULL DEFAULT 0,
  dedupe_key TEXT,
  ordering_key TEXT,
  max_attempts INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  lease UUID, -- the id of the relay's session
  claim_number BIGINT, -- counts the claims of the session
  due_at BIGINT, -- milliseconds since the epoch, as all times but ready_at
  ready_at BIGINT DEFAULT ${dialects.pg.nowMicros}, -- microseconds
  run_at BIGINT,
  delay_millis BIGINT,
  on_expiry TEXT,
  enqueued_at BIGINT NOT NULL,
  trace_id TEXT,
  span_id TEXT,
  error TEXT,
  failed_at BIGINT,
  history TEXT,
  done_at BIGINT,
  ${waitsForItsTime}
)`,
    ...partialIndexes(quote(names.outbox), index),
    `CREATE TABLE IF NOT EXISTS ${quote(names.relay)} (
  id UUID NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  tasks TEXT NOT NULL,
  queues TEXT,
  running TEXT NOT NULL DEFAULT '[]'
)`,
    `CREATE TABLE IF NOT EXISTS ${quote(names.queue)} (queue TEXT NOT NULL PRIMARY KEY, paused_at BIGINT)`
  ]
}

const sqlite = (table: string): ReadonlyArray<string> => {
  const { quote } = dialects.sqlite
  const names = tableNames(table)
  const schema = table.includes(".") ? `${table.slice(0, table.lastIndexOf("."))}.` : ""
  const index = (name: string) => quote(schema + indexName(table, name))
  const indexed = quote(table.slice(table.lastIndexOf(".") + 1))
  return [
    `CREATE TABLE IF NOT EXISTS ${quote(names.outbox)} (
  id TEXT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL,
  task TEXT NOT NULL,
  version INTEGER NOT NULL,
  payload TEXT NOT NULL,
  options TEXT,
  queue TEXT NOT NULL DEFAULT '${defaultQueue}',
  priority INTEGER NOT NULL DEFAULT 0,
  dedupe_key TEXT,
  ordering_key TEXT,
  max_attempts INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  lease TEXT, -- the id of the relay's session
  claim_number INTEGER, -- counts the claims of the session
  due_at INTEGER, -- milliseconds since the epoch, as all times but ready_at
  ready_at INTEGER, -- microseconds
  run_at INTEGER,
  delay_millis INTEGER,
  on_expiry TEXT,
  enqueued_at INTEGER NOT NULL,
  trace_id TEXT,
  span_id TEXT,
  error TEXT,
  failed_at INTEGER,
  history TEXT,
  done_at INTEGER,
  ${waitsForItsTime}
) WITHOUT ROWID`,
    ...partialIndexes(indexed, index),
    `CREATE TABLE IF NOT EXISTS ${quote(names.relay)} (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  tasks TEXT NOT NULL,
  queues TEXT,
  running TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID`,
    `CREATE TABLE IF NOT EXISTS ${
      quote(names.queue)
    } (queue TEXT NOT NULL PRIMARY KEY, paused_at INTEGER) WITHOUT ROWID`
  ]
}

const mysql = (table: string): ReadonlyArray<string> => {
  const { quote } = dialects.mysql
  const names = tableNames(table)
  const asciiText = (length: number) => `VARCHAR(${length}) CHARACTER SET ascii COLLATE ascii_bin`
  const id = "CHAR(36) CHARACTER SET ascii COLLATE ascii_bin"
  const key = "VARCHAR(255)"
  const engine = "ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
  return [
    `CREATE TABLE IF NOT EXISTS ${quote(names.outbox)} (
  id ${id} NOT NULL PRIMARY KEY,
  state ${asciiText(9)} NOT NULL,
  task ${key} NOT NULL,
  version INTEGER NOT NULL,
  payload LONGTEXT NOT NULL,
  options LONGTEXT,
  queue ${key} NOT NULL DEFAULT '${defaultQueue}',
  priority INTEGER NOT NULL DEFAULT 0,
  dedupe_key ${key},
  ordering_key ${key},
  max_attempts INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  lease ${id} COMMENT 'the id of the relay''s session',
  claim_number BIGINT COMMENT 'counts the claims of the session',
  due_at BIGINT COMMENT 'milliseconds since the epoch, as all times but ready_at',
  ready_at BIGINT COMMENT 'microseconds',
  run_at BIGINT,
  delay_millis BIGINT,
  on_expiry ${asciiText(7)},
  enqueued_at BIGINT NOT NULL,
  trace_id ${asciiText(64)},
  span_id ${asciiText(64)},
  error LONGTEXT,
  failed_at BIGINT,
  history LONGTEXT,
  done_at BIGINT,
  INDEX ${quote(indexName(table, "ready"))} (state, queue, task, version, priority, ready_at, id),
  INDEX ${quote(indexName(table, "due"))} (due_at),
  INDEX ${quote(indexName(table, "lease"))} (lease),
  INDEX ${quote(indexName(table, "ordering"))} (ordering_key, state, ready_at, id),
  INDEX ${quote(indexName(table, "dedupe"))} (task, dedupe_key, state, ready_at, id),
  INDEX ${quote(indexName(table, "dead"))} (failed_at),
  INDEX ${quote(indexName(table, "done"))} (done_at)
) ${engine}`,
    `CREATE TABLE IF NOT EXISTS ${quote(names.relay)} (
  id ${id} NOT NULL PRIMARY KEY,
  name ${key} NOT NULL,
  started_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  tasks LONGTEXT NOT NULL,
  queues LONGTEXT,
  running LONGTEXT NOT NULL
) ${engine}`,
    `CREATE TABLE IF NOT EXISTS ${quote(names.queue)} (queue ${key} NOT NULL PRIMARY KEY, paused_at BIGINT) ${engine}`
  ]
}

const create: Record<DialectName, (table: string) => ReadonlyArray<string>> = { pg: postgres, mysql, sqlite }

/**
 * The statements that create the tables, except that of the version.
 *
 * @internal
 */
export const createTables = (dialect: DialectName, table: string): ReadonlyArray<string> => {
  // Throws if the name is too long.
  quotedTables(dialects[dialect], table)
  return create[dialect](table)
}

/** @internal */
export const createVersionTable = (dialect: DialectName, table: string): string =>
  `CREATE TABLE IF NOT EXISTS ${
    dialects[dialect].quote(tableNames(table).version)
  } (version INTEGER NOT NULL PRIMARY KEY)`

/** Stores the version of new tables. @internal */
export const insertVersion = (dialect: DialectName, table: string): string => {
  const version = dialects[dialect].quote(tableNames(table).version)
  return `INSERT ${dialect === "mysql" ? "IGNORE " : ""}INTO ${version} (version) ` +
    `SELECT ${schemaVersion} FROM (SELECT 1) AS one WHERE NOT EXISTS (SELECT 1 FROM ${version})`
}

/**
 * The statements that create the tables, as text. They can run more than once.
 *
 * @internal
 */
export const ddl = (dialect: DialectName, table: string): string =>
  [...createTables(dialect, table), createVersionTable(dialect, table), insertVersion(dialect, table)]
    .map((statement) => `${statement};\n`).join("\n")

/**
 * Fails if the tables are missing or have another version.
 *
 * @internal
 */
export const checkSchema = (sql: SqlClient, table: string): Effect.Effect<void, SqlError | OutboxSchemaError> => {
  const client = sql.withoutTransforms()
  const { version } = quotedTables(dialectOf(client), table)
  const fail = (reason: OutboxSchemaError["reason"], found?: number) =>
    Effect.fail(
      new OutboxSchemaError({ table, reason, expected: schemaVersion, ...(found === undefined ? {} : { found }) })
    )
  return onConnection(client, client.unsafe<{ readonly version: number }>(`SELECT version FROM ${version}`)).pipe(
    Effect.catchIf(isMissingTable, () => Effect.succeed([])),
    Effect.flatMap(([row]) => {
      const found = row === undefined ? undefined : Number(row.version)
      return found === undefined
        ? fail("missing")
        : found === schemaVersion
        ? Effect.void
        : fail(found < schemaVersion ? "older" : "newer", found)
    })
  )
}
