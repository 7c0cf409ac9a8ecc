/**
 * Changes rows of which most have no key, so that most changes need no mutex.
 *
 * The removal of a row with a key makes the next row of its key ready, under the mutex of `keyed.ts`. So a change first changes the
 * rows that need no mutex. Only if some of the rows have not changed it looks at the others, under the mutex.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Keyed } from "./keyed.js"
import type { StoredRow } from "./row.js"
import { type Prepared, retryOutsideTransaction, type Values } from "./statement.js"

type Ids = ReadonlyArray<string>

/** Returns the ids of the rows that it has not changed. @internal */
export type Unchanged = (values: Values, ids: Ids) => Effect.Effect<Ids, SqlError>

/** @internal */
export const unchangedBy = (change: Prepared): Unchanged => (values, ids) =>
  Effect.map(change(values), (rows) => {
    const changed = new Set(idsOf(rows))
    return changed.size === ids.length ? [] : ids.filter((id) => !changed.has(id))
  })

/**
 * `valuesOf` makes the values of a statement about some of the rows. Returns the ids of the rows that have changed.
 *
 * @internal
 */
export const inTwoSteps =
  (keyed: Keyed, steps: { readonly withoutMutex: Unchanged, readonly withMutex: Prepared }) =>
  (ids: Ids, valuesOf: (ids: Ids) => Values): Effect.Effect<Ids, SqlError> =>
    ids.length === 0 ? Effect.succeed(ids) : Effect.flatMap(
      retryOutsideTransaction(Effect.suspend(() => steps.withoutMutex(valuesOf(ids), ids))),
      (others) =>
        others.length === 0 ? Effect.succeed(ids) : Effect.map(
          retryOutsideTransaction(
            keyed.withMutex(Effect.tap(Effect.suspend(() => steps.withMutex(valuesOf(others))), keyed.unblock))
          ),
          (rows) => {
            const unchanged = new Set(others)
            for (const id of idsOf(rows)) {
              unchanged.delete(id)
            }
            return ids.filter((id) => !unchanged.has(id))
          }
        )
    )

/** @internal */
export const idsOf = (rows: ReadonlyArray<StoredRow>): Ids => rows.map(({ id }) => String(id))
