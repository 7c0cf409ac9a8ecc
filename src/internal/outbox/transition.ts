/**
 * What becomes of a row's columns when its state does.
 *
 * `due_at` is the moment at which time alone moves a row on: a held one comes out or goes, a ready one may be claimed (at
 * once, where it is NULL), a claimed one is claimed no more. `ready_at` gives a row its turn: it never changes again.
 *
 * @internal
 */
import type { Dialect } from "./dialect.js"

/**
 * When a row becomes ready, in microseconds. SQLite has only milliseconds, but one writer at a time too: there a row comes
 * after all that have its key.
 *
 * @internal
 */
export const readyAt = (dialect: Dialect, table: string, row: string): string =>
  dialect.name === "sqlite"
    ? `CASE WHEN ${row}.ordering_key IS NULL THEN ${dialect.nowMicros} ELSE MAX(${dialect.nowMicros}, COALESCE(` +
      `(SELECT MAX(o.ready_at) + 1 FROM ${table} AS o WHERE o.ordering_key = ${row}.ordering_key), 0)) END`
    : dialect.nowMicros

/** @internal */
export const dueWhenReady = ({ greatest, now }: Dialect): string =>
  "CASE WHEN run_at IS NULL AND delay_millis IS NULL THEN NULL " +
  `ELSE ${greatest}(COALESCE(run_at, 0), COALESCE(${now} + delay_millis, 0)) END`

/**
 * Held or claimed rows, and those that waited for their time, to rows that can be claimed. The lease stays: a handler that
 * outlived it may still acknowledge, as long as no other one has the row.
 *
 * @internal
 */
export const toReady = (dialect: Dialect, table: string): string =>
  [
    // MySQL assigns from left to right, and reads what it assigned.
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
export const toDead = ({ now }: Dialect): string =>
  `state = 'dead', lease = NULL, due_at = NULL, error = :error, failed_at = ${now}`

/**
 * As if it had not been claimed.
 *
 * @internal
 */
export const toGivenBack = "state = 'ready', lease = NULL, due_at = NULL, attempt = attempt - 1"

/** @internal */
export const toExtended = ({ now }: Dialect): string => `state = 'claimed', due_at = ${now} + :millis`

/** @internal */
export const toRenewed = ({ now }: Dialect): string => `due_at = ${now} + :held`
