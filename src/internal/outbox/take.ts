/**
 * Taking rows: those whose turn it is, and those whose time has come.
 *
 * PostgreSQL does each in one statement. The others lock what they found, and write then, in a transaction of their own.
 * Nobody waits for rows that another one has locked: they are passed over.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Dialect } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import { byTurn, claimedColumns, type ClaimedRow, claimedRow, type Stored } from "./row.js"
import { prepare, type Values } from "./statement.js"
import { toClaimed, toReady } from "./transition.js"

/** @internal */
export interface ClaimOptions {
  /** Rows of other tasks stay for other relays. */
  readonly tasks: ReadonlyArray<string>
  readonly limit: number
  readonly leaseMillis: number
}

/** @internal */
export interface Expired {
  /** Held rows that came out, for nobody released them in time. */
  readonly released: number
  /** Held rows that are gone, for they were to be discarded then. */
  readonly discarded: number
  /** Rows that waited for their time, or whose lease ended: they can be claimed now. */
  readonly due: number
}

/** @internal */
export interface Take {
  readonly claim: (options: ClaimOptions) => Effect.Effect<ReadonlyArray<ClaimedRow>, SqlError>
  /** Moves at most so many rows on whose time has come. */
  readonly expire: (limit: number) => Effect.Effect<Expired, SqlError>
}

/** @internal */
export const makeTake = (client: SqlClient, dialect: Dialect, table: string, index: string): Take =>
  dialect.name === "pg" ? inOneStatement(client, dialect, table) : lockedFirst(client, dialect, table, index)

const before = (o: string, r: string): string => `(${o}.ready_at, ${o}.id) < (${r}.ready_at, ${r}.id)`

/** Of rows with a `dedupeKey` the first that waits is the one that was added. */
const isDuplicate = (table: string): string =>
  `EXISTS (SELECT 1 FROM ${table} AS o WHERE o.task = r.task AND o.dedupe_key = r.dedupe_key AND o.state = 'ready' ` +
  `AND ${before("o", "r")})`

/**
 * Of rows with an `orderingKey` one is claimed at a time, and those before it first. That it is another row need not be
 * said, but where it is PostgreSQL asks the index, and reads the whole table otherwise.
 */
const isBehind = (table: string): string =>
  `(EXISTS (SELECT 1 FROM ${table} AS o WHERE o.ordering_key = r.ordering_key AND o.state = 'claimed' ` +
  `AND o.id <> r.id) ` +
  `OR EXISTS (SELECT 1 FROM ${table} AS o WHERE o.ordering_key = r.ordering_key AND o.state = 'ready' ` +
  `AND ${before("o", "r")}))`

const waitsForOther = (table: string): string =>
  `(r.dedupe_key IS NOT NULL AND ${isDuplicate(table)}) OR (r.ordering_key IS NOT NULL AND ${isBehind(table)})`

const turn = (dialect: Dialect, table: string): string =>
  `r.state = 'ready' AND r.due_at IS NULL AND ${dialect.isOneOfTasks} AND NOT (${waitsForOther(table)}) ` +
  "ORDER BY r.priority, r.ready_at, r.id LIMIT :limit"

const claimedBy = (lease: string, attempts: number) => (rows: ReadonlyArray<Stored>): ReadonlyArray<ClaimedRow> =>
  [...rows].sort(byTurn).map((row) => claimedRow(row, lease, Number(row["attempt"]) + attempts))

const discards = (row: string): string => `${row}.state = 'held' AND ${row}.on_expiry = 'discard'`

const expiredOf = (rows: ReadonlyArray<Stored>): Expired => {
  const count = (outcome: string) => Number(rows.find((row) => row["outcome"] === outcome)?.["count"] ?? 0)
  return { released: count("released"), discarded: count("discarded"), due: count("due") }
}

const outcome = (row: string): string =>
  `CASE WHEN ${discards(row)} THEN 'discarded' WHEN ${row}.state = 'held' THEN 'released' ELSE 'due' END AS outcome`

const inOneStatement = (client: SqlClient, dialect: Dialect, table: string): Take => {
  const claim = prepare(
    client,
    dialect,
    `WITH taken AS MATERIALIZED (
  SELECT r.id, r.task, r.dedupe_key, r.ready_at FROM ${table} AS r WHERE ${turn(dialect, table)} FOR UPDATE SKIP LOCKED
), duplicates AS MATERIALIZED (
  SELECT d.id FROM ${table} AS d JOIN taken ON d.task = taken.task AND d.dedupe_key = taken.dedupe_key
  WHERE d.state = 'ready' AND ${before("taken", "d")} FOR UPDATE OF d SKIP LOCKED
), gone AS (
  DELETE FROM ${table} WHERE id IN (SELECT id FROM duplicates)
)
UPDATE ${table} AS r SET ${toClaimed(dialect)} FROM taken WHERE r.id = taken.id
RETURNING ${claimedColumns.map((name) => `r.${name}`).join(", ")}`
  )
  const expire = prepare(
    client,
    dialect,
    `WITH due AS MATERIALIZED (
  SELECT r.id, ${outcome("r")} FROM ${table} AS r
  WHERE r.due_at <= ${dialect.now} ORDER BY r.due_at LIMIT :limit FOR UPDATE SKIP LOCKED
), moved AS (
  UPDATE ${table} AS r SET ${toReady(dialect, table)} FROM due WHERE r.id = due.id AND due.outcome <> 'discarded'
), gone AS (
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

const lockedFirst = (client: SqlClient, dialect: Dialect, table: string, index: string): Take => {
  const own = inOwnTransaction(client, dialect.name)
  const [from, locking] = dialect.name === "mysql"
    ? [`${table} AS r FORCE INDEX (${index})`, " FOR UPDATE SKIP LOCKED"]
    : [`${table} AS r`, ""]
  const onIds = (text: string) => {
    const statement = prepare(client, dialect, text)
    return (ids: ReadonlyArray<string>, values?: Values) =>
      ids.length === 0 ? Effect.void : statement({ ...values, ids: dialect.list(ids) })
  }
  // As a number it would be a DOUBLE to MySQL, which it takes for no LIMIT.
  const limited = (limit: number) => dialect.name === "mysql" ? String(limit) : limit
  const idsOf = (rows: ReadonlyArray<Stored>) => rows.map(({ id }) => String(id))
  const find = prepare(
    client,
    dialect,
    `SELECT ${claimedColumns.map((name) => `r.${name}`).join(", ")} FROM ${from} WHERE ${
      turn(dialect, table)
    }${locking}`
  )
  const findWaiting = prepare(
    client,
    dialect,
    `SELECT r.id FROM ${dialect.given(table, "ids")} WHERE ${waitsForOther(table)}`
  )
  const findDuplicates = prepare(
    client,
    dialect,
    `SELECT d.id FROM ${dialect.given(table, "ids")} JOIN ${table} AS d ON d.task = r.task ` +
      `AND d.dedupe_key = r.dedupe_key WHERE d.state = 'ready' AND ${before("r", "d")}${locking}`
  )
  const take = onIds(dialect.update(table, "ids", toClaimed(dialect), ""))
  const remove = onIds(dialect.delete(table, "ids", ""))
  const findDue = prepare(
    client,
    dialect,
    `SELECT r.id, ${outcome("r")} FROM ${from} WHERE r.state IN ('held', 'ready', 'claimed') AND ` +
      `r.due_at <= ${dialect.now} LIMIT :limit${locking}`
  )
  const ready = onIds(dialect.update(table, "ids", toReady(dialect, table), ""))
  return {
    claim: ({ leaseMillis: millis, limit, tasks }) =>
      own(Effect.gen(function*() {
        const lease = crypto.randomUUID()
        let found = yield* find({ tasks: JSON.stringify(tasks), limit: limited(limit) })
        const keyed = found.filter((row) => row["dedupe_key"] !== null || row["ordering_key"] !== null)
        if (keyed.length > 0 && dialect.name === "mysql") {
          // A lock is taken on the newest version of a row, the rows before it were looked for in an older one.
          const waiting = new Set(idsOf(yield* findWaiting({ ids: dialect.list(idsOf(keyed)) })))
          found = found.filter(({ id }) => !waiting.has(String(id)))
        }
        const deduped = idsOf(found.filter((row) => row["dedupe_key"] !== null))
        if (deduped.length > 0) {
          yield* remove(idsOf(yield* findDuplicates({ ids: dialect.list(deduped) })))
        }
        yield* take(idsOf(found), { lease, millis })
        return claimedBy(lease, 1)(found)
      })),
    expire: (limit) =>
      own(Effect.gen(function*() {
        const due = yield* findDue({ limit: limited(limit) })
        const [gone, moved] = [true, false].map((is) =>
          idsOf(due.filter(({ outcome }) => (outcome === "discarded") === is))
        )
        yield* remove(gone!)
        yield* ready(moved!)
        const count = (outcome: string) => due.filter((row) => row["outcome"] === outcome).length
        return { released: count("released"), discarded: count("discarded"), due: count("due") }
      }))
  }
}
