/**
 * The statements of the store on each database, over one connection. concurrency.test.ts has those over several.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeStore } from "../../../../src/internal/outbox/store/store.js"
import { onEachDatabase } from "../../../support/databases.js"
import { until } from "../../../support/until.js"
import {
  claim,
  claimed,
  column,
  held,
  idOf,
  numberOf,
  Outbox,
  outbox,
  passTime,
  ready,
  row,
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
  const test = (name: string, effect: Effect.Effect<void, unknown, Outbox | SqlClient.SqlClient>) =>
    it.effect(name, () => effect.pipe(Effect.provide(outbox(database))), onABusyMachine)

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
      const [first, second, ...more] = yield* claim()
      expect(first).toEqual({ ...expected, attempt: 1, lease: first!.lease })
      expect({ ...second, availableAt, delayMillis }).toEqual({ ...row(2), attempt: 1, lease: first!.lease })
      expect(more).toEqual([])
    })
  )

  test(
    "an insert accepts many rows, and none",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([], ready)
      yield* store.insert(Array.from({ length: 6_000 }, (_, n) => row(n, { priority: n % 3 })), ready)
      expect(yield* store.counts).toEqual({ held: 0, ready: 6_000, claimed: 0, dead: 0 })
      const rows = yield* claim(2_000)
      expect(rows.map(numberOf)).toEqual(Array.from({ length: 2_000 }, (_, n) => n * 3))
      expect(yield* store.acknowledge(rows)).toHaveLength(2_000)
      expect(yield* store.counts).toEqual({ held: 0, ready: 4_000, claimed: 0, dead: 0 })
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
    "a claim leaves rows of tasks that it does not name",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, { task: "note" }), row(2, { task: "Other" }), row(3)], ready)
      expect(yield* claimed()).toEqual([3])
      expect(yield* store.claim({ tasks: [], limit: 10, leaseMillis: 1 })).toEqual([])
      const others = yield* store.claim({ tasks: ["Other", "it's"], limit: 10, leaseMillis: 1 })
      expect(others.map(numberOf)).toEqual([2])
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
        yield* store.acknowledge(rows)
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
      expect(yield* column("id")).toEqual([idOf(1), idOf(4)])
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
      expect(yield* claimed()).toEqual([])
      expect(yield* store.expire).toEqual({ ...none, due: 3 })
      expect(yield* claimed()).toEqual([1, 2, 3])
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
    "a claim takes one of the ready rows with the same task and dedupe key, and deletes the others",
    Effect.gen(function*() {
      const store = yield* Outbox
      const keyed = { dedupeKey: "k" }
      yield* store.insert([row(1, keyed), row(2, keyed), row(3), row(4, { dedupeKey: "K" })], ready)
      yield* store.insert([row(5, { dedupeKey: "k", task: "Other" }), row(6, keyed)], ready)
      expect(yield* claimed(1)).toEqual([1])
      expect(yield* column("id")).toEqual([1, 3, 4, 5].map(idOf))
      yield* store.insert([row(7, keyed), row(8, keyed)], ready)
      expect(yield* claimed()).toEqual([3, 4, 7])
      expect(yield* store.counts).toEqual({ held: 0, ready: 1, claimed: 4, dead: 0 })
    })
  )

  test(
    "a row that is not yet due deduplicates later rows, and a held row does not",
    Effect.gen(function*() {
      const store = yield* Outbox
      const keyed = { dedupeKey: "k" }
      yield* store.insert([row(1, keyed)], held())
      yield* store.insert([row(2, { ...keyed, delayMillis: 10_000 })], ready)
      yield* store.insert([row(3, keyed)], ready)
      expect(yield* claimed()).toEqual([])
      yield* passTime(20_000)
      yield* store.expire
      expect(yield* claimed()).toEqual([2])
      expect(yield* column("id")).toEqual([1, 2].map(idOf))
      yield* store.release([idOf(1)])
      expect(yield* claimed()).toEqual([1])
    })
  )

  test(
    "a claim takes the next row with a dedupe key if the first one was discarded",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, { dedupeKey: "k" })], ready)
      yield* store.insert([row(2, { dedupeKey: "k" })], ready)
      yield* store.discard([idOf(1)])
      expect(yield* claimed()).toEqual([2])
    })
  )

  test(
    "a claim takes rows with one ordering key one at a time, and a head that waits for its retry blocks only its key",
    Effect.gen(function*() {
      const store = yield* Outbox
      const a = { orderingKey: "a" }
      yield* store.insert([row(1, a), row(2, a), row(3, { orderingKey: "b" }), row(4), row(5, a)], ready)
      const [one, ...others] = yield* claim()
      expect([one!, ...others].map(numberOf)).toEqual([1, 3, 4])
      expect(yield* claimed()).toEqual([])
      expect(yield* store.retry(one!, { delayMillis: 10_000, error: "no" })).toBe(true)
      yield* store.acknowledge(others)
      yield* store.insert([row(6, { orderingKey: "b" })], ready)
      expect(yield* claimed()).toEqual([6])
      yield* passTime(20_000)
      yield* store.expire
      const [again] = yield* claim()
      expect(again).toMatchObject({ id: idOf(1), attempt: 2 })
      expect(yield* store.deadLetter(again!, "no more")).toBe(true)
      expect(yield* claimed()).toEqual([2])
    })
  )

  test(
    "a row whose lease has expired can be claimed again, and then its first holder cannot change it",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2), row(3), row(4)], ready)
      const first = yield* claim()
      expect(yield* store.extend(first.slice(0, 1), 120_000)).toEqual([idOf(1)])
      yield* passTime(60_000)
      expect(yield* store.expire).toEqual({ ...none, due: 3 })
      const again = yield* claim(2)
      expect(again.map(({ attempt, id }) => [id, attempt])).toEqual([[idOf(2), 2], [idOf(3), 2]])
      // The fourth row is ready and not claimed again, so its first holder may still acknowledge it.
      expect(yield* store.extend(first, 60_000)).toEqual([idOf(1), idOf(4)])
      expect([...(yield* store.acknowledge(first))].sort()).toEqual([idOf(1), idOf(4)])
      expect(yield* store.retry(first[1]!, { delayMillis: 0, error: "late" })).toBe(false)
      expect(yield* store.deadLetter(first[1]!, "late")).toBe(false)
      expect(yield* store.unclaim(first)).toEqual([])
      expect(yield* column("state")).toEqual(["claimed", "claimed"])
      expect(yield* store.acknowledge([{ id: idOf(2), lease: first[1]!.lease }, again[1]!])).toEqual([idOf(3)])
      expect(yield* store.acknowledge([])).toEqual([])
    })
  )

  test(
    "an unclaimed row has used no attempt",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1)], ready)
      expect(yield* store.unclaim(yield* claim())).toEqual([idOf(1)])
      expect(yield* claim()).toMatchObject([{ attempt: 1 }])
    })
  )

  test(
    "a dead letter stays with its error, and is neither claimed nor discarded",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2)], ready)
      const [one, two] = yield* claim()
      const before = Math.floor(yield* millis)
      yield* store.deadLetter(one!, hostile)
      yield* store.retry(two!, { delayMillis: 0, error: "again" })
      expect(yield* store.counts).toEqual({ held: 0, ready: 1, claimed: 0, dead: 1 })
      const [cause, again] = yield* column("error")
      expect(String(cause)).toContain("é😀 \\ \" ' ? $1 :name")
      expect(again).toBe("again")
      for (const failedAt of yield* column("failed_at")) {
        expect(Number(failedAt)).toBeGreaterThanOrEqual(before)
      }
      yield* passTime(1_000_000)
      expect(yield* store.expire).toEqual({ ...none, due: 1 })
      yield* store.discard([idOf(1)])
      expect(yield* claimed()).toEqual([2])
      expect(yield* store.counts).toEqual({ held: 0, ready: 0, claimed: 1, dead: 1 })
    })
  )

  it.effect("the store works with a client that transforms the names of columns", () =>
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, { dedupeKey: "k", maxAttempts: 3 })], ready)
      expect(yield* claim()).toMatchObject([{ id: idOf(1), dedupeKey: "k", maxAttempts: 3, attempt: 1 }])
      expect(yield* store.counts).toEqual({ held: 0, ready: 0, claimed: 1, dead: 0 })
    }).pipe(Effect.provide(outbox(database, { transformResultNames: (name) => name.toUpperCase() }))))

  test(
    "every statement uses an index when the table has many rows",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* Outbox
      yield* store.insert(
        Array.from({ length: 20_000 }, (_, n) => row(n, n % 2 ? { orderingKey: `${n}`, dedupeKey: `${n}` } : {})),
        ready
      )
      yield* store.insert(
        Array.from({ length: 20_000 }, (_, n) => row(n + 20_000, { orderingKey: `${n}`, dedupeKey: `${n}` })),
        held()
      )
      yield* sql.onDialectOrElse({
        mysql: () => sql.unsafe(`ANALYZE TABLE ${table}`),
        orElse: () => sql.unsafe(`ANALYZE ${table}`)
      })
      const seen: Array<readonly [text: string, parameters: ReadonlyArray<unknown> | undefined]> = []
      const watched: SqlClient.SqlClient = Object.assign(() => sql``, sql, {
        withoutTransforms: () => watched,
        unsafe: (text: string, parameters?: ReadonlyArray<unknown>) => {
          seen.push([text, parameters])
          return sql.unsafe(text, parameters)
        }
      }) as never
      const looked = makeStore(watched, table)
      const rows = yield* looked.claim({ tasks: ["Note"], limit: 100, leaseMillis: 60_000 })
      expect(rows).toHaveLength(100)
      const some = Array.from({ length: 100 }, (_, n) => idOf(n + 20_000))
      yield* looked.expire
      yield* looked.extend(rows, 60_000)
      yield* looked.renew(some, 60_000)
      yield* looked.release(some)
      yield* looked.acknowledge(rows)
      yield* looked.discard(some)
      const explaining = sql.onDialectOrElse({ sqlite: () => "EXPLAIN QUERY PLAN ", orElse: () => "EXPLAIN " })
      const plans = (yield* Effect.forEach(seen, ([text, parameters]) => sql.unsafe(explaining + text, parameters)))
        .flat()
        .map((row) => JSON.stringify(row))
      expect(seen.length).toBeGreaterThanOrEqual(7)
      const whole = plans.filter((plan) =>
        new RegExp(`Seq Scan on ${table}|"table":"(r|o|d)","type":"(ALL|index)"|SCAN (r|o|d|${table})"`).test(plan)
      )
      expect(whole).toEqual([])
      expect(plans.join()).toContain(`${table}_claim`)
    })
  )
})
