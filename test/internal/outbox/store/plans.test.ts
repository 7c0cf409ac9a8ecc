/**
 * The statements of a relay find their rows by an index, however many rows there are.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeStore } from "../../../../src/internal/outbox/store/store.js"
import { onEachDatabase, onEachServer } from "../../../support/databases.js"
import { die, held, idOf, note, Outbox, outbox, ready, retry, row, session, sessionOf, table } from "../testStore.js"

const many = 20_000

/** Inserts ready rows of two tasks, and held rows, much faster than through the store where the database can. */
const fill = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const store = yield* Outbox
  yield* sql.onDialectOrElse({
    pg: () =>
      Effect.forEach(
        ["'ready', 'Note', NULL", "'ready', 'Other', NULL", "'held', 'Note', 9000000000000"],
        (values) =>
          sql.unsafe(
            `INSERT INTO ${table} (id, state, task, due_at, version, payload, enqueued_at, ready_at)
           SELECT gen_random_uuid(), ${values}, 1, '{}', 1, n FROM generate_series(1, 5 * ${many}) AS n`
          )
      ),
    orElse: () =>
      Effect.all([
        store.insert(Array.from({ length: many }, (_, n) => row(n + 1_000_000)), ready),
        store.insert(Array.from({ length: many }, (_, n) => row(n + 2_000_000, { task: "Other" })), ready),
        store.insert(Array.from({ length: many }, (_, n) => row(n + 3_000_000)), held())
      ])
  })
  const keyed = Array.from(
    { length: many / 10 },
    (_, n) => row(n, { priority: -1, orderingKey: `${n % 1_000}`, dedupeKey: `${n % 1_500}` })
  )
  yield* store.insert(keyed, ready)
  yield* sql.unsafe(sql.onDialectOrElse({ mysql: () => `ANALYZE TABLE ${table}`, orElse: () => `ANALYZE ${table}` }))
})

onEachDatabase((database) => {
  it.effect("every statement of a relay uses an index when the table has many rows", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* fill
      const seen: Array<readonly [text: string, parameters: ReadonlyArray<unknown> | undefined]> = []
      const watched: SqlClient.SqlClient = Object.assign(() => sql``, sql, {
        withoutTransforms: () => watched,
        unsafe: (text: string, parameters?: ReadonlyArray<unknown>) => {
          seen.push([text, parameters])
          return sql.unsafe(text, parameters)
        }
      }) as never
      const store = makeStore(watched, table)
      const other = { ...note, task: "Other", limit: 100 }
      yield* store.look
      yield* store.expire
      const keyed = yield* store.claim({
        lease: session,
        claimNumber: 1,
        lanes: [{ ...note, limit: 100 }],
        limit: 100,
        maxBytes: 100_000
      })
      const plain = yield* store.claim({
        lease: session,
        claimNumber: 1,
        lanes: [other],
        limit: 100,
        maxBytes: 100_000
      })
      const both = yield* store.claim({
        lease: session,
        claimNumber: 1,
        lanes: [{ ...note, limit: 9 }, other],
        limit: 100,
        maxBytes: 100_000
      })
      expect([keyed.length, plain.length, both.length]).toEqual([100, 100, 100])
      const ids = keyed.map(({ id }) => id)
      yield* store.begin(session, { upTo: 0, except: [], last: 1, also: [idOf(1)] })
      yield* store.fail(session, [retry(1), die(2)])
      yield* store.unclaim(session, ids.slice(10, 20))
      yield* store.unclaimOthers(session, [...keyed, ...both].map(({ id }) => id))
      yield* store.acknowledge(session, [...keyed, ...both].map(({ id }) => id))
      yield* store.acknowledge(session, ids, { keepDone: true })
      yield* store.prune(0, 10)
      yield* store.renew(ids, 60_000)
      yield* store.release(ids)
      yield* store.discard(ids)
      yield* store.heartbeat(sessionOf(session), -1)
      yield* store.reap
      yield* store.unregister(session)
      const explaining = sql.onDialectOrElse({ sqlite: () => "EXPLAIN QUERY PLAN ", orElse: () => "EXPLAIN " })
      // The mutex, the row of a session and statements without rows have no plan worth a look.
      const texts = seen.filter(([text]) => text.includes(`${table}`) && !text.includes("LOCK"))
      const plans = yield* Effect.forEach(texts, ([text, parameters]) =>
        Effect.map(sql.unsafe(explaining + text, parameters), (rows) =>
          rows.map((row) =>
            JSON.stringify(row)
          )
            // This one has a LIMIT of one row.
            .filter((plan) => !plan.includes(`USING COVERING INDEX ${table}_ready`))
            .filter((plan) =>
              new RegExp(
                `Seq Scan on ${table} |"table":"(r|o|d|b|${table})","type":"(ALL|index)"|SCAN (r|o|d|b|${table})[ "]`
              ).test(plan)
            )
            .map((plan) => [text, plan])))
      expect(plans.flat()).toEqual([])
      expect(texts.length).toBeGreaterThan(25)
    }).pipe(Effect.provide(outbox(database))), 120_000)
})

onEachServer((database) => {
  it.effect(
    "a claim of the first row of a key reads none of the rows that wait behind it",
    () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const store = yield* Outbox
        const keys = { orderingKey: "a", dedupeKey: "b" }
        yield* store.insert(Array.from({ length: many }, (_, n) => row(n, keys)), ready)
        yield* sql.unsafe(
          `UPDATE ${table} SET state = 'blocked', dedupe_key = CONCAT('b', id) WHERE id <> '${idOf(0)}'`
        )
        yield* sql.unsafe(
          sql.onDialectOrElse({ mysql: () => `ANALYZE TABLE ${table}`, orElse: () => `ANALYZE ${table}` })
        )
        const rowsRead = sql.onDialectOrElse({
          mysql: () => sql.unsafe(`SHOW SESSION STATUS LIKE 'Handler_read_%'`),
          orElse: () =>
            sql.unsafe(
              `SELECT seq_tup_read + idx_tup_fetch AS "Value" FROM pg_stat_xact_user_tables WHERE relname = '${table}'`
            )
        }).pipe(Effect.map((rows) =>
          rows.reduce((sum: number, row) => sum + Number((row as { readonly Value: unknown }).Value), 0)
        ))
        const read = yield* sql.withTransaction(Effect.gen(function*() {
          const before = yield* rowsRead
          const rows = yield* store.claim({
            lease: session,
            claimNumber: 1,
            lanes: [{ ...note, limit: 10 }],
            limit: 10,
            maxBytes: 100_000
          })
          expect(rows.map(({ id }) =>
            id
          )).toEqual([idOf(0)])
          return (yield* rowsRead) - before
        }))
        expect(read).toBeLessThan(1_000)
      }).pipe(Effect.provide(outbox(database, { maxConnections: 1 }))),
    120_000
  )
})
