/**
 * The rows that have an `orderingKey` or a `dedupeKey`. Rows with one `orderingKey` run one after the other. Of the rows of a task
 * with one `dedupeKey` that wait at the same time, the first one runs, and its claim deletes the others.
 *
 * A table has one mutex for them. A claim of such a row, and its removal, hold the mutex until their transaction ends, and read
 * the table after they have it. So each sees all that the one before did, and two claims never decide about one key at a time:
 *
 * - A claim takes a row only if no other row with its `orderingKey` is claimed, and none that waits comes before it, and if no row
 *   with its `dedupeKey` that waits comes before it. Otherwise the row is `blocked`: no claim looks at it again.
 * - Each removal of a row makes the first blocked row of each of its keys ready, which the next claim decides about anew. A retry is
 *   no removal.
 * - So a row is blocked for ever only if all rows of its key are blocked. A row that was claimed, and whose key has a blocked row
 *   that comes before it, could do that when it is retried. So a claim that blocks a row behind blocked rows only makes the first
 *   of these ready.
 * - Inserts, releases, retries and expiries need no mutex: they remove no row, and claim none.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { hasNoKey } from "./change.js"
import type { Dialect } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import {
  claimedColumns,
  type ClaimedRow,
  claimedRow,
  type ClaimId,
  claimOrder,
  inLane,
  type Lane,
  type StoredRow
} from "./row.js"
import { prepare } from "./statement.js"
import type { Tables } from "./tables.js"

/** @internal */
export interface Keyed {
  /**
   * Runs an Effect in a transaction that holds the mutex. It must take no lock on rows before, and none on rows that others may
   * have locked while they wait for the mutex.
   */
  readonly withMutex: <A>(self: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>
  /** Claims those of these ready rows that need not wait, and blocks the others. Returns the claimed rows. */
  readonly claim: (claim: ClaimId, ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<ClaimedRow>, SqlError>
  /** Blocks the first keyed rows of a lane that must wait. Returns how many. */
  readonly block: (lane: Lane, limit: number) => Effect.Effect<number, SqlError>
  /** Makes the next rows with the keys of removed rows ready. Run it in the transaction of the removal, under the mutex. */
  readonly unblock: (removed: ReadonlyArray<StoredRow>) => Effect.Effect<void, SqlError>
}

const waiting = ["ready", "scheduled", "blocked"]

/**
 * Conditions about the row `r`, which is ready. Each is one search in an index: of the first row with its key in a state, which
 * comes before it or not. An EXISTS of any row that comes before it would read all rows of the key (MySQL), or all rows of the
 * table (PostgreSQL, where it expects to find one soon).
 */
const conditions = (table: string) => {
  const isAnyBefore = (where: string) =>
    `COALESCE((SELECT CASE WHEN (o.ready_at, o.id) < (r.ready_at, r.id) THEN 1 ELSE 0 END FROM ${table} AS o ` +
    `WHERE ${where} ORDER BY o.ready_at, o.id LIMIT 1), 0) = 1`
  const ordering = (state: string) => isAnyBefore(`o.ordering_key = r.ordering_key AND o.state = '${state}'`)
  const dedupe = waiting.map((state) =>
    isAnyBefore(`o.task = r.task AND o.dedupe_key = r.dedupe_key AND o.state = '${state}'`)
  )
  // The row itself is ready, so `o.id <> r.id` is true. Without it PostgreSQL would join the table by a hash of all claimed rows.
  const claimed = `EXISTS (SELECT 1 FROM ${table} AS o ` +
    "WHERE o.ordering_key = r.ordering_key AND o.state = 'claimed' AND o.id <> r.id)"
  return {
    waits: `(r.ordering_key IS NOT NULL AND (${[claimed, ...waiting.map((state) => ordering(state))].join(" OR ")})) ` +
      `OR (r.dedupe_key IS NOT NULL AND (${dedupe.join(" OR ")}))`,
    /** Whether a row that waits is behind blocked rows only. */
    isLast: `r.ordering_key IS NOT NULL AND ${ordering("blocked")} ` +
      `AND NOT (${claimed} OR ${ordering("ready")} OR ${ordering("scheduled")})`
  }
}

/** @internal */
export const makeKeyed = (client: SqlClient, dialect: Dialect, tables: Tables): Keyed => {
  const { outbox, relay, version } = tables
  const { isLast, waits } = conditions(outbox)
  const statement = (text: string) => prepare(client, dialect, text)
  const onIds = (text: string) => {
    const prepared = statement(text)
    return (ids: ReadonlyArray<string>, values?: Readonly<Record<string, unknown>>) =>
      ids.length === 0 ? Effect.succeed([]) : prepared({ ...values, ids: dialect.list(ids) })
  }
  const inTransaction = inOwnTransaction(client, dialect.name)
  const lock = dialect.name === "pg"
    // By the number of the table, which can have several names: with its schema and without.
    ? statement(
      "SELECT PG_ADVISORY_XACT_LOCK((CAST(HASHTEXT('effect-airlock') AS BIGINT) << 32) + " +
        "CAST(CAST(CAST(CAST(:table AS TEXT) AS REGCLASS) AS OID) AS BIGINT))"
    )
    : dialect.name === "mysql"
    ? statement(`SELECT version FROM ${version} FOR UPDATE`)
    : () => Effect.void
  const withMutex: Keyed["withMutex"] = (self) => inTransaction(Effect.zipRight(lock({ table: outbox }), self))

  const findSession = statement(`SELECT 1 AS found FROM ${relay} WHERE id = :lease${dialect.keepLocked}`)
  const lockReady = onIds(dialect.select(outbox, "r.id", "r.state = 'ready'") + dialect.skipLocked)
  const classify = onIds(
    dialect.select(
      outbox,
      `r.id, r.task, r.ordering_key, r.dedupe_key, CASE WHEN NOT (${waits}) THEN 'head' WHEN ${isLast} THEN 'last' ELSE 'waits' END ` +
        "AS place"
    )
  )
  const setBlocked = onIds(dialect.update(outbox, "state = 'blocked'"))
  const setClaimed = onIds(dialect.update(outbox, "state = 'claimed', lease = :lease, claim_number = :number"))
  const setReady = onIds(dialect.update(outbox, "state = 'ready'", "state = 'blocked'"))
  const findDuplicates = onIds(
    `SELECT d.id, d.task, d.ordering_key, d.dedupe_key FROM ${dialect.rowsOf(outbox)} JOIN ${outbox} AS d
ON d.task = r.task AND d.dedupe_key = r.dedupe_key AND d.state IN ('ready', 'scheduled', 'blocked')
AND (d.ready_at, d.id) > (r.ready_at, r.id)`
  )
  const remove = onIds(dialect.delete(outbox))
  const read = onIds(dialect.select(outbox, claimedColumns(dialect.name, false)))
  const findKeyed = statement(
    `SELECT r.id FROM ${outbox} AS r WHERE ${inLane} AND NOT (${hasNoKey}) ${claimOrder} LIMIT :limit`
  )
  const findNext = (key: "ordering" | "dedupe") => {
    const first = (where: string) =>
      `SELECT b.id FROM ${outbox} AS b WHERE ${where} AND b.state = 'blocked' ORDER BY b.ready_at, b.id LIMIT 1`
    return statement(
      `SELECT (${
        key === "ordering"
          ? first("b.ordering_key = given.ordering_key")
          : first("b.task = given.task AND b.dedupe_key = given.dedupe_key")
      }) AS id FROM ${dialect.given([{ name: "task", type: "key" }, { name: `${key}_key`, type: "key" }])} AS given`
    )
  }
  const nextOf = { ordering: findNext("ordering"), dedupe: findNext("dedupe") }
  const idsOf = (rows: ReadonlyArray<StoredRow>) => rows.map(({ id }) => String(id))

  const unblock: Keyed["unblock"] = (removed) =>
    Effect.gen(function*() {
      const next: Array<string> = []
      for (const key of ["ordering", "dedupe"] as const) {
        const name = `${key}_key`
        const keys = removed.flatMap((row) => row[name] === null ? [] : [{ task: row["task"], [name]: row[name] }])
        if (keys.length > 0) {
          const rows = yield* nextOf[key]({ given: JSON.stringify(keys) })
          next.push(...idsOf(rows.filter(({ id }) => id !== null)))
        }
      }
      yield* setReady([...new Set(next)])
    })

  /** Blocks those of these ready rows that must wait. Returns the others, and the number of those that it blocked. */
  const decide = (ids: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const rows = yield* classify(idsOf(yield* lockReady(ids)))
      const waiting = rows.filter(({ place }) => place !== "head")
      yield* setBlocked(idsOf(waiting))
      yield* unblock(
        waiting.filter(({ place }) => place === "last").map((row) => ({
          task: row["task"]!,
          ordering_key: row["ordering_key"]!,
          dedupe_key: null
        }))
      )
      return { heads: rows.filter(({ place }) => place === "head"), blocked: waiting.length }
    })

  const claimHeads = (claim: ClaimId, heads: ReadonlyArray<StoredRow>) =>
    Effect.gen(function*() {
      const ids = idsOf(heads)
      yield* setClaimed(ids, { lease: claim.lease, number: claim.claimNumber })
      const duplicates = yield* findDuplicates(idsOf(heads.filter((row) => row["dedupe_key"] !== null)))
      if (duplicates.length > 0) {
        yield* remove(idsOf(duplicates))
        yield* unblock(duplicates)
      }
      return (yield* read(ids)).map((row) => claimedRow(row, claim, undefined))
    })

  return {
    withMutex,
    unblock,
    claim: (claim, ids) =>
      ids.length === 0 ? Effect.succeed([]) : withMutex(Effect.gen(function*() {
        if ((yield* findSession({ lease: claim.lease })).length === 0) {
          return []
        }
        const { heads } = yield* decide(ids)
        return yield* claimHeads(claim, heads)
      })),
    block: (lane, limit) =>
      withMutex(Effect.gen(function*() {
        const found = yield* findKeyed({
          queue: lane.queue,
          task: lane.task,
          version: lane.version,
          limit: dialect.limit(limit)
        })
        return (yield* decide(idsOf(found))).blocked
      }))
  }
}
