/**
 * Which rows the relay claims, and when.
 */
import { SqlClient } from "@effect/sql"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect } from "@effect/vitest"
import { Effect, Layer, TestClock } from "effect"
import { Task } from "effect-airlock"
import { until } from "../../../support/until.js"
import { insert, isEmpty, Note, passBackoff, relayWith, running, settle, stored, test } from "../testRelay.js"
import { column, idOf, Outbox, ready, row, states } from "../testStore.js"

describe("the relay claims", () => {
  test(
    "ready rows, when it is notified and when it polls",
    Effect.gen(function*() {
      yield* insert(row(1), row(2, { orderingKey: "k" }), row(3, { orderingKey: "k" }))
      const { notify, ran } = yield* running(() => Effect.void, {
        pollInterval: "1 minute",
        batchSize: 2,
        concurrency: 1
      })
      yield* until(isEmpty)
      yield* insert(row(4))
      yield* notify
      yield* until(isEmpty)
      yield* insert(row(5))
      yield* until(Effect.zipRight(TestClock.adjust("1 minute"), isEmpty))
      expect(ran).toEqual([1, 2, 3, 4, 5].map((n) => ({ n, attempt: 1 })))
    })
  )

  test(
    "rows that are due before the next poll, when they are due",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1, { delayMillis: 600_000 })], ready)
      let looks = 0
      const gate = yield* Effect.makeLatch(false)
      const failing = Effect.zipRight(gate.await, Effect.fail("no"))
      const { ran } = yield* running((_, attempt) => attempt === 1 ? failing : Effect.void, {
        pollInterval: "1 hour",
        change: (store) => ({ ...store, look: Effect.zipRight(Effect.sync(() => looks++), store.look) })
      })
      yield* until(Effect.sync(() => looks === 1))
      yield* settle
      yield* passBackoff
      yield* TestClock.adjust("9 minutes")
      yield* settle
      expect([looks, ran.length]).toEqual([1, 0])
      yield* TestClock.adjust("61 seconds")
      yield* until(Effect.sync(() => ran.length === 1))
      // Now it knows that there are no other rows. The first attempt fails, and the second one is due within a second.
      yield* settle
      yield* gate.open
      yield* until(Effect.map(stored(1), (row) => row?.attempt === 1))
      yield* passBackoff
      yield* TestClock.adjust("1 second")
      yield* until(isEmpty)
      expect(ran.map(({ attempt }) => attempt)).toEqual([1, 2])
      expect(looks).toBeLessThan(10)
    })
  )

  test(
    "rows for slots that become free while other handlers run: a slow one delays only itself",
    Effect.gen(function*() {
      yield* insert(...Array.from({ length: 30 }, (_, n) => row(n + 1)))
      const { ran } = yield* running((n) => n === 1 ? Effect.never : Effect.void, { concurrency: 2, batchSize: 5 })
      yield* until(Effect.map(states, ({ claimed, ready }) => ready === undefined && claimed?.length === 1))
      expect(ran.length).toBe(30)
      expect(yield* states).toEqual({ claimed: [1] })
    })
  )

  test(
    "no more rows than it has slots for, unless its handlers are fast",
    Effect.gen(function*() {
      yield* insert(...Array.from({ length: 30 }, (_, n) => row(n + 1)))
      const { ran } = yield* running(() => Effect.never, { concurrency: 3 })
      yield* until(Effect.sync(() => ran.length === 3))
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      expect((yield* states)["claimed"]).toEqual([1, 2, 3])
    })
  )

  test(
    "for each queue within its limit, and for none that it does not serve",
    Effect.gen(function*() {
      const inQueue = (queue: string, ...numbers: ReadonlyArray<number>) => numbers.map((n) => row(n, { queue }))
      yield* insert(...inQueue("mail", 1, 2, 3), ...inQueue("a", 4, 5), ...inQueue("b", 6, 7))
      const { ran } = yield* running(() => Effect.never, { queues: { mail: 1, "*": 3 } })
      yield* until(Effect.sync(() => ran.length === 4))
      expect(ran.map(({ n }) => n).sort()).toEqual([1, 4, 5, 6])
    })
  )

  for (const [first, second] of [["a", "b"], ["b", "a"]] as const) {
    test(
      `for each queue in turn if they have more slots than the relay: "${first}" takes none from "${second}"`,
      Effect.gen(function*() {
        yield* insert(
          ...Array.from({ length: 30 }, (_, n) => row(n + 1, { queue: first })),
          ...Array.from({ length: 3 }, (_, n) => row(n + 101, { queue: second }))
        )
        const { ran } = yield* running(() => Effect.yieldNow(), { concurrency: 1, queues: { a: 1, b: 1 } })
        yield* until(isEmpty)
        expect(ran.slice(0, 15).filter(({ n }) => n > 100)).toHaveLength(3)
      })
    )
  }

  test(
    "no more rows of a handler that is not batched because another one is",
    Effect.gen(function*() {
      const Batched = Task.make("Batched", { payload: Note.payloadSchema })
      const calls: Array<number> = []
      yield* insert(
        ...Array.from({ length: 30 }, (_, n) => row(n + 1)),
        ...Array.from({ length: 30 }, (_, n) => row(n + 101, { task: "Batched" }))
      )
      yield* relayWith(
        Layer.mergeAll(
          Note.toLayer(() => Effect.never),
          Batched.toLayerBatched((notes) => Effect.sync(() => calls.push(notes.length)))
        ),
        { concurrency: 3, queues: { "*": 3 } }
      )
      yield* until(Effect.map(states, ({ claimed }) => claimed !== undefined))
      yield* settle
      expect((yield* states)["claimed"]!.filter((n) => n <= 100)).toEqual([1, 2, 3])
    })
  )

  test(
    "nothing from a queue that is not served",
    Effect.gen(function*() {
      yield* insert(row(1, { queue: "other" }), row(2, { queue: "mail" }))
      const { ran } = yield* running(() => Effect.void, { queues: { mail: 1 } })
      yield* until(Effect.map(states, ({ ready }) => ready?.length === 1))
      expect([ran.map(({ n }) => n), yield* states]).toEqual([[2], { ready: [1] }])
    })
  )

  test(
    "nothing from a paused queue, until it is resumed",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO airlock_outbox_queue (queue, paused_at) VALUES ('mail', 1)`
      yield* insert(row(1, { queue: "mail" }), row(2))
      const { notify, ran } = yield* running(() => Effect.void)
      yield* until(Effect.map(states, ({ ready }) => ready?.length === 1))
      expect(ran.map(({ n }) => n)).toEqual([2])
      yield* sql`DELETE FROM airlock_outbox_queue`
      yield* notify
      yield* until(isEmpty)
      expect(ran.map(({ n }) => n)).toEqual([2, 1])
    })
  )

  test(
    "rows of its tasks' versions and of older ones, and leaves newer ones to a newer relay",
    Effect.gen(function*() {
      const Second = Task.make("Note", {
        payload: Note.payloadSchema,
        version: 2,
        upcast: { 1: (old: { readonly n: number }) => old }
      })
      const ran: Array<number> = []
      yield* insert(row(1, { version: 1 }), row(2, { version: 2 }), row(3, { version: 3 }))
      yield* relayWith(Second.toLayer(({ n }) => Effect.sync(() => ran.push(n))))
      yield* until(Effect.map(states, (states) => Object.values(states).flat().every((n) => n === 3)))
      yield* settle
      expect([ran.sort(), yield* states]).toEqual([[1, 2], { ready: [3] }])
    })
  )

  test(
    "only rows of the tasks that it is for",
    Effect.gen(function*() {
      const Other = Task.make("Other", { payload: Note.payloadSchema })
      const ran: Array<number> = []
      const handler = ({ n }: { readonly n: number }) => Effect.sync(() => ran.push(n))
      yield* insert(row(1), row(2, { task: "Other" }))
      yield* relayWith(Layer.mergeAll(Note.toLayer(handler), Other.toLayer(handler)), { tasks: ["Other"] })
      yield* until(Effect.map(states, ({ ready }) => ready?.length === 1))
      expect([ran, yield* states]).toEqual([[2], { ready: [1] }])
    })
  )

  test(
    "payloads up to a size in bytes, which one payload may exceed",
    Effect.gen(function*() {
      const large = (n: number) => row(n, { payload: JSON.stringify({ n, filling: "x".repeat(1_000) }) })
      yield* insert(...[1, 2, 3].map(large))
      const { ran } = yield* running(() => Effect.never, { concurrency: 10, maxBytes: 1_500 })
      yield* until(Effect.sync(() => ran.length === 2))
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      expect(yield* states).toEqual({ claimed: [1, 2], ready: [3] })
    })
  )

  test(
    "several rows for one call of a batched handler",
    Effect.gen(function*() {
      const calls: Array<ReadonlyArray<number>> = []
      const attempts: Array<ReadonlyArray<number>> = []
      yield* insert(...Array.from({ length: 25 }, (_, n) => row(n + 1)))
      yield* relayWith(
        Note.toLayerBatched((notes, contexts) =>
          Effect.sync(() => {
            calls.push(notes.map(({ n }) => n))
            attempts.push(contexts.map(({ attempt }) => attempt))
          }), { maxSize: 10 }),
        { concurrency: 1 }
      )
      yield* until(isEmpty)
      expect(calls.map(({ length }) => length)).toEqual([10, 10, 5])
      expect(calls.flat()).toEqual(Array.from({ length: 25 }, (_, n) => n + 1))
      expect(attempts.flat()).toEqual(Array.from({ length: 25 }, () => 1))
    })
  )

  test(
    "again after statements that failed, and gives back what it claimed without knowing",
    Effect.gen(function*() {
      yield* insert(row(1), row(2))
      let claims = 0
      const { logs, ran } = yield* running(() => Effect.void, {
        change: (store) => ({
          ...store,
          // The first claim succeeds in the database, and its answer is lost.
          claim: (options) =>
            Effect.flatMap(
              store.claim(options),
              (rows) =>
                ++claims === 1 ? Effect.fail(new SqlError({ cause: "gone", message: "gone" })) : Effect.succeed(rows)
            )
        })
      })
      yield* until(Effect.zipRight(TestClock.adjust("1 second"), isEmpty))
      expect(ran).toEqual([1, 2].map((n) => ({ n, attempt: 1 })))
      expect(logs.join()).toContain("The relay could not claim rows of the outbox, and will try again")
    })
  )

  test(
    "what its session has in the database without its knowledge, within a minute",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { ran } = yield* running(() => Effect.void, { pollInterval: "1 hour" })
      yield* settle
      yield* insert(row(1))
      // As a claim that is committed long after the relay has given it up.
      yield* sql`UPDATE airlock_outbox SET state = 'claimed', claim_number = 1, lease = (SELECT id FROM airlock_outbox_relay
        WHERE name = 'r')`
      yield* TestClock.adjust("59 seconds")
      yield* settle
      expect(yield* states).toEqual({ claimed: [1] })
      yield* TestClock.adjust("1 second")
      yield* until(Effect.map(states, ({ ready }) => ready?.length === 1))
      yield* TestClock.adjust("1 hour")
      yield* until(isEmpty)
      expect(ran).toEqual([{ n: 1, attempt: 1 }])
    })
  )

  test(
    "no row for longer than its slots are busy: rows that wait too long are given back",
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(false)
      yield* insert(...Array.from({ length: 8 }, (_, n) => row(n + 1)))
      // The first handlers are fast, so that the relay claims ahead; then they hang.
      const { ran } = yield* running((n) => n <= 2 ? Effect.void : gate.await, { concurrency: 1 })
      yield* until(Effect.sync(() => ran.length === 3))
      yield* until(Effect.zipRight(
        TestClock.adjust("1 second"),
        Effect.map(states, ({ claimed }) => claimed?.length === 1)
      ))
      expect(yield* states).toEqual({ claimed: [3], ready: [4, 5, 6, 7, 8] })
      expect(yield* column("attempt")).toEqual([0, 0, 0, 0, 0, 0])
      expect(yield* column("id")).toContain(idOf(8))
    })
  )
})
