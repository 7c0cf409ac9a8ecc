/**
 * The tables of the outbox: their text for each database, their creation, and the check at the start that they are there
 * and of this version.
 *
 * @internal
 */
import type { Loader } from "@effect/sql/Migrator"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type DialectName, dialectOf, dialects } from "./dialect.js"
import { isMissingTable, retryAlone } from "./statement.js"

/**
 * The version of the tables that this package reads and writes.
 *
 * @internal
 */
export const schemaVersion = 1

/**
 * The tables of the outbox are missing, or of a version that this package does not know.
 *
 * @since 0.1.0
 * @category failures
 */
export class OutboxSchemaError
  extends Schema.TaggedError<OutboxSchemaError>("effect-airlock/OutboxSchemaError")("OutboxSchemaError", {
    table: Schema.String,
    reason: Schema.Literal("missing", "older", "newer"),
    /** The version that was found. */
    found: Schema.optionalWith(Schema.Number, { exact: true }),
    expected: Schema.Number
  })
{
  override get message(): string {
    return this.reason === "missing"
      ? `The outbox has no table "${this.table}" in this database. Run its migrations, or the statements that Outbox.ddl gives.`
      : this.reason === "older"
      ? `The outbox table "${this.table}" has version ${this.found}, and this package needs ${this.expected}. Run its migrations.`
      : `The outbox table "${this.table}" has version ${this.found}, and this package knows none after ${this.expected}. ` +
        "Update the package."
  }
}

/** The table that has the version, beside the outbox. */
const versionTable = (table: string): string => `${table}_version`

/**
 * An index has the name of its table, without that of the schema: it lies where its table does.
 *
 * @internal
 */
export const indexName = (table: string, name: string): string => `${table.slice(table.lastIndexOf(".") + 1)}_${name}`

/** Where an index can be of some rows only: those that a claim or a release looks for. */
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
  const word = (length: number) => `VARCHAR(${length}) CHARACTER SET ascii COLLATE ascii_bin`
  const id = "CHAR(36) CHARACTER SET ascii COLLATE ascii_bin"
  const key = "VARCHAR(255)"
  return [
    `CREATE TABLE IF NOT EXISTS ${quote(table)} (
  id ${id} NOT NULL PRIMARY KEY,
  state ${word(7)} NOT NULL,
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
  on_expiry ${word(7)},
  enqueued_at BIGINT NOT NULL,
  trace_id ${word(64)},
  span_id ${word(64)},
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
 * The statements that make the tables, for those who run their own migrations. To run them twice does no harm.
 *
 * @internal
 */
export const ddl = (dialect: DialectName, table: string): string =>
  statements(dialect, table).map((statement) => `${statement};\n`).join("\n")

/**
 * Makes the tables, where they are not there yet. Processes that start together may all do it.
 *
 * @internal
 */
export const migrate = (table: string): Effect.Effect<void, SqlError, SqlClient> =>
  Effect.gen(function*() {
    const client = (yield* SqlClient).withoutTransforms()
    const { name } = dialectOf(client)
    const run = Effect.forEach(statements(name, table), (statement) => client.unsafe(statement), { discard: true })
    // Two that make one table at a time are an error in PostgreSQL, IF NOT EXISTS or not.
    yield* name === "pg"
      ? client.withTransaction(
        Effect.zipRight(client.unsafe("SELECT pg_advisory_xact_lock(hashtext($1))", [table]), run)
      )
      : retryAlone(run)
  })

/**
 * For the `Migrator` of `@effect/sql`. It has a sequence of its own, so its table must not be that of another one.
 *
 * @internal
 */
export const migrations = (table: string): Loader =>
  Effect.succeed([[schemaVersion, "airlock_outbox", Effect.succeed(migrate(table))]])

/**
 * Fails where the tables are not those that this package knows.
 *
 * @internal
 */
export const checkSchema = (client: SqlClient, table: string): Effect.Effect<void, SqlError | OutboxSchemaError> => {
  const without = client.withoutTransforms()
  const version = dialectOf(without).quote(versionTable(table))
  const fail = (reason: OutboxSchemaError["reason"], found?: number) =>
    Effect.fail(
      new OutboxSchemaError({ table, reason, expected: schemaVersion, ...(found === undefined ? {} : { found }) })
    )
  return without.unsafe<{ readonly version: number }>(`SELECT version FROM ${version}`).pipe(
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
