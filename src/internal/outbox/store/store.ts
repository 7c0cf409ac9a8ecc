/**
 * The operations on the rows of the outbox. `row.ts` draws the states.
 *
 * Those of writers, and the acknowledgement, can also run inside of a transaction: they use the one that is open in the fiber.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { hasNoKey, makeChanges } from "./change.js"
import { type Claim, makeClaim } from "./claim.js"
import { dialectOf } from "./dialect.js"
import { type Expiries, makeExpiries } from "./expire.js"
import { makeFind } from "./find.js"
import { type Insert, makeInsert } from "./insert.js"
import { makeKeyed } from "./keyed.js"
import { type Look, makeLook } from "./look.js"
import type { RowState } from "./row.js"
import { makeSessions, type Sessions } from "./session.js"
import { makeSettlements, type Settlements } from "./settle.js"
import { prepare, retryOutsideTransaction } from "./statement.js"
import { quotedTables } from "./tables.js"
import { toReleased } from "./transition.js"
import { inTwoSteps, unchangedBy } from "./twoSteps.js"

/** What writers do. @internal */
export interface Writes {
  readonly insert: Insert
  /** Releases held rows. Rows in another state do not change. */
  readonly release: (ids: ReadonlyArray<string>) => Effect.Effect<void, SqlError>
  /** Deletes rows that no relay has claimed yet, and returns their ids. */
  readonly discard: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>, SqlError>
  /** Lets held rows expire this many milliseconds from now. Rows in another state do not change. */
  readonly renew: (ids: ReadonlyArray<string>, heldMillis: number) => Effect.Effect<void, SqlError>
}

/** @internal */
export interface Store extends Writes, Sessions, Settlements, Expiries {
  readonly look: Effect.Effect<Look, SqlError>
  readonly claim: Claim
  /** The number of rows in each state. Reads the whole table. */
  readonly counts: Effect.Effect<Readonly<Record<RowState, number>>, SqlError>
}

/**
 * The store of a table. Throws if the client is of a database that the outbox does not support.
 *
 * @internal
 */
export const makeStore = (sql: SqlClient, name: string): Store => {
  const client = sql.withoutTransforms()
  const dialect = dialectOf(client)
  const tables = quotedTables(dialect, name)
  const table = tables.outbox
  const statement = (text: string) => prepare(client, dialect, text)
  const onIds = (text: string) => {
    const prepared = statement(text)
    return (ids: ReadonlyArray<string>, values: Readonly<Record<string, unknown>> = {}) =>
      ids.length === 0
        ? Effect.void
        : retryOutsideTransaction(Effect.asVoid(Effect.suspend(() => prepared({ ...values, ids: dialect.list(ids) }))))
  }
  const release = onIds(dialect.update(table, toReleased(dialect, table), "state = 'held'"))
  const renew = onIds(dialect.update(table, `due_at = ${dialect.now} + :held`, "state = 'held'"))
  const count = statement(`SELECT state, COUNT(*) AS count FROM ${table} GROUP BY state`)
  const insert = makeInsert(client, dialect, table)
  const keyed = makeKeyed(client, dialect, tables)
  const { remove } = makeChanges(client, dialect, table)
  // A held row blocks no other row.
  const discard = inTwoSteps(keyed, {
    withoutMutex: unchangedBy(remove(`r.state = 'held' OR (r.state IN ('scheduled', 'ready') AND ${hasNoKey})`)),
    withMutex: remove("r.state IN ('scheduled', 'ready', 'blocked')")
  })

  return {
    ...makeSessions(client, dialect, tables),
    ...makeSettlements(client, dialect, tables, keyed),
    ...makeExpiries(client, dialect, tables),
    insert: (rows, options) => retryOutsideTransaction(insert(rows, options)),
    release: (ids) => release(ids),
    discard: (ids) => discard(ids, (ids) => ({ ids: dialect.list(ids) })),
    renew: (ids, heldMillis) => renew(ids, { held: Math.round(heldMillis) }),
    look: makeLook(client, dialect, tables),
    claim: makeClaim(makeFind(client, dialect, tables), keyed),
    counts: Effect.map(Effect.suspend(() => count({})), (rows) => {
      const counts: Record<RowState, number> = {
        held: 0,
        scheduled: 0,
        ready: 0,
        blocked: 0,
        claimed: 0,
        dead: 0,
        done: 0
      }
      for (const row of rows) {
        // The table has no other states.
        counts[row["state"] as RowState] = Number(row["count"])
      }
      return counts
    })
  }
}
