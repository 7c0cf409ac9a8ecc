/**
 * What the operations tell of an outbox, on each database.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Outbox from "effect-airlock/Outbox"
import { laneScan, scans } from "../../../src/internal/outbox/operations/counts.js"
import { outboxTable } from "../../../src/internal/outbox/operations/outboxTable.js"
import { readyLanes, readyLanesSql } from "../../../src/internal/outbox/operations/readyLanes.js"
import { unroutable } from "../../../src/internal/outbox/operations/unroutable.js"
import { onEachDatabase } from "../../support/databases.js"
import { idOf, insert, insertMany, insertOneInEachState, insertRelay, now, outbox, table } from "./seed.js"

const exactly = (count: number): Outbox.RowCount => ({ count, isExact: true })

const atLeast = (count: number): Outbox.RowCount => ({ count, isExact: false })

/** Whether an age is this one. The test itself takes some time. */
const about = (age: number | undefined, expected: number): boolean =>
  age !== undefined && age >= expected && age < expected + 30_000

onEachDatabase((database) => {
  const test = (name: string, effect: Effect.Effect<void, unknown, SqlClient.SqlClient>, timeout = 30_000) =>
    it.effect(name, () => effect.pipe(Effect.provide(outbox(database))), timeout)

  test(
    "an empty outbox has no rows, no ages and no relays",
    Effect.gen(function*() {
      const before = yield* now
      for (const exact of [false, true]) {
        const { at, states, ...stats } = yield* Outbox.stats({ exact })
        expect(stats).toEqual({ lanes: [], ages: {}, relays: [], paused: [] })
        expect(Object.values(states)).toEqual(Array.from({ length: 7 }, () => exactly(0)))
        expect(at.getTime()).toBeGreaterThanOrEqual(before)
      }
    })
  )

  test(
    "rows are counted by state and by lane",
    Effect.gen(function*() {
      yield* insertOneInEachState()
      yield* insert(11, "ready", { task: "Other", version: 2, queue: "slow", priority: 5 })
      yield* insert(12, "ready", { task: "Other", version: 2, queue: "slow" })
      yield* insert(13, "dead", { task: "Other", version: 2, queue: "slow", failed_at: 0 })
      yield* insert(14, "blocked", { dedupe_key: "a" })
      yield* insert(15, "blocked", { dedupe_key: "a", ordering_key: "a" })
      for (const exact of [false, true]) {
        const { lanes, states } = yield* Outbox.stats({ exact })
        const one = exactly(1)
        expect(states).toEqual({
          held: one,
          scheduled: one,
          ready: exactly(3),
          blocked: exactly(3),
          claimed: one,
          dead: exactly(2),
          done: one
        })
        const byLane = Object.fromEntries(
          lanes.map((lane) => [`${lane.task} ${lane.version} ${lane.queue}`, lane.states])
        )
        expect(byLane).toEqual({
          "Mail 1 default": {
            held: one,
            scheduled: one,
            ready: one,
            blocked: exactly(3),
            claimed: one,
            dead: one,
            done: one
          },
          "Other 2 slow": { ready: exactly(2), dead: one }
        })
      }
    })
  )

  test(
    "without `exact`, a limited number of rows is counted",
    Effect.gen(function*() {
      const time = yield* now
      const more = { due_at: time, failed_at: time, done_at: time, lease: idOf(900), ordering_key: "a" }
      let n = 0
      for (const state of ["held", "scheduled", "ready", "blocked", "claimed", "dead", "done"] as const) {
        for (let i = 0; i < 3; i++) {
          yield* insert(
            ++n,
            state,
            state === "held" || state === "scheduled" ? { due_at: time } : state === "ready" ? {} : {
              ...more,
              due_at: null
            }
          )
        }
      }
      const { states } = yield* Outbox.stats({ limit: 2 })
      expect(states.ready).toEqual(atLeast(2))
      for (const state of ["held", "scheduled", "blocked", "claimed", "dead", "done"] as const) {
        expect(states[state].isExact).toBe(false)
      }
      const { states: exact } = yield* Outbox.stats({ exact: true })
      expect(Object.values(exact)).toEqual(Array.from({ length: 7 }, () => exactly(3)))
      expect(yield* Effect.exit(Outbox.stats({ limit: 0 }))).toMatchObject({ _tag: "Failure" })
    })
  )

  test(
    "the ages are those of the oldest rows",
    Effect.gen(function*() {
      const time = yield* now
      const minutes = (count: number) => count * 60_000
      const readyFor = (age: number) => ({ ready_at: (time - age) * 1000 })
      yield* insert(1, "ready", readyFor(minutes(3)))
      yield* insert(2, "ready", readyFor(minutes(2)))
      yield* insert(3, "ready", { ...readyFor(minutes(5)), priority: 9 })
      yield* insert(4, "held", { due_at: time + 9000, enqueued_at: time - minutes(7) })
      yield* insert(5, "held", { due_at: time + 8000, enqueued_at: time - minutes(6) })
      yield* insert(6, "scheduled", { due_at: time - minutes(4), enqueued_at: time - minutes(90) })
      yield* insert(7, "scheduled", { due_at: time + minutes(4), enqueued_at: time - minutes(90) })
      yield* insert(8, "ready", { ...readyFor(minutes(50)), task: "Delayed", delay_millis: minutes(49) })
      yield* insert(9, "ready", { ...readyFor(minutes(50)), task: "At", run_at: time - minutes(1) })
      yield* insert(10, "ready", { ...readyFor(minutes(50)), task: "Retried", failed_at: time - minutes(1) })
      yield* insertRelay(1, [["Mail", 1]])
      for (const exact of [false, true]) {
        const { ages, lanes } = yield* Outbox.stats({ exact })
        expect(about(ages.ready, minutes(5))).toBe(true)
        expect(about(ages.held, minutes(7))).toBe(true)
        expect(about(ages.overdue, minutes(4))).toBe(true)
        expect(about(ages.unroutable, minutes(1))).toBe(true)
        for (const { readyMillis, task } of lanes) {
          expect([task, about(readyMillis, task === "Mail" ? minutes(5) : minutes(1))]).toEqual([task, true])
        }
      }
    })
  )

  test(
    "live relays are told, and which lanes they serve",
    Effect.gen(function*() {
      const time = yield* now
      yield* insertRelay(1, [["Mail", 2], ["Other", 1]], { queues: ["mail", "default"] })
      yield* insertRelay(2, [["Slow", 1]])
      yield* insertRelay(3, [["Dead", 1]], { isExpired: true })
      yield* insert(1, "ready", { version: 1 })
      yield* insert(2, "ready", { version: 2, queue: "mail" })
      yield* insert(3, "ready", { version: 3 })
      yield* insert(4, "ready", { version: 1, queue: "slow" })
      yield* insert(5, "ready", { task: "Slow", queue: "slow" })
      yield* insert(6, "ready", { task: "Dead" })
      yield* insert(7, "dead", { task: "Dead", failed_at: 1, version: 9 })
      yield* Outbox.pause("slow")
      const { lanes, relays } = yield* Outbox.stats()
      expect(relays.every(({ since }) => Math.abs(time - 5000 - since.getTime()) < 5000)).toBe(true)
      expect(relays.map(({ id, name, queues, tasks }) => [id, name, tasks, queues])).toEqual([
        [idOf(1), "relay 1", [{ task: "Mail", version: 2 }, { task: "Other", version: 1 }], ["mail", "default"]],
        [idOf(2), "relay 2", [{ task: "Slow", version: 1 }], undefined]
      ])
      const told = lanes.map(({ isPaused, isServed, queue, task, version }) =>
        `${task} ${version} ${queue}: ${isServed ? "served" : "not served"}${isPaused ? ", paused" : ""}`
      )
      expect(told.sort()).toEqual([
        "Dead 1 default: not served",
        "Dead 9 default: not served",
        "Mail 1 default: served",
        "Mail 1 slow: not served, paused",
        "Mail 2 mail: served",
        "Mail 3 default: not served",
        "Slow 1 slow: served, paused"
      ])
    })
  )

  test(
    "lanes that no live relay serves are unroutable, once they have waited for a time",
    Effect.gen(function*() {
      const time = yield* now
      const readyFor = (age: number) => ({ ready_at: (time - age) * 1000 })
      yield* insert(1, "ready", readyFor(600_000))
      yield* insert(2, "ready", { ...readyFor(300_000), version: 2 })
      yield* insert(3, "ready", { ...readyFor(300_000), task: "Other", queue: "mail" })
      yield* insert(4, "ready", { task: "New" })
      const outbox = yield* outboxTable(table)
      const found = (olderThanMillis: number) =>
        Effect.map(
          unroutable(outbox, { olderThanMillis }),
          (lanes) =>
            lanes.map(({ ageMillis, queue, task, version }) => {
              expect(about(ageMillis, task === "New" ? 0 : version === 2 || task === "Other" ? 300_000 : 600_000)).toBe(
                true
              )
              return `${task} ${version} ${queue}`
            })
        )
      expect(yield* found(0)).toEqual(["Mail 1 default", "Mail 2 default", "New 1 default", "Other 1 mail"])
      expect(yield* found(900_000)).toEqual([])
      yield* insertRelay(1, [["Mail", 1], ["Other", 1]], { queues: ["default"] })
      expect(yield* found(200_000)).toEqual(["Mail 2 default", "Other 1 mail"])
      yield* insertRelay(2, [["Mail", 2], ["Other", 1]])
      expect(yield* found(200_000)).toEqual([])
    })
  )

  test(
    "with 100 000 rows, the statements of the cheap path read indexes only as far as they need",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* insertMany(100_000)
      const outbox = yield* outboxTable(table)
      const limit = 1_000
      const lanes = yield* readyLanes(outbox)
      expect(lanes).toHaveLength(3)
      const values = `'${lanes[0]!.queue}', '${lanes[0]!.task}', 1`.split(", ")
      const statements = [
        readyLanesSql(outbox.dialect, outbox.tables),
        laneScan(outbox, limit).replace(":queue", values[0]!).replace(":task", values[1]!).replace(
          ":version",
          values[2]!
        ),
        ...scans(outbox, limit).map(({ text }) => text)
      ]
      for (const statement of statements) {
        const explained = yield* sql.onDialectOrElse({
          // With 100 000 rows no plan without an index reads less than all of them.
          pg: () =>
            Effect.map(
              sql.unsafe<{ "QUERY PLAN": string }>(`EXPLAIN (ANALYZE, TIMING OFF) ${statement}`),
              (rows) => rows.map((row) => row["QUERY PLAN"])
            ),
          mysql: () =>
            Effect.map(
              sql.unsafe<{ table: string, type: string, key: string | null, Extra: string }>(`EXPLAIN ${statement}`),
              (rows) => rows.map(({ Extra, key, table, type }) => `${table} ${type} ${key} ${Extra}`)
            ),
          orElse: () =>
            Effect.map(
              sql.unsafe<{ detail: string }>(`EXPLAIN QUERY PLAN ${statement}`),
              (rows) => rows.map(({ detail }) => detail)
            )
        })
        const plan = explained.join("\n")
        const reads = sql.onDialectOrElse({
          pg: () => /Seq Scan on airlock_outbox|Sort Method: external|actual rows=(?!1001)\d{4,}/,
          mysql: () => /^(airlock_outbox|r|n) ALL|^(airlock_outbox|r|n) \w+ null/m,
          orElse: () => /SCAN (airlock_outbox|r|n|last)(?! USING)/
        })
        expect([statement, plan, reads.test(plan)]).toEqual([statement, plan, false])
        if (database.name === "MySQL" && statement === statements[0]) {
          // It jumps from one lane to the next.
          expect(plan).toContain("Using index for group-by")
        }
      }
    }),
    60_000
  )
})
