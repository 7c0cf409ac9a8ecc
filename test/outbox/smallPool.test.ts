/**
 * An outbox and its relay on a pool that has one connection.
 */
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Airlock } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { onEachServer } from "../support/databases.js"
import { Mail, mail } from "../support/outbox.js"
import { until } from "../support/until.js"

onEachServer((database) => {
  it.scopedLive("an outbox and a relay share the one connection of a pool", () =>
    Effect.gen(function*() {
      const got: Array<string> = []
      yield* Layer.build(
        Outbox.relay({ pollInterval: "20 millis" }).pipe(
          Layer.provide(Mail.toLayer(({ to }) => Effect.sync(() => got.push(to))))
        )
      )
      yield* Airlock.scoped(Effect.zipRight(SqlTransaction.transaction(mail("a")), mail("b")))
      yield* until(Effect.sync(() => got.length === 2))
      expect(got.sort()).toEqual(["a", "b"])
    }).pipe(
      Effect.scoped,
      Effect.provide(SqlTransaction.layer.pipe(
        Layer.provideMerge(Outbox.live()),
        Layer.provide(Layer.effectDiscard(Outbox.migrate())),
        Layer.provideMerge(database.client({ maxConnections: 1 }))
      )),
      Effect.provide(Airlock.unchecked)
    ))
})
