/**
 * The outbox as a table: what is done with its rows, each in one statement where the database can.
 *
 * All but `claim` and `expire` are for use in a transaction too: they run on the one that is open in the fiber, or alone.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { dialectOf } from "./dialect.js"
import { makeFenced } from "./fenced.js"
import { type Insert, makeInsert } from "./insert.js"
import type { Claimed, ClaimedRow, RowState } from "./row.js"
import { indexName } from "./schema.js"
import { prepare, retryAlone } from "./statement.js"
import { type ClaimOptions, type Expired, makeTake } from "./take.js"
import { toDead, toExtended, toGivenBack, toReady, toRenewed, toRetried } from "./transition.js"

/** @internal */
export interface Store {
  readonly insert: Insert
  /** Held rows become ready. What is ready, claimed or gone stays as it is. */
  readonly release: (ids: ReadonlyArray<string>) => Effect.Effect<void, SqlError>
  /** Deletes those that are held, or ready and not yet claimed. */
  readonly discard: (ids: ReadonlyArray<string>) => Effect.Effect<void, SqlError>
  /** Held rows stay held, for this long from now. */
  readonly renew: (ids: ReadonlyArray<string>, heldMillis: number) => Effect.Effect<void, SqlError>
  /** Moves on what waited for a time that has come; without it no such row is ever claimed. */
  readonly expire: Effect.Effect<Expired, SqlError>
  /** Takes rows whose turn it is, for as long as the lease lasts. Those that their `dedupeKey` makes superfluous go. */
  readonly claim: (options: ClaimOptions) => Effect.Effect<ReadonlyArray<ClaimedRow>, SqlError>
  /** Deletes what was done, and gives the ids of those that were still one's own. */
  readonly acknowledge: (claimed: ReadonlyArray<Claimed>) => Effect.Effect<ReadonlyArray<string>, SqlError>
  /** Whether it was still one's own. */
  readonly retry: (
    claimed: Claimed,
    how: { readonly delayMillis: number, readonly error: string }
  ) => Effect.Effect<boolean, SqlError>
  /** Makes it a dead letter, which is kept with its error. Whether it was still one's own. */
  readonly bury: (claimed: Claimed, error: string) => Effect.Effect<boolean, SqlError>
  /** Gives the ids of those that still are one's own, for this long from now. */
  readonly extend: (
    claimed: ReadonlyArray<Claimed>,
    leaseMillis: number
  ) => Effect.Effect<ReadonlyArray<string>, SqlError>
  /** As if they had not been claimed. Gives the ids of those that were still one's own. */
  readonly giveBack: (claimed: ReadonlyArray<Claimed>) => Effect.Effect<ReadonlyArray<string>, SqlError>
  /** Reads the whole table. */
  readonly counts: Effect.Effect<Readonly<Record<RowState, number>>, SqlError>
}

/** How many rows one `expire` moves: after a crash there may be very many. */
const expiredAtOnce = 1_000

/**
 * Dies for a client of a database that it does not know.
 *
 * @internal
 */
export const makeStore = (transforming: SqlClient, name: string): Store => {
  const client = transforming.withoutTransforms()
  const dialect = dialectOf(client)
  const table = dialect.quote(name)
  const statement = (text: string) => prepare(client, dialect, text)
  const take = makeTake(client, dialect, table, dialect.quote(indexName(name, "claim")))
  const fenced = makeFenced(client, dialect, table)

  const onIds = (text: string) => {
    const prepared = statement(text)
    return (ids: ReadonlyArray<string>, values: Readonly<Record<string, unknown>> = {}) =>
      ids.length === 0
        ? Effect.void
        : retryAlone(Effect.asVoid(Effect.suspend(() => prepared({ ...values, ids: dialect.list(ids) }))))
  }
  const release = onIds(dialect.update(table, "ids", toReady(dialect, table), "state = 'held'"))
  const discard = onIds(dialect.delete(table, "ids", "state IN ('held', 'ready')"))
  const renew = onIds(dialect.update(table, "ids", toRenewed(dialect), "state = 'held'"))
  const acknowledge = fenced("delete")
  const retry = fenced({ set: toRetried(dialect) })
  const bury = fenced({ set: toDead(dialect) })
  const extend = fenced({ set: toExtended(dialect) })
  const giveBack = fenced({ set: toGivenBack })
  const count = statement(`SELECT state, COUNT(*) AS count FROM ${table} GROUP BY state`)
  const insert = makeInsert(client, dialect, table)
  const wasOwn = Effect.map((ids: ReadonlyArray<string>) => ids.length === 1)

  return {
    insert: (rows, how) => retryAlone(insert(rows, how)),
    release: (ids) => release(ids),
    discard: (ids) => discard(ids),
    renew: (ids, heldMillis) => renew(ids, { held: Math.round(heldMillis) }),
    expire: retryAlone(take.expire(expiredAtOnce)),
    claim: (options) =>
      options.tasks.length === 0 || options.limit <= 0 ? Effect.succeed([]) : retryAlone(take.claim(options)),
    acknowledge: (claimed) => acknowledge(claimed),
    retry: (claimed, { delayMillis, error }) =>
      wasOwn(retry([claimed], { delay: Math.round(delayMillis), error: withoutNul(error) })),
    bury: (claimed, error) => wasOwn(bury([claimed], { error: withoutNul(error) })),
    extend: (claimed, leaseMillis) => extend(claimed, { millis: Math.round(leaseMillis) }),
    giveBack: (claimed) => giveBack(claimed),
    counts: Effect.map(Effect.suspend(() => count({})), (rows) => {
      const counts: Record<RowState, number> = { held: 0, ready: 0, claimed: 0, dead: 0 }
      for (const row of rows) {
        // No other is ever written.
        counts[row["state"] as RowState] = Number(row["count"])
      }
      return counts
    })
  }
}

/** PostgreSQL keeps no text that has one, and what an error says may be anything. */
const withoutNul = (text: string): string => text.replaceAll("\0", "\uFFFD")
