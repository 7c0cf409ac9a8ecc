/**
 * The floor: rows that are claimed and acknowledged by hand, in batches, by two workers, without retries, leases or errors.
 * The table has the smallest useful row, and one index besides its key.
 */
import { Effect } from "effect"
import { count, execute, payload, pool } from "./database.js"
import { loops } from "./loops.js"
import type { Payload, SqlPeer } from "./peer.js"

const table = "hand_written"
const batchSize = 500
const workers = 2

interface Row {
  readonly id: string
  readonly payload: string
}

const claim = `UPDATE ${table} AS r SET claimed_by = $1
FROM (SELECT id FROM ${table} WHERE claimed_by IS NULL ORDER BY created_at LIMIT ${batchSize} FOR UPDATE SKIP LOCKED) AS c
WHERE r.id = c.id RETURNING r.id, r.payload`

const acknowledge = `DELETE FROM ${table} WHERE id = ANY($1::bigint[])`

export const handWritten = (url: string): SqlPeer => ({
  tables: [table],
  setup: execute(
    url,
    `CREATE TABLE ${table} (id BIGSERIAL PRIMARY KEY, task TEXT NOT NULL, payload TEXT NOT NULL,
       created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(), claimed_by INT);
     CREATE INDEX ON ${table} (created_at) WHERE claimed_by IS NULL`
  ),
  fill: (jobs) =>
    execute(
      url,
      `INSERT INTO ${table} (task, payload) SELECT 'count', '${payload}' FROM generate_series(1, ${jobs})`
    ),
  clear: Effect.zipRight(execute(url, `TRUNCATE ${table}`), execute(url, `VACUUM ANALYZE ${table}`)),
  left: count(url, table),
  work: (onJob) =>
    Effect.gen(function*() {
      const connections = yield* pool(url, workers)
      yield* loops(workers, async (worker) => {
        const { rows } = await connections.query<Row>({ name: "claim", text: claim, values: [worker] })
        for (const row of rows) {
          onJob(JSON.parse(row.payload) as Payload)
        }
        if (rows.length > 0) {
          await connections.query({ name: "acknowledge", text: acknowledge, values: [rows.map(({ id }) => id)] })
        }
        return rows.length > 0
      })
    })
})
