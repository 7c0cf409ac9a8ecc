/**
 * Finding rows in the outbox, on each database.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Outbox from "effect-airlock/Outbox"
import { onEachDatabase } from "../../support/databases.js"
import { failedAttempt, idOf, insert, insertOneInEachState, now, numbers, oneInEachState, outbox } from "./seed.js"

const hostile = "é😀 \\ \" ' ? $1 :name `"

onEachDatabase((database) => {
  const test = (name: string, effect: Effect.Effect<void, unknown, SqlClient.SqlClient>) =>
    it.effect(name, () => effect.pipe(Effect.provide(outbox(database))), 30_000)

  test(
    "a row is found with its typed values",
    Effect.gen(function*() {
      const time = yield* now
      yield* insert(1, "scheduled", {
        task: "Mail",
        version: 3,
        queue: "mail",
        priority: -2,
        payload: JSON.stringify({ to: hostile }),
        options: JSON.stringify({ origin: { file: "a.ts" }, native: { x: 1 } }),
        ordering_key: "key",
        dedupe_key: "once",
        max_attempts: 7,
        attempt: 3,
        run_at: time + 1000,
        due_at: time + 2000,
        ready_at: (time - 5) * 1000,
        failed_at: time - 4,
        error: "no",
        history: JSON.stringify([failedAttempt]),
        trace_id: "0123456789abcdef0123456789abcdef",
        span_id: "0123456789abcdef"
      })
      yield* insert(2, "claimed", { lease: idOf(9), ready_at: time * 1000 })
      yield* insert(3, "done", {
        done_at: time,
        payload: "not JSON: base64==",
        options: JSON.stringify({ codec: true })
      })
      const { cursor, rows: [first, second, third, ...more] } = yield* Outbox.find()
      expect(first).toEqual({
        id: idOf(1),
        task: "Mail",
        version: 3,
        queue: "mail",
        state: "scheduled",
        payload: { to: hostile },
        attempt: 3,
        maxAttempts: 7,
        priority: -2,
        orderingKey: "key",
        dedupeKey: "once",
        enqueuedAt: new Date(1_790_000_000_001),
        readyAt: new Date(time - 5),
        dueAt: new Date(time + 2000),
        runAt: new Date(time + 1000),
        failedAt: new Date(time - 4),
        error: "no",
        history: [{ ...failedAttempt, at: new Date(failedAttempt.at) }],
        options: { origin: { file: "a.ts" }, native: { x: 1 } },
        traceId: "0123456789abcdef0123456789abcdef",
        spanId: "0123456789abcdef"
      })
      expect(second).toEqual({
        id: idOf(2),
        task: "Mail",
        version: 1,
        queue: "default",
        state: "claimed",
        payload: { n: 2 },
        attempt: 0,
        priority: 0,
        enqueuedAt: new Date(1_790_000_000_002),
        readyAt: new Date(time),
        lease: idOf(9),
        history: [],
        options: {}
      })
      expect(third).toMatchObject({
        payload: "not JSON: base64==",
        options: { codec: true },
        doneAt: new Date(time)
      })
      expect(more).toEqual([])
      expect(cursor).toBe(undefined)
    })
  )

  const deep = (order: unknown) => ({ payload: JSON.stringify({ order, list: [{ a: 1 }, { a: hostile }] }) })

  test(
    "a filter finds the rows that fulfil all its conditions",
    Effect.gen(function*() {
      yield* insert(1, "ready", { queue: "mail", ordering_key: hostile, ...deep({ id: 7, "a b.c": "x" }) })
      yield* insert(2, "dead", { failed_at: 0, dedupe_key: "twice", ...deep({ id: "7", ok: true, none: null }) })
      yield* insert(3, "ready", { task: "Other", dedupe_key: "twice", ...deep({ id: 7.5, ok: false, none: 0 }) })
      yield* insert(4, "ready", { payload: "codec {" })
      yield* insert(5, "ready", { payload: "{codec: 7", options: JSON.stringify({ codec: true }), task: hostile })
      yield* insert(6, "ready", deep({ id: "\u0007 é" }))
      const at = 1_790_000_000_000
      const cases: ReadonlyArray<readonly [Outbox.OutboxFilter, ReadonlyArray<number>]> = [
        [{}, [1, 2, 3, 4, 5, 6]],
        [{ id: idOf(2) }, [2]],
        [{ id: [idOf(2), idOf(3).toUpperCase(), "no id", idOf(99)] }, [2, 3]],
        [{ id: [] }, []],
        [{ id: "no id" }, []],
        [{ task: "Other" }, [3]],
        [{ task: "other" }, []],
        [{ task: ["Other", hostile] }, [3, 5]],
        [{ queue: "mail" }, [1]],
        [{ queue: ["mail", "default"], task: "Mail" }, [1, 2, 4, 6]],
        [{ state: "dead" }, [2]],
        [{ state: ["dead", "claimed"] }, [2]],
        [{ state: [] }, []],
        [{ orderingKey: hostile }, [1]],
        [{ dedupeKey: "twice" }, [2, 3]],
        [{ dedupeKey: "twice", task: "Mail" }, [2]],
        [{ enqueued: { from: new Date(at + 2), to: new Date(at + 5) } }, [2, 3, 4]],
        [{ enqueued: { to: new Date(at + 2) } }, [1]],
        [{ enqueued: { from: new Date(at + 5) } }, [5, 6]],
        [{ payload: { path: ["order", "id"], equals: 7 } }, [1]],
        [{ payload: { path: ["order", "id"], equals: "7" } }, [2]],
        [{ payload: { path: ["order", "id"], equals: 7.5 } }, [3]],
        [{ payload: { path: ["order", "id"], equals: "\u0007 é" } }, [6]],
        [{ payload: { path: ["order", "a b.c"], equals: "x" } }, [1]],
        [{ payload: { path: ["order", "ok"], equals: true } }, [2]],
        [{ payload: { path: ["order", "ok"], equals: false } }, [3]],
        [{ payload: { path: ["order", "ok"], equals: 1 } }, []],
        [{ payload: { path: ["order", "none"], equals: null } }, [2]],
        [{ payload: { path: ["order", "none"], equals: 0 } }, [3]],
        [{ payload: { path: ["list", 1, "a"], equals: hostile } }, [1, 2, 3, 6]],
        [{ payload: { path: ["list", 2, "a"], equals: hostile } }, []],
        [{ payload: { path: ["n", "m"], equals: "x" } }, []],
        [{ payload: { path: ["order"], equals: "x" } }, []]
      ]
      for (const [filter, expected] of cases) {
        expect([filter, numbers(yield* Outbox.find(filter))]).toEqual([filter, expected])
      }
    })
  )

  test(
    "pages follow each other by their cursor, and the last one has none",
    Effect.gen(function*() {
      for (let n = 1; n <= 5; n++) {
        yield* insert(n, "ready", { task: n === 3 ? "Other" : "Mail" })
      }
      const first = yield* Outbox.find({ task: "Mail" }, { limit: 2 })
      const second = yield* Outbox.find({ task: "Mail" }, { limit: 2, cursor: first.cursor! })
      expect([numbers(first), first.cursor, numbers(second), second.cursor]).toEqual([
        [1, 2],
        idOf(2),
        [4, 5],
        undefined
      ])
      expect(yield* Effect.exit(Outbox.find({}, { limit: 0 }))).toMatchObject({ _tag: "Failure" })
      expect(yield* Effect.exit(Outbox.find({}, { cursor: "no id" }))).toMatchObject({ _tag: "Failure" })
    })
  )

  test(
    "dead letters are the rows in the state dead",
    Effect.gen(function*() {
      yield* insertOneInEachState()
      const dead = oneInEachState.indexOf("dead") + 1
      expect(numbers(yield* Outbox.deadLetters())).toEqual([dead])
      expect(numbers(yield* Outbox.deadLetters({ task: "Other" }))).toEqual([])
    })
  )

  test(
    "an operation can name another table",
    Effect.gen(function*() {
      yield* Outbox.migrate("other_outbox")
      yield* insert(1, "ready")
      expect(numbers(yield* Outbox.find({}, { table: "other_outbox" }))).toEqual([])
    })
  )
})
