/**
 * The gauges of an outbox, and the warnings of a process that needs a relay.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Chunk, Clock, Effect, Layer, Logger, LogLevel, Metric, type Scope, TestClock } from "effect"
import { AirlockMetrics } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import { onEachDatabase } from "../../support/databases.js"
import { until } from "../../support/until.js"
import { insert, insertOneInEachState, insertRelay, now, outbox, table } from "./seed.js"

/** Waits until the Layer under test sleeps for its interval: not for 10 seconds, as the time limits of its statements do. */
const looked = (seconds: number) =>
  until(Effect.zipWith(
    TestClock.sleeps(),
    Clock.currentTimeMillis,
    (sleeps, now) => Chunk.some(sleeps, (wake) => wake === now + seconds * 1000)
  ))

const passing = (interval: number) => (seconds: number) =>
  Effect.zipRight(TestClock.adjust(`${seconds} seconds`), looked(interval))

const logs = (lines: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => {
      if (LogLevel.greaterThanEqual(logLevel, LogLevel.Info)) {
        lines.push(`${logLevel.label}: ${[message].flat()[0]}`)
      }
    })
  )

onEachDatabase((database) => {
  const test = (name: string, effect: Effect.Effect<void, unknown, SqlClient.SqlClient | Scope.Scope>) =>
    it.scoped(name, () => effect.pipe(Effect.provide(outbox(database))), 30_000)

  test(
    "the gauges follow the rows and the relays",
    Effect.gen(function*() {
      const pass = passing(30)
      const rows = (state: Outbox.OutboxState) =>
        AirlockMetrics.outboxRows.pipe(Metric.tagged("table", table), Metric.tagged("state", state), Metric.value)
      const age = (of: string) =>
        AirlockMetrics.outboxAge.pipe(Metric.tagged("table", table), Metric.tagged("rows", of), Metric.value)
      const relays = Metric.value(Metric.tagged(AirlockMetrics.outboxRelays, "table", table))
      const time = yield* now
      yield* insertOneInEachState({ enqueued_at: time - 60_000 })
      yield* Layer.build(Outbox.gauges({ every: "30 seconds" }))
      yield* looked(30)
      for (const state of ["held", "scheduled", "ready", "blocked", "claimed", "dead", "done"] as const) {
        expect(yield* rows(state)).toMatchObject({ value: 1 })
      }
      expect((yield* age("held")).value).toBeGreaterThanOrEqual(60_000)
      expect((yield* age("overdue")).value).toBe(0)
      expect((yield* relays).value).toBe(0)
      yield* insert(11, "ready", { ready_at: (time - 90_000) * 1000 })
      yield* insertRelay(1, [["Other", 1]])
      yield* pass(30)
      expect(yield* rows("ready")).toMatchObject({ value: 2 })
      expect((yield* age("ready")).value).toBeGreaterThanOrEqual(90_000)
      expect((yield* age("unroutable")).value).toBeGreaterThanOrEqual(90_000)
      expect((yield* relays).value).toBe(1)
      yield* Outbox.cancel({ all: true })
      yield* pass(30)
      expect(yield* rows("ready")).toMatchObject({ value: 0 })
      expect((yield* age("ready")).value).toBe(0)
    })
  )

  test(
    "gauges of a table that is missing are a warning, and go on",
    Effect.gen(function*() {
      const pass = passing(60)
      const lines: Array<string> = []
      yield* Layer.build(Layer.provide(Outbox.gauges({ table: "missing" }), logs(lines)))
      yield* looked(60)
      yield* pass(60)
      expect(lines).toEqual(
        Array.from({ length: 2 }, () => `WARN: The gauges of the outbox "missing" could not be updated.`)
      )
    })
  )

  test(
    "a missing relay is one warning for each outage, and its return is told",
    Effect.gen(function*() {
      const pass = passing(12)
      const sql = yield* SqlClient.SqlClient
      const lines: Array<string> = []
      yield* Layer.build(Layer.provide(Outbox.requireRelay({ within: "48 seconds" }), logs(lines)))
      yield* looked(12)
      yield* pass(36)
      expect(lines).toEqual([])
      yield* pass(12)
      const missing =
        `WARN: No relay of the outbox "airlock_outbox" has lived for 48s. Its intents wait until one starts: ` +
        "see Outbox.relay."
      expect(lines).toEqual([missing])
      yield* pass(12)
      yield* pass(12)
      expect(lines).toEqual([missing])
      yield* insertRelay(1, [["Mail", 1]])
      yield* pass(12)
      const back = `INFO: A relay of the outbox "airlock_outbox" lives again.`
      expect(lines).toEqual([missing, back])
      yield* sql.unsafe(`UPDATE ${table}_relay SET expires_at = 1`)
      for (let i = 0; i < 5; i++) {
        yield* pass(12)
      }
      expect(lines).toEqual([missing, back, missing])
    })
  )

  test(
    "rows that no live relay can run are one warning for each lane, and their end is told",
    Effect.gen(function*() {
      const pass = passing(15)
      const lines: Array<string> = []
      const time = yield* now
      yield* insertRelay(1, [["Mail", 1]])
      yield* insert(1, "ready", { ready_at: (time - 600_000) * 1000 })
      yield* insert(2, "ready", { ready_at: (time - 600_000) * 1000, version: 2, queue: "mail" })
      yield* insert(3, "ready", { version: 3 })
      yield* Layer.build(Layer.provide(Outbox.requireRelay(), logs(lines)))
      yield* looked(15)
      yield* pass(15)
      expect(lines).toEqual([
        expect.stringMatching(
          /^WARN: No relay of the outbox "airlock_outbox" can run "Mail" version 2 in queue "mail", which has waited for 10m .*\. Start/
        )
      ])
      yield* insertRelay(2, [["Mail", 2]])
      yield* pass(15)
      yield* pass(15)
      expect(lines.slice(1)).toEqual([
        `INFO: Intents of "Mail" version 2 in queue "mail" no longer wait for a relay of the outbox "airlock_outbox".`
      ])
    })
  )
})
