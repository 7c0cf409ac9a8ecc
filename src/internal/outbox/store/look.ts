/**
 * Finds out whether there is work for a relay, in one statement that costs the same for any number of rows.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Dialect, DialectName } from "./dialect.js"
import type { Lane } from "./row.js"
import { prepare } from "./statement.js"
import type { Tables } from "./tables.js"

export type { Lane } from "./row.js"

/** @internal */
export interface Look {
  /** The lanes that have ready rows, those of paused queues among them. */
  readonly lanes: ReadonlyArray<Lane>
  /** The paused queues. */
  readonly paused: ReadonlyArray<string>
  /** Whether `expire` or `reap` has something to do. */
  readonly isDue: boolean
  /** In how many milliseconds `expire` has the next thing to do, if that is known. Not positive if it has now. */
  readonly dueInMillis: number | undefined
}

/**
 * The lanes that have ready rows. PostgreSQL and SQLite would read the whole index for a DISTINCT, so there the statement jumps
 * from each lane to the next one in the index. MySQL does that by itself.
 */
const lanes: Record<DialectName, (table: string, index: string) => readonly [recursive: string, select: string]> = {
  pg: (table) => {
    const next = (after: string) =>
      `SELECT queue, task, version FROM ${table} WHERE state = 'ready'${after} ORDER BY queue, task, version LIMIT 1`
    return [
      `WITH RECURSIVE lane (queue, task, version) AS (
  SELECT * FROM (${next("")}) AS first_lane
  UNION ALL
  SELECT next_lane.* FROM lane CROSS JOIN LATERAL
    (${next(" AND (queue, task, version) > (lane.queue, lane.task, lane.version)")}) AS next_lane
) `,
      "SELECT 'ready' AS kind, queue, task, version FROM lane"
    ]
  },
  sqlite: (table) => {
    const next = (after: string) =>
      `(SELECT JSON_ARRAY(queue, task, version) FROM ${table} WHERE state = 'ready'${after}
    ORDER BY queue, task, version LIMIT 1)`
    const part = (index: number) => `JSON_EXTRACT(lane.value, '$[${index}]')`
    return [
      `WITH RECURSIVE lane (value) AS (
  SELECT ${next("")}
  UNION ALL
  SELECT ${next(` AND (queue, task, version) > (${part(0)}, ${part(1)}, ${part(2)})`)} FROM lane WHERE value IS NOT NULL
) `,
      `SELECT 'ready' AS kind, ${part(0)} AS queue, ${part(1)} AS task, ${
        part(2)
      } AS version FROM lane WHERE value IS NOT NULL`
    ]
  },
  // MySQL jumps from group to group only if the groups begin with the first column of the index.
  mysql: (table, index) => [
    "",
    `SELECT state AS kind, queue, task, version FROM ${table} FORCE INDEX (${index})
  WHERE state = 'ready' GROUP BY state, queue, task, version`
  ]
}

/** @internal */
export const makeLook = (client: SqlClient, dialect: Dialect, tables: Tables): Effect.Effect<Look, SqlError> => {
  const { outbox, queue, relay } = tables
  const [recursive, select] = lanes[dialect.name](outbox, tables.index("ready"))
  const look = prepare(
    client,
    dialect,
    `${recursive}${select}
UNION ALL SELECT 'paused', queue, NULL, NULL FROM ${queue} WHERE paused_at IS NOT NULL
UNION ALL SELECT 'due', NULL, NULL, due_at - ${dialect.now} FROM
  (SELECT due_at FROM ${outbox} WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1) AS next_due
UNION ALL SELECT 'expired', NULL, NULL, NULL FROM (SELECT 1) AS one WHERE
  EXISTS (SELECT 1 FROM ${relay} WHERE expires_at <= ${dialect.now})`
  )
  return Effect.map(Effect.suspend(() => look({})), (rows) => {
    // The number of a row is a version, or a time.
    const due = rows.find(({ kind }) => kind === "due")
    const dueInMillis = due && Number(due["version"])
    return {
      lanes: rows.flatMap(({ kind, queue, task, version }) =>
        kind === "ready" ? [{ queue: String(queue), task: String(task), version: Number(version) }] : []
      ),
      paused: rows.flatMap(({ kind, queue }) => kind === "paused" ? [String(queue)] : []),
      isDue: (dueInMillis !== undefined && dueInMillis <= 0) || rows.some(({ kind }) => kind === "expired"),
      dueInMillis
    }
  })
}
