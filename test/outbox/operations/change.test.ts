/**
 * The operations that change rows, on each database.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Outbox from "effect-airlock/Outbox"
import { onEachDatabase, onEachServer, transaction } from "../../support/databases.js"
import {
  failedAttempt,
  idOf,
  insert,
  insertOneInEachState,
  now,
  numbers,
  oneInEachState,
  outbox,
  statesByNumber,
  table
} from "./seed.js"

type Operation = typeof Outbox.redrive

const operations: Readonly<Record<string, Operation>> = {
  redrive: Outbox.redrive,
  cancel: Outbox.cancel,
  discardDeadLetters: Outbox.discardDeadLetters,
  runNow: Outbox.runNow
}

/** The rows after an operation on one row in each state. */
const after: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  redrive: { 1: "held", 2: "scheduled", 3: "ready", 4: "blocked", 5: "claimed", 6: "ready", 7: "done" },
  cancel: { 1: "held", 5: "claimed", 6: "dead", 7: "done" },
  discardDeadLetters: { 1: "held", 2: "scheduled", 3: "ready", 4: "blocked", 5: "claimed", 7: "done" },
  runNow: { 1: "held", 2: "ready", 3: "ready", 4: "blocked", 5: "claimed", 6: "dead", 7: "done" }
}

onEachDatabase((database) => {
  const test = (name: string, effect: Effect.Effect<void, unknown, SqlClient.SqlClient>) =>
    it.effect(name, () => effect.pipe(Effect.provide(outbox(database))), 30_000)

  for (const [name, operate] of Object.entries(operations)) {
    test(
      `${name} changes the rows in its own states only, whatever the selection says`,
      Effect.gen(function*() {
        yield* insertOneInEachState({ task: "Mail" })
        const changed = name === "cancel" ? 3 : 1
        expect(yield* operate({ all: true })).toBe(changed)
        expect(yield* statesByNumber).toEqual(after[name])
        expect(yield* operate({ state: ["held", "claimed", "done"] })).toBe(0)
        expect(yield* operate({ id: [1, 5, 7].map(idOf) })).toBe(0)
        expect(yield* statesByNumber).toEqual(after[name])
      })
    )

    test(
      `${name} refuses a selection without a condition`,
      Effect.gen(function*() {
        yield* insertOneInEachState()
        const before = yield* statesByNumber
        // Code without types, or a condition that is undefined by mistake, gives such selections.
        const empty: ReadonlyArray<unknown> = [{}, { task: undefined }, { enqueued: {} }, { all: false }, {
          all: undefined
        }]
        for (const selection of empty) {
          const error = yield* Effect.flip(operate(selection as Outbox.OutboxSelection))
          expect(error).toBeInstanceOf(Outbox.OutboxSelectionError)
          expect(error.message).toContain(`Outbox.${name} got a selection without a condition`)
        }
        expect(yield* statesByNumber).toEqual(before)
      })
    )
  }

  test(
    "a redriven row has all its attempts, keeps its history, and comes after the rows that are ready",
    Effect.gen(function*() {
      yield* insert(1, "dead", {
        attempt: 3,
        error: "no",
        failed_at: 5,
        ready_at: 7,
        lease: idOf(9),
        history: JSON.stringify([failedAttempt])
      })
      const time = yield* now
      yield* Outbox.redrive({ id: idOf(1) })
      const { rows: [row] } = yield* Outbox.find()
      const { lease, readyAt, ...rest } = row!
      expect(rest).toMatchObject({ state: "ready", attempt: 0, error: "no", failedAt: new Date(5) })
      expect(row!.history).toHaveLength(1)
      expect(lease).toBe(undefined)
      expect(readyAt!.getTime()).toBeGreaterThanOrEqual(time - 1)
    })
  )

  test(
    "a row that runs now waits for nothing",
    Effect.gen(function*() {
      yield* insert(1, "scheduled", { due_at: (yield* now) + 60_000, attempt: 2, ready_at: 7000 })
      expect(yield* Outbox.runNow({ task: "Mail" })).toBe(1)
      const { rows: [row] } = yield* Outbox.find()
      expect(row).toMatchObject({ state: "ready", attempt: 2, readyAt: new Date(7) })
      expect(row!.dueAt).toBe(undefined)
    })
  )

  test(
    "a selection is changed in batches, and only the selected rows change",
    Effect.gen(function*() {
      for (let n = 1; n <= 7; n++) {
        yield* insert(n, "dead", { failed_at: n, task: n === 4 ? "Other" : "Mail" })
      }
      expect(yield* Outbox.redrive({ task: "Mail" }, { batch: 2 })).toBe(6)
      expect(numbers(yield* Outbox.deadLetters())).toEqual([4])
      expect(yield* Effect.exit(Outbox.redrive({ all: true }, { batch: 0 }))).toMatchObject({ _tag: "Failure" })
    })
  )

  test(
    "an operation in a transaction is rolled back with it",
    Effect.gen(function*() {
      yield* insertOneInEachState()
      const before = yield* statesByNumber
      yield* Effect.ignore(transaction(Effect.zipRight(Outbox.cancel({ all: true }), Effect.fail("no"))))
      expect(yield* statesByNumber).toEqual(before)
    })
  )

  test(
    "a cancelled row lets the next rows of its keys run",
    Effect.gen(function*() {
      const time = yield* now
      const keyed = (n: number, state: Outbox.OutboxState, key: string, column = "ordering_key") =>
        insert(n, state, {
          [column]: key,
          ready_at: time * 1000 + n,
          ...(state === "scheduled" && { due_at: time + 60_000 })
        })
      yield* keyed(1, "scheduled", "a")
      yield* keyed(2, "blocked", "a")
      yield* keyed(3, "blocked", "a")
      yield* keyed(4, "ready", "b", "dedupe_key")
      yield* keyed(5, "blocked", "b", "dedupe_key")
      yield* keyed(6, "ready", "c")
      yield* keyed(7, "blocked", "c")
      expect(yield* Outbox.cancel({ id: [1, 4].map(idOf) })).toBe(2)
      expect(yield* statesByNumber).toEqual({ 2: "ready", 3: "blocked", 5: "ready", 6: "ready", 7: "blocked" })
    })
  )

  test(
    "prune deletes what has been done for a time, and dead letters if asked to",
    Effect.gen(function*() {
      const time = yield* now
      for (let n = 1; n <= 5; n++) {
        yield* insert(n, "done", { done_at: time - 100_000 })
      }
      yield* insert(6, "done", { done_at: time })
      yield* insert(7, "dead", { failed_at: time - 100_000 })
      yield* insert(8, "dead", { failed_at: time })
      yield* insert(9, "ready", { failed_at: time - 100_000 })
      expect(yield* Outbox.prune({ olderThan: "50 seconds", batch: 2 })).toBe(5)
      expect(yield* statesByNumber).toEqual({ 6: "done", 7: "dead", 8: "dead", 9: "ready" })
      expect(yield* Outbox.prune({ olderThan: "50 seconds", state: ["dead", "done"] })).toBe(1)
      expect(yield* Outbox.prune({ olderThan: Infinity, state: "dead" })).toBe(0)
      expect(yield* statesByNumber).toEqual({ 6: "done", 8: "dead", 9: "ready" })
    })
  )

  test(
    "a queue is paused until it is resumed",
    Effect.gen(function*() {
      const time = yield* now
      expect([yield* Outbox.pause("mail"), yield* Outbox.pause("mail"), yield* Outbox.pause("é '")]).toEqual([
        true,
        false,
        true
      ])
      const { paused } = yield* Outbox.stats()
      expect(paused.map(({ queue }) => queue)).toEqual(["mail", "é '"])
      expect(paused[0]!.since.getTime()).toBeGreaterThanOrEqual(time)
      expect([yield* Outbox.resume("mail"), yield* Outbox.resume("mail"), yield* Outbox.resume("é '")]).toEqual([
        true,
        false,
        true
      ])
      expect((yield* Outbox.stats()).paused).toEqual([])
      expect(yield* Outbox.pause("mail")).toBe(true)
      expect((yield* Outbox.stats()).paused).toHaveLength(1)
    })
  )
})

onEachServer((database) => {
  it.effect("an operation skips the rows that another transaction has locked", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* insertOneInEachState()
      const scheduled = oneInEachState.indexOf("scheduled") + 1
      yield* transaction(Effect.gen(function*() {
        yield* sql.unsafe(`SELECT id FROM ${table} WHERE id = '${idOf(scheduled)}' FOR UPDATE`)
        // In a fiber without this transaction, the operation has a connection of its own.
        const outside = yield* Effect.promise(() =>
          Effect.runPromise(
            Outbox.cancel({ all: true }).pipe(
              Effect.provideService(SqlClient.SqlClient, sql)
            )
          )
        )
        expect(outside).toBe(2)
      }))
      expect(yield* statesByNumber).toEqual({ 1: "held", 2: "scheduled", 5: "claimed", 6: "dead", 7: "done" })
    }).pipe(Effect.provide(outbox(database))))
})
