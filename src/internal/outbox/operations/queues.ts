/**
 * Pauses and resumes queues. A pause is a row in the database, which relays read each time they look for work.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { type OutboxTable, outboxTable } from "./outboxTable.js"

/**
 * A paused queue.
 *
 * @since 0.1.0
 * @category models
 */
export interface PausedQueue {
  readonly queue: string
  /** When it was paused. */
  readonly since: Date
}

/** @internal */
export const pausedQueues = ({ statement, tables }: OutboxTable): Effect.Effect<ReadonlyArray<PausedQueue>, SqlError> =>
  Effect.map(
    statement(`SELECT queue, paused_at FROM ${tables.queue} WHERE paused_at IS NOT NULL ORDER BY queue`)({}),
    (rows) => rows.map((row) => ({ queue: String(row["queue"]), since: new Date(Number(row["paused_at"])) }))
  )

const isPaused = (table: OutboxTable, queue: string): Effect.Effect<boolean, SqlError> =>
  Effect.map(pausedQueues(table), (queues) => queues.some((paused) => paused.queue === queue))

/** Returns whether the queue was not paused before. @internal */
export const pause = (queue: string, tableName: string): Effect.Effect<boolean, SqlError, SqlClient> =>
  Effect.flatMap(outboxTable(tableName), (table) => {
    const { dialect, statement, tables, transaction } = table
    const insert = statement(
      `INSERT INTO ${tables.queue} (queue, paused_at) VALUES (:queue, ${dialect.now}) ` + (dialect.name === "mysql"
        ? "ON DUPLICATE KEY UPDATE paused_at = VALUES(paused_at)"
        : "ON CONFLICT (queue) DO UPDATE SET paused_at = excluded.paused_at")
    )
    return transaction(Effect.flatMap(
      isPaused(table, queue),
      (already) => already ? Effect.succeed(false) : Effect.as(insert({ queue }), true)
    ))
  })

/** Returns whether the queue was paused. @internal */
export const resume = (queue: string, tableName: string): Effect.Effect<boolean, SqlError, SqlClient> =>
  Effect.flatMap(outboxTable(tableName), (table) => {
    const { statement, tables, transaction } = table
    const update = statement(`UPDATE ${tables.queue} SET paused_at = NULL WHERE queue = :queue`)
    return transaction(Effect.flatMap(
      isPaused(table, queue),
      (paused) => paused ? Effect.as(update({ queue }), true) : Effect.succeed(false)
    ))
  })
