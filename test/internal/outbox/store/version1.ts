/**
 * The tables of version 1, as effect-airlock created them then, and what a process of that version does with tables.
 */
import type { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { type DialectName, dialectOf, dialects } from "../../../../src/internal/outbox/store/dialect.js"

const indexName = (table: string, name: string): string => `${table.slice(table.lastIndexOf(".") + 1)}_${name}`

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

const create: Record<DialectName, (table: string) => ReadonlyArray<string>> = { pg: postgres, mysql, sqlite }

export const createVersion1 = (dialect: DialectName, table: string): ReadonlyArray<string> => {
  const version = dialects[dialect].quote(`${table}_version`)
  return [
    ...create[dialect](table),
    `CREATE TABLE ${version} (version INTEGER NOT NULL PRIMARY KEY)`,
    `INSERT INTO ${version} (version) VALUES (1)`
  ]
}

/** The check of version 1 when its Layers are built: why it refuses the tables of other versions. */
export const checkVersion1 = (client: SqlClient.SqlClient, table: string) =>
  Effect.map(
    client.unsafe<{ readonly version: number }>(
      `SELECT version FROM ${dialectOf(client).quote(`${table}_version`)}`
    ),
    ([row]) => {
      const found = row === undefined ? undefined : Number(row.version)
      return found === undefined ? "missing" : found === 1 ? undefined : found < 1 ? "older" : "newer"
    }
  )

/** The claim of version 1, of a row without a key. */
export const claimOfVersion1 = (client: SqlClient.SqlClient, table: string) => {
  const { name, now, quote } = dialectOf(client)
  const outbox = quote(table)
  const from = name === "mysql" ? `${outbox} AS r FORCE INDEX (${quote(indexName(table, "claim"))})` : `${outbox} AS r`
  const locking = name === "sqlite" ? "" : " FOR UPDATE SKIP LOCKED"
  const lease = "0a000000-0000-4000-8000-000000000009"
  return Effect.flatMap(
    client.unsafe<{ readonly id: string }>(
      `SELECT r.id FROM ${from} WHERE r.state = 'ready' AND r.due_at IS NULL AND r.task = 'Note' ` +
        `AND r.ordering_key IS NULL AND r.dedupe_key IS NULL ORDER BY r.priority, r.ready_at, r.id LIMIT 1${locking}`
    ),
    (rows) =>
      Effect.forEach(rows, ({ id }) =>
        client.unsafe(
          `UPDATE ${outbox} SET state = 'claimed', attempt = attempt + 1, lease = '${lease}', due_at = ${now} + 60000 ` +
            `WHERE id = '${id}'`
        ))
  )
}
