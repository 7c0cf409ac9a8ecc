/**
 * A relay that hands rows over to an executor, in front of an engine of the test.
 */
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Layer, Logger, LogLevel, Scope, TestClock } from "effect"
import { AirlockError, AirlockLive, Executor, type Intent } from "effect-airlock"
import * as OutboxApi from "effect-airlock/Outbox"
import { sqlite } from "../../../support/databases.js"
import { until } from "../../../support/until.js"
import { insert, isEmpty, later, reapSessionOf, rowsUpTo, settle, stored, test } from "../testRelay.js"
import { idOf, outbox, row, states } from "../testStore.js"

const numberOf = ({ payload }: Intent.Intent) => (payload as { readonly n: number }).n

const failure = (intent: Intent.Intent, cause: unknown = new Error("no")): Executor.Outcome =>
  Exit.fail(new AirlockError.DispatchError({ task: intent.task.name, cause }))

/** An engine that is up, unless the test says otherwise. It refuses the intents of some numbers. */
const makeEngine = (capabilities: Executor.Executor["capabilities"] = []) => {
  const engine = {
    isUp: true,
    refuses: new Set<number>(),
    batches: [] as Array<ReadonlyArray<Intent.Intent>>,
    /** The numbers that it has taken, in order. */
    took: [] as Array<number>
  }
  return Object.assign(engine, {
    executor: Executor.make({
      name: "engine",
      durable: true,
      capabilities,
      dispatch: (intents) =>
        Effect.sync(() => {
          engine.batches.push(intents)
          return intents.map((intent) => {
            const isTaken = engine.isUp && !engine.refuses.has(numberOf(intent))
            if (isTaken) {
              engine.took.push(numberOf(intent))
            }
            return isTaken ? Exit.void : failure(intent)
          })
        })
    })
  })
}

/** Starts a relay, which stops with the Scope of the test. */
const relayTo = (executor: Executor.Executor, options: OutboxApi.RelayOptions = {}) =>
  Effect.gen(function*() {
    const logs: Array<string> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) {
        logs.push(`${logLevel.label} ${String(message)}`)
      }
    })
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    yield* Layer.buildWithScope(
      OutboxApi.relay({ executor, name: "r", drainTimeout: 0, ...options }).pipe(
        Layer.provide(AirlockLive),
        Layer.provide(Logger.replace(Logger.defaultLogger, logger))
      ),
      scope
    )
    const told = (word: string) => logs.filter((line) => line.includes(word))
    return { told, stop: Scope.close(scope, Exit.void) }
  })

const hasTaken = (engine: ReturnType<typeof makeEngine>, count: number) =>
  Effect.sync(() => engine.took.length >= count)

describe("a relay with an executor", () => {
  test(
    "hands over what was stored, of all tasks and versions, in one batch and without a handler",
    Effect.gen(function*() {
      const engine = makeEngine(["queue", "dedupeKey", "orderingKey", "maxAttempts", "native"])
      const payload = "{ \"n\": 1, \"text\": \"\\u00e9\" }"
      yield* insert(
        row(1, {
          task: "Mail",
          version: 7,
          payload,
          queue: "mail",
          priority: -3,
          dedupeKey: "d",
          orderingKey: "o",
          maxAttempts: 4,
          delayMillis: 1,
          enqueuedAt: 5,
          options: JSON.stringify({ origin: "a test", native: { lifo: true } }),
          traceId: "0123456789abcdef0123456789abcdef",
          spanId: "0123456789abcdef"
        }),
        row(2, { task: "Other" }),
        row(3, { task: "Mail" })
      )
      const { told } = yield* relayTo(engine.executor)
      yield* later(hasTaken(engine, 3))
      yield* until(isEmpty)
      expect(told("does not carry out")).toEqual([])
      const intents = engine.batches.flat()
      const mail = intents.find(({ id }) => id === idOf(1))!
      expect(mail).toMatchObject({
        task: { name: "Mail", version: 7 },
        payload: { n: 1, text: "é" },
        encoded: payload,
        enqueuedAt: 5,
        span: { traceId: "0123456789abcdef0123456789abcdef", spanId: "0123456789abcdef" }
      })
      expect(mail.options).toEqual({
        queue: "mail",
        priority: -3,
        dedupeKey: "d",
        orderingKey: "o",
        maxAttempts: 4,
        origin: "a test",
        native: { lifo: true }
      })
      expect(engine.batches.some((batch) => new Set(batch.map(({ task }) => task.name)).size === 2)).toBe(true)
    })
  )

  test(
    "hands over in batches of at most batchSize, in the order of the claims",
    Effect.gen(function*() {
      const engine = makeEngine()
      yield* insert(...rowsUpTo(50))
      yield* relayTo(engine.executor, { batchSize: 8 })
      yield* later(hasTaken(engine, 50))
      expect(engine.took).toEqual(rowsUpTo(50).map((_, index) => index + 1))
      expect(Math.max(...engine.batches.map(({ length }) => length))).toBe(8)
      yield* until(isEmpty)
    })
  )

  test(
    "waits while the engine takes nothing, for half a second and then twice as long each time, and counts no attempt",
    Effect.gen(function*() {
      const engine = makeEngine()
      engine.isUp = false
      yield* insert(...rowsUpTo(3))
      const { told } = yield* relayTo(engine.executor)
      yield* until(Effect.sync(() => engine.batches.length === 1))
      yield* until(Effect.sync(() => told("took none of 3").length === 1))
      for (const [round, millis] of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].entries()) {
        for (let passed = 0; passed < millis - 1; passed += 5000) {
          yield* TestClock.adjust(Math.min(5000, millis - 1 - passed))
          yield* settle
        }
        expect(engine.batches.length).toBe(round + 1)
        yield* TestClock.adjust(1)
        yield* until(Effect.sync(() => engine.batches.length === round + 2))
        yield* until(Effect.sync(() => told("took none of 3").length === round + 2))
      }
      expect(yield* stored(1)).toMatchObject({ attempt: 0, error: null, history: null })
      engine.isUp = true
      yield* later(hasTaken(engine, 3))
      yield* until(isEmpty)
      expect(engine.took).toEqual([1, 2, 3])
      expect(told("Attempt")).toEqual([])
      // The next outage is short again.
      engine.isUp = false
      const before = engine.batches.length
      yield* insert(row(4))
      yield* later(Effect.sync(() => engine.batches.length > before))
      expect(told("again in 500ms").length).toBe(2)
    })
  )

  test(
    "gives the rows back to other relays while it pauses",
    Effect.gen(function*() {
      const down = makeEngine()
      down.isUp = false
      const up = makeEngine()
      yield* insert(...rowsUpTo(3))
      yield* relayTo(down.executor, { name: "down" })
      yield* until(Effect.sync(() => down.batches.length === 1))
      yield* relayTo(up.executor, { name: "up" })
      yield* later(hasTaken(up, 3))
      yield* until(isEmpty)
    })
  )

  test(
    "batches that fail side by side are one outage",
    Effect.gen(function*() {
      const all = yield* Deferred.make<void>()
      let begun = 0
      const executor = Executor.make({
        name: "engine",
        durable: true,
        dispatch: (intents) =>
          Effect.suspend(() => ++begun === 3 ? Deferred.succeed(all, undefined) : Effect.void).pipe(
            Effect.zipRight(Deferred.await(all)),
            Effect.as(intents.map((intent) => failure(intent)))
          )
      })
      yield* insert(...rowsUpTo(6))
      const { told } = yield* relayTo(executor, { batchSize: 2, concurrency: 3 })
      yield* later(Effect.sync(() => begun >= 3))
      yield* until(Effect.sync(() => told("took none of 2").length === 1))
      yield* settle
      expect(begun).toBe(3)
      yield* TestClock.adjust(500)
      yield* until(Effect.sync(() => told("again in 1s").length === 1))
      expect(told("took none").length).toBe(2)
    })
  )

  test(
    "retries an intent that the engine refuses, while it takes others, within 30 seconds each time and without end",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const engine = makeEngine()
      engine.refuses.add(2)
      yield* insert(row(1), row(2, { maxAttempts: 1 }))
      const { told } = yield* relayTo(engine.executor)
      yield* later(Effect.map(states, ({ scheduled }) => scheduled?.length === 1))
      expect(engine.took).toEqual([1])
      expect(yield* stored(2)).toMatchObject({ attempt: 1 })
      // The maximum number of attempts is that of the engine.
      expect(told("Attempt 1 of intent").length).toBe(1)
      yield* insert(row(3))
      yield* sql`UPDATE airlock_outbox SET attempt = 40, due_at = 0 WHERE state = 'scheduled'`
      yield* later(Effect.map(stored(2), (stored) => stored?.attempt === 41))
      const { due_at, failed_at } = (yield* stored(2))!
      expect(due_at! - failed_at!).toBeLessThanOrEqual(30_000)
      expect(due_at! - failed_at!).toBeGreaterThanOrEqual(15_000)
      engine.refuses.clear()
      yield* sql`UPDATE airlock_outbox SET due_at = 0 WHERE state = 'scheduled'`
      yield* later(isEmpty)
      expect(engine.took).toEqual([1, 3, 2])
    })
  )

  test(
    "makes a dead letter after its own maxAttempts, and at once of what the engine discards",
    Effect.gen(function*() {
      const discarding = Executor.make({
        name: "engine",
        durable: true,
        dispatch: (intents) =>
          Effect.succeed(
            intents.map((intent) =>
              numberOf(intent) === 1 ? failure(intent, OutboxApi.discard("too large")) : failure(intent)
            )
          )
      })
      yield* insert(row(1), row(2))
      const { told } = yield* relayTo(discarding, { maxAttempts: 1 })
      yield* later(Effect.map(states, ({ dead }) => dead?.length === 2))
      expect(told("dead letter after attempt 1").length).toBe(2)
      expect((yield* stored(1))?.error).toContain("too large")
    })
  )

  test(
    "interrupts a batch at its time limit, and counts no attempt",
    Effect.gen(function*() {
      let interrupted = false
      const executor = Executor.make({
        name: "engine",
        durable: true,
        dispatch: () =>
          Effect.onInterrupt(Effect.never, () =>
            Effect.sync(() => {
              interrupted = true
            }))
      })
      yield* insert(row(1))
      const { told } = yield* relayTo(executor, { timeout: "5 seconds" })
      yield* later(Effect.sync(() => told("took none of 1").length > 0))
      expect(interrupted).toBe(true)
      expect(yield* stored(1)).toMatchObject({ attempt: 0 })
    })
  )

  test(
    "waits at the shutdown for the batch that is under way, and unclaims the rows after its time",
    Effect.gen(function*() {
      const answer = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      const executor = Executor.make({
        name: "engine",
        durable: true,
        dispatch: (intents) =>
          Deferred.succeed(begun, undefined).pipe(
            Effect.zipRight(Deferred.await(answer)),
            Effect.as(intents.map(() => Exit.void))
          )
      })
      yield* insert(...rowsUpTo(2))
      const patient = yield* relayTo(executor, { drainTimeout: "1 minute" })
      yield* Deferred.await(begun)
      const stopping = yield* Effect.fork(patient.stop)
      yield* settle
      yield* Deferred.succeed(answer, undefined)
      yield* stopping.await
      expect(yield* states).toEqual({})

      yield* insert(row(3))
      const hanging = yield* Deferred.make<void>()
      const never = Executor.make({
        name: "engine",
        durable: true,
        dispatch: () => Effect.zipRight(Deferred.succeed(hanging, undefined), Effect.never)
      })
      const impatient = yield* relayTo(never)
      yield* Deferred.await(hanging)
      const leaving = yield* Effect.fork(impatient.stop)
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* leaving.await
      expect(yield* states).toEqual({ ready: [3] })
      expect(impatient.told("took none")).toEqual([])
      expect(yield* stored(3)).toMatchObject({ attempt: 0 })
    })
  )

  test(
    "hands rows over again if its process dies before it has acknowledged them, with the same ids",
    Effect.gen(function*() {
      const engine = makeEngine()
      const before = yield* Deferred.make<void>()
      const dying = Executor.make({
        name: "engine",
        durable: true,
        dispatch: (intents, handlers) =>
          Effect.zipRight(
            Effect.zipRight(engine.executor.dispatch(intents, handlers), Deferred.succeed(before, undefined)),
            Effect.never
          )
      })
      yield* insert(row(1))
      yield* relayTo(dying, { name: "dying" })
      yield* Deferred.await(before)
      yield* reapSessionOf("dying")
      yield* relayTo(engine.executor)
      yield* later(hasTaken(engine, 2))
      expect(engine.batches.flat().map(({ id }) => id)).toEqual([idOf(1), idOf(1)])
    })
  )

  test(
    "warns once of each option that the engine does not carry out, unless the outbox has done so",
    Effect.gen(function*() {
      const engine = makeEngine(["maxAttempts"])
      const given = { priority: 3, orderingKey: "o", maxAttempts: 2, delayMillis: 1 }
      yield* insert(row(1, given), row(2, { dedupeKey: "d" }))
      const { told } = yield* relayTo(engine.executor)
      yield* later(isEmpty)
      yield* insert(row(3, given))
      yield* later(isEmpty)
      expect(engine.took.sort()).toEqual([1, 2, 3])
      const options = ["orderingKey", "dedupeKey", "maxAttempts", "priority", "delay"]
      expect(options.map((option) => told(`\`${option}\``).length)).toEqual([1, 1, 0, 0, 0])
    })
  )

  test(
    "serves all tasks, or those of its option `tasks`, in every version",
    Effect.gen(function*() {
      const engine = makeEngine()
      const all = yield* relayTo(engine.executor, { name: "all" })
      engine.isUp = false
      yield* insert(row(1, { task: "Mail", version: 9 }), row(2, { task: "Other" }))
      const found = yield* OutboxApi.stats()
      expect(found.relays.flatMap(({ name, tasks }) => name === "all" ? [tasks] : [])).toEqual([undefined])
      expect(found.lanes.every(({ isServed }) => isServed)).toBe(true)
      yield* all.stop
      yield* relayTo(engine.executor, { tasks: ["Mail"], name: "mail" })
      const { lanes, relays } = yield* OutboxApi.stats()
      expect(relays.flatMap(({ name, tasks }) => name === "mail" ? [tasks] : [])).toEqual([[{ task: "Mail" }]])
      expect(lanes.filter(({ isServed }) => isServed).map(({ task }) => task)).toEqual(["Mail"])
      engine.isUp = true
      yield* later(hasTaken(engine, 1))
      yield* TestClock.adjust("5 seconds")
      yield* settle
      expect(yield* states).toEqual({ ready: [2] })
    })
  )

  it.effect("dies if its executor stores nothing", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(relayTo(Executor.inProcess())))
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("does not store them")
    }).pipe(Effect.provide(outbox(sqlite))))
})
