/**
 * Finds and claims the ready rows of lanes: on PostgreSQL in one statement, on the other databases in a transaction.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { hasNoKey } from "./change.js"
import type { ClaimOptions, Find, Found } from "./claim.js"
import type { Dialect } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import {
  byClaimOrder,
  claimedColumns,
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
export const makeFind = (client: SqlClient, dialect: Dialect, tables: Tables): Find =>
  dialect.name === "pg" ? inOneStatement(client, dialect, tables) : inOneTransaction(client, dialect, tables)

const inOneStatement = (client: SqlClient, dialect: Dialect, { outbox, relay }: Tables): Find => {
  const session = `session AS MATERIALIZED (SELECT 1 FROM ${relay} WHERE id = CAST(:lease AS UUID) FOR KEY SHARE)`
  const columns = `r.ctid AS tid, r.id, NOT (${hasNoKey}) AS keyed, OCTET_LENGTH(r.payload) AS bytes`
  const lock = "FOR UPDATE SKIP LOCKED"
  // A sum over the rows in their order. An ORDER BY of the window would sort them again. A search by `ctid` finds the locked rows
  // without an index, and unlike a join cannot become a scan of the table.
  const claimFound = (oneLane: boolean) => {
    const returned = claimedColumns("pg", oneLane)
    const nulls = ", NULL".repeat(oneLane ? 6 : 9)
    return `fitting AS MATERIALIZED (
  SELECT tid, id, keyed FROM (
    SELECT *, SUM(bytes) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total FROM found
  ) AS summed WHERE total <= CAST(:bytes AS BIGINT) OR total = bytes
), claimed AS (
  UPDATE ${outbox} AS r SET state = 'claimed', lease = CAST(:lease AS UUID), claim_number = CAST(:number AS BIGINT)
  WHERE r.ctid = ANY(ARRAY(SELECT tid FROM fitting WHERE NOT keyed)) RETURNING ${returned}
)
SELECT * FROM claimed UNION ALL SELECT id${nulls} FROM fitting WHERE keyed`
  }
  const fromLane = prepare(
    client,
    dialect,
    `WITH ${session}, found AS MATERIALIZED (
  SELECT ${columns} FROM ${outbox} AS r WHERE ${inLane} AND EXISTS (SELECT 1 FROM session)
  ${claimOrder} LIMIT CAST(:limit AS BIGINT) ${lock}
), ${claimFound(true)}`
  )
  const inLaneOf = (name: string) => inLane.replace(/:([a-z]+)/g, `${name}.$1`)
  // It ranks the rows of all lanes before it locks any, and then locks of each lane only as many as it claims.
  const fromLanes = prepare(
    client,
    dialect,
    `WITH ${session}, lane AS MATERIALIZED (
  SELECT * FROM UNNEST(CAST(:queues AS TEXT[]), CAST(:tasks AS TEXT[]), CAST(:versions AS INTEGER[]), CAST(:limits AS BIGINT[]))
    WITH ORDINALITY AS lane (queue, task, version, size, n)
), ranked AS MATERIALIZED (
  SELECT r.n FROM (
    SELECT lane.n, first.* FROM lane CROSS JOIN LATERAL (
      SELECT r.priority, r.ready_at, r.id FROM ${outbox} AS r WHERE ${inLaneOf("lane")} ${claimOrder} LIMIT lane.size
    ) AS first
  ) AS r ${claimOrder} LIMIT CAST(:limit AS BIGINT)
), share AS MATERIALIZED (
  SELECT lane.*, (SELECT COUNT(*) FROM ranked WHERE ranked.n = lane.n) AS share FROM lane
), found AS MATERIALIZED (
  SELECT first.* FROM share CROSS JOIN LATERAL (
    SELECT ${columns} FROM ${outbox} AS r WHERE ${inLaneOf("share")} AND EXISTS (SELECT 1 FROM session)
    ${claimOrder} LIMIT share.share ${lock}
  ) AS first WHERE share.share > 0
), ${claimFound(false)}`
  )
  return ({ claimNumber, lanes, lease, limit, maxBytes }) =>
    Effect.suspend(() => {
      const [lane] = lanes
      return lane !== undefined && lanes.length === 1
        ? Effect.map(
          fromLane({
            queue: lane.queue,
            task: lane.task,
            version: lane.version,
            lease,
            number: claimNumber,
            limit: Math.min(limit, lane.limit),
            bytes: Math.round(maxBytes)
          }),
          foundOf({ claimNumber, lease }, lane)
        )
        : Effect.map(
          fromLanes({
            queues: lanes.map(({ queue }) => queue),
            tasks: lanes.map(({ task }) => task),
            versions: lanes.map(({ version }) => version),
            limits: lanes.map(({ limit }) => limit),
            lease,
            number: claimNumber,
            limit,
            bytes: Math.round(maxBytes)
          }),
          foundOf({ claimNumber, lease }, undefined)
        )
    })
}

/** Only rows with a key have no payload here. */
const foundOf = (claim: ClaimId, lane: Lane | undefined) => (rows: ReadonlyArray<StoredRow>): Found => {
  const claimed = rows.filter(({ payload }) => payload !== null).map((row) => claimedRow(row, claim, lane))
  return {
    claimed,
    keyed: claimed.length === rows.length ? [] : idsOf(rows.filter(({ payload }) => payload === null))
  }
}

const inOneTransaction = (client: SqlClient, dialect: Dialect, { index, outbox, relay }: Tables): Find => {
  const statement = (text: string) => prepare(client, dialect, text)
  const inTransaction = inOwnTransaction(client, dialect.name)
  const findSession = statement(`SELECT 1 AS found FROM ${relay} WHERE id = :lease${dialect.keepLocked}`)
  const from = dialect.name === "mysql" ? `${outbox} AS r FORCE INDEX (${index("ready")})` : `${outbox} AS r`
  const rank = statement(
    `SELECT r.priority, r.ready_at, r.id FROM ${from} WHERE ${inLane} ${claimOrder} LIMIT :limit`
  )
  const lock = statement(
    `SELECT r.id, r.priority, r.ready_at, CASE WHEN ${hasNoKey} THEN 0 ELSE 1 END AS keyed, ${
      dialect.name === "mysql" ? "LENGTH(r.payload)" : "LENGTH(CAST(r.payload AS BLOB))"
    } AS bytes FROM ${from} WHERE ${inLane} ${claimOrder} LIMIT :limit${dialect.skipLocked}`
  )
  const claim = statement(dialect.update(outbox, "state = 'claimed', lease = :lease, claim_number = :number"))
  const read = statement(dialect.select(outbox, claimedColumns(dialect.name, false)))
  const onLane = ({ queue, task, version }: Lane, limit: number) => ({
    queue,
    task,
    version,
    limit: dialect.limit(limit)
  })

  /** The number of rows that are claimed of each lane. */
  const shares = (lanes: ClaimOptions["lanes"], limit: number) =>
    lanes.length === 1
      ? Effect.succeed([Math.min(limit, lanes[0]!.limit)])
      : Effect.map(
        Effect.forEach(lanes, (lane) => rank(onLane(lane, Math.min(limit, lane.limit)))),
        (ranked) => {
          const first = ranked
            .flatMap((rows, lane) => rows.map((row) => ({ ...orderOf(row), lane })))
            .sort(byClaimOrder)
            .slice(0, limit)
          return lanes.map((_, lane) => first.filter((row) => row.lane === lane).length)
        }
      )

  return ({ claimNumber, lanes, lease, limit, maxBytes }) =>
    inTransaction(Effect.gen(function*() {
      if ((yield* findSession({ lease })).length === 0) {
        return { claimed: [], keyed: [] }
      }
      const found: Array<StoredRow> = []
      for (const [i, share] of (yield* shares(lanes, limit)).entries()) {
        if (share > 0) {
          found.push(...(yield* lock(onLane(lanes[i]!, share))))
        }
      }
      let total = 0
      const fitting = found.filter(({ bytes }, i) => {
        total += Number(bytes)
        return i === 0 || total <= maxBytes
      })
      const ids = dialect.list(idsOf(fitting.filter(({ keyed }) => Number(keyed) === 0)))
      const keyed = idsOf(fitting.filter(({ keyed }) => Number(keyed) === 1))
      if (keyed.length === fitting.length) {
        return { claimed: [], keyed }
      }
      yield* claim({ lease, number: claimNumber, ids })
      return { claimed: (yield* read({ ids })).map((row) => claimedRow(row, { claimNumber, lease }, undefined)), keyed }
    }))
}

const orderOf = (row: StoredRow) => ({
  priority: Number(row["priority"]),
  readyAt: Number(row["ready_at"]),
  id: String(row["id"])
})

const idsOf = (rows: ReadonlyArray<StoredRow>): ReadonlyArray<string> => rows.map(({ id }) => String(id))
