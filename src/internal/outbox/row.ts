/**
 * The rows of the outbox, as they go in and come out.
 *
 * ```
 *        insert              insert
 *          |                   |
 *          v     release       v      claim
 *        held ------------> ready <----------> claimed ----> acknowledged, and so deleted
 *          |    or its time    |  retry, or the  |
 *          v     has come      v   lease ended   v bury
 *       discarded          discarded            dead
 * ```
 *
 * @internal
 */

/** @internal */
export type RowState = "held" | "ready" | "claimed" | "dead"

/** @internal */
export interface NewRow {
  /** A UUID. Rows that became ready in one statement leave in the order of their ids. */
  readonly id: string
  readonly task: string
  readonly version: number
  /** JSON. */
  readonly payload: string
  /** JSON of what the relay passes on. */
  readonly options: string | null
  readonly queue: string | null
  /** Lower is claimed first. */
  readonly priority: number
  readonly dedupeKey: string | null
  readonly orderingKey: string | null
  readonly maxAttempts: number | null
  /** Not claimed before this moment, in milliseconds since the epoch. */
  readonly availableAt: number | null
  /** Not claimed before this many milliseconds after it became ready, by the clock of the database. */
  readonly delayMillis: number | null
  /** In milliseconds since the epoch. */
  readonly enqueuedAt: number
  readonly traceId: string | null
  readonly spanId: string | null
}

/**
 * Whose row it is: a claim that came later has another lease.
 *
 * @internal
 */
export interface Claimed {
  readonly id: string
  readonly lease: string
}

/** @internal */
export interface ClaimedRow extends Omit<NewRow, "availableAt" | "delayMillis">, Claimed {
  /** From 1. */
  readonly attempt: number
}

/** @internal */
export interface Column {
  readonly name: string
  /** Under which a `NewRow` has it. */
  readonly field: keyof NewRow
  readonly type: "id" | "key" | "text" | "number"
  /** What the table has where a row does not say it; without one a row must. */
  readonly initial?: null | 0
}

/**
 * The columns that a row is inserted with. Those of time and state come beside them.
 *
 * @internal
 */
export const columns: ReadonlyArray<Column> = [
  { name: "id", field: "id", type: "id" },
  { name: "task", field: "task", type: "key" },
  { name: "version", field: "version", type: "number" },
  { name: "payload", field: "payload", type: "text" },
  { name: "options", field: "options", type: "text", initial: null },
  { name: "queue", field: "queue", type: "key", initial: null },
  { name: "priority", field: "priority", type: "number", initial: 0 },
  { name: "dedupe_key", field: "dedupeKey", type: "key", initial: null },
  { name: "ordering_key", field: "orderingKey", type: "key", initial: null },
  { name: "max_attempts", field: "maxAttempts", type: "number", initial: null },
  { name: "run_at", field: "availableAt", type: "number", initial: null },
  { name: "delay_millis", field: "delayMillis", type: "number", initial: null },
  { name: "enqueued_at", field: "enqueuedAt", type: "number" },
  { name: "trace_id", field: "traceId", type: "key", initial: null },
  { name: "span_id", field: "spanId", type: "key", initial: null }
]

/**
 * A row as a database gives it, under the names of its columns. Numbers may be text, or a bigint.
 *
 * @internal
 */
export type Stored = Readonly<Record<string, string | number | bigint | null>>

/**
 * What a claim reads, all but what it changes.
 *
 * @internal
 */
export const claimedColumns: ReadonlyArray<string> = [
  ...columns.map(({ name }) => name).filter((name) => name !== "run_at" && name !== "delay_millis"),
  "attempt",
  "ready_at"
]

const textOf = (value: Stored[string] | undefined): string | null =>
  value === null || value === undefined ? null : String(value)

/** @internal */
export const claimedRow = (stored: Stored, lease: string, attempt: number): ClaimedRow => ({
  id: String(stored["id"]),
  task: String(stored["task"]),
  version: Number(stored["version"]),
  payload: String(stored["payload"]),
  options: textOf(stored["options"]),
  queue: textOf(stored["queue"]),
  priority: Number(stored["priority"]),
  dedupeKey: textOf(stored["dedupe_key"]),
  orderingKey: textOf(stored["ordering_key"]),
  maxAttempts: stored["max_attempts"] === null ? null : Number(stored["max_attempts"]),
  enqueuedAt: Number(stored["enqueued_at"]),
  traceId: textOf(stored["trace_id"]),
  spanId: textOf(stored["span_id"]),
  attempt,
  lease
})

/**
 * The order in which rows are claimed.
 *
 * @internal
 */
export const byTurn = (a: Stored, b: Stored): number =>
  Number(a["priority"]) - Number(b["priority"]) ||
  Number(a["ready_at"]) - Number(b["ready_at"]) ||
  (String(a["id"]) < String(b["id"]) ? -1 : 1)
