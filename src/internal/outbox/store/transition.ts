/**
 * The columns that a row has when it is inserted or released, as expressions of SQL.
 *
 * `ready_at` gives a row its place in the order: it is set when the row first becomes ready or scheduled. Only a redrive of a dead
 * letter changes it again.
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
export const readyAt = (dialect: Dialect, table: string, row: string): string => {
  if (dialect.name !== "sqlite") {
    return dialect.nowMicros
  }
  // Each is one search in the index of the ordering keys. One MAX for all states would read all rows of the key.
  const latest = ["ready", "scheduled", "blocked", "claimed"].map((state) =>
    `COALESCE((SELECT MAX(o.ready_at) + 1 FROM ${table} AS o ` +
    `WHERE o.ordering_key = ${row}.ordering_key AND o.state = '${state}'), 0)`
  )
  return `CASE WHEN ${row}.ordering_key IS NULL THEN ${dialect.nowMicros} ` +
    `ELSE MAX(${dialect.nowMicros}, ${latest.join(", ")}) END`
}

/** Whether a row waits for its `run_at` or for the end of its delay when it is released. */
const waits = ({ now }: Dialect): string => `(run_at > ${now} OR delay_millis > 0)`

/**
 * The `state` of a row that is released: it is scheduled if it has a `run_at` in the future or a delay.
 *
 * @internal
 */
export const stateWhenReleased = (dialect: Dialect): string =>
  `CASE WHEN ${waits(dialect)} THEN 'scheduled' ELSE 'ready' END`

/**
 * The `due_at` of a row that is released: its `run_at` or the end of its delay, whichever is later. NULL if the row is ready.
 *
 * @internal
 */
export const dueWhenReleased = (dialect: Dialect): string =>
  `CASE WHEN ${waits(dialect)} THEN ` +
  `${dialect.greatest}(COALESCE(run_at, 0), COALESCE(${dialect.now} + delay_millis, 0)) END`

/**
 * Releases a held row, as the SET clause of an UPDATE.
 *
 * @internal
 */
export const toReleased = (dialect: Dialect, table: string): string =>
  [
    // MySQL assigns from left to right, and an expression reads the values assigned before it. None of these reads another.
    `due_at = ${dueWhenReleased(dialect)}`,
    `ready_at = ${readyAt(dialect, table, "r")}`,
    "on_expiry = NULL",
    `state = ${stateWhenReleased(dialect)}`
  ].join(", ")
