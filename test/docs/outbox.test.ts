/**
 * Runs the codec of docs/outbox.md.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { Airlock } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { randomBytes } from "node:crypto"
import { afterAll, vi } from "vitest"
import { onEachDatabase } from "../support/databases.js"
import { Mail, mail, storedPayloads } from "../support/outbox.js"
import { pageExample } from "../support/pageExample.js"

vi.stubEnv("OUTBOX_KEY", randomBytes(32).toString("base64"))
afterAll(() => vi.unstubAllEnvs())

// The example has these constants.
const { aes, codec, Data, Relay } = await pageExample("docs/outbox.md", "const aes") as {
  readonly aes: (key: Buffer) => Outbox.PayloadCodec
  readonly codec: Outbox.PayloadCodec
  readonly Data: ReturnType<typeof Outbox.live>
  readonly Relay: ReturnType<typeof Outbox.relay>
}

it("decodes what it has encoded with the same key for the same intent, and refuses everything else", () => {
  const context = { id: "1", task: "Mail", version: 1 }
  for (const payload of ["", "{\"to\":\"é😀\"}", "x".repeat(1000)]) {
    const encoded = String(codec.encode(payload, context))
    expect(codec.encode(payload, context)).not.toBe(encoded)
    expect(codec.decode(encoded, context)).toBe(payload)
    expect(() => codec.decode(encoded, { ...context, id: "2" })).toThrow()
    expect(() => aes(randomBytes(32)).decode(encoded, context)).toThrow()
    const bytes = Buffer.from(encoded, "base64")
    bytes[bytes.length - 1]! ^= 1
    expect(() => codec.decode(bytes.toString("base64"), context)).toThrow()
  }
})

onEachDatabase((database) => {
  const application = SqlTransaction.layer.pipe(
    Layer.provideMerge(Data),
    Layer.provideMerge(Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(database.client()))),
    Layer.orDie,
    Layer.merge(Airlock.unchecked)
  )

  it.live("encrypts the payloads in the table, and its relay hands the intents on", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const got = yield* Deferred.make<string>()
      yield* SqlTransaction.transaction(mail("ada@example.org"))
      const [payload] = yield* storedPayloads
      expect(Buffer.from(payload!, "base64").length).toBe(12 + 16 + "{\"to\":\"ada@example.org\"}".length)
      const relay = Layer.provide(Relay, Mail.toLayer(({ to }) => Deferred.succeed(got, to)))
      yield* Effect.scoped(Effect.zipRight(Layer.build(relay), Deferred.await(got)))
      expect(yield* Deferred.await(got)).toBe("ada@example.org")
      expect(yield* sql`SELECT id FROM airlock_outbox`).toEqual([])
    }).pipe(Effect.provide(application)))
})
