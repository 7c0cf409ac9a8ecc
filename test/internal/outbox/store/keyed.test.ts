/**
 * Rows with an orderingKey or a dedupeKey, on each database.
 */
import { SqlClient } from "@effect/sql"
import { SqlError } from "@effect/sql/SqlError"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeClaim } from "../../../../src/internal/outbox/store/claim.js"
import { dialectOf } from "../../../../src/internal/outbox/store/dialect.js"
import { makeFind } from "../../../../src/internal/outbox/store/find.js"
import { makeKeyed } from "../../../../src/internal/outbox/store/keyed.js"
import { quotedTables } from "../../../../src/internal/outbox/store/tables.js"
import { onEachDatabase } from "../../../support/databases.js"
import {
  acknowledge,
  claim,
  claimed,
  column,
  die,
  held,
  idOf,
  note,
  numberOf,
  otherSession,
  Outbox,
  outbox,
  passTime,
  ready,
  register,
  retry,
  row,
  session,
  states,
  table
} from "../testStore.js"

const onABusyMachine = 60_000

onEachDatabase((database) => {
  const test = (name: string, effect: Effect.Effect<void, unknown, Outbox | SqlClient.SqlClient>) =>
    it.effect(name, () => effect.pipe(Effect.provide(outbox(database))), onABusyMachine)

  const a = { orderingKey: "a" }
  const k = { dedupeKey: "k" }

  test(
    "a claim takes rows with one ordering key one at a time, and the others are blocked",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, a), row(2, a), row(3, { orderingKey: "b" }), row(4), row(5, a)], ready)
      expect(yield* claimed()).toEqual([1, 3, 4])
      expect(yield* states).toEqual({ claimed: [1, 3, 4], blocked: [2, 5] })
      expect((yield* store.look).lanes).toEqual([])
      expect(yield* acknowledge(1, 3)).toEqual([1, 3].map(idOf))
      expect(yield* states).toEqual({ claimed: [4], ready: [2], blocked: [5] })
      expect(yield* claimed()).toEqual([2])
    })
  )

  test(
    "a head that waits for its retry blocks its key, and no other",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, a), row(2, a), row(3, { orderingKey: "b" })], ready)
      expect(yield* claimed()).toEqual([1, 3])
      expect(yield* store.fail(session, [retry(1)])).toEqual([idOf(1)])
      yield* store.insert([row(4, a), row(5, { orderingKey: "c" })], ready)
      expect(yield* claimed()).toEqual([5])
      expect(yield* states).toEqual({ scheduled: [1], blocked: [2, 4], claimed: [3, 5] })
      yield* passTime(20_000)
      yield* store.expire
      expect(yield* claimed()).toEqual([1])
      expect(yield* states).toEqual({ blocked: [2, 4], claimed: [1, 3, 5] })
    })
  )

  test(
    "a claim whose second transaction is retried returns what the first one has claimed",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      const dialect = dialectOf(sql)
      const tables = quotedTables(dialect, table)
      const keyed = makeKeyed(sql, dialect, tables)
      const deadlock = new SqlError({ message: "deadlock", cause: { code: "40P01" } })
      let tries = 0
      const claim = makeClaim(makeFind(sql, dialect, tables), {
        ...keyed,
        claim: (...args) => Effect.suspend(() => ++tries === 1 ? Effect.fail(deadlock) : keyed.claim(...args))
      })
      yield* store.insert([row(1), row(2, a)], ready)
      const rows = yield* claim({
        lease: session,
        claimNumber: 1,
        lanes: [{ ...note, limit: 10 }],
        limit: 10,
        maxBytes: 1_000
      })
      expect([tries, rows.map(numberOf)]).toEqual([2, [1, 2]])
    })
  )

  const removals: Record<string, Effect.Effect<unknown, unknown, Outbox>> = {
    "an acknowledgement": acknowledge(1),
    "an acknowledgement that keeps the row": Effect.flatMap(
      Outbox,
      (store) => store.acknowledge(session, [idOf(1)], { keepDone: true })
    ),
    "a dead letter": Effect.flatMap(Outbox, (store) => store.fail(session, [die(1)])),
    "a discard": Effect.flatMap(
      Outbox,
      (store) => Effect.zipRight(store.unclaim(session, [idOf(1)]), store.discard([idOf(1)]))
    )
  }
  for (const [what, removal] of Object.entries(removals)) {
    test(
      `${what} makes the next row of its ordering key ready, and no other`,
      Effect.gen(function*() {
        const store = yield* Outbox
        yield* store.insert([row(1, a), row(2, a), row(3, a)], ready)
        yield* claimed()
        yield* removal
        expect(yield* states).toMatchObject({ ready: [2], blocked: [3] })
        expect(yield* claimed()).toEqual([2])
      })
    )
  }

  test(
    "the discard of a blocked row leaves the others blocked, and that of a held row unblocks none",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, a), row(2, a), row(3, a)], ready)
      yield* store.insert([row(4, a)], held())
      yield* claimed()
      yield* store.discard([idOf(4)])
      expect(yield* states).toEqual({ claimed: [1], blocked: [2, 3] })
      yield* store.discard([idOf(2)])
      expect(yield* claimed()).toEqual([])
      expect(yield* states).toEqual({ claimed: [1], blocked: [3] })
    })
  )

  test(
    "a row of a reaped session stays the head of its key",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, a), row(2, a)], ready)
      yield* claimed()
      yield* register(session, -1)
      yield* store.reap
      expect(yield* states).toEqual({ ready: [1], blocked: [2] })
      expect(yield* claimed(9, session)).toEqual([])
      expect(yield* states).toEqual({ ready: [1], blocked: [2] })
      expect(yield* claimed(9, otherSession)).toEqual([1])
      expect(yield* acknowledge(1)).toEqual([])
      expect(yield* states).toEqual({ claimed: [1], blocked: [2] })
    })
  )

  test(
    "a session that was reaped after its claim found a row with a key does not get the row",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      const dialect = dialectOf(sql)
      const keyed = makeKeyed(sql, dialect, quotedTables(dialect, table))
      yield* store.insert([row(1, a)], ready)
      yield* store.unregister(session)
      expect(yield* keyed.claim({ lease: session, claimNumber: 1 }, [idOf(1)])).toEqual([])
      expect(yield* states).toEqual({ ready: [1] })
      expect((yield* keyed.claim({ lease: otherSession, claimNumber: 1 }, [idOf(1)])).map(numberOf)).toEqual([1])
    })
  )

  test(
    "a late acknowledgement of a row that no other relay has claimed unblocks the next row",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, a), row(2, a)], ready)
      yield* claimed()
      yield* register(session, -1)
      yield* store.reap
      expect(yield* acknowledge(1)).toEqual([idOf(1)])
      expect(yield* claimed(9, otherSession)).toEqual([2])
    })
  )

  test(
    "a claim takes the first of the rows with the same task and dedupe key, and deletes the others",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, k), row(2, k), row(3), row(4, { dedupeKey: "K" })], ready)
      yield* store.insert([row(5, { ...k, task: "Other" }), row(6, k)], ready)
      expect(yield* claimed(1)).toEqual([1])
      expect(yield* column("id")).toEqual([1, 3, 4, 5].map(idOf))
      yield* store.insert([row(7, k), row(8, k)], ready)
      expect(yield* claimed()).toEqual([3, 4, 7])
      expect(yield* states).toEqual({ claimed: [1, 3, 4, 7], ready: [5] })
    })
  )

  test(
    "a row that is not yet due deduplicates later rows, and a held row does not",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, k)], held())
      yield* store.insert([row(2, { ...k, delayMillis: 10_000 })], ready)
      yield* store.insert([row(3, k)], ready)
      expect(yield* claimed()).toEqual([])
      expect(yield* states).toEqual({ held: [1], scheduled: [2], blocked: [3] })
      yield* passTime(20_000)
      yield* store.expire
      expect(yield* claimed()).toEqual([2])
      expect(yield* states).toEqual({ held: [1], claimed: [2] })
      yield* store.release([idOf(1)])
      expect(yield* claimed()).toEqual([1])
    })
  )

  test(
    "a claim takes the next row with a dedupe key if the first one was discarded",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, { ...k, delayMillis: 10_000 })], ready)
      yield* store.insert([row(2, k)], ready)
      expect(yield* claimed()).toEqual([])
      yield* store.discard([idOf(1)])
      expect(yield* claimed()).toEqual([2])
    })
  )

  test(
    "the deletion of a duplicate unblocks the next row of its ordering key",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, { ...k, delayMillis: 10_000 })], ready)
      yield* store.insert([row(2, { ...k, ...a })], ready)
      yield* store.insert([row(3, a)], ready)
      expect(yield* claimed()).toEqual([])
      yield* store.insert([row(4, a)], ready)
      expect(yield* claimed()).toEqual([])
      expect(yield* states).toEqual({ scheduled: [1], blocked: [2, 3, 4] })
      yield* passTime(20_000)
      yield* store.expire
      expect(yield* claimed()).toEqual([1])
      expect(yield* states).toEqual({ claimed: [1], ready: [3], blocked: [4] })
      expect(yield* claimed()).toEqual([3])
    })
  )

  test(
    "a row that is retried waits for a row that came before it, and is not blocked for ever",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      yield* store.insert([row(1, a)], ready)
      yield* store.insert([row(2, a)], ready)
      expect(yield* claimed()).toEqual([1])
      // As if the transaction of the second row had begun first, and had committed after the claim of the other.
      yield* sql.unsafe(`UPDATE ${table} SET ready_at = ready_at - 3600000000 WHERE id = '${idOf(2)}'`)
      yield* store.unclaim(session, [idOf(1)])
      expect(yield* claimed()).toEqual([2])
      expect(yield* states).toEqual({ claimed: [2], blocked: [1] })
      yield* acknowledge(2)
      expect(yield* claimed()).toEqual([1])
    })
  )

  test(
    "many rows behind one head are looked at once each, and other rows do not wait for that",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert(Array.from({ length: 3_000 }, (_, n) => row(n, a)), ready)
      yield* store.insert([row(5_000)], ready)
      expect(yield* claimed(10)).toEqual([0])
      expect(yield* claimed(10)).toEqual([5_000])
      expect((yield* store.counts).blocked).toBe(2_999)
      expect((yield* store.look).lanes).toEqual([])
      yield* store.insert([row(5_001)], ready)
      expect(yield* claimed(10)).toEqual([5_001])
      yield* acknowledge(0)
      expect(yield* claimed(10)).toEqual([1])
    })
  )

  test(
    "a claim whose decision about keys is the victim of a deadlock returns the rows without a key that it has claimed",
    Effect.gen(function*() {
      const store = yield* Outbox
      const client = (yield* SqlClient.SqlClient).withoutTransforms()
      const dialect = dialectOf(client)
      const tables = quotedTables(dialect, table)
      const keyed = makeKeyed(client, dialect, tables)
      let deadlocks = 3
      const claimInDeadlocks = makeClaim(makeFind(client, dialect, tables), {
        ...keyed,
        claim: (...args) =>
          Effect.suspend(() =>
            deadlocks-- > 0
              ? Effect.fail(new SqlError({ message: "deadlock", cause: { code: "40P01" } }))
              : keyed.claim(...args)
          )
      })
      yield* store.insert([row(1), row(2, a), row(3)], ready)
      const lanes = [{ ...note, limit: 9 }]
      const rows = yield* claimInDeadlocks({ lease: session, claimNumber: 1, lanes, limit: 9, maxBytes: 1_000 })
      expect(rows.map(numberOf)).toEqual([1, 2, 3])
      expect(yield* states).toEqual({ claimed: [1, 2, 3] })
    })
  )

  test(
    "a claim of rows with keys is in order with the rows without",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert(
        [row(1), row(2, a), row(3, { priority: -1, orderingKey: "b" }), row(4, { priority: -2 })],
        ready
      )
      expect(yield* claimed()).toEqual([4, 3, 1, 2])
      const rows = yield* Effect.map(
        Effect.zipRight(store.unclaim(session, [1, 2, 3].map(idOf)), claim()),
        (rows) => rows.map((row) => [numberOf(row), row.keyed, row.queue, row.task])
      )
      expect(rows).toEqual([[3, true, note.queue, "Note"], [1, false, note.queue, "Note"], [
        2,
        true,
        note.queue,
        "Note"
      ]])
      expect(yield* column("lease")).toEqual([session, session, session, session])
      expect(table).toBe("airlock_outbox")
    })
  )
})
