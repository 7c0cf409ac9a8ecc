/**
 * The relay, on SQLite alone: the tests of the store cover the differences between databases.
 */
import { SqlClient } from "@effect/sql"
import { SqlError } from "@effect/sql/SqlError"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue, Random, TestClock } from "effect"
import { relay, type RelayOptions } from "../../../src/internal/outbox/relay.js"
import type { ClaimedRow } from "../../../src/internal/outbox/store/row.js"
import type { Store } from "../../../src/internal/outbox/store/store.js"
import { sqlite } from "../../support/databases.js"
import { until } from "../../support/until.js"
import { column, idOf, numberOf, Outbox, outbox, passTime, ready, row } from "./testStore.js"

interface Ran {
  readonly n: number
  readonly attempt: number
}

/** A running relay with this handler, and the list of what it has run. */
const running = (
  handler: (n: number, attempt: number) => Effect.Effect<unknown, unknown>,
  options: Partial<RelayOptions<number>> = {},
  change: (store: Store) => Store = (store) => store
) =>
  Effect.gen(function*() {
    const ran: Array<Ran> = []
    const signals = yield* Queue.sliding<void>(1)
    const fiber = yield* Effect.fork(relay<number>(change(yield* Outbox), {
      names: ["Note"],
      run: (intents, { attempt }) =>
        Effect.forEach(intents, (n) => {
          ran.push({ n, attempt })
          return Effect.exit(Effect.asVoid(handler(n, attempt)))
        })
    }, {
      notified: Queue.take(signals),
      decode: (claimed: ClaimedRow) => Effect.succeed(numberOf(claimed)),
      ...options
    }))
    return { ran, fiber, notify: Queue.offer(signals, undefined) }
  })

const counts = Effect.flatMap(Outbox, (store) => store.counts)

const isEmpty = Effect.map(counts, ({ claimed, dead, held, ready }) => claimed + dead + held + ready === 0)

const test = (name: string, effect: Effect.Effect<void, unknown, Outbox | SqlClient.SqlClient>) =>
  it.effect(name, () => effect.pipe(Effect.provide(outbox(sqlite))))

test(
  "the relay runs ready rows and deletes them, when it is notified and when it polls",
  Effect.gen(function*() {
    const store = yield* Outbox
    yield* store.insert([row(1), row(2, { orderingKey: "k" }), row(3, { orderingKey: "k" })], ready)
    const { fiber, ran, notify } = yield* running(() => Effect.void, { pollInterval: "1 minute", batchSize: 2 })
    yield* until(isEmpty)
    yield* store.insert([row(4)], ready)
    yield* notify
    yield* until(isEmpty)
    yield* store.insert([row(5)], ready)
    yield* until(Effect.zipRight(TestClock.adjust("1 minute"), isEmpty))
    yield* Fiber.interrupt(fiber)
    expect(ran).toEqual([1, 2, 3, 4, 5].map((n) => ({ n, attempt: 1 })))
  })
)

test(
  "the relay retries a row that fails, with a growing delay, and makes it a dead letter at maxAttempts",
  Effect.gen(function*() {
    const store = yield* Outbox
    yield* store.insert([row(1, { maxAttempts: 3 }), row(2)], ready)
    const { fiber, ran, notify } = yield* running(
      (n, attempt) => n === 1 ? Effect.fail(new Error(`no ${attempt}`)) : attempt === 1 ? Effect.die("oh") : Effect.void
    )
    const sql = yield* SqlClient.SqlClient
    const waits: Array<number> = []
    for (const attempt of [1, 2]) {
      yield* until(Effect.map(column("error"), ([error]) => String(error).includes(`no ${attempt}`)))
      const [waiting] = yield* sql<{ wait: number }>`SELECT due_at - failed_at AS wait FROM airlock_outbox WHERE id = ${
        idOf(1)
      }`
      waits.push(waiting!.wait)
      yield* passTime(10_000)
      yield* notify
    }
    yield* until(Effect.map(counts, ({ dead, ready }) => dead === 1 && ready === 0))
    yield* Fiber.interrupt(fiber)
    expect(waits[0]).toBeGreaterThanOrEqual(500)
    expect(waits[0]).toBeLessThanOrEqual(1_000)
    expect(waits[1]).toBeGreaterThanOrEqual(1_000)
    expect(waits[1]).toBeLessThanOrEqual(2_000)
    expect(yield* column("error")).toEqual([expect.stringContaining("no 3")])
    expect(ran.filter(({ n }) => n === 1).map(({ attempt }) => attempt)).toEqual([1, 2, 3])
    expect(ran.filter(({ n }) => n === 2).map(({ attempt }) => attempt)).toEqual([1, 2])
  }).pipe(Effect.withRandom(Random.make("jitter")))
)

test(
  "the relay stores the error of a handler whole, within a limit, also if it cannot be converted to JSON",
  Effect.gen(function*() {
    const store = yield* Outbox
    yield* store.insert([1, 2].map((n) => row(n, { maxAttempts: 1 })), ready)
    const error = Object.assign(new Error("", { cause: new TypeError("refused") }), {
      _tag: "MailRefused",
      status: 550n
    })
    const { fiber } = yield* running((n) => n === 1 ? Effect.fail(error) : Effect.fail("é".repeat(9_000)))
    yield* until(Effect.map(counts, ({ dead }) => dead === 2))
    yield* Fiber.interrupt(fiber)
    const [small, large] = yield* column("error")
    expect(small).toMatch(
      /^MailRefused \{"status":"550n"\}\n {4}at .*relay\.test\.ts[\s\S]*\[cause\]: TypeError: refused/
    )
    expect(Buffer.byteLength(String(large))).toBeLessThanOrEqual(16_384)
  })
)

test(
  "the relay makes a row that cannot be decoded, or whose lease expired in its last attempt, a dead letter",
  Effect.gen(function*() {
    const store = yield* Outbox
    yield* store.insert([row(1), row(2), row(3, { maxAttempts: 1 }), row(4)], ready)
    yield* store.claim({ tasks: ["Note"], limit: 10, leaseMillis: 0 })
    yield* store.expire
    const { fiber, ran } = yield* running(() => Effect.void, {
      decode: (claimed) =>
        numberOf(claimed) === 1
          ? Effect.fail(new Error("no Note"))
          : numberOf(claimed) === 2
          ? Effect.die(new Error("broken"))
          : Effect.succeed(numberOf(claimed))
    })
    yield* until(Effect.map(counts, ({ claimed, dead }) => dead === 3 && claimed === 0))
    yield* Fiber.interrupt(fiber)
    expect(ran).toEqual([{ n: 4, attempt: 2 }])
    expect(yield* column("error")).toEqual(
      ["no Note", "broken", "Its lease expired"].map((error) => expect.stringContaining(error))
    )
  })
)

test(
  "the relay, when interrupted, finishes running handlers and unclaims the rows that have not begun",
  Effect.gen(function*() {
    const store = yield* Outbox
    const begun = yield* Deferred.make<void>()
    const finish = yield* Deferred.make<void>()
    yield* store.insert([row(1), row(2)], ready)
    const { fiber, ran } = yield* running(
      () => Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(finish)),
      { concurrency: 1 }
    )
    yield* Deferred.await(begun)
    const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
    yield* Effect.repeatN(Effect.yieldNow(), 100)
    yield* Deferred.succeed(finish, undefined)
    yield* Fiber.join(interrupting)
    expect(ran).toEqual([{ n: 1, attempt: 1 }])
    expect(yield* column("id")).toEqual([idOf(2)])
    expect(yield* store.claim({ tasks: ["Note"], limit: 10, leaseMillis: 0 })).toMatchObject([{ attempt: 1 }])
  })
)

test(
  "the relay, when interrupted, waits for handlers until drainTimeout, and their rows become due again",
  Effect.gen(function*() {
    const store = yield* Outbox
    const begun = yield* Deferred.make<void>()
    yield* store.insert([row(1)], ready)
    const { fiber } = yield* running(() => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never), {
      drainTimeout: "5 seconds"
    })
    yield* Deferred.await(begun)
    const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
    yield* until(Effect.zipRight(
      TestClock.adjust("1 second"),
      Effect.map(Fiber.poll(interrupting), ({ _tag }) => _tag === "Some")
    ))
    expect(yield* counts).toMatchObject({ claimed: 1 })
    yield* passTime(60_000)
    expect(yield* store.expire).toMatchObject({ due: 1 })
  })
)

test(
  "the relay extends a row's lease while its handler runs",
  Effect.gen(function*() {
    const store = yield* Outbox
    const begun = yield* Deferred.make<void>()
    const finish = yield* Deferred.make<void>()
    yield* store.insert([row(1)], ready)
    const { fiber } = yield* running(
      () => Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(finish)),
      { lease: "30 seconds" }
    )
    yield* Deferred.await(begun)
    const [before] = yield* column("due_at")
    yield* passTime(20_000)
    yield* until(Effect.zipRight(
      TestClock.adjust("10 seconds"),
      Effect.map(column("due_at"), ([due]) => Number(due) >= Number(before))
    ))
    yield* Deferred.succeed(finish, undefined)
    yield* until(isEmpty)
    yield* Fiber.interrupt(fiber)
  })
)

test(
  "the relay goes on after statements that failed",
  Effect.gen(function*() {
    const store = yield* Outbox
    yield* store.insert([row(1)], ready)
    let failures = 0
    const failing = <A>(self: Effect.Effect<A, SqlError>) =>
      Effect.suspend(() => failures++ < 2 ? Effect.fail(new SqlError({ cause: "gone", message: "gone" })) : self)
    const { fiber, ran } = yield* running(() => Effect.void, {}, (store) => ({
      ...store,
      expire: failing(store.expire),
      acknowledge: (claimed) => {
        failures = Math.max(failures, 2)
        return store.acknowledge(claimed)
      }
    }))
    yield* until(Effect.zipRight(TestClock.adjust("1 second"), isEmpty))
    yield* Fiber.interrupt(fiber)
    expect(failures).toBeGreaterThanOrEqual(3)
    expect(ran).toEqual([{ n: 1, attempt: 1 }])
    expect(Exit.isExit(yield* Fiber.await(fiber))).toBe(true)
  })
)

test(
  "the relay begins a claimed row that it has lost, until it extends its leases and learns that",
  Effect.gen(function*() {
    const store = yield* Outbox
    yield* store.insert([row(1), row(2)], ready)
    const gate = yield* Effect.makeLatch(false)
    const { fiber, ran } = yield* running((n) => n === 1 ? gate.await : Effect.void, { concurrency: 1 })
    yield* until(Effect.sync(() => ran.length === 1))
    // Another relay has claimed the second row and acknowledged it.
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(`DELETE FROM airlock_outbox WHERE id = '${idOf(2)}'`).pipe(Effect.orDie)
    yield* gate.open
    yield* until(Effect.sync(() => ran.length === 2))
    expect(ran.map(({ n }) => n)).toEqual([1, 2])
    yield* Fiber.interrupt(fiber)
  })
)

test(
  "the relay does not begin a claimed row whose lease it has lost",
  Effect.gen(function*() {
    const store = yield* Outbox
    yield* store.insert([row(1), row(2)], ready)
    const gate = yield* Effect.makeLatch(false)
    const { fiber, ran } = yield* running((n) => n === 1 ? gate.await : Effect.void, {
      concurrency: 1,
      lease: "30 seconds"
    })
    yield* until(Effect.sync(() => ran.length === 1))
    // Another relay has claimed the second row and acknowledged it.
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(`DELETE FROM airlock_outbox WHERE id = '${idOf(2)}'`).pipe(Effect.orDie)
    let extended = false
    yield* TestClock.adjust("10 seconds")
    yield* until(Effect.map(store.counts, ({ claimed }) => (extended ||= claimed === 1)))
    yield* Effect.repeatN(Effect.yieldNow(), 200)
    yield* gate.open
    yield* until(isEmpty)
    expect(ran).toEqual([{ n: 1, attempt: 1 }])
    yield* Fiber.interrupt(fiber)
  })
)
