/**
 * The operations on the rows of the outbox, each in one statement if the database allows it. `row.ts` draws the states.
 *
 * All but `claim` and `expire` can also run inside of a transaction: they use the one that is open in the fiber.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { type ClaimOptions, type Expired, makeClaims } from "./claim.js"
import { dialectOf } from "./dialect.js"
import { type Insert, makeInsert } from "./insert.js"
import type { ClaimedRow, RowClaim, RowState } from "./row.js"
import { indexName } from "./schema.js"
import { prepare, retryOutsideTransaction } from "./statement.js"
import { toDeadLetter, toExtended, toReady, toRenewed, toRetried, toUnclaimed } from "./transition.js"
import { makeUpdateClaimed } from "./updateClaimed.js"

/** @internal */
export interface Store {
  readonly insert: Insert
  /** Makes held rows ready. Rows in another state do not change. */
  readonly release: (ids: ReadonlyArray<string>) => Effect.Effect<void, SqlError>
  /** Deletes rows that are held or ready. Rows in another state do not change. */
  readonly discard: (ids: ReadonlyArray<string>) => Effect.Effect<void, SqlError>
  /** Lets held rows expire this many milliseconds from now. Rows in another state do not change. */
  readonly renew: (ids: ReadonlyArray<string>, heldMillis: number) => Effect.Effect<void, SqlError>
  /** Expires rows whose `due_at` has passed. Run it before each claim: a row with a `due_at` cannot be claimed. */
  readonly expire: Effect.Effect<Expired, SqlError>
  /** Claims ready rows for the time of the lease, in order, and discards the later duplicates of each `dedupeKey`. */
  readonly claim: (options: ClaimOptions) => Effect.Effect<ReadonlyArray<ClaimedRow>, SqlError>
  /** Deletes rows whose handlers succeeded. Returns the ids of the rows that still had this lease. */
  readonly acknowledge: (claimed: ReadonlyArray<RowClaim>) => Effect.Effect<ReadonlyArray<string>, SqlError>
  /** Makes a row ready again after a delay. Returns whether the row still had this lease. */
  readonly retry: (
    claimed: RowClaim,
    options: { readonly delayMillis: number, readonly error: string }
  ) => Effect.Effect<boolean, SqlError>
  /** Makes a row a dead letter, which keeps its last error. Returns whether the row still had this lease. */
  readonly deadLetter: (claimed: RowClaim, error: string) => Effect.Effect<boolean, SqlError>
  /** Lets leases expire this many milliseconds from now. Returns the ids of the rows that still had this lease. */
  readonly extend: (
    claimed: ReadonlyArray<RowClaim>,
    leaseMillis: number
  ) => Effect.Effect<ReadonlyArray<string>, SqlError>
  /** Undoes claims, so that their attempts do not count. Returns the ids of the rows that still had this lease. */
  readonly unclaim: (claimed: ReadonlyArray<RowClaim>) => Effect.Effect<ReadonlyArray<string>, SqlError>
  /** The number of rows in each state. Reads the whole table. */
  readonly counts: Effect.Effect<Readonly<Record<RowState, number>>, SqlError>
}

/** The maximum number of rows of one `expire`: after a crash there can be very many. */
const expireLimit = 1_000

/**
 * The store of a table. Throws if the client is of a database that the outbox does not support.
 *
 * @internal
 */
export const makeStore = (sql: SqlClient, name: string): Store => {
  const client = sql.withoutTransforms()
  const dialect = dialectOf(client)
  const table = dialect.quote(name)
  const statement = (sql: string) => prepare(client, dialect, sql)
  const claims = makeClaims(client, dialect, table, dialect.quote(indexName(name, "claim")))
  const updateClaimed = makeUpdateClaimed(client, dialect, table)

  const onIds = (sql: string) => {
    const prepared = statement(sql)
    return (ids: ReadonlyArray<string>, values: Readonly<Record<string, unknown>> = {}) =>
      ids.length === 0
        ? Effect.void
        : retryOutsideTransaction(Effect.asVoid(Effect.suspend(() => prepared({ ...values, ids: dialect.list(ids) }))))
  }
  const release = onIds(dialect.update(table, "ids", toReady(dialect, table), "state = 'held'"))
  const discard = onIds(dialect.delete(table, "ids", "state IN ('held', 'ready')"))
  const renew = onIds(dialect.update(table, "ids", toRenewed(dialect), "state = 'held'"))
  const acknowledge = updateClaimed("delete")
  const retry = updateClaimed({ set: toRetried(dialect) })
  const deadLetter = updateClaimed({ set: toDeadLetter(dialect) })
  const extend = updateClaimed({ set: toExtended(dialect) })
  const unclaim = updateClaimed({ set: toUnclaimed })
  const count = statement(`SELECT state, COUNT(*) AS count FROM ${table} GROUP BY state`)
  const insert = makeInsert(client, dialect, table)
  const hadThisLease = Effect.map((ids: ReadonlyArray<string>) => ids.length === 1)

  return {
    insert: (rows, options) => retryOutsideTransaction(insert(rows, options)),
    release: (ids) => release(ids),
    discard: (ids) => discard(ids),
    renew: (ids, heldMillis) => renew(ids, { held: Math.round(heldMillis) }),
    expire: retryOutsideTransaction(claims.expire(expireLimit)),
    claim: (options) =>
      options.tasks.length === 0 || options.limit <= 0
        ? Effect.succeed([])
        : retryOutsideTransaction(claims.claim(options)),
    acknowledge: (claimed) => acknowledge(claimed),
    retry: (claimed, { delayMillis, error }) =>
      hadThisLease(retry([claimed], { delay: Math.round(delayMillis), error: withoutNul(error) })),
    deadLetter: (claimed, error) => hadThisLease(deadLetter([claimed], { error: withoutNul(error) })),
    extend: (claimed, leaseMillis) => extend(claimed, { millis: Math.round(leaseMillis) }),
    unclaim: (claimed) => unclaim(claimed),
    counts: Effect.map(Effect.suspend(() => count({})), (rows) => {
      const counts: Record<RowState, number> = { held: 0, ready: 0, claimed: 0, dead: 0 }
      for (const row of rows) {
        // The table has no other states.
        counts[row["state"] as RowState] = Number(row["count"])
      }
      return counts
    })
  }
}

/** PostgreSQL cannot store a NUL in a text, and the message of an error may contain one. */
const withoutNul = (text: string): string => text.replaceAll("\0", "\uFFFD")
