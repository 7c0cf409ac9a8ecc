/**
 * The tables of the outbox: the statements that create them on each database, their migration, and the check of their version
 * when a Layer is built.
 *
 * @internal
 */
import type { Loader } from "@effect/sql/Migrator"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type DialectName, dialectOf, dialects } from "./dialect.js"
import { isMissingTable, retryOutsideTransaction } from "./statement.js"

/**
 * The version of the tables that this package reads and writes.
 *
 * @internal
 */
export const schemaVersion = 1

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

/** The table that stores the version of the schema. */
const versionTable = (table: string): string => `${table}_version`

/**
 * The name of an index. It has no schema, because an index is in the schema of its table.
 *
 * @internal
 */
export const indexName = (table: string, name: string): string => `${table.slice(table.lastIndexOf(".") + 1)}_${name}`

/** The indexes of PostgreSQL and SQLite, which contain only the rows that a claim or `expire` looks for. */
const partialIndexes = (on: string, index: (name: string) => string): ReadonlyArray<string> => [
  `CREATE INDEX IF NOT EXISTS ${index("claim")} ON ${on} (priority, ready_at, id)
  WHERE state = 'ready' AND due_at IS NULL`,
  `CREATE INDEX IF NOT EXISTS ${index("due")} ON ${on} (due_at) WHERE due_at IS NOT NULL`,
  `CREATE INDEX IF NOT EXISTS ${index("dedupe")} ON ${on} (task, dedupe_key, ready_at, id)
  WHERE state = 'ready' AND dedupe_key IS NOT NULL`,
  `CREATE INDEX IF NOT EXISTS ${index("ordering")} ON ${on} (ordering_key, state, ready_at, id)
  WHERE ordering_key IS NOT NULL`
]

const postgres = (table: string): ReadonlyArray<string> => {
  const { quote } = dialects.pg
  const outbox = quote(table)
  const index = (name: string) => quote(indexName(table, name))
  return [
    `CREATE TABLE IF NOT EXISTS ${outbox} (
  id UUID NOT NULL PRIMARY KEY,
  state TEXT NOT NULL DEFAULT 'ready',
  task TEXT NOT NULL,
  version INTEGER NOT NULL,
  payload TEXT NOT NULL,
  options TEXT,
  queue TEXT,
  priority INTEGER NOT NULL DEFAULT 0,
  dedupe_key TEXT,
  ordering_key TEXT,
  max_attempts INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  lease TEXT,
  due_at BIGINT, -- milliseconds since the epoch, as all times but ready_at
  ready_at BIGINT DEFAULT ${dialects.pg.nowMicros}, -- microseconds
  run_at BIGINT,
  delay_millis BIGINT,
  on_expiry TEXT,
  enqueued_at BIGINT NOT NULL,
  trace_id TEXT,
  span_id TEXT,
  error TEXT,
  failed_at BIGINT
)`,
    ...partialIndexes(outbox, index)
  ]
}

const sqlite = (table: string): ReadonlyArray<string> => {
  const { quote } = dialects.sqlite
  const outbox = quote(table)
  const schema = table.includes(".") ? `${table.slice(0, table.lastIndexOf("."))}.` : ""
  const index = (name: string) => quote(schema + indexName(table, name))
  const indexed = quote(table.slice(table.lastIndexOf(".") + 1))
  return [
    `CREATE TABLE IF NOT EXISTS ${outbox} (
  id TEXT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL,
  task TEXT NOT NULL,
  version INTEGER NOT NULL,
  payload TEXT NOT NULL,
  options TEXT,
  queue TEXT,
  priority INTEGER NOT NULL DEFAULT 0,
  dedupe_key TEXT,
  ordering_key TEXT,
  max_attempts INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  lease TEXT,
  due_at INTEGER, -- milliseconds since the epoch, as all times but ready_at
  ready_at INTEGER, -- microseconds
  run_at INTEGER,
  delay_millis INTEGER,
  on_expiry TEXT,
  enqueued_at INTEGER NOT NULL,
  trace_id TEXT,
  span_id TEXT,
  error TEXT,
  failed_at INTEGER
) WITHOUT ROWID`,
    ...partialIndexes(indexed, index)
  ]
}

const mysql = (table: string): ReadonlyArray<string> => {
  const { quote } = dialects.mysql
  const asciiText = (length: number) => `VARCHAR(${length}) CHARACTER SET ascii COLLATE ascii_bin`
  const id = "CHAR(36) CHARACTER SET ascii COLLATE ascii_bin"
  const key = "VARCHAR(255)"
  return [
    `CREATE TABLE IF NOT EXISTS ${quote(table)} (
  id ${id} NOT NULL PRIMARY KEY,
  state ${asciiText(7)} NOT NULL,
  task ${key} NOT NULL,
  version INTEGER NOT NULL,
  payload LONGTEXT NOT NULL,
  options LONGTEXT,
  queue ${key},
  priority INTEGER NOT NULL DEFAULT 0,
  dedupe_key ${key},
  ordering_key ${key},
  max_attempts INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  lease ${id},
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
  INDEX ${quote(indexName(table, "claim"))} (state, due_at, priority, ready_at, id),
  INDEX ${quote(indexName(table, "dedupe"))} (dedupe_key, task, state, ready_at, id),
  INDEX ${quote(indexName(table, "ordering"))} (ordering_key, state, ready_at, id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`
  ]
}

const outboxTable: Record<DialectName, (table: string) => ReadonlyArray<string>> = { pg: postgres, mysql, sqlite }

const statements = (dialect: DialectName, table: string): ReadonlyArray<string> => {
  const version = dialects[dialect].quote(versionTable(table))
  return [
    ...outboxTable[dialect](table),
    `CREATE TABLE IF NOT EXISTS ${version} (version INTEGER NOT NULL PRIMARY KEY)`,
    `INSERT ${dialect === "mysql" ? "IGNORE " : ""}INTO ${version} (version) ` +
    `SELECT ${schemaVersion} FROM (SELECT 1) AS one WHERE NOT EXISTS (SELECT 1 FROM ${version})`
  ]
}

/**
 * The statements that create the tables, as text. They can run more than once.
 *
 * @internal
 */
export const ddl = (dialect: DialectName, table: string): string =>
  statements(dialect, table).map((statement) => `${statement};\n`).join("\n")

/**
 * Creates the tables if they are missing. Several processes may do so at once.
 *
 * @internal
 */
export const migrate = (table: string): Effect.Effect<void, SqlError, SqlClient> =>
  Effect.gen(function*() {
    const client = (yield* SqlClient).withoutTransforms()
    const { name } = dialectOf(client)
    const create = Effect.forEach(statements(name, table), (statement) => client.unsafe(statement), { discard: true })
    // On PostgreSQL the creation of one table by two processes at once fails, even with IF NOT EXISTS.
    yield* name === "pg"
      ? client.withTransaction(
        Effect.zipRight(client.unsafe("SELECT pg_advisory_xact_lock(hashtext($1))", [table]), create)
      )
      : retryOutsideTransaction(create)
  })

/**
 * A loader for the `Migrator` of `@effect/sql`. The versions of the outbox are a sequence of their own, so the Migrator must
 * record them in a table of its own.
 *
 * @internal
 */
export const migrations = (table: string): Loader =>
  Effect.succeed([[schemaVersion, "airlock_outbox", Effect.succeed(migrate(table))]])

/**
 * Fails if the tables are missing or have another version.
 *
 * @internal
 */
export const checkSchema = (sql: SqlClient, table: string): Effect.Effect<void, SqlError | OutboxSchemaError> => {
  const client = sql.withoutTransforms()
  const version = dialectOf(client).quote(versionTable(table))
  const fail = (reason: OutboxSchemaError["reason"], found?: number) =>
    Effect.fail(
      new OutboxSchemaError({ table, reason, expected: schemaVersion, ...(found === undefined ? {} : { found }) })
    )
  return client.unsafe<{ readonly version: number }>(`SELECT version FROM ${version}`).pipe(
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
