/**
 * The tables of version 1, as effect-airlock created them then.
 */
import { type DialectName, dialects } from "../../../../src/internal/outbox/store/dialect.js"

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
