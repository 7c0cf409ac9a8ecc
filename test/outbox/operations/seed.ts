/**
 * For the tests of the operations: an outbox on fresh tables, rows in each state, sessions of relays, and a way to read the table.
 */
import { SqlClient } from "@effect/sql"
import { Effect, Layer } from "effect"
import * as Outbox from "effect-airlock/Outbox"
import { dialectOf } from "../../../src/internal/outbox/store/dialect.js"
import type { Database } from "../../support/databases.js"

export const table = "airlock_outbox"

export const outbox = (database: Database) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    for (const suffix of ["", "_relay", "_queue", "_version"]) {
      yield* sql.unsafe(`DROP TABLE IF EXISTS ${table}${suffix}`)
    }
    yield* Outbox.migrate()
  })).pipe(Layer.provideMerge(database.client()), Layer.orDie)

export const idOf = (n: number): string => `01900000-0000-7000-8000-${String(n).padStart(12, "0")}`

export const numberOf = ({ id }: { readonly id: string }): number => Number(id.slice(-12))

export const numbers = ({ rows }: Outbox.OutboxPage): ReadonlyArray<number> => rows.map(numberOf)

type Column = string | number | null

/** The time of the database, in milliseconds. */
export const now = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql.unsafe<{ readonly now: number }>(`SELECT ${dialectOf(sql).now} AS now`),
    ([row]) => Number(row!.now)
  ))

/** Inserts a row. Without other columns it is ready since now. */
export const insert = (n: number, state: Outbox.OutboxState, columns: Readonly<Record<string, Column>> = {}) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const row = {
      id: idOf(n),
      state,
      task: "Mail",
      version: 1,
      payload: JSON.stringify({ n }),
      enqueued_at: 1_790_000_000_000 + n,
      ready_at: state === "held" ? null : (yield* now) * 1000 + n,
      ...columns
    }
    yield* sql`INSERT INTO ${sql(table)} ${sql.insert(row)}`
  })

/** Inserts the session of a relay that lives for another minute, or has expired. */
export const insertRelay = (
  n: number,
  tasks: ReadonlyArray<readonly [string, number]>,
  { isExpired = false, queues = null }: {
    readonly isExpired?: boolean
    readonly queues?: ReadonlyArray<string> | null
  } = {}
) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const time = yield* now
    const row = {
      id: idOf(n),
      name: `relay ${n}`,
      started_at: time - 5000,
      expires_at: isExpired ? time - 1 : time + 60_000,
      tasks: JSON.stringify(tasks),
      queues: queues && JSON.stringify(queues),
      running: "[]"
    }
    yield* sql`INSERT INTO ${sql(`${table}_relay`)} ${sql.insert(row)}`
  })

/** One row in each state, numbered in this order. */
export const oneInEachState: ReadonlyArray<Outbox.OutboxState> = [
  "held",
  "scheduled",
  "ready",
  "blocked",
  "claimed",
  "dead",
  "done"
]

export const insertOneInEachState = (columns: Readonly<Record<string, Column>> = {}) =>
  Effect.gen(function*() {
    const time = yield* now
    const own: { readonly [State in Outbox.OutboxState]?: Readonly<Record<string, Column>> } = {
      held: { due_at: time + 60_000, on_expiry: "release" },
      scheduled: { due_at: time + 60_000 },
      blocked: { ordering_key: "a" },
      claimed: { lease: idOf(900) },
      dead: { failed_at: time, attempt: 3, error: "no", history: JSON.stringify([failedAttempt]) },
      done: { done_at: time }
    }
    for (const [index, state] of oneInEachState.entries()) {
      yield* insert(index + 1, state, { ...own[state], ...columns })
    }
  })

export const failedAttempt = { attempt: 3, at: 1_790_000_000_500, error: "no", relay: "relay 900" }

/** The states of all rows, by the numbers of the rows. */
export const statesByNumber = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql.unsafe<{ readonly id: string, readonly state: string }>(`SELECT id, state FROM ${table} ORDER BY id`),
    (rows) => Object.fromEntries(rows.map((row) => [numberOf(row), row.state]))
  ))

const powers = [1, 10, 100, 1_000, 10_000]

const digits = `(${Array.from({ length: 10 }, (_, d) => `SELECT ${d} AS d`).join(" UNION ALL ")})`

/** At most 100 000 rows: most of them ready, in three lanes, and some in each other state. */
export const insertMany = (count: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const time = yield* now
    const rest =
      `'Mail', CASE WHEN n % 3 = 0 THEN 'mail' WHEN n % 3 = 1 THEN 'slow' ELSE 'default' END, 1, '{}', ${time},
CASE n % 20 WHEN 1 THEN 'held' WHEN 2 THEN 'scheduled' WHEN 3 THEN 'claimed' WHEN 4 THEN 'dead' WHEN 5 THEN 'done'
  WHEN 6 THEN 'blocked' ELSE 'ready' END,
CASE WHEN n % 20 IN (1, 2) THEN ${time} + n END, CASE n % 20 WHEN 3 THEN '${idOf(900)}' END,
CASE n % 20 WHEN 4 THEN ${time} - n END, CASE n % 20 WHEN 5 THEN ${time} - n END, CASE n % 20 WHEN 6 THEN 'a' END, ${time} * 1000 + n`
    const columns =
      "id, task, queue, version, payload, enqueued_at, state, due_at, lease, failed_at, done_at, ordering_key, ready_at"
    const id = "'01900000-0000-7000-8000-'"
    yield* sql.onDialectOrElse({
      pg: () =>
        sql.unsafe(
          `INSERT INTO ${table} (${columns}) SELECT (${id} || LPAD(CAST(n AS TEXT), 12, '0'))::uuid, ${
            rest.replace(`'${idOf(900)}'`, `CAST('${idOf(900)}' AS UUID)`)
          } FROM GENERATE_SERIES(1, ${count}) AS n`
        ),
      mysql: () =>
        sql.unsafe(
          `INSERT INTO ${table} (${columns}) SELECT CONCAT(${id}, LPAD(n, 12, '0')), ${rest} FROM
(SELECT ${powers.map((power) => `d${power}.d * ${power}`).join(" + ")} + 1 AS n FROM ${
            powers.map((power) => `${digits} AS d${power}`).join(" CROSS JOIN ")
          }) AS numbers WHERE n <= ${count}`
        ),
      orElse: () =>
        sql.unsafe(
          `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})
INSERT INTO ${table} (${columns}) SELECT ${id} || PRINTF('%012d', n), ${rest} FROM numbers`
        )
    })
    yield* sql.onDialectOrElse({
      pg: () => sql.unsafe(`ANALYZE ${table}`),
      mysql: () => sql.unsafe(`ANALYZE TABLE ${table}`),
      orElse: () => Effect.void
    })
  })
