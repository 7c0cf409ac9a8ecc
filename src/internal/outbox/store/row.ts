/**
 * The rows of the outbox's table: their states, their columns, and how a claimed row is read.
 *
 * ```text
 *   insert                insert
 *     |                     |
 *     v       release       v         claim            acknowledge
 *   held ---------------> ready --------------> claimed ----------> acknowledged
 *     |       expire        |  <--------------     |
 *     |                     |  retry, unclaim,     |   deadLetter
 *     | discard             |  expire              +--------------> dead letter
 *     | expire              |
 *     |                     | discard, or the duplicate of a row that is claimed
 *     v                     v
 *   discarded           discarded
 * ```
 *
 * - Acknowledged and discarded rows are deleted. A dead letter stays in the table, with the state `dead`.
 * - `expire` moves the rows whose `due_at` has passed. A held row is released or discarded, as its `on_expiry` says. A claimed
 *   row, whose lease has then expired, becomes ready. A ready row that waited for its delay or backoff can be claimed.
 * - `renew` moves the `due_at` of held rows, and `extend` that of claimed rows.
 * - A row whose lease has expired keeps that lease until the next claim. Until then its relay can still acknowledge, retry,
 *   unclaim or extend it, or make it a dead letter.
 *
 * @internal
 */

/** The values of the column `state`. @internal */
export type RowState = "held" | "ready" | "claimed" | "dead"

/** A row before its insert. @internal */
export interface NewRow {
  /** A UUID. Rows that became ready in one statement are claimed in the order of their ids. */
  readonly id: string
  readonly task: string
  readonly version: number
  /** The encoded payload, as JSON. */
  readonly payload: string
  /** The options of the intent that have no column of their own, as JSON. */
  readonly options: string | null
  readonly queue: string | null
  /** Rows with a lower priority are claimed first. */
  readonly priority: number
  readonly dedupeKey: string | null
  readonly orderingKey: string | null
  readonly maxAttempts: number | null
  /** The row is not claimed before this time, in milliseconds since the epoch. */
  readonly availableAt: number | null
  /** The row is not claimed until it has been ready for this many milliseconds, by the clock of the database. */
  readonly delayMillis: number | null
  /** In milliseconds since the epoch. */
  readonly enqueuedAt: number
  readonly traceId: string | null
  readonly spanId: string | null
}

/**
 * Identifies one claim of a row: a later claim of the same row has another lease.
 *
 * @internal
 */
export interface RowClaim {
  readonly id: string
  readonly lease: string
}

/** @internal */
export interface ClaimedRow extends Omit<NewRow, "availableAt" | "delayMillis">, RowClaim {
  /** The number of claims of this row, from 1. An unclaimed claim does not count. */
  readonly attempt: number
}

/** @internal */
export interface Column {
  readonly name: string
  /** The field of a `NewRow` that the column stores. */
  readonly field: keyof NewRow
  /** A `key` is a text that is short enough for an index. */
  readonly type: "id" | "key" | "text" | "number"
  /** The default value of the column. A column without one is part of every insert. */
  readonly initial?: null | 0
}

/**
 * The columns that store the fields of a `NewRow`. The columns of the row's state and times are not among them.
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
 * A row as the driver returns it, by the names of its columns. A number may arrive as text or as a bigint.
 *
 * @internal
 */
export type StoredRow = Readonly<Record<string, string | number | bigint | null>>

/**
 * The columns that a claim reads: those of a `ClaimedRow` except its lease, and `ready_at` for the order.
 *
 * @internal
 */
export const claimedColumns: ReadonlyArray<string> = [
  ...columns.map(({ name }) => name).filter((name) => name !== "run_at" && name !== "delay_millis"),
  "attempt",
  "ready_at"
]

const textOf = (value: StoredRow[string] | undefined): string | null =>
  value === null || value === undefined ? null : String(value)

/** @internal */
export const claimedRow = (stored: StoredRow, lease: string, attempt: number): ClaimedRow => ({
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
export const byClaimOrder = (a: StoredRow, b: StoredRow): number =>
  Number(a["priority"]) - Number(b["priority"]) ||
  Number(a["ready_at"]) - Number(b["ready_at"]) ||
  (String(a["id"]) < String(b["id"]) ? -1 : 1)
