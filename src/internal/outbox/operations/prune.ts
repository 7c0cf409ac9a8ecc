/**
 * Deletes old rows in small batches, each in a transaction of its own, until none is left.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { limitOf } from "./limit.js"
import { outboxTable } from "./outboxTable.js"

type Prunable = "done" | "dead"

/** @internal */
export interface PruneOptions {
  readonly table: string
  readonly states: ReadonlyArray<Prunable>
  readonly olderThan: Duration.DurationInput
  readonly batch: number
}

const endedAt: Record<Prunable, string> = { done: "done_at", dead: "failed_at" }

/** @internal */
export const prune = ({ batch, olderThan, states, table }: PruneOptions): Effect.Effect<number, SqlError, SqlClient> =>
  Effect.gen(function*() {
    const size = limitOf("prune", "batch", batch)
    const age = Duration.toMillis(olderThan)
    if (!Number.isFinite(age)) {
      return 0
    }
    const { dialect, statement, tables: { outbox }, transaction } = yield* outboxTable(table)
    const remove = statement(dialect.delete(outbox))
    let removed = 0
    for (const state of new Set(states)) {
      const at = endedAt[state]
      const find = statement(
        `SELECT id FROM ${outbox} WHERE state = '${state}' AND ${at} <= ${dialect.now} - ${Math.round(age)} ` +
          `ORDER BY ${at} LIMIT ${size}${dialect.skipLocked}`
      )
      let found: number
      do {
        found = yield* transaction(Effect.gen(function*() {
          const rows = yield* find({})
          if (rows.length > 0) {
            yield* remove({ ids: dialect.list(rows.map(({ id }) => String(id))) })
          }
          return rows.length
        }))
        removed += found
      } while (found === size)
    }
    return removed
  })
