/**
 * A codec between an application and its outbox: what is stored, what a relay reads, and what a codec that fails undoes.
 */
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { Airlock, AirlockError } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { gunzipSync, gzipSync } from "node:zlib"
import { insertOrder, onEachDatabase, orders, undecorated } from "../support/databases.js"
import { Mail, mail, storedPayloads } from "../support/outbox.js"

/** Reads only what it has written for the same intent. */
const gzip: Outbox.PayloadCodec = {
  encode: (payload, { id, task, version }) => `${task} ${version} ${id} ${gzipSync(payload).toString("base64")}`,
  decode: (encoded, context) => {
    const [task, version, id, payload] = encoded.split(" ")
    return task === context.task && Number(version) === context.version && id === context.id
      ? Effect.sync(() => gunzipSync(Buffer.from(payload!, "base64")).toString())
      : Effect.fail(new Error("another intent"))
  }
}

const noKey = new Error("no key")

onEachDatabase((database) => {
  const layer = (codec: Outbox.PayloadCodec) =>
    SqlTransaction.layer.pipe(
      Layer.provideMerge(Outbox.live({ codec })),
      Layer.provideMerge(Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(undecorated(database)))),
      Layer.orDie,
      Layer.merge(Airlock.unchecked)
    )

  it.live("stores what the codec encodes, and hands on what it decodes", () =>
    Effect.gen(function*() {
      const got = yield* Deferred.make<string>()
      yield* SqlTransaction.transaction(mail("a".repeat(1000)))
      const [payload] = yield* storedPayloads
      expect(payload!.length).toBeLessThan(200)
      const relay = Outbox.relay({ pollInterval: "20 millis", codec: gzip }).pipe(
        Layer.provide(Mail.toLayer(({ to }) => Deferred.succeed(got, to)))
      )
      yield* Effect.scoped(Effect.zipRight(Layer.build(relay), Deferred.await(got)))
      expect(yield* Deferred.await(got)).toBe("a".repeat(1000))
    }).pipe(Effect.provide(layer(gzip))))

  it.effect("rolls a transaction back whose intents it cannot encode, with its error", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(SqlTransaction.transaction(Effect.zipRight(insertOrder("a"), mail("a"))))
      expect(error.message).toBe("The outbox \"airlock_outbox\" could not insert 1 intent(s)")
      const { cause } = error
      expect(cause).toBeInstanceOf(AirlockError.PayloadCodecError)
      expect(String(cause)).toContain("could not encode a payload of \"Mail\": no key")
      expect(yield* orders).toEqual([])
      const flush = yield* Effect.flip(Airlock.scoped(mail("a")))
      expect(flush.message).toContain("The codec of the outbox could not encode a payload of \"Mail\": no key")
      expect(yield* storedPayloads).toEqual([])
    }).pipe(Effect.provide(layer({ ...gzip, encode: () => Effect.fail(noKey) }))))
})
