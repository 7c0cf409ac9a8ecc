/**
 * The options of the relay, and what it refuses when it is built.
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer } from "effect"
import { AirlockLive } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import { Session } from "../../../../src/internal/outbox/relay/session.js"
import { settingsOf } from "../../../../src/internal/outbox/relay/settings.js"
import { Mail, outboxOnSqlite } from "../../../support/outbox.js"

const wrong: ReadonlyArray<readonly [options: Outbox.RelayOptions, message: string]> = [
  [{ concurrency: 0 }, "an integer of at least 1 as its option `concurrency`, and got 0"],
  [{ concurrency: 1.5 }, "an integer of at least 1 as its option `concurrency`, and got 1.5"],
  [{ concurrency: NaN }, "an integer of at least 1 as its option `concurrency`, and got NaN"],
  [{ concurrency: Infinity }, "an integer of at least 1 as its option `concurrency`, and got Infinity"],
  [{ queues: {} }, "at least one queue in its option `queues`"],
  [{ queues: { mail: -1 } }, "an integer of at least 0 as its option `queues[\"mail\"]`, and got -1"],
  [{ queues: { mail: 0 } }, "an integer of at least 1 as its option `concurrency`, and got 0"],
  [{ tasks: [] }, "at least one task in its option `tasks`"],
  [{ batchSize: 0 }, "an integer of at least 1 as its option `batchSize`, and got 0"],
  [{ maxBytes: 0 }, "an integer of at least 1 as its option `maxBytes`, and got 0"],
  [{ maxAttempts: 0 }, "an integer of at least 1 as its option `maxAttempts`, and got 0"],
  [{ lease: 0 }, "a time of at least 1 ms as its option `lease`, and got 0"],
  [{ lease: Infinity }, "a finite time as its option `lease`"],
  [{ pollInterval: 0 }, "a time of at least 1 ms as its option `pollInterval`, and got 0"],
  [{ timeout: 0 }, "a time of at least 1 ms as its option `timeout`, and got 0"],
  [{ timeout: -5 }, "a time of at least 1 ms as its option `timeout`, and got 0"],
  [{ keepDone: 0 }, "a time of at least 1 ms as its option `keepDone`, and got 0"],
  [{ unroutableAfter: 0 }, "a time of at least 1 ms as its option `unroutableAfter`, and got 0"]
]

const built = (layer: Layer.Layer<never, unknown>) => Effect.exit(Effect.scoped(Layer.build(layer)))

const application = AirlockLive.pipe(Layer.provideMerge(outboxOnSqlite))

const defectOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) && Cause.isDie(exit.cause) ? Cause.squash(exit.cause) : undefined

describe("Outbox.relay", () => {
  it.each(wrong)("dies with a RangeError for %j", (options, message) =>
    Effect.gen(function*() {
      const exit = yield* built(
        Outbox.relay(options).pipe(
          Layer.provide(Mail.toLayer(() => Effect.void)),
          Layer.provide(application)
        )
      )
      expect(defectOf(exit)).toMatchObject({ name: "RangeError", message: `Outbox.relay needs ${message}` })
    }).pipe(Effect.runPromise))

  it.effect("dies if it has no handler at all", () =>
    Effect.gen(function*() {
      const exit = yield* built(Layer.provide(Outbox.relay(), application))
      expect(defectOf(exit)).toMatchObject({ message: expect.stringContaining("Outbox.relay has no handler to run") })
    }))

  it.effect("dies if one of its tasks has no handler", () =>
    Effect.gen(function*() {
      const exit = yield* built(
        Outbox.relay({ tasks: ["Mail", "Other"] }).pipe(
          Layer.provide(Mail.toLayer(() => Effect.void)),
          Layer.provide(application)
        )
      )
      expect(defectOf(exit)).toMatchObject({
        message: "Outbox.relay has no handler for these of its `tasks`: Other"
      })
    }))

  it("runs ten handlers at a time, or as many as its queues allow together", () => {
    expect(settingsOf({}).concurrency).toBe(10)
    expect(settingsOf({ queues: { mail: 5, "*": 10, none: 0 } }).concurrency).toBe(15)
    expect(settingsOf({ queues: { mail: 5 }, concurrency: 2 }).concurrency).toBe(2)
  })

  it("serves the queues that have slots", () => {
    const served = (queues: Readonly<Record<string, number>>) => new Session(settingsOf({ queues })).queues
    expect([served({ mail: 5, none: 0 }), served({ mail: 5, "*": 1 }), served({ mail: 5, "*": 0 })])
      .toEqual([["mail"], null, ["mail"]])
  })
})
