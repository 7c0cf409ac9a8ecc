/**
 * BullMQ: batches that are too large for one call, and intents that it can never take.
 */
import { expect, it } from "@effect/vitest"
import { Queue } from "bullmq"

import { Effect, Exit, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as BullMq from "effect-airlock/executors/BullMq"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { item } from "../../src/testing/suite/engineTest.js"
import { application, mail } from "../support/outbox.js"
import { describeOnRedisProxy } from "../support/redisProxy.js"
import { until } from "../support/until.js"

const payload = { n: Schema.Number }
const Colon = Task.make("a:b", { payload })
const Plain = Task.make("a", { payload })

describeOnRedisProxy("batches of BullMQ", ({ connection, cutAt, prefix, throughProxy }) => {
  const queueNamed = (name: string) =>
    Effect.acquireRelease(
      Effect.sync(() => new Queue(name, { connection, prefix })),
      (queue) => Effect.promise(() => queue.close())
    )

  it.scopedLive("keeps what left of a large batch before the connection broke", () =>
    Effect.gen(function*() {
      const executor = yield* BullMq.executor({ connection: throughProxy(), prefix, timeout: "5 seconds" })
      const texts = Array.from({ length: 8 }, (_, index) => `${index}${"x".repeat(2 * 1024 * 1024)}`)
      cutAt(`{"text":"7x`)
      cutAt("7xxxxxxxx")
      const { handlers } = yield* Effect.provide(Airlock.Airlock, AirlockLive)
      const outcomes = yield* executor.dispatch(texts.map((text) => item(text)), handlers)
      expect(outcomes.slice(0, 6).map(Exit.isSuccess)).toEqual([true, true, true, true, true, true])
      expect(Exit.isFailure(outcomes[7]!)).toBe(true)
    }))

  it.scopedLive("tells the dedupeKeys of two tasks apart, whatever their names are", () =>
    Effect.gen(function*() {
      const queue = yield* queueNamed("airlock")
      yield* Effect.all([
        Airlock.enqueue(Colon, { n: 1 }, { dedupeKey: "c" }),
        Airlock.enqueue(Plain, { n: 2 }, { dedupeKey: "b:c" })
      ]).pipe(
        Airlock.scoped,
        Effect.provide(AirlockLive.pipe(Layer.provide(BullMq.layer({ connection, prefix }))))
      )
      expect(yield* Effect.promise(() => queue.getWaitingCount())).toBe(2)
    }))

  it.scopedLive("an intent of a queue that BullMQ cannot have fails for good, and does not stop the relay", () =>
    Effect.gen(function*() {
      const executor = yield* BullMq.executor({ connection, prefix })
      yield* SqlTransaction.transaction(mail("a", { queue: "tenant:1" }))
      yield* Layer.build(Outbox.relay({ executor, pollInterval: "20 millis" }))
      yield* until(Effect.map(Outbox.find({ state: "dead" }), ({ rows }) => rows.length === 1))
      const { rows: [row] } = yield* Outbox.find({ state: "dead" })
      expect(JSON.stringify(row)).toContain("tenant:1")
    }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))
})
