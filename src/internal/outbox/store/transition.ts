/**
 * The columns that each transition of a row sets, as the SET clause of an UPDATE.
 *
 * `due_at` is the time at which a row expires. A held row is then released or discarded, and the lease of a claimed row ends.
 * A ready row can be claimed from then on, or at once if its `due_at` is NULL. `ready_at` gives a row its place in the order:
 * it is set when the row first becomes ready, and never changes again.
 *
 * @internal
 */
import type { Dialect } from "./dialect.js"

/**
 * The `ready_at` of a row that becomes ready, in microseconds. The clock of SQLite has only milliseconds, but SQLite has only
 * one writer at a time: there, a row with an `orderingKey` gets a later time than all rows with that key.
 *
 * @internal
 */
export const readyAt = (dialect: Dialect, table: string, row: string): string =>
  dialect.name === "sqlite"
    ? `CASE WHEN ${row}.ordering_key IS NULL THEN ${dialect.nowMicros} ELSE MAX(${dialect.nowMicros}, COALESCE(` +
      `(SELECT MAX(o.ready_at) + 1 FROM ${table} AS o WHERE o.ordering_key = ${row}.ordering_key), 0)) END`
    : dialect.nowMicros

/**
 * The `due_at` of a row that becomes ready: its `run_at` or the end of its delay, whichever is later. NULL if it has neither.
 *
 * @internal
 */
export const dueWhenReady = ({ greatest, now }: Dialect): string =>
  "CASE WHEN run_at IS NULL AND delay_millis IS NULL THEN NULL " +
  `ELSE ${greatest}(COALESCE(run_at, 0), COALESCE(${now} + delay_millis, 0)) END`

/**
 * Releases a held row, or expires a row that was claimed or waited for its time. The lease stays: a relay whose handler took
 * longer than the lease can still acknowledge the row, as long as no other relay has claimed it.
 *
 * @internal
 */
export const toReady = (dialect: Dialect, table: string): string =>
  [
    // MySQL assigns from left to right, and an expression reads the values assigned before it. So `state` comes last.
    `due_at = CASE WHEN state = 'held' THEN ${dueWhenReady(dialect)} ELSE NULL END`,
    `ready_at = CASE WHEN state = 'held' THEN ${
      readyAt(dialect, table, dialect.name === "sqlite" ? table : "r")
    } ELSE ready_at END`,
    "on_expiry = NULL",
    "state = 'ready'"
  ].join(", ")

/** @internal */
export const toClaimed = ({ now }: Dialect): string =>
  `state = 'claimed', attempt = attempt + 1, lease = :lease, due_at = ${now} + :millis`

/** @internal */
export const toRetried = ({ now }: Dialect): string =>
  `state = 'ready', lease = NULL, due_at = ${now} + :delay, error = :error, failed_at = ${now}`

/** @internal */
export const toDeadLetter = ({ now }: Dialect): string =>
  `state = 'dead', lease = NULL, due_at = NULL, error = :error, failed_at = ${now}`

/**
 * Undoes a claim: its attempt does not count.
 *
 * @internal
 */
export const toUnclaimed = "state = 'ready', lease = NULL, due_at = NULL, attempt = attempt - 1"

/** Extends the lease, also if it has expired and no other relay has claimed the row. @internal */
export const toExtended = ({ now }: Dialect): string => `state = 'claimed', due_at = ${now} + :millis`

/** @internal */
export const toRenewed = ({ now }: Dialect): string => `due_at = ${now} + :held`
