/**
 * The relay as an application has it: a Layer beside the Layers of its handlers.
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Layer, TestClock } from "effect"
import { Airlock } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { letOthersRun } from "../support/letOthersRun.js"
import { application, Mail, mail, outboxOnSqlite } from "../support/outbox.js"
import { until } from "../support/until.js"

describe("Outbox.relay", () => {
  it.live("runs tasks whose handlers are registered after it was built", () =>
    Effect.gen(function*() {
      const got = yield* Deferred.make<string>()
      yield* Layer.build(Layer.mergeAll(
        Outbox.relay({ pollInterval: "20 millis" }),
        Layer.effectDiscard(Effect.yieldNow()).pipe(
          Layer.flatMap(() => Mail.toLayer(({ to }) => Deferred.succeed(got, to)))
        )
      ))
      yield* Airlock.scoped(mail("a"))
      expect(yield* Deferred.await(got)).toBe("a")
    }).pipe(Effect.scoped, Effect.provide(application)))

  it.effect("claims at once what a scope or a transaction of its process has stored", () =>
    Effect.gen(function*() {
      const got: Array<string> = []
      yield* Layer.build(
        Outbox.relay({ pollInterval: "1 hour" }).pipe(Layer.provide(
          Mail.toLayer(({ to }) => Effect.sync(() => got.push(to)))
        ))
      )
      const hour = 60 * 60 * 1000
      const waits = until(Effect.map(TestClock.sleeps(), (times) => Chunk.contains(times, hour)))
      yield* waits
      yield* Airlock.scoped(mail("a"))
      yield* letOthersRun
      expect(got).toEqual(["a"])
      yield* waits
      yield* SqlTransaction.transaction(mail("b"))
      yield* letOthersRun
      expect(got).toEqual(["a", "b"])
    }).pipe(Effect.scoped, Effect.provide(application), Effect.provide(Airlock.unchecked)))

  it.live("runs what handlers enqueue, until maxCascade stops a loop", () =>
    Effect.gen(function*() {
      let ran = 0
      const ended = yield* Deferred.make<unknown>()
      yield* Layer.build(
        Outbox.relay({ pollInterval: "20 millis" }).pipe(Layer.provide(
          Mail.toLayer(({ to }) =>
            Effect.suspend(() => {
              ran++
              return mail(to)
            }).pipe(Effect.tapErrorCause((cause) => Deferred.succeed(ended, Cause.squash(cause))))
          )
        ))
      )
      yield* Airlock.scoped(mail("a"))
      expect(yield* Deferred.await(ended)).toMatchObject({
        _tag: "CascadeTooDeepError",
        chain: ["Mail", "Mail", "Mail"]
      })
      expect(ran).toBe(3)
    }).pipe(Effect.scoped, Effect.provide(Airlock.layer({ maxCascade: 3 }).pipe(Layer.provideMerge(outboxOnSqlite)))))
})
