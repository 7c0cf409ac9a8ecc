/**
 * Counts rows by state and lane: all of them, which reads the whole table, or at most a number of each kind, which reads no more
 * than that number of entries of an index.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { StoredRow } from "../store/row.js"
import { type OutboxState, states } from "./outboxRow.js"
import type { OutboxTable } from "./outboxTable.js"
import type { ReadyLane } from "./readyLanes.js"

/** Some rows of one state and lane. @internal */
export interface LaneCount {
  readonly state: OutboxState
  readonly queue: string
  readonly task: string
  readonly version: number
  readonly count: number
  /** The first `enqueued_at` of the rows that were counted. */
  readonly enqueuedAt: number
  /** Their first `due_at`. */
  readonly dueAt: number | null
}

/** @internal */
export interface Counts {
  readonly lanes: ReadonlyArray<LaneCount>
  /** The states of which there may be more rows. */
  readonly inexact: ReadonlySet<OutboxState>
}

const lane = "queue, task, version"

const read = (row: StoredRow): LaneCount => ({
  // The table has no other states.
  state: row["state"] as OutboxState,
  queue: String(row["queue"]),
  task: String(row["task"]),
  version: Number(row["version"]),
  count: Number(row["count"]),
  enqueuedAt: Number(row["enqueued"]),
  dueAt: row["due"] === null || row["due"] === undefined ? null : Number(row["due"])
})

const grouped = (from: string, counted = "1 = 1"): string =>
  `SELECT state, ${lane}, COUNT(*) AS scanned, SUM(CASE WHEN ${counted} THEN 1 ELSE 0 END) AS count,
  MIN(enqueued_at) AS enqueued, MIN(due_at) AS due FROM ${from} GROUP BY state, ${lane}`

/** @internal */
export const exactCounts = ({ statement, tables }: OutboxTable): Effect.Effect<Counts, SqlError> =>
  Effect.map(statement(grouped(tables.outbox))({}), (rows) => ({ lanes: rows.map(read), inexact: new Set() }))

/** Entries of an index, of which at most some are read. @internal */
export interface Scan {
  /** The states whose rows are counted by this scan. */
  readonly states: ReadonlyArray<OutboxState>
  readonly text: string
}

/** The scans of the states other than `ready`. @internal */
export const scans = ({ dialect, tables: { index, outbox } }: OutboxTable, limit: number): ReadonlyArray<Scan> => {
  const first = (where: string, hint = "") =>
    `(SELECT state, ${lane}, enqueued_at, due_at, ordering_key FROM ${outbox}${hint} WHERE ${where} LIMIT ${
      limit + 1
    }) AS scanned`
  if (dialect.name === "mysql") {
    // The index of the ready rows begins with the state.
    const hint = ` FORCE INDEX (${index("ready")})`
    return states.filter((state) => state !== "ready").map((state) => ({
      states: [state],
      text: grouped(first(`state = '${state}'`, hint))
    }))
  }
  // The order leads the database to the index.
  return [
    { states: ["held", "scheduled"], text: grouped(first("due_at IS NOT NULL ORDER BY due_at")) },
    { states: ["claimed"], text: grouped(first("state = 'claimed' ORDER BY lease")) },
    { states: ["dead"], text: grouped(first("state = 'dead' ORDER BY failed_at")) },
    { states: ["done"], text: grouped(first("state = 'done' ORDER BY done_at")) },
    // Blocked rows have no index of their own.
    {
      states: ["blocked"],
      text: grouped(first("ordering_key IS NOT NULL ORDER BY ordering_key, state"), "state = 'blocked'")
    },
    {
      states: ["blocked"],
      text: grouped(
        first("dedupe_key IS NOT NULL ORDER BY task, dedupe_key, state"),
        "state = 'blocked' AND ordering_key IS NULL"
      )
    }
  ]
}

/** Counts the ready rows of one lane. @internal */
export const laneScan = ({ dialect, tables: { index, outbox } }: OutboxTable, limit: number): string =>
  `SELECT COUNT(*) AS count FROM (SELECT 1 FROM ${outbox}${
    dialect.name === "mysql" ? ` FORCE INDEX (${index("ready")})` : ""
  } WHERE state = 'ready' AND queue = :queue AND task = :task AND version = :version
  ORDER BY priority, ready_at, id LIMIT ${limit + 1}) AS scanned`

/** @internal */
export const boundedCounts = (
  table: OutboxTable,
  ready: ReadonlyArray<ReadyLane>,
  limit: number
): Effect.Effect<Counts, SqlError> =>
  Effect.gen(function*() {
    const lanes: Array<LaneCount> = []
    const inexact = new Set<OutboxState>()
    const countLane = table.statement(laneScan(table, limit))
    for (const { queue, task, version } of ready) {
      const [row] = yield* countLane({ queue, task, version })
      const count = Number(row?.["count"] ?? 0)
      if (count > limit) {
        inexact.add("ready")
      }
      lanes.push({
        state: "ready",
        queue,
        task,
        version,
        count: Math.min(count, limit),
        enqueuedAt: 0,
        dueAt: null
      })
    }
    for (const { states, text } of scans(table, limit)) {
      const rows = yield* table.statement(text)({})
      lanes.push(...rows.map(read).filter(({ count, state }) => count > 0 && states.includes(state)))
      if (rows.reduce((sum, row) => sum + Number(row["scanned"]), 0) > limit) {
        for (const state of states) {
          inexact.add(state)
        }
      }
    }
    return { lanes, inexact }
  })
