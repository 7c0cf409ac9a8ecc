/**
 * Claims ready rows, and expires the rows whose time has passed.
 *
 * On PostgreSQL each is one statement. On the other databases each is a transaction, which finds and locks its rows first and
 * then changes them. A claim skips rows that another claim has locked, and does not wait for them.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Dialect } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import { byClaimOrder, claimedColumns, type ClaimedRow, claimedRow, type StoredRow } from "./row.js"
import { prepare, type Values } from "./statement.js"
import { toClaimed, toReady } from "./transition.js"

/** @internal */
export interface ClaimOptions {
  /** The tasks whose rows are claimed. Rows of other tasks stay for other relays. */
  readonly tasks: ReadonlyArray<string>
  /** The maximum number of rows. */
  readonly limit: number
  readonly leaseMillis: number
}

/** How many rows expired, by what became of them. @internal */
export interface Expired {
  /** Held rows that became ready, because their `on_expiry` is `release`. */
  readonly released: number
  /** Held rows that were deleted, because their `on_expiry` is `discard`. */
  readonly discarded: number
  /** Ready rows whose delay or backoff is over, and claimed rows whose lease has expired. All of them can be claimed now. */
  readonly due: number
}

/** @internal */
export interface Claims {
  readonly claim: (options: ClaimOptions) => Effect.Effect<ReadonlyArray<ClaimedRow>, SqlError>
  /** Expires at most `limit` rows. */
  readonly expire: (limit: number) => Effect.Effect<Expired, SqlError>
}

/** @internal */
export const makeClaims = (client: SqlClient, dialect: Dialect, table: string, index: string): Claims =>
  dialect.name === "pg" ? inOneStatement(client, dialect, table) : inOneTransaction(client, dialect, table, index)

/** Whether the row `o` comes before the row `r`. */
const before = (o: string, r: string): string => `(${o}.ready_at, ${o}.id) < (${r}.ready_at, ${r}.id)`

/** Whether a ready row with the same `dedupeKey` comes before the row `r`: only the first of them runs. */
const isDuplicate = (table: string): string =>
  `EXISTS (SELECT 1 FROM ${table} AS o WHERE o.task = r.task AND o.dedupe_key = r.dedupe_key AND o.state = 'ready' ` +
  `AND ${before("o", "r")})`

/**
 * Whether another row with the same `orderingKey` is claimed, or comes before the row `r`: they run one after the other.
 *
 * A row that is ready is not claimed, so `o.id <> r.id` is always true. Without it PostgreSQL reads the whole table instead of
 * the index.
 */
const isBehind = (table: string): string =>
  `(EXISTS (SELECT 1 FROM ${table} AS o WHERE o.ordering_key = r.ordering_key AND o.state = 'claimed' ` +
  `AND o.id <> r.id) ` +
  `OR EXISTS (SELECT 1 FROM ${table} AS o WHERE o.ordering_key = r.ordering_key AND o.state = 'ready' ` +
  `AND ${before("o", "r")}))`

const waitsForOther = (table: string): string =>
  `(r.dedupe_key IS NOT NULL AND ${isDuplicate(table)}) OR (r.ordering_key IS NOT NULL AND ${isBehind(table)})`

/** The condition, the order and the limit that select the rows of a claim. */
const whereClaimable = (dialect: Dialect, table: string): string =>
  `r.state = 'ready' AND r.due_at IS NULL AND ${dialect.isOneOfTasks} AND NOT (${waitsForOther(table)}) ` +
  "ORDER BY r.priority, r.ready_at, r.id LIMIT :limit"

/** The rows of a claim, in order. `uncounted` is 1 if they were read before the claim counted its attempt, otherwise 0. */
const claimedBy = (lease: string, uncounted: 0 | 1) => (rows: ReadonlyArray<StoredRow>): ReadonlyArray<ClaimedRow> =>
  [...rows].sort(byClaimOrder).map((row) => claimedRow(row, lease, Number(row["attempt"]) + uncounted))

/** Whether an expired row is discarded. */
const discards = (row: string): string => `${row}.state = 'held' AND ${row}.on_expiry = 'discard'`

const expiredOf = (rows: ReadonlyArray<StoredRow>): Expired => {
  const count = (outcome: string) => Number(rows.find((row) => row["outcome"] === outcome)?.["count"] ?? 0)
  return { released: count("released"), discarded: count("discarded"), due: count("due") }
}

/** What becomes of an expired row. */
const outcome = (row: string): string =>
  `CASE WHEN ${discards(row)} THEN 'discarded' WHEN ${row}.state = 'held' THEN 'released' ELSE 'due' END AS outcome`

const inOneStatement = (client: SqlClient, dialect: Dialect, table: string): Claims => {
  const claim = prepare(
    client,
    dialect,
    `WITH claimable AS MATERIALIZED (
  SELECT r.id, r.task, r.dedupe_key, r.ready_at FROM ${table} AS r WHERE ${
      whereClaimable(dialect, table)
    } FOR UPDATE SKIP LOCKED
), duplicates AS MATERIALIZED (
  SELECT d.id FROM ${table} AS d JOIN claimable ON d.task = claimable.task AND d.dedupe_key = claimable.dedupe_key
  WHERE d.state = 'ready' AND ${before("claimable", "d")} FOR UPDATE OF d SKIP LOCKED
), discarded AS (
  DELETE FROM ${table} WHERE id IN (SELECT id FROM duplicates)
)
UPDATE ${table} AS r SET ${toClaimed(dialect)} FROM claimable WHERE r.id = claimable.id
RETURNING ${claimedColumns.map((name) => `r.${name}`).join(", ")}`
  )
  const expire = prepare(
    client,
    dialect,
    `WITH due AS MATERIALIZED (
  SELECT r.id, ${outcome("r")} FROM ${table} AS r
  WHERE r.due_at <= ${dialect.now} ORDER BY r.due_at LIMIT :limit FOR UPDATE SKIP LOCKED
), made_ready AS (
  UPDATE ${table} AS r SET ${toReady(dialect, table)} FROM due WHERE r.id = due.id AND due.outcome <> 'discarded'
), discarded AS (
  DELETE FROM ${table} AS r USING due WHERE r.id = due.id AND due.outcome = 'discarded'
)
SELECT outcome, COUNT(*) AS count FROM due GROUP BY outcome`
  )
  return {
    claim: ({ leaseMillis: millis, limit, tasks }) =>
      Effect.suspend(() => {
        const lease = crypto.randomUUID()
        return Effect.map(claim({ tasks: dialect.list(tasks), limit, lease, millis }), claimedBy(lease, 0))
      }),
    expire: (limit) => Effect.map(expire({ limit }), expiredOf)
  }
}

const inOneTransaction = (client: SqlClient, dialect: Dialect, table: string, index: string): Claims => {
  const inTransaction = inOwnTransaction(client, dialect.name)
  const [from, locking] = dialect.name === "mysql"
    ? [`${table} AS r FORCE INDEX (${index})`, " FOR UPDATE SKIP LOCKED"]
    : [`${table} AS r`, ""]
  const onIds = (sql: string) => {
    const statement = prepare(client, dialect, sql)
    return (ids: ReadonlyArray<string>, values?: Values) =>
      ids.length === 0 ? Effect.void : statement({ ...values, ids: dialect.list(ids) })
  }
  // The driver of MySQL sends a number as a DOUBLE, which MySQL does not accept as a LIMIT.
  const encodeLimit = (limit: number) => dialect.name === "mysql" ? String(limit) : limit
  const idsOf = (rows: ReadonlyArray<StoredRow>) => rows.map(({ id }) => String(id))
  const findClaimable = prepare(
    client,
    dialect,
    `SELECT ${claimedColumns.map((name) => `r.${name}`).join(", ")} FROM ${from} WHERE ${
      whereClaimable(dialect, table)
    }${locking}`
  )
  const findWaiting = prepare(
    client,
    dialect,
    `SELECT r.id FROM ${dialect.rowsOf(table, "ids")} WHERE ${waitsForOther(table)}`
  )
  const findDuplicates = prepare(
    client,
    dialect,
    `SELECT d.id FROM ${dialect.rowsOf(table, "ids")} JOIN ${table} AS d ON d.task = r.task ` +
      `AND d.dedupe_key = r.dedupe_key WHERE d.state = 'ready' AND ${before("r", "d")}${locking}`
  )
  const claimIds = onIds(dialect.update(table, "ids", toClaimed(dialect), ""))
  const deleteIds = onIds(dialect.delete(table, "ids", ""))
  const findDue = prepare(
    client,
    dialect,
    `SELECT r.id, ${outcome("r")} FROM ${from} WHERE r.state IN ('held', 'ready', 'claimed') AND ` +
      `r.due_at <= ${dialect.now} LIMIT :limit${locking}`
  )
  const makeReady = onIds(dialect.update(table, "ids", toReady(dialect, table), ""))
  return {
    claim: ({ leaseMillis: millis, limit, tasks }) =>
      inTransaction(Effect.gen(function*() {
        const lease = crypto.randomUUID()
        let found = yield* findClaimable({ tasks: JSON.stringify(tasks), limit: encodeLimit(limit) })
        const keyed = found.filter((row) => row["dedupe_key"] !== null || row["ordering_key"] !== null)
        if (keyed.length > 0 && dialect.name === "mysql") {
          // MySQL locks the newest version of a row, but it looked for the rows before it in an older snapshot.
          const waiting = new Set(idsOf(yield* findWaiting({ ids: dialect.list(idsOf(keyed)) })))
          found = found.filter(({ id }) => !waiting.has(String(id)))
        }
        const withDedupeKey = idsOf(found.filter((row) => row["dedupe_key"] !== null))
        if (withDedupeKey.length > 0) {
          yield* deleteIds(idsOf(yield* findDuplicates({ ids: dialect.list(withDedupeKey) })))
        }
        yield* claimIds(idsOf(found), { lease, millis })
        return claimedBy(lease, 1)(found)
      })),
    expire: (limit) =>
      inTransaction(Effect.gen(function*() {
        const due = yield* findDue({ limit: encodeLimit(limit) })
        const [discarded, others] = [true, false].map((isDiscarded) =>
          idsOf(due.filter(({ outcome }) => (outcome === "discarded") === isDiscarded))
        )
        yield* deleteIds(discarded!)
        yield* makeReady(others!)
        const count = (outcome: string) => due.filter((row) => row["outcome"] === outcome).length
        return { released: count("released"), discarded: count("discarded"), due: count("due") }
      }))
  }
}
