/**
 * Intents as rows, and rows as intents: versions, upcasts, codecs and traces.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, ParseResult, Schema, Tracer } from "effect"
import { type Intent, Task } from "effect-airlock"
import type { PayloadCodec } from "effect-airlock/Outbox"
import { gunzipSync, gzipSync } from "node:zlib"
import { intentOf, rowsOf } from "../../../src/internal/outbox/intentRow.js"
import type { ClaimedRow, NewRow } from "../../../src/internal/outbox/store/row.js"
import { recordOf } from "../../../src/internal/scope/intentRecord.js"
import { asEither } from "../../../src/internal/support/asEither.js"
import { makeId } from "../../../src/internal/support/id.js"

const Mail = Task.make("Mail", { payload: { to: Schema.String } })

const intent = (task: Intent.AnyTask, payload: unknown, fields: Partial<Parameters<typeof recordOf>[0]> = {}) =>
  recordOf({ id: makeId(0), task, payload, enqueuedAt: 0, ...fields })

const claimed = (row: NewRow, changes: Partial<ClaimedRow> = {}): ClaimedRow => {
  const claim = { lease: "lease", claimNumber: 1, attempt: 0, history: null, keyed: false, readyAt: 0 }
  return { ...row, ...claim, ...changes }
}

/** The claimed row of an intent. */
const stored = (intent: Intent.Intent, codec?: PayloadCodec) =>
  Effect.map(rowsOf([intent], codec), ([row]) => claimed(row!))

/** A row of an older task that has the same name. */
const storedBy = (version: number, payload: unknown) =>
  stored(intent(Task.make("Mail", { payload: Schema.Unknown, version }), payload))

/** What a relay reads in a row. Its handler is that of this task. */
const read = (row: ClaimedRow, task: Intent.AnyTask = Mail, codec?: PayloadCodec) =>
  intentOf(row, { task: (name) => name === task.name ? task : undefined }, codec)

const payloadOf = (...args: Parameters<typeof read>) => Effect.map(read(...args), ({ payload }) => payload)

describe("a row", () => {
  it.effect("keeps what an intent is", () =>
    Effect.gen(function*() {
      const options: Intent.EnqueueOptions = {
        queue: "mail",
        priority: -1,
        dedupeKey: "d",
        orderingKey: "o",
        maxAttempts: 3,
        origin: "checkout",
        native: { a: 1 }
      }
      const before = intent(Mail, { to: "a@b.c" }, { options, enqueuedAt: 7 })
      const after = yield* read(yield* stored(before))
      expect([after.id, after.task, after.payload, after.options, after.enqueuedAt]).toEqual([
        before.id,
        Mail,
        { to: "a@b.c" },
        options,
        7
      ])
      expect(after.span).toBeUndefined()
    }))

  it.effect("keeps the span of the enqueue, and whether its trace is sampled", () =>
    Effect.gen(function*() {
      for (const sampled of [true, false]) {
        const span = Tracer.externalSpan({ traceId: "a".repeat(32), spanId: "b".repeat(16), sampled })
        const row = yield* stored(intent(Mail, { to: "a" }, { span }))
        expect((yield* read(row)).span).toMatchObject({ traceId: span.traceId, spanId: span.spanId, sampled })
        // The usual row has no options, which would have to be parsed.
        expect(row.options === null).toBe(sampled)
      }
    }))

  it.effect("is read without a fiber", () =>
    Effect.gen(function*() {
      expect(asEither(read(yield* stored(intent(Mail, { to: "a" }))))).toMatchObject({
        right: { payload: { to: "a" } }
      })
      expect(asEither(read(yield* storedBy(1, { to: 1 })))).toMatchObject({ left: { _tag: "StoredPayloadError" } })
      expect(asEither(read(yield* storedBy(2, {})))).toMatchObject({ left: { _tag: "NewerVersionError" } })
      expect(asEither(Effect.succeed(1))).toBeUndefined()
    }))

  it.effect("whose handler has closed is an intent all the same, which then has no handler", () =>
    Effect.gen(function*() {
      const row = yield* storedBy(3, { to: "a" })
      expect(yield* Effect.map(intentOf(row, { task: () => undefined }), ({ payload }) => payload)).toEqual({ to: "a" })
    }))

  it.effect("is read by an asynchronous Schema", () =>
    Effect.gen(function*() {
      const looked: Array<string> = []
      const Looked = Schema.transformOrFail(Schema.String, Schema.String, {
        decode: (key, _, ast) =>
          Effect.zipRight(
            Effect.promise(() => Promise.resolve()),
            key === "none"
              ? Effect.fail(new ParseResult.Type(ast, key))
              : key === "die"
              ? Effect.die(new TypeError("secret"))
              : Effect.sync(() => {
                looked.push(key)
                return key.toUpperCase()
              })
          ),
        encode: (value) => Effect.succeed(value)
      })
      const Async = Task.make("Mail", { payload: { to: Looked } })
      expect(yield* payloadOf(yield* storedBy(1, { to: "a" }), Async)).toEqual({ to: "A" })
      looked.length = 0
      expect(yield* payloadOf(yield* storedBy(1, { to: "b" }), Async)).toEqual({ to: "B" })
      expect(looked).toEqual(["b"])
      expect(yield* Effect.flip(read(yield* storedBy(1, { to: "none" }), Async))).toMatchObject({
        _tag: "StoredPayloadError"
      })
      expect(yield* Effect.flip(read(yield* storedBy(1, { to: "die" }), Async))).toMatchObject({
        issues: ["payload: cannot be decoded (TypeError)"]
      })
    }))
})

describe("a payload that does not fit", () => {
  it.effect("is an error that names each place, shows no values, and says what to do", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(read(yield* storedBy(1, { to: 1234, cc: "secret" })))
      expect(error).toMatchObject({ _tag: "StoredPayloadError", task: "Mail", storedVersion: 1, version: 1 })
      expect(error.message).toBe(
        "A stored payload of \"Mail\" (version 1) does not fit the task as it is now: to: expected string. Let the Schema " +
          "accept it, or raise the version of the task and add an upcast. Then redrive the dead letter."
      )
      const Newer = Task.make("Mail", { payload: { to: Schema.String }, version: 3 })
      expect((yield* Effect.flip(read(yield* storedBy(1, {}), Newer))).message).toContain(
        "(version 1) does not fit the task in version 3, with the upcasts that it has: to: is missing."
      )
    }))

  it.effect("is an error too if it or its options are no JSON, or if its Schema throws", () =>
    Effect.gen(function*() {
      const row = yield* stored(intent(Mail, { to: "a" }))
      const Throwing = Task.make("Mail", {
        payload: Schema.transform(Schema.Unknown, Schema.Unknown, {
          decode: () => {
            throw new RangeError("secret")
          },
          encode: (value) => value
        })
      })
      for (
        const [issue, effect] of [
          ["payload: no JSON", read({ ...row, payload: "{" })],
          ["options: no JSON", read({ ...row, options: "{" })],
          ["payload: cannot be decoded (RangeError)", read(row, Throwing)]
        ] as const
      ) {
        expect(yield* Effect.flip(effect)).toMatchObject({ _tag: "StoredPayloadError", issues: [issue] })
      }
    }))
})

describe("an upcast", () => {
  const versioned = (upcast: Task.Upcasts, version = 4) =>
    Task.make("Mail", { payload: { steps: Schema.Array(Schema.String), at: Schema.Date }, version, upcast })

  interface Steps {
    readonly steps: ReadonlyArray<string>
  }

  const step = (name: string) => (old: Steps) => ({ ...old, steps: [...old.steps, name] })
  const old = { steps: [], at: "1970-01-01T00:00:00.000Z" }
  const after = (...steps: ReadonlyArray<string>) => ({ steps, at: new Date(0) })

  it.effect("runs for each version from that of the row on, in order, on what was encoded", () =>
    Effect.gen(function*() {
      const task = versioned({ 1: step("1 to 2"), 2: step("2 to 3"), 3: step("3 to 4") })
      expect(yield* payloadOf(yield* storedBy(1, old), task)).toEqual(after("1 to 2", "2 to 3", "3 to 4"))
      expect(yield* payloadOf(yield* storedBy(3, old), task)).toEqual(after("3 to 4"))
      expect(yield* payloadOf(yield* storedBy(4, old), task)).toEqual(after())
    }))

  it.effect("is not needed for a compatible change", () =>
    Effect.gen(function*() {
      expect(yield* payloadOf(yield* storedBy(1, old), versioned({ 2: step("2 to 3") }))).toEqual(after("2 to 3"))
      expect(yield* payloadOf(yield* storedBy(3, old), versioned({ 2: step("2 to 3") }))).toEqual(after())
      expect(yield* payloadOf(yield* storedBy(1, old), versioned({}))).toEqual(after())
    }))

  it.effect("gets no row of a newer version", () =>
    Effect.gen(function*() {
      const newer = yield* Effect.flip(read(yield* storedBy(5, old), versioned({ 3: step("3 to 4") })))
      expect(newer).toMatchObject({ _tag: "NewerVersionError", task: "Mail", storedVersion: 5, version: 4 })
      expect(newer.message).toBe("An intent of \"Mail\" has version 5, and the handler here has version 4")
    }))

  it.effect("that throws is an error with what it threw", () =>
    Effect.gen(function*() {
      const cause = new Error("no steps")
      const task = versioned({
        1: () => {
          throw cause
        }
      })
      expect(yield* Effect.flip(read(yield* storedBy(1, old), task))).toMatchObject({
        _tag: "StoredPayloadError",
        issues: ["an upcast threw"],
        cause
      })
    }))

  it.effect("that decodes with a Schema shows no values if that fails", () =>
    Effect.gen(function*() {
      const First = Schema.Struct({ steps: Schema.Array(Schema.Int), at: Schema.String })
      const task = versioned({
        1: (old) => {
          const { at, steps } = Schema.decodeUnknownSync(First)(old)
          return { at, steps: steps.map(String) }
        }
      })
      expect(yield* payloadOf(yield* storedBy(1, { ...old, steps: [1, 2] }), task)).toEqual(after("1", "2"))
      const error = yield* Effect.flip(read(yield* storedBy(1, { ...old, steps: ["secret"] }), task))
      expect(error).toMatchObject({ _tag: "StoredPayloadError", issues: ["steps[0]: expected number"] })
      expect("cause" in error && error.cause).toBeFalsy()
    }))
})

describe("a codec", () => {
  const gzip: PayloadCodec = {
    encode: (payload) => gzipSync(payload).toString("base64"),
    decode: (payload) => gunzipSync(Buffer.from(payload, "base64")).toString()
  }
  const later: PayloadCodec = {
    encode: (payload, context) => Effect.delay(Effect.sync(() => gzip.encode(payload, context) as string), 0),
    decode: (payload, context) => Effect.delay(Effect.sync(() => gzip.decode(payload, context) as string), 0)
  }

  it.live("encodes what is stored, and decodes what is read, at once or in an Effect", () =>
    Effect.gen(function*() {
      const payload = { to: "a".repeat(1000) }
      for (const codec of [gzip, later]) {
        const row = yield* stored(intent(Mail, payload), codec)
        expect(row.payload.length).toBeLessThan(100)
        expect(yield* payloadOf(row, Mail, codec)).toEqual(payload)
        expect(asEither(read(row, Mail, codec)) === undefined).toBe(codec === later)
      }
    }))

  it.effect("knows the intent whose payload it gets", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const seeing = (payload: string, { id, task, version }: { id: string, task: string, version: number }) => {
        seen.push([id, task, version])
        return payload
      }
      const codec = { encode: seeing, decode: seeing }
      const task = Task.make("Mail", { payload: Schema.String, version: 2 })
      const before = intent(task, "a")
      yield* read(yield* stored(before, codec), task, codec)
      expect(seen).toEqual([[before.id, "Mail", 2], [before.id, "Mail", 2]])
    }))

  it.effect("leaves rows alone that were written before it was there", () =>
    Effect.gen(function*() {
      expect(yield* payloadOf(yield* stored(intent(Mail, { to: "a" })), Mail, gzip)).toEqual({ to: "a" })
    }))

  it.effect("is missed by a relay without one, which gives up no row for that", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(read(yield* stored(intent(Mail, { to: "a" }), gzip)))
      expect(error).toMatchObject({ _tag: "PayloadCodecError", operation: "decode" })
      expect(error.message).toContain("this relay has none. Give Outbox.relay the codec")
    }))

  it.effect("whose text is no JSON, or does not fit, gives an error as without a codec", () =>
    Effect.gen(function*() {
      const row = yield* stored(intent(Mail, { to: "a" }), gzip)
      for (const text of ["{", "{}"]) {
        const codec = { ...gzip, decode: () => text }
        expect(yield* Effect.flip(read(row, Mail, codec))).toMatchObject({ _tag: "StoredPayloadError" })
      }
    }))

  const failures: Record<string, readonly [PayloadCodec["encode"], string]> = {
    "fails": [() => Effect.fail(new Error("no key")), "no key"],
    "throws": [() => {
      throw new Error("no key")
    }, "no key"],
    "dies": [() => Effect.die(new Error("no key")), "no key"],
    "returns no text": [() => undefined as never, "TypeError: the codec returned undefined, and has to return a text"],
    "returns an Effect of no text": [
      () => Effect.succeed(1 as never),
      "TypeError: the codec returned 1, and has to return a text"
    ]
  }
  for (const [name, [fails, message]] of Object.entries(failures)) {
    it.effect(`that ${name} is an error that names the task`, () =>
      Effect.gen(function*() {
        const row = yield* stored(intent(Mail, { to: "a" }), gzip)
        const decoding = yield* Effect.flip(read(row, Mail, { ...gzip, decode: fails }))
        expect(decoding._tag).toBe("PayloadCodecError")
        expect(decoding.message).toBe(`The codec of the outbox could not decode a payload of "Mail": ${message}`)
        const encoding = yield* Effect.flip(rowsOf([intent(Mail, { to: "a" })], { ...gzip, encode: fails }))
        expect(encoding.message).toBe(`The codec of the outbox could not encode a payload of "Mail": ${message}`)
      }))
  }
})

it.effect("rows of many intents are in their order", () =>
  Effect.gen(function*() {
    const codec: PayloadCodec = {
      encode: (payload) =>
        payload.includes("1") ? Effect.zipRight(Effect.yieldNow(), Effect.succeed(payload)) : payload,
      decode: (payload) => payload
    }
    const intents = [0, 1, 2].map((n) => intent(Mail, { to: String(n) }))
    for (const given of [undefined, codec]) {
      expect((yield* rowsOf(intents, given)).map(({ payload }) => payload)).toEqual(
        intents.map(({ payload }) => JSON.stringify(payload))
      )
    }
  }))
