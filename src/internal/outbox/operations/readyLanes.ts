/**
 * The lanes that have ready rows, and for how long the next row of each has waited. The statement reads one row for each lane and
 * priority, however many rows wait.
 *
 * PostgreSQL and SQLite would read the whole index for a GROUP BY, so there the statement jumps from each group to the next one in
 * the index. MySQL does that by itself, if the statement names all columns of the index up to the last one of the group.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Dialect, DialectName } from "../store/dialect.js"
import type { Tables } from "../store/tables.js"
import type { OutboxTable } from "./outboxTable.js"

/** @internal */
export interface ReadyLane {
  readonly queue: string
  readonly task: string
  readonly version: number
  /** How long ago the longest waiting one of its next rows became ready, in milliseconds. */
  readonly ageMillis: number
}

const group = "queue, task, version, priority"
const order = `${group}, ready_at, id`

/** The next rows, as `r` in a FROM clause. */
const nextRows: Record<DialectName, (table: string, index: string) => readonly [recursive: string, from: string]> = {
  pg: (table) => {
    const next = (after: string) =>
      `SELECT ${group}, id FROM ${table} WHERE state = 'ready'${after} ORDER BY ${order} LIMIT 1`
    return [
      `WITH RECURSIVE head (${group}, id) AS (
  SELECT * FROM (${next("")}) AS first_head
  UNION ALL
  SELECT next_head.* FROM head CROSS JOIN LATERAL
    (${next(` AND (${group}) > (head.queue, head.task, head.version, head.priority)`)}) AS next_head
) `,
      `head JOIN ${table} AS r ON r.id = head.id`
    ]
  },
  sqlite: (table) => {
    const next = (after: string) => `SELECT id FROM ${table} WHERE state = 'ready'${after} ORDER BY ${order} LIMIT 1`
    return [
      `WITH RECURSIVE head (id) AS (
  SELECT (${next("")})
  UNION ALL
  SELECT (${next(` AND (${group}) > (last.queue, last.task, last.version, last.priority)`)})
  FROM head JOIN ${table} AS last ON last.id = head.id
) `,
      `head JOIN ${table} AS r ON r.id = head.id`
    ]
  },
  mysql: (table, index) => [
    "",
    `(SELECT DISTINCT state, ${group} FROM ${table} FORCE INDEX (${index}) WHERE state = 'ready') AS head
STRAIGHT_JOIN ${table} AS r FORCE INDEX (PRIMARY) ON r.id = (
  SELECT id FROM ${table} AS n FORCE INDEX (${index}) WHERE n.state = 'ready' AND n.queue = head.queue AND n.task = head.task
  AND n.version = head.version AND n.priority = head.priority ORDER BY n.ready_at, n.id LIMIT 1
)`
  ]
}

/** @internal */
export const readyLanesSql = (dialect: Dialect, { index, outbox }: Tables): string => {
  const [recursive, from] = nextRows[dialect.name](outbox, index("ready"))
  // `ready_at` is the place of a row in the order: a row with a delay or a backoff was ready later.
  const since = `${dialect.greatest}(r.ready_at / 1000 + COALESCE(r.delay_millis, 0), COALESCE(r.run_at, 0), ` +
    "COALESCE(r.failed_at, 0))"
  return `${recursive}SELECT r.queue, r.task, r.version, MAX(${dialect.now} - ${since}) AS age
FROM ${from} GROUP BY r.queue, r.task, r.version
ORDER BY r.queue, r.task, r.version`
}

/** @internal */
export const readyLanes = (
  { dialect, statement, tables }: Pick<OutboxTable, "dialect" | "statement" | "tables">
): Effect.Effect<ReadonlyArray<ReadyLane>, SqlError> =>
  Effect.map(
    Effect.suspend(() => statement(readyLanesSql(dialect, tables))({})),
    (rows) =>
      rows.map(({ age, queue, task, version }) => ({
        queue: String(queue),
        task: String(task),
        version: Number(version),
        // The clock of the process that set a `run_at` may be ahead.
        ageMillis: Math.max(0, Math.round(Number(age)))
      }))
  )
