/**
 * The rows of the outbox in the suite: their states, and how their times pass.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { makeStore } from "../../internal/outbox/store/store.js"
import { tableNames } from "../../internal/outbox/store/tables.js"
import { table } from "./application.js"

/** @internal */
export const store = Effect.map(SqlClient, (sql) => makeStore(sql, table))

/** The number of rows in each state, without the states that have none. @internal */
export const rows = Effect.flatMap(
  store,
  ({ counts }) =>
    Effect.map(counts, (counts) => Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)))
)

/** Makes every row due, as if its time had passed. @internal */
export const timePasses = Effect.flatMap(
  SqlClient,
  (sql) => sql.unsafe(`UPDATE ${table} SET due_at = 0 WHERE due_at IS NOT NULL`)
)

/** Ends the lease of every relay, as if its time had passed. @internal */
export const leasesPass = Effect.flatMap(
  SqlClient,
  (sql) => sql.unsafe(`UPDATE ${tableNames(table).relay} SET expires_at = 0`)
)

/** The number of rows that `timePasses` has made due and that were not renewed since. @internal */
export const stale = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql.unsafe<{ readonly count: number }>(`SELECT COUNT(*) AS count FROM ${table} WHERE due_at = 0`),
    ([row]) => Number(row!.count)
  ))

/** Waits until a condition holds. @internal */
export const until = <E, R>(holds: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(holds, (yes) =>
    yes
      ? Effect.void
      : Effect.zipRight(Effect.promise(() => new Promise((resolve) => setTimeout(resolve))), until(holds)))

/** Waits until this many rows are in a state. @internal */
export const untilRows = (state: string, count: number) =>
  until(Effect.map(rows, (rows) => (rows[state] ?? 0) === count))

/** Waits until no row is held. A request does not wait for a release alone. @internal */
export const released = untilRows("held", 0)
