/**
 * Moves on the rows whose `due_at` has passed, and deletes the rows that are done for long enough.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Dialect } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import type { StoredRow } from "./row.js"
import { prepare, retryOutsideTransaction } from "./statement.js"
import type { Tables } from "./tables.js"
import { toReleased } from "./transition.js"

/** How many rows expired, by what became of them. @internal */
export interface Expired {
  /** Held rows that were released, because their `on_expiry` is `release`. */
  readonly released: number
  /** Held rows that were deleted, because their `on_expiry` is `discard`. */
  readonly discarded: number
  /** Scheduled rows that became ready. */
  readonly due: number
}

/** @internal */
export interface Expiries {
  /** Expires at most 1 000 rows. It has nothing to do unless `look` says so. */
  readonly expire: Effect.Effect<Expired, SqlError>
  /** Deletes rows that are done for longer than this, at most `limit`. Returns how many. */
  readonly prune: (olderThanMillis: number, limit: number) => Effect.Effect<number, SqlError>
}

/** The maximum number of rows of one `expire`: after a crash there can be very many. */
const expireLimit = 1_000

/** @internal */
export const makeExpiries = (client: SqlClient, dialect: Dialect, { outbox }: Tables): Expiries => {
  const statement = (text: string) => prepare(client, dialect, text)
  const inTransaction = inOwnTransaction(client, dialect.name)
  const onRows = (text: string) => {
    const prepared = statement(text)
    return (rows: ReadonlyArray<StoredRow>) =>
      rows.length === 0
        ? Effect.succeed(rows)
        : Effect.as(prepared({ ids: dialect.list(rows.map(({ id }) => String(id))) }), rows)
  }
  const findDue = statement(
    `SELECT id, state, on_expiry FROM ${outbox} WHERE due_at <= ${dialect.now} ORDER BY due_at LIMIT ${expireLimit}` +
      dialect.skipLocked
  )
  const findDone = statement(
    `SELECT id FROM ${outbox} WHERE state = 'done' AND done_at <= ${dialect.now} - :age ORDER BY done_at LIMIT :limit` +
      dialect.skipLocked
  )
  const release = onRows(dialect.update(outbox, toReleased(dialect, outbox)))
  const makeReady = onRows(dialect.update(outbox, "due_at = NULL, state = 'ready'"))
  const remove = onRows(dialect.delete(outbox))
  return {
    expire: retryOutsideTransaction(inTransaction(Effect.gen(function*() {
      const rows = yield* findDue({})
      const held = rows.filter(({ state }) => state === "held")
      const discarded = yield* remove(held.filter((row) => row["on_expiry"] === "discard"))
      const released = yield* release(held.filter((row) => row["on_expiry"] !== "discard"))
      const due = yield* makeReady(rows.filter(({ state }) => state === "scheduled"))
      return { released: released.length, discarded: discarded.length, due: due.length }
    }))),
    prune: (olderThanMillis, limit) =>
      retryOutsideTransaction(inTransaction(
        Effect.map(
          Effect.flatMap(
            Effect.suspend(() => findDone({ age: Math.round(olderThanMillis), limit: dialect.limit(limit) })),
            remove
          ),
          (rows) => rows.length
        )
      ))
  }
}
