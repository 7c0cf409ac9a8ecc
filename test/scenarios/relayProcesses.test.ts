/**
 * Relays in processes of their own: kills, pauses, shutdowns, deploys and broken connections.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import * as Outbox from "effect-airlock/Outbox"
import { type Database, onEachServer, sqlite } from "../support/databases.js"
import {
  endConnections,
  endLease,
  enqueueJobs,
  jobs,
  startOpen,
  startProcess,
  untilDone
} from "../support/relayProcesses.js"
import { describeOnSharedFile } from "../support/sqliteDriver.js"
import { until } from "../support/until.js"

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const sorted = (numbers: ReadonlyArray<number>) => [...numbers].sort((a, b) => a - b)

const states = Effect.map(jobs, (jobs) => {
  const counts: Record<string, number> = {}
  for (const { state } of jobs) {
    counts[state] = (counts[state] ?? 0) + 1
  }
  return counts
})

const scenarios = (database: Database): void => {
  const tables = Layer.effectDiscard(Effect.gen(function*() {
    const sql = yield* SqlClient
    yield* Effect.forEach(
      ["", "_relay", "_queue", "_version"],
      (part) => sql.unsafe(`DROP TABLE IF EXISTS airlock_outbox${part}`)
    )
    yield* Outbox.migrate()
  })).pipe(Layer.provideMerge(database.client()), Layer.orDie)

  const test = (name: string, self: Effect.Effect<void, unknown, SqlClient | Scope.Scope>) =>
    it.scopedLive(name, () => self.pipe(Effect.scoped, Effect.provide(tables)), 60_000)

  describe("two relays in processes of their own", () => {
    test(
      "share the intents, and run each once",
      Effect.gen(function*() {
        yield* enqueueJobs(numbers(1, 200))
        const options = { holdAfter: 0, concurrency: 5 }
        const relays = yield* Effect.all(["one", "other"].map((name) => startProcess({ name, ...options })), {
          concurrency: 2
        })
        yield* Effect.all(relays.map(({ untilTold }) => untilTold("begin", 5)))
        yield* Effect.all(relays.map(({ goOn }) => goOn))
        yield* untilDone
        expect(yield* jobs).toEqual([])
        yield* Effect.all(relays.map(({ signal }) => signal("SIGTERM")))
        expect(yield* Effect.all(relays.map(({ exited }) => exited))).toEqual([0, 0])
        expect(sorted(relays.flatMap(({ numbers }) => numbers("end")))).toEqual(numbers(1, 200))
      })
    )

    for (const maxAttempts of [1, 25]) {
      test(
        `lose nothing when one is killed, and use an attempt only of what it ran (maxAttempts: ${maxAttempts})`,
        Effect.gen(function*() {
          yield* enqueueJobs(numbers(1, 200))
          const [doomed, other] = yield* Effect.all([
            startOpen({ name: "doomed", holdAfter: 30, concurrency: 5, maxAttempts }),
            startOpen({ name: "other", holdAfter: 0, concurrency: 5, maxAttempts })
          ], { concurrency: 2 })
          yield* doomed.untilTold("begin", 35)
          yield* other.untilTold("begin", 5)
          yield* doomed.signal("SIGKILL")
          yield* doomed.exited
          const left = (yield* jobs).filter(({ relay }) => relay === "doomed").map(({ n }) => n)
          const begun = new Set(doomed.numbers("begin"))
          const unknown = left.filter((n) => begun.has(n))
          yield* endLease("doomed")
          yield* other.goOn
          yield* untilDone
          yield* other.signal("SIGTERM")
          yield* other.exited
          const dead = (yield* jobs).map(({ n }) => n)
          const ended = [...doomed.numbers("end"), ...other.numbers("end")]
          expect(sorted([...new Set([...ended, ...dead])])).toEqual(numbers(1, 200))
          const isRunning = doomed.numbers("begin").filter((n) => !doomed.numbers("end").includes(n))
          expect(isRunning.length).toBe(5)
          const again = other.numbers("begin").filter((n) => begun.has(n))
          // What was running, and perhaps what had ended and was not acknowledged.
          const burned = maxAttempts === 1 ? dead : again
          expect(burned).toEqual(expect.arrayContaining(isRunning))
          expect(unknown).toEqual(expect.arrayContaining(burned))
          expect(maxAttempts === 1 ? again : dead).toEqual([])
          expect(other.runs("begin").filter(({ attempt, n }) => attempt !== (begun.has(n) ? 2 : 1))).toEqual([])
        })
      )
    }
  })

  describe("a relay that is stopped by SIGSTOP past its lease, and continued", () => {
    test(
      "begins nothing that another relay has taken over, logs the lost lease, and goes on with a new one",
      Effect.gen(function*() {
        yield* enqueueJobs(numbers(1, 100))
        const [paused, other] = yield* Effect.all([
          startOpen({ name: "paused", holdAfter: 30, concurrency: 2, lease: "3 seconds" }),
          startOpen({ name: "other", holdAfter: 0, concurrency: 2 })
        ], { concurrency: 2 })
        yield* paused.untilTold("begin", 32)
        // It has acknowledged what has ended, so it is in no transaction.
        yield* until(Effect.map(jobs, ({ length }) => length === 70))
        // On SQLite, the test holds the lock of writers meanwhile, so that the process is not stopped while it holds it.
        yield* (yield* SqlClient).withTransaction(Effect.zipRight(endLease("paused"), paused.signal("SIGSTOP")))
        yield* other.goOn
        yield* untilDone
        const before = paused.numbers("begin").length
        yield* paused.goOn
        yield* paused.signal("SIGCONT")
        yield* paused.untilLogged("has lost its lease")
        yield* paused.untilLogged("no longer its own")
        expect(paused.numbers("begin").length).toBe(before)
        expect(other.runs("begin").filter(({ attempt }) => attempt === 2).length).toBe(2)
        yield* other.signal("SIGTERM")
        yield* other.exited
        yield* enqueueJobs(numbers(101, 110))
        yield* untilDone
        expect(yield* jobs).toEqual([])
        yield* paused.signal("SIGTERM")
        yield* paused.exited
        expect(sorted(paused.numbers("begin").slice(before))).toEqual(numbers(101, 110))
        expect(sorted([...new Set([...paused.numbers("end"), ...other.numbers("end")])])).toEqual(numbers(1, 110))
      })
    )
  })

  describe("a relay that gets SIGTERM", () => {
    test(
      "finishes and acknowledges what it runs, gives back the rest, and closes before its handlers and the pool",
      Effect.gen(function*() {
        yield* enqueueJobs(numbers(1, 10))
        const relay = yield* startOpen({ name: "relay", holdAfter: 0, concurrency: 2 })
        yield* relay.untilTold("begin", 2)
        yield* relay.signal("SIGTERM")
        yield* relay.untilTold("signal")
        yield* relay.goOn
        expect(yield* relay.exited).toBe(0)
        expect(relay.events.slice(-6).map((event) => event.is === "closed" ? event.what : event.is)).toEqual(
          ["signal", "end", "end", "relay", "handlers", "pool"]
        )
        expect([relay.numbers("begin").length, yield* states]).toEqual([2, { ready: 8 }])
        expect((yield* jobs).every(({ attempt }) => attempt === 0)).toBe(true)
        const sql = yield* SqlClient
        expect(yield* sql`SELECT name FROM airlock_outbox_relay`).toEqual([])
      })
    )

    test(
      "interrupts handlers after drainTimeout, and uses no attempt",
      Effect.gen(function*() {
        yield* enqueueJobs(numbers(1, 10))
        const relay = yield* startOpen({ name: "relay", holdAfter: 0, concurrency: 2, drainTimeout: "100 millis" })
        yield* relay.untilTold("begin", 2)
        yield* relay.signal("SIGTERM")
        expect(yield* relay.exited).toBe(0)
        expect([relay.numbers("interrupted").length, relay.numbers("end")]).toEqual([2, []])
        expect(yield* states).toEqual({ ready: 10 })
        expect((yield* jobs).every(({ attempt }) => attempt === 0)).toBe(true)
      })
    )
  })

  describe("a rolling deploy", () => {
    test(
      "with relays and writers of both versions loses nothing, and makes no dead letters",
      Effect.gen(function*() {
        yield* enqueueJobs(numbers(1, 25))
        yield* enqueueJobs(numbers(26, 50), 2)
        const [first, second] = yield* Effect.all([
          startOpen({ name: "first", concurrency: 5, batchSize: 5 }),
          startOpen({ name: "second", concurrency: 5, batchSize: 5, version: 2 })
        ], { concurrency: 2 })
        yield* enqueueJobs(numbers(51, 75))
        yield* enqueueJobs(numbers(76, 100), 2)
        yield* untilDone
        expect(yield* jobs).toEqual([])
        yield* Effect.all([first, second].map(({ signal }) => signal("SIGTERM")))
        yield* Effect.all([first, second].map(({ exited }) => exited))
        expect(sorted([...first.numbers("end"), ...second.numbers("end")])).toEqual(numbers(1, 100))
        expect([first.logs(), second.logs()]).toEqual([[], []])
        expect(first.numbers("begin").filter((n) => (n > 25 && n <= 50) || n > 75)).toEqual([])
      })
    )
  })

  if (database.name !== "SQLite") {
    describe("a relay whose connections are all ended", () => {
      test(
        "goes on, loses nothing, and runs each intent once",
        Effect.gen(function*() {
          yield* enqueueJobs(numbers(1, 600))
          const relay = yield* startOpen({ name: "relay", concurrency: 4, batchSize: 10 })
          for (const begun of [50, 150, 250, 350]) {
            yield* relay.untilTold("begin", begun)
            yield* endConnections
          }
          yield* untilDone
          expect(yield* jobs).toEqual([])
          yield* relay.signal("SIGTERM")
          expect(yield* relay.exited).toBe(0)
          expect(sorted(relay.numbers("end"))).toEqual(numbers(1, 600))
          expect(relay.logs().length).toBeGreaterThan(0)
        })
      )
    })
  }
}

onEachServer(scenarios)
describeOnSharedFile("SQLite", () => scenarios(sqlite))
