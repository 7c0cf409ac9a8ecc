/**
 * Changes or deletes the rows of a selection, in batches of one transaction each.
 *
 * A batch first finds its rows without a lock, then locks those that are still in a state that the operation is for, and skips
 * the rows that another transaction has locked: a relay never waits for an operation, and no row is taken from a relay.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { StoredRow } from "../store/row.js"
import { readyAt } from "../store/transition.js"
import { all, conditionOf, stateIn } from "./filter.js"
import { after } from "./find.js"
import { limitOf } from "./limit.js"
import type { OutboxState } from "./outboxRow.js"
import { type OutboxTable, outboxTable } from "./outboxTable.js"
import { filterOf, type OutboxSelection, type OutboxSelectionError } from "./selection.js"

/** @internal */
export interface ChangeOptions {
  readonly table: string
  /** The number of rows of one transaction. */
  readonly batch: number
}

interface Change {
  /** The operation, for errors. */
  readonly name: string
  /** Rows in other states do not change. */
  readonly states: ReadonlyArray<OutboxState>
  /** The statement for the rows whose id is one of `:ids`. */
  readonly text: (table: OutboxTable) => string
  /** Whether other rows may wait for the changed ones, because of their keys. */
  readonly unblocks: boolean
}

const keys = "r.id, r.task, r.ordering_key, r.dedupe_key"

const isKeyed = (row: StoredRow): boolean => row["ordering_key"] !== null || row["dedupe_key"] !== null

const change = ({ name, states, text, unblocks }: Change) =>
(
  selection: OutboxSelection,
  { batch, table: tableName }: ChangeOptions
): Effect.Effect<number, SqlError | OutboxSelectionError, SqlClient> =>
  Effect.gen(function*() {
    const size = limitOf(name, "batch", batch)
    const filter = yield* filterOf(name, selection)
    const table = yield* outboxTable(tableName)
    const { dialect, keyed, statement, tables, transaction } = table
    const inState = stateIn(states)
    const lock = statement(dialect.select(tables.outbox, keys, inState.where) + dialect.skipLocked)
    const apply = statement(text(table))
    const changeRows = (ids: ReadonlyArray<string>): Effect.Effect<number, SqlError> =>
      Effect.gen(function*() {
        const rows = yield* lock({ ids: dialect.list(ids) })
        if (rows.length > 0) {
          yield* apply({ ids: dialect.list(rows.map(({ id }) => String(id))) })
        }
        if (unblocks) {
          yield* keyed.unblock(rows.filter(isKeyed))
        }
        return rows.length
      })
    let changed = 0
    let cursor: string | undefined
    let isLast = false
    while (!isLast) {
      const { values, where } = all([inState, conditionOf(dialect, filter), after(cursor)])
      const find = statement(`SELECT ${keys} FROM ${tables.outbox} AS r WHERE ${where} ORDER BY r.id LIMIT ${size}`)
      const found = yield* find(values)
      const ids = found.map(({ id }) => String(id))
      if (ids.length > 0) {
        changed += yield* transaction(
          unblocks && found.some(isKeyed) ? keyed.withMutex(changeRows(ids)) : changeRows(ids)
        )
      }
      cursor = ids.at(-1)
      isLast = ids.length < size
    }
    return changed
  })

/** Dead letters become ready, like new rows: at the end of the order, and with all their attempts. @internal */
export const redrive = change({
  name: "redrive",
  states: ["dead"],
  text: ({ dialect, tables: { outbox } }) =>
    dialect.update(outbox, `ready_at = ${readyAt(dialect, outbox, "r")}, attempt = 0, lease = NULL, state = 'ready'`),
  unblocks: false
})

/** Deletes rows that no relay has claimed. Held rows still belong to a scope. @internal */
export const cancel = change({
  name: "cancel",
  states: ["ready", "scheduled", "blocked"],
  text: ({ dialect, tables }) => dialect.delete(tables.outbox),
  unblocks: true
})

/** Deletes dead letters, for which no row waits. @internal */
export const discardDeadLetters = change({
  name: "discardDeadLetters",
  states: ["dead"],
  text: ({ dialect, tables }) => dialect.delete(tables.outbox),
  unblocks: false
})

/** Scheduled rows become ready. @internal */
export const runNow = change({
  name: "runNow",
  states: ["scheduled"],
  text: ({ dialect, tables }) => dialect.update(tables.outbox, "due_at = NULL, state = 'ready'"),
  unblocks: false
})
