/**
 * Inserting, releasing, discarding, expiring and claiming rows without keys, on each database, over one connection.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Lane } from "../../../../src/internal/outbox/store/row.js"
import { type ClientOptions, onEachDatabase } from "../../../support/databases.js"
import { until } from "../../../support/until.js"
import {
  acknowledge,
  claim,
  claimed,
  column,
  held,
  idOf,
  note,
  numberOf,
  Outbox,
  outbox,
  passTime,
  ready,
  row,
  session,
  states,
  table
} from "../testStore.js"

const onABusyMachine = 30_000

const none = { released: 0, discarded: 0, due: 0 }

/** Moves every `ready_at` one second into the past. */
const readyEarlier = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql.unsafe(`UPDATE ${table} SET ready_at = ready_at - 1000000`)
)

const hostile = "\u0000 é😀 \\ \" ' ? $1 :name \ud800 \n `"

onEachDatabase((database) => {
  const test = (
    name: string,
    effect: Effect.Effect<void, unknown, Outbox | SqlClient.SqlClient>,
    options?: ClientOptions
  ) => it.effect(name, () => effect.pipe(Effect.provide(outbox(database, options))), onABusyMachine)

  const millis = Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql.onDialectOrElse({
        pg: () => sql<{ now: number }>`SELECT EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS now`,
        mysql: () => sql<{ now: number }>`SELECT UNIX_TIMESTAMP(SYSDATE(6)) * 1000 AS now`,
        orElse: () => sql<{ now: number }>`SELECT unixepoch('subsec') * 1000 AS now`
      }),
      ([row]) => Number(row!.now)
    ))

  test(
    "a claimed row has the values with which it was inserted",
    Effect.gen(function*() {
      const store = yield* Outbox
      const given = row(1, {
        version: 3,
        payload: JSON.stringify({ hostile }),
        options: JSON.stringify({ native: hostile }),
        queue: "é😀 'q'",
        priority: -2,
        dedupeKey: "a \"'\\ key",
        orderingKey: "another \"'\\ key 😀",
        maxAttempts: 7,
        enqueuedAt: 1_790_000_000_123,
        traceId: "0123456789abcdef0123456789abcdef",
        spanId: "0123456789abcdef"
      })
      yield* store.insert([given, row(2)], ready)
      const { availableAt, delayMillis, ...expected } = given
      const { queue, version } = given
      const lanes = [{ ...note, limit: 9 }, { ...note, queue, version, limit: 9 }]
      const [first, second, ...more] = yield* store.claim({
        lease: session,
        claimNumber: 1,
        lanes,
        limit: 9,
        maxBytes: 9_999
      })
      expect(first).toEqual({
        ...expected,
        attempt: 0,
        history: null,
        keyed: true,
        lease: session,
        claimNumber: 1,
        readyAt: first!.readyAt
      })
      expect({ ...second, availableAt, delayMillis }).toEqual({
        ...row(2),
        attempt: 0,
        history: null,
        keyed: false,
        lease: session,
        claimNumber: 1,
        readyAt: second!.readyAt
      })
      expect(Math.abs(first!.readyAt / 1000 - (yield* millis))).toBeLessThan(60_000)
      expect(more).toEqual([])
    })
  )

  test(
    "an insert accepts many rows, and none",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([], ready)
      yield* store.insert(Array.from({ length: 6_000 }, (_, n) => row(n, { priority: n % 3 })), ready)
      expect(yield* store.counts).toMatchObject({ held: 0, ready: 6_000, claimed: 0 })
      const rows = yield* claim(2_000)
      expect(rows.map(numberOf)).toEqual(Array.from({ length: 2_000 }, (_, n) => n * 3))
      expect(yield* acknowledge(...rows.map(numberOf))).toHaveLength(2_000)
      expect(yield* store.counts).toMatchObject({ held: 0, ready: 4_000, claimed: 0 })
    })
  )

  test(
    "an insert is rolled back with its transaction",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(store.insert([row(1)], ready), Effect.fail("no"))))
      yield* sql.withTransaction(store.insert([row(2)], ready))
      expect(yield* claimed()).toEqual([2])
    })
  )

  test(
    "a claim takes only rows of the lanes that it names",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, { task: "note" }), row(2, { task: "Other" }), row(3)], ready)
      yield* store.insert([row(4, { version: 2 }), row(5, { queue: "mail" })], ready)
      expect(yield* claimed()).toEqual([3])
      const claimOf = (lanes: ReadonlyArray<Lane & { readonly limit: number }>, limit = 10) =>
        Effect.map(
          store.claim({ lease: session, claimNumber: 1, lanes, limit, maxBytes: 1_000 }),
          (rows) => rows.map((row) => [numberOf(row), row.queue, row.task, row.version])
        )
      expect(yield* claimOf([])).toEqual([])
      const other = { ...note, task: "Other", limit: 10 }
      expect(yield* claimOf([other], 0)).toEqual([])
      expect(yield* claimOf([{ ...other, limit: 0 }, { ...note, task: "it's", limit: 3 }])).toEqual([])
      expect(yield* claimOf([other, { ...note, queue: "mail", limit: 1 }])).toEqual([
        [2, "default", "Other", 1],
        [5, "mail", "Note", 1]
      ])
      expect(yield* claimOf([{ ...note, version: 2, limit: 1 }])).toEqual([[4, "default", "Note", 2]])
    })
  )

  test(
    "a claim of several lanes takes the first rows of all, and of no lane more than its limit",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2, { task: "Other" }), row(3, { task: "Other" }), row(4)], ready)
      yield* store.insert([row(5, { task: "Other", priority: -1 }), row(6)], ready)
      const claimOf = (limit: number, ofNote: number, ofOther: number) =>
        Effect.map(
          store.claim({
            lease: session,
            claimNumber: 1,
            lanes: [{ ...note, limit: ofNote }, { ...note, task: "Other", limit: ofOther }],
            limit,
            maxBytes: 1_000
          }),
          (rows) => rows.map(numberOf)
        )
      expect(yield* claimOf(2, 9, 9)).toEqual([5, 1])
      expect(yield* claimOf(9, 9, 1)).toEqual([2, 4, 6])
      expect(yield* claimOf(9, 9, 9)).toEqual([3])
    })
  )

  test(
    "a claim takes no more payloads than fit, and one that is larger",
    Effect.gen(function*() {
      const store = yield* Outbox
      const payload = JSON.stringify("é".repeat(49))
      yield* store.insert(
        [row(1, { payload }), row(2, { payload }), row(3, { payload, orderingKey: "k" }), row(4)],
        ready
      )
      const claimOf = (maxBytes: number) =>
        Effect.map(
          store.claim({ lease: session, claimNumber: 1, lanes: [{ ...note, limit: 9 }], limit: 9, maxBytes }),
          (rows) => rows.map(numberOf)
        )
      expect(yield* claimOf(99)).toEqual([1])
      expect(yield* claimOf(299)).toEqual([2, 3, 4])
    })
  )

  test(
    "a claim takes rows by priority, then by the time at which they became ready, then by id",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(5), row(6, { priority: 1 })], held())
      yield* store.insert([row(9), row(8), row(7, { priority: -1 })], ready)
      yield* readyEarlier
      yield* store.release([idOf(5), idOf(6)])
      expect(yield* claimed(2)).toEqual([7, 8])
      expect(yield* claimed(2)).toEqual([9, 5])
      expect(yield* claimed(2)).toEqual([6])
    })
  )

  test(
    "a claim takes rows with one ordering key in the order of their releases, however close together these are",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      const order = Array.from({ length: 30 }, (_, i) => 30 - i)
      yield* store.insert(order.map((n) => row(n, { orderingKey: "a" })), held())
      yield* store.release([idOf(order[0]!)])
      // On SQLite, where one connection writes at a time: as if all releases that follow came in one and the same microsecond.
      if (database.name === "SQLite") {
        yield* sql.unsafe(`UPDATE ${table} SET ready_at = ready_at + 3600000000 WHERE state = 'ready'`)
      }
      yield* Effect.forEach(order.slice(1), (n) => store.release([idOf(n)]))
      const seen: Array<number> = []
      for (let rows = yield* claim(); rows.length > 0; rows = yield* claim()) {
        seen.push(...rows.map(numberOf))
        yield* acknowledge(...rows.map(numberOf))
      }
      expect(seen).toEqual(order)
    })
  )

  test(
    "a claim takes a held row only after its release, and a release changes no row that is not held",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2)], held())
      yield* store.insert([row(3)], ready)
      const [three] = yield* claim()
      expect(numberOf(three!)).toBe(3)
      expect(yield* claimed()).toEqual([])
      yield* store.insert([row(4)], ready)
      yield* readyEarlier
      const before = yield* column("ready_at")
      yield* store.release([idOf(1), idOf(3), idOf(4), idOf(99)])
      expect(yield* column("state")).toEqual(["ready", "held", "claimed", "ready"])
      expect((yield* column("ready_at")).slice(2)).toEqual(before.slice(2))
      expect(yield* claimed()).toEqual([4, 1])
    })
  )

  test(
    "a discard deletes held and ready rows, but no claimed row",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2)], ready)
      yield* claimed(1)
      yield* store.insert([row(3), row(4)], held())
      yield* store.discard([idOf(1), idOf(2), idOf(3), idOf(99)])
      expect(yield* states).toEqual({ claimed: [1], held: [4] })
      yield* store.insert([row(5, { delayMillis: 10_000 })], ready)
      yield* store.discard([idOf(5)])
      expect(yield* states).toEqual({ claimed: [1], held: [4] })
      yield* store.discard([])
    })
  )

  test(
    "expiry releases or discards held rows whose time has passed without a renewal",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2)], held("release"))
      yield* store.insert([row(3), row(4)], held("discard"))
      yield* passTime(59_000)
      expect(yield* store.expire).toEqual(none)
      yield* store.renew([idOf(1), idOf(3)], 60_000)
      yield* passTime(2_000)
      expect(yield* store.expire).toEqual({ ...none, released: 1, discarded: 1 })
      expect(yield* column("state")).toEqual(["held", "ready", "held"])
      expect(yield* claimed()).toEqual([2])
    })
  )

  test(
    "a renewal changes no row that is not held",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2)], ready)
      yield* claimed(1)
      const before = yield* column("due_at")
      yield* store.renew([idOf(1), idOf(2), idOf(99)], 1_000_000)
      expect(yield* column("due_at")).toEqual(before)
    })
  )

  test(
    "a row with a delay waits from the time at which it became ready, and a row with availableAt until that time",
    Effect.gen(function*() {
      const store = yield* Outbox
      const now = Math.round(yield* millis)
      yield* store.insert(
        [row(1, { delayMillis: 10_000 }), row(2, { availableAt: now + 20_000 }), row(3, { availableAt: now - 1 })],
        ready
      )
      yield* store.insert([row(4, { delayMillis: 10_000 }), row(5, { availableAt: now + 20_000 })], held())
      yield* passTime(50_000)
      yield* store.release([idOf(4), idOf(5)])
      const [, , , four, five] = yield* column("due_at")
      expect(Number(four)).toBeGreaterThanOrEqual(now + 10_000)
      expect(Number(five)).toBe(now + 20_000)
      expect(yield* states).toEqual({ ready: [3], scheduled: [1, 2, 4, 5] })
      expect(yield* claimed()).toEqual([3])
      expect(yield* store.expire).toEqual({ ...none, due: 2 })
      expect(yield* claimed()).toEqual([1, 2])
      yield* passTime(20_000)
      yield* store.expire
      expect(yield* claimed()).toEqual([4, 5])
    })
  )

  test(
    "stored times are those of the database's clock at the statement, not at BEGIN, in any time zone",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      const [before, after] = yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql.onDialectOrElse({
          pg: () => sql`SET LOCAL TIME ZONE 'America/New_York'`,
          mysql: () => sql`SET time_zone = '-05:00'`,
          orElse: () => Effect.void
        })
        const start = yield* millis
        yield* until(Effect.map(millis, (now) => now > start + 25))
        const before = yield* millis
        yield* store.insert([row(1), row(2)], { state: "held", heldMillis: 10, onExpiry: "release" })
        yield* store.insert([row(3, { delayMillis: 10 })], ready)
        yield* store.renew([idOf(2)], 10)
        return [before, yield* millis] as const
      }))
      for (const due of yield* column("due_at")) {
        expect(Number(due)).toBeGreaterThanOrEqual(Math.floor(before) + 10)
        expect(Number(due)).toBeLessThanOrEqual(Math.ceil(after) + 10)
      }
      const [, , readyAt] = yield* column("ready_at")
      expect(Number(readyAt)).toBeGreaterThanOrEqual((Math.floor(before) - 1) * 1000)
      expect(Number(readyAt)).toBeLessThanOrEqual((Math.ceil(after) + 1) * 1000)
      expect(Math.abs(before - Date.now())).toBeLessThan(1_800_000)
    })
  )

  test(
    "the store works with a client that transforms the names of columns",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, { dedupeKey: "k", maxAttempts: 3 })], ready)
      expect(yield* claim()).toMatchObject([{ id: idOf(1), dedupeKey: "k", maxAttempts: 3, attempt: 0 }])
      expect(yield* store.counts).toMatchObject({ ready: 0, claimed: 1 })
    }),
    { transformResultNames: (name) => name.toUpperCase() }
  )
})
