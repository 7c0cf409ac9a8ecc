/**
 * A row of the outbox as people see it.
 *
 * @internal
 */
import { readHistory } from "../store/history.js"
import { columns, type RowState, type StoredRow } from "../store/row.js"

/**
 * The states of a row. docs/outbox.md draws how a row gets from one to the other.
 *
 * - `held`: an outer scope may still discard it.
 * - `scheduled`: it waits for its `dueAt`, which is the end of a delay or a backoff.
 * - `ready`: a relay can claim it now.
 * - `blocked`: it waits for another row with its `orderingKey` or `dedupeKey`.
 * - `claimed`: it belongs to a relay.
 * - `dead`: a dead letter.
 * - `done`: its handler succeeded. Only a relay with `keepDone` keeps such rows.
 *
 * @since 0.1.0
 * @category models
 */
export type OutboxState = "held" | "scheduled" | "ready" | "blocked" | "claimed" | "dead" | "done"

/** @internal */
export const states: ReadonlyArray<OutboxState & RowState> = [
  "held",
  "scheduled",
  "ready",
  "blocked",
  "claimed",
  "dead",
  "done"
]

/**
 * A failed attempt of a row.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutboxAttempt {
  /** Counts from 1. After a `redrive` it counts from 1 again. */
  readonly attempt: number
  /** When it ended. */
  readonly at: Date
  /** The beginning of its error. */
  readonly error: string
  /** The name of the relay. */
  readonly relay: string
}

/**
 * A row of the outbox. Times are those of the database's clock, except `enqueuedAt` and `runAt`.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutboxRow {
  /** The id of the intent. */
  readonly id: string
  readonly task: string
  /** The version of the task that encoded the payload. */
  readonly version: number
  readonly queue: string
  readonly state: OutboxState
  /**
   * The payload as JSON, as the task's Schema has encoded it. If a codec has encoded it, this is the text that the codec returned,
   * and `options` has `codec: true`. A text that is no JSON is given as it is.
   */
  readonly payload: unknown
  /** How many attempts have counted so far. */
  readonly attempt: number
  /** Absent if the relay's `maxAttempts` holds. */
  readonly maxAttempts?: number
  /** Rows with a lower priority are claimed first. */
  readonly priority: number
  readonly orderingKey?: string
  readonly dedupeKey?: string
  /** When it was enqueued, by the clock of its process. */
  readonly enqueuedAt: Date
  /** The time that gives it its place among the rows of its priority. A held row has none. */
  readonly readyAt?: Date
  /** When a scheduled row becomes ready, or when a held row expires. */
  readonly dueAt?: Date
  /** Its option `runAt`. */
  readonly runAt?: Date
  /** When its last attempt failed. */
  readonly failedAt?: Date
  /** When its handler succeeded. */
  readonly doneAt?: Date
  /** The session of the relay that has claimed it: the `id` of a {@link LiveRelay}. */
  readonly lease?: string
  /** The error of its last attempt. */
  readonly error?: string
  /** Its latest failed attempts, oldest first. */
  readonly history: ReadonlyArray<OutboxAttempt>
  /** What else was stored with the intent: `origin`, `native`, `cascade`, `codec`. */
  readonly options: Readonly<Record<string, unknown>>
  readonly traceId?: string
  readonly spanId?: string
}

/** The columns that `outboxRow` reads. @internal */
export const readColumns: ReadonlyArray<string> = [
  ...columns.map(({ name }) => name),
  "state",
  "attempt",
  "lease",
  "due_at",
  "ready_at",
  "error",
  "failed_at",
  "done_at",
  "history"
]

/** @internal */
export const outboxRow = (stored: StoredRow): OutboxRow => {
  const text = <Name extends string>(name: Name, column: string): { readonly [_ in Name]?: string } =>
    optional(name, stored[column], String)
  const date = <Name extends string>(name: Name, column: string, perMillisecond = 1): { readonly [_ in Name]?: Date } =>
    optional(name, stored[column], (value) => new Date(Number(value) / perMillisecond))
  const options = stored["options"]
  const history = stored["history"]
  return {
    id: String(stored["id"]),
    task: String(stored["task"]),
    version: Number(stored["version"]),
    queue: String(stored["queue"]),
    // The table has no other states.
    state: stored["state"] as OutboxState,
    payload: parsed(String(stored["payload"])),
    attempt: Number(stored["attempt"]),
    ...optional("maxAttempts", stored["max_attempts"], Number),
    priority: Number(stored["priority"]),
    ...text("orderingKey", "ordering_key"),
    ...text("dedupeKey", "dedupe_key"),
    enqueuedAt: new Date(Number(stored["enqueued_at"])),
    ...date("readyAt", "ready_at", 1000),
    ...date("dueAt", "due_at"),
    ...date("runAt", "run_at"),
    ...date("failedAt", "failed_at"),
    ...date("doneAt", "done_at"),
    ...text("lease", "lease"),
    ...text("error", "error"),
    history: readHistory(history === null || history === undefined ? null : String(history))
      .map(({ at, attempt, error, relay }) => ({ attempt, at: new Date(at), error, relay })),
    // The outbox writes an object into this column.
    options: options === null || options === undefined
      ? {}
      : parsed(String(options)) as Readonly<Record<string, unknown>>,
    ...text("traceId", "trace_id"),
    ...text("spanId", "span_id")
  }
}

const optional = <Name extends string, A>(
  name: Name,
  value: StoredRow[string] | undefined,
  read: (value: string | number | bigint) => A
): { readonly [_ in Name]?: A } =>
  // The computed key has the type of `name`.
  value === null || value === undefined ? {} : { [name]: read(value) } as { readonly [_ in Name]: A }

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
