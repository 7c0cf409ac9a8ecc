/**
 * The sessions of relays, and what becomes of the rows that they have claimed, on each database.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { readHistory } from "../../../../src/internal/outbox/store/history.js"
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
  sessionOf,
  states,
  table
} from "../testStore.js"

const hostile = "\u0000 é😀 \\ \" ' ? $1 :name \ud800 \n `"

onEachDatabase((database) => {
  const test = (name: string, effect: Effect.Effect<void, unknown, Outbox | SqlClient.SqlClient>) =>
    it.effect(name, () => effect.pipe(Effect.provide(outbox(database))), 30_000)

  /** Lets the lease of the session end, and reaps it. */
  const reap = Effect.gen(function*() {
    const store = yield* Outbox
    expect(yield* store.heartbeat(sessionOf(session), -1)).toBe(true)
    return yield* store.reap
  })

  test(
    "a look finds the lanes with ready rows, the paused queues, and whether something is due",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      expect(yield* store.look).toEqual({ lanes: [], paused: [], isDue: false })
      const queues = ["a", "mail", "z"]
      const lanes = queues.flatMap((queue) =>
        ["Note", "Other \"'"].flatMap((task) => [1, 2, 10].map((version) => ({ queue, task, version })))
      )
      yield* store.insert(lanes.flatMap((lane, n) => [row(n, lane), row(n + 100, lane)]), ready)
      yield* store.insert([row(200, { queue: "held" })], held())
      yield* store.insert([row(201, { queue: "later", delayMillis: 60_000 })], ready)
      const found = yield* store.look
      expect(found).toMatchObject({ lanes, paused: [], isDue: false })
      // The row that is held is due sooner or later.
      expect(found.dueInMillis).toBeGreaterThan(0)
      expect(found.dueInMillis).toBeLessThanOrEqual(60_000)
      yield* sql.unsafe(`INSERT INTO ${table}_queue (queue, paused_at) VALUES ('mail', 1), ('a', NULL)`)
      expect((yield* store.look).paused).toEqual(["mail"])
      yield* passTime(70_000)
      expect(yield* store.look).toMatchObject({ isDue: true, dueInMillis: expect.closeTo(-10_000, -4) })
      yield* store.expire
      expect((yield* store.look).isDue).toBe(false)
      yield* register(otherSession, -1)
      expect((yield* store.look).isDue).toBe(true)
    })
  )

  test(
    "a reaped session can neither beat, nor begin, nor claim, until it registers again",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1)], ready)
      expect(yield* store.begin(session, { upTo: 0, except: [], last: 0, also: [] })).toBe(true)
      expect(yield* reap).toEqual([{ relay: session, rows: 0, attempts: 0 }])
      expect(yield* store.heartbeat(sessionOf(session), 60_000)).toBe(false)
      expect(yield* store.begin(session, { upTo: 0, except: [], last: 0, also: [] })).toBe(false)
      expect(yield* claimed()).toEqual([])
      expect(
        yield* store.claim({
          lease: session,
          claimNumber: 1,
          lanes: [{ ...note, limit: 1 }, { ...note, task: "Other", limit: 1 }],
          limit: 2,
          maxBytes: 9
        })
      )
        .toEqual([])
      yield* register(session)
      expect(yield* claimed()).toEqual([1])
    })
  )

  test(
    "a beat stores the tasks that the relay can run now",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      yield* store.heartbeat({ id: session, tasks: [["Note", 2], ["Other", 1]] }, 60_000)
      expect(yield* sql.unsafe(`SELECT tasks FROM ${table}_relay WHERE id = '${session}'`)).toEqual(
        [{ tasks: JSON.stringify([["Note", 2], ["Other", 1]]) }]
      )
    })
  )

  test(
    "a session that has expired lives on if it beats before another relay reaps it",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1)], ready)
      yield* claimed()
      yield* register(session, -1)
      expect(yield* store.heartbeat(sessionOf(session), 60_000)).toBe(true)
      expect(yield* store.reap).toEqual([])
      expect(yield* states).toEqual({ claimed: [1] })
    })
  )

  test(
    "the number of a claim is larger than 32 bits in a relay that runs for months",
    Effect.gen(function*() {
      const store = yield* Outbox
      const options = { lease: session, claimNumber: 2 ** 40, limit: 2, maxBytes: 1_000 }
      yield* store.insert([row(1), row(2, { orderingKey: "a" })], ready)
      const rows = yield* store.claim({ ...options, lanes: [{ ...note, limit: 2 }] })
      expect(rows.map(numberOf)).toEqual([1, 2])
      yield* store.insert([row(3)], ready)
      const lanes = [{ ...note, limit: 2 }, { ...note, task: "Other", limit: 1 }]
      expect((yield* store.claim({ ...options, claimNumber: 2 ** 40 + 1, lanes })).map(numberOf)).toEqual([3])
      yield* store.begin(session, { upTo: 2 ** 40, except: [], last: 2 ** 40, also: [] })
      expect(yield* reap).toEqual([{ relay: session, rows: 3, attempts: 2 }])
    })
  )

  test(
    "of the rows of a reaped session, those whose handlers had begun have used an attempt",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert(Array.from({ length: 50 }, (_, n) => row(n)), ready)
      yield* claimed()
      yield* store.begin(session, { upTo: 0, except: [], last: 1, also: [3, 7, 99].map(idOf) })
      yield* acknowledge(0)
      expect(yield* reap).toEqual([{ relay: session, rows: 49, attempts: 2 }])
      const rows = yield* claim(100, otherSession)
      expect(rows.filter(({ attempt }) => attempt > 0).map(numberOf)).toEqual([3, 7])
      expect(rows).toHaveLength(49)
      const [, , , burned] = rows.map(({ history }) => readHistory(history))
      expect(rows.map(({ history }) => readHistory(history).length).filter((length) => length > 0)).toEqual([1, 1])
      expect(burned ?? []).toEqual([])
      expect(readHistory(rows.find((row) => numberOf(row) === 3)!.history)).toMatchObject([
        { attempt: 1, relay: session, error: "The relay's process died or lost its lease while the handler ran." }
      ])
    })
  )

  test(
    "a row that its session has claimed again since has not begun anew",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1)], ready)
      yield* claimed()
      yield* store.begin(session, { upTo: 0, except: [], last: 1, also: [idOf(1)] })
      yield* store.fail(session, [retry(1, 0)])
      yield* store.expire
      yield* store.claim({
        lease: session,
        claimNumber: 2,
        lanes: [{ ...note, limit: 1 }],
        limit: 1,
        maxBytes: 1_000
      })
      expect(yield* reap).toEqual([{ relay: session, rows: 1, attempts: 0 }])
      expect((yield* claim(1, otherSession)).map(({ attempt }) => attempt)).toEqual([1])
    })
  )

  test(
    "a late acknowledgement counts until another relay has claimed the row",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2), row(3)], ready)
      yield* claimed()
      yield* reap
      expect(yield* claimed(1, otherSession)).toEqual([1])
      expect(yield* acknowledge(1, 2)).toEqual([idOf(2)])
      expect(yield* store.fail(session, [die(1)])).toEqual([])
      expect(yield* store.fail(session, [retry(1), retry(3)])).toEqual([idOf(3)])
      expect(yield* store.unclaim(session, [idOf(1), idOf(3)])).toEqual([])
      expect(yield* states).toEqual({ claimed: [1], scheduled: [3] })
      expect(yield* store.acknowledge(otherSession, [idOf(1)])).toEqual([idOf(1)])
      expect(yield* store.acknowledge(otherSession, [])).toEqual([])
    })
  )

  test(
    "a claim and an undone claim use no attempt",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2), row(3, { orderingKey: "a" })], ready)
      yield* claimed()
      expect(yield* store.unclaim(session, [idOf(1), idOf(9)])).toEqual([idOf(1)])
      yield* store.unclaimOthers(session, [idOf(3)])
      expect(yield* states).toEqual({ claimed: [3], ready: [1, 2] })
      expect((yield* column("lease")).slice(0, 2)).toEqual([null, null])
      yield* store.unregister(session)
      expect(yield* claimed()).toEqual([])
      expect((yield* claim(9, otherSession)).map((row) => [numberOf(row), row.attempt])).toEqual([[1, 0], [2, 0], [
        3,
        0
      ]])
    })
  )

  test(
    "a failure is stored with its attempts, its error and its history, and a dead letter is neither claimed nor discarded",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2), row(3)], ready)
      yield* claimed()
      const history = JSON.stringify([{ error: hostile }])
      const failures = [
        { ...die(1), attempt: 4, error: hostile, history },
        { ...retry(2), attempt: 2, error: "again", history },
        { ...retry(3), attempt: 0, error: null }
      ]
      expect([...(yield* store.fail(session, failures))].sort()).toEqual([1, 2, 3].map(idOf))
      expect(yield* states).toEqual({ dead: [1], scheduled: [2, 3] })
      expect((yield* column("attempt")).map(Number)).toEqual([4, 2, 0])
      const [error, again, none] = yield* column("error")
      expect(String(error)).toContain("é😀 \\ \" ' ? $1 :name")
      expect([again, none]).toEqual(["again", null])
      expect((yield* column("history")).map((value) => value === null)).toEqual([false, false, true])
      expect((yield* column("failed_at")).map((value) => value === null)).toEqual([false, false, true])
      expect(yield* column("lease")).toEqual([null, null, null])
      yield* store.discard([idOf(1)])
      yield* passTime(20_000)
      expect(yield* store.expire).toEqual({ released: 0, discarded: 0, due: 2 })
      expect((yield* claim()).map((row) => [numberOf(row), row.attempt, row.history])).toEqual([[2, 2, history], [
        3,
        0,
        null
      ]])
      yield* store.fail(session, [{ ...retry(2), error: null }])
      expect((yield* column("error"))[1]).toBe("again")
    })
  )

  test(
    "rows that are done stay until they are pruned",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      yield* store.insert([row(1), row(2), row(3), row(4)], ready)
      yield* claimed(3)
      expect(yield* store.acknowledge(session, [1, 2, 3].map(idOf), { keepDone: true })).toHaveLength(3)
      expect(yield* states).toEqual({ done: [1, 2, 3], ready: [4] })
      expect(yield* acknowledge(1)).toEqual([])
      expect(yield* store.prune(60_000, 10)).toBe(0)
      yield* sql.unsafe(`UPDATE ${table} SET done_at = done_at - 60001 WHERE id <> '${idOf(3)}'`)
      expect(yield* store.prune(60_000, 1)).toBe(1)
      expect(yield* store.prune(60_000, 10)).toBe(1)
      expect(yield* states).toEqual({ done: [3], ready: [4] })
    })
  )
})
