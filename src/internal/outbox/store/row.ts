/**
 * The rows of the outbox's table: their states, their columns, and how a claimed row is read.
 *
 * ```text
 *        insert                       insert
 *          |                            |
 *          v          release           v          claim               acknowledge
 *        held -----------------> ready, scheduled -------> claimed ----------------> done, or deleted
 *          |          expire       |    ^  ^    ^            |  |
 *          |                       |    |  |    | unclaim,   |  |  fail
 *          |               expire  +----+  |    | fail, reap |  +----------> dead
 *          |                               |    +------------+
 *          |                claim, unblock |
 *          |                            blocked
 *          | discard, expire       |       | discard, or the duplicate of a row that is claimed
 *          v                       v       v
 *       deleted                     deleted
 * ```
 *
 * - `held`: an outer scope may still discard the row. `renew` moves its `due_at`. When that has passed, `expire` releases or
 *   discards it, as its `on_expiry` says.
 * - `scheduled`: the row waits for its `due_at`, which is the end of a delay or a backoff. `expire` makes it ready then.
 * - `ready`: a relay can claim the row now.
 * - `blocked`: a claim found that the row must wait for another row with its `orderingKey` or `dedupeKey`. The removal of that
 *   row makes it ready (`keyed.ts`).
 * - `claimed`: the row belongs to the relay's session whose id is its `lease`. When the session has expired, `reap` makes the row
 *   ready. The row keeps its lease until the next claim, and until then its first relay can still acknowledge it.
 * - `dead`: a dead letter. It stays in the table until an operation makes it ready again or deletes it.
 * - `done`: a row whose handler succeeded, if the relay keeps those for a time. `prune` deletes it.
 *
 * @internal
 */

/** The values of the column `state`. @internal */
export type RowState = "held" | "scheduled" | "ready" | "blocked" | "claimed" | "dead" | "done"

/**
 * The queue of a row that names none.
 *
 * @internal
 */
export const defaultQueue = "default"

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
  readonly queue: string
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

/** @internal */
export interface ClaimedRow extends Omit<NewRow, "availableAt" | "delayMillis"> {
  /** The number of counted attempts so far. The run that is about to begin is the next one. */
  readonly attempt: number
  /** The attempts so far, as JSON: see `history.ts`. */
  readonly history: string | null
  /** Whether the row has an `orderingKey` or a `dedupeKey`. */
  readonly keyed: boolean
  /** When the row became ready, in microseconds since the epoch. */
  readonly readyAt: number
  /** The id of the relay's session. */
  readonly lease: string
  /** The number of the claim in the session. */
  readonly claimNumber: number
}

/** What identifies a claim. @internal */
export type ClaimId = Pick<ClaimedRow, "lease" | "claimNumber">

/** @internal */
export type ClaimOrder = Pick<ClaimedRow, "id" | "priority" | "readyAt">

/**
 * The rows of a lane: a relay either can run all of them, or none.
 *
 * @internal
 */
export interface Lane {
  readonly queue: string
  readonly task: string
  readonly version: number
}

/** @internal */
export interface Column {
  readonly name: string
  /** The field of a `NewRow` that the column stores. */
  readonly field: keyof NewRow
  /** A `key` is a text that is short enough for an index. */
  readonly type: "id" | "key" | "text" | "number"
  /** The default value of the column. A column without one is part of every insert. */
  readonly initial?: null | 0 | typeof defaultQueue
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
  { name: "queue", field: "queue", type: "key", initial: defaultQueue },
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

/** Columns that are NULL in most rows. */
const rareColumns = ["options", "max_attempts", "dedupe_key", "ordering_key", "trace_id", "span_id", "history"]

const frequentColumns = ["id", "payload", "attempt", "enqueued_at", "priority", "ready_at"]

/** The columns of a lane. */
const laneColumns = ["queue", "task", "version"]

/**
 * The columns that a claim reads of the row `r`. The driver of PostgreSQL parses each value of each row, so there the rare columns
 * are one value, which is usually NULL. The columns of the lane are left out of the rows of one lane.
 *
 * @internal
 */
export const claimedColumns = (dialect: "pg" | "mysql" | "sqlite", oneLane: boolean): string => {
  const names = [...frequentColumns, ...(oneLane ? [] : laneColumns), ...(dialect === "pg" ? [] : rareColumns)]
  const list = names.map((name) => `r.${name}`).join(", ")
  const rare = rareColumns.map((name) => `r.${name}`)
  const texts = rare.filter((name) => name !== "r.max_attempts")
  return dialect === "pg"
    ? `${list}, CASE WHEN COALESCE(${texts.join(", ")}) IS NULL AND r.max_attempts IS NULL THEN NULL ` +
      `ELSE CAST(JSON_BUILD_ARRAY(${rare.join(", ")}) AS TEXT) END AS rare`
    : list
}

const noRare: StoredRow = Object.fromEntries(rareColumns.map((name) => [name, null]))

const rareOf = (stored: StoredRow): StoredRow => {
  const { rare } = stored
  if (rare === undefined) {
    return stored
  }
  if (rare === null) {
    return noRare
  }
  // The array of `claimedColumns`.
  const values = JSON.parse(String(rare)) as ReadonlyArray<string | number | null>
  return Object.fromEntries(rareColumns.map((name, i) => [name, values[i]!]))
}

const textOf = (value: StoredRow[string] | undefined): string | null =>
  value === null || value === undefined ? null : String(value)

/**
 * Reads a row of a claim. A claim of one lane does not read the columns of the lane.
 *
 * @internal
 */
export const claimedRow = (stored: StoredRow, { claimNumber, lease }: ClaimId, lane: Lane | undefined): ClaimedRow => {
  const rare = rareOf(stored)
  const dedupeKey = textOf(rare["dedupe_key"])
  const orderingKey = textOf(rare["ordering_key"])
  return {
    id: String(stored["id"]),
    task: lane === undefined ? String(stored["task"]) : lane.task,
    version: lane === undefined ? Number(stored["version"]) : lane.version,
    payload: String(stored["payload"]),
    options: textOf(rare["options"]),
    queue: lane === undefined ? String(stored["queue"]) : lane.queue,
    priority: Number(stored["priority"]),
    dedupeKey,
    orderingKey,
    maxAttempts: rare["max_attempts"] === null ? null : Number(rare["max_attempts"]),
    enqueuedAt: Number(stored["enqueued_at"]),
    traceId: textOf(rare["trace_id"]),
    spanId: textOf(rare["span_id"]),
    attempt: Number(stored["attempt"]),
    history: textOf(rare["history"]),
    keyed: dedupeKey !== null || orderingKey !== null,
    readyAt: Number(stored["ready_at"]),
    lease,
    claimNumber
  }
}

/** A condition: the row `r` is a ready row of the lane that the parameters name. @internal */
export const inLane = "r.state = 'ready' AND r.queue = :queue AND r.task = :task AND r.version = :version"

/** @internal */
export const claimOrder = "ORDER BY r.priority, r.ready_at, r.id"

/**
 * The order in which rows are claimed.
 *
 * @internal
 */
export const byClaimOrder = (a: ClaimOrder, b: ClaimOrder): number =>
  a.priority - b.priority || a.readyAt - b.readyAt || (a.id < b.id ? -1 : 1)
