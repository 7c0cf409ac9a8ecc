/**
 * Payloads that JSON would change or lose. An outbox refuses them at the enqueue; in this process they run.
 */
import { describe, expect, it } from "@effect/vitest"
import { Data, Duration, Effect, Either, Layer, Option, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"
import { isJsonSafe } from "../../src/internal/support/json.js"
import { defectOf } from "../support/exits.js"
import { application, storedPayloads } from "../support/outbox.js"

class Point extends Data.Class<{ readonly x: number }> {}
class Named extends Schema.Class<Named>("Named")({ name: Schema.String }) {}

const key = Symbol("key")

const DateAsInt = Schema.transform(Schema.DateFromSelf, Schema.Number, {
  decode: (date) => date.getTime(),
  encode: (millis) => new Date(millis)
}).pipe(Schema.int())

/** A Schema, a payload, and the issue, or `undefined` if the payload survives. */
const payloads: Record<string, readonly [Schema.Schema.AnyNoContext, unknown, string | undefined]> = {
  "NaN": [Schema.Struct({ n: Schema.Number }), { n: Number.NaN }, "n: expected a finite number"],
  "Infinity in a list": [Schema.Array(Schema.Number), [1, Infinity], "[1]: expected a finite number"],
  "a Date": [
    Schema.Struct({ at: Schema.DateFromSelf }),
    { at: new Date(0) },
    "at: expected what JSON keeps, not a Date"
  ],
  "a Set": [Schema.SetFromSelf(Schema.String), new Set(["a"]), "payload: expected what JSON keeps, not a Set"],
  "an Option": [
    Schema.Struct({ a: Schema.OptionFromSelf(Schema.String) }),
    { a: Option.some("a") },
    "a: expected what JSON keeps, not an object with a prototype"
  ],
  "bytes": [Schema.Uint8ArrayFromSelf, new Uint8Array([1]), "payload: expected what JSON keeps, not a Uint8Array"],
  "a Duration": [
    Schema.DurationFromSelf,
    Duration.seconds(1),
    "payload: expected what JSON keeps, not an object with a prototype"
  ],
  "an instance of a class": [Schema.Unknown, new Point({ x: 1 }), "payload: expected what JSON keeps, not a Point"],
  "undefined in a tuple": [
    Schema.Tuple(Schema.UndefinedOr(Schema.String)),
    [undefined],
    "[0]: expected what JSON keeps, not undefined"
  ],
  "undefined": [Schema.Undefined, undefined, "payload: expected what JSON keeps, not undefined"],
  "a function": [Schema.Unknown, { f: () => 1 }, "f: expected what JSON keeps, not a function"],
  "a symbol as a key": [Schema.Unknown, { [key]: 1 }, "payload: expected no symbols as keys"],
  "an integer that is encoded as a Date": [
    Schema.Struct({ at: DateAsInt }),
    { at: 1000 },
    "at: expected what JSON keeps, not a Date"
  ],
  "a Date in JSON inside a text": [
    Schema.Struct({ a: Schema.parseJson(Schema.Struct({ at: Schema.DateFromSelf })), n: Schema.Number }),
    { a: { at: new Date(0) }, n: 1 },
    "a.at: expected DateFromSelf"
  ],
  "NaN in JSON inside a text": [
    Schema.parseJson(Schema.Struct({ n: Schema.Number })),
    { n: Number.NaN },
    "n: expected number"
  ],
  "a number in JSON inside a text": [Schema.parseJson(Schema.Struct({ n: Schema.Number })), { n: 1.5 }, undefined],
  "a number": [Schema.Struct({ n: Schema.Number }), { n: -1.5 }, undefined],
  "a field that is undefined": [
    Schema.Struct({ a: Schema.optional(Schema.Number), b: Schema.UndefinedOr(Schema.String) }),
    { a: undefined, b: undefined },
    undefined
  ],
  "nothing": [Schema.Void, undefined, undefined],
  "what its Schema encodes": [
    Schema.Struct({
      at: Schema.Date,
      set: Schema.Set(Schema.Int),
      a: Schema.Option(Schema.String),
      bytes: Schema.Uint8ArrayFromBase64,
      wait: Schema.Duration,
      named: Named
    }),
    {
      at: new Date(0),
      set: new Set([1]),
      a: Option.some("a"),
      bytes: new Uint8Array([1]),
      wait: Duration.seconds(1),
      named: new Named({ name: "a" })
    },
    undefined
  ],
  "half of a surrogate pair": [Schema.String, "\uD800\0", undefined]
}

describe("a payload for an outbox", () => {
  for (const [name, [schema, payload, issue]] of Object.entries(payloads)) {
    const Stored = Task.make("Stored", { payload: schema })
    const enqueued = Airlock.scoped(Effect.suspend(() => Airlock.enqueue(Stored, payload)))

    it.scoped(`is ${issue === undefined ? "stored and read again" : "refused"}: ${name}`, () =>
      Effect.gen(function*() {
        if (issue === undefined) {
          yield* enqueued
          const [stored] = yield* storedPayloads
          expect(Schema.decodeUnknownEither(schema)(JSON.parse(stored!))).toEqual(
            Either.right(schema === Schema.Void ? null : payload)
          )
        } else {
          expect(yield* defectOf(enqueued)).toMatchObject({ _tag: "InvalidPayloadError", issues: [issue] })
          expect(yield* storedPayloads).toEqual([])
        }
      }).pipe(Effect.provide(application)))
  }

  it.effect("runs in this process, whatever it is", () =>
    Effect.gen(function*() {
      for (const [schema, payload] of Object.values(payloads)) {
        const Run = Task.make("Run", { payload: schema })
        const got: Array<unknown> = []
        const Handlers = Run.toLayer((payload) => Effect.sync(() => got.push(payload)))
        yield* Airlock.scoped(Effect.suspend(() => Airlock.enqueue(Run, payload))).pipe(
          Effect.provide(Handlers.pipe(Layer.provideMerge(Airlock.layer({ maxPayloadBytes: 1000 }))))
        )
        expect(got[0]).toBe(payload)
      }
    }))
})

describe("a Schema whose AST shows that JSON keeps its payloads", () => {
  interface Tree {
    readonly name: string
    readonly children: ReadonlyArray<Tree>
  }
  const Tree: Schema.Schema<Tree> = Schema.Struct({
    name: Schema.String,
    children: Schema.Array(Schema.suspend(() => Tree))
  })
  const safe: Record<string, Schema.Schema.AnyNoContext> = {
    "strings, booleans, literals": Schema.Struct({
      a: Schema.NonEmptyString,
      b: Schema.Boolean,
      c: Schema.Literal("a", 1, null)
    }),
    "finite numbers": Schema.Struct({ a: Schema.Int, b: Schema.Finite, c: Schema.Int.pipe(Schema.positive()) }),
    "what is encoded as a string": Schema.Struct({ at: Schema.Date, n: Schema.NumberFromString, b: Schema.BigInt }),
    "optional fields and records": Schema.Struct({
      a: Schema.optional(Schema.String),
      r: Schema.Record({ key: Schema.String, value: Schema.NullOr(Schema.Boolean) })
    }),
    "a recursive Schema": Tree,
    "a class": Named,
    "a part that is encoded as JSON": Schema.Struct({ a: Schema.parseJson(Schema.Struct({ at: Schema.Date })) }),
    "no payload": Schema.Void
  }
  const unknown: Record<string, Schema.Schema.AnyNoContext> = {
    "any number": Schema.Struct({ n: Schema.Number }),
    "a number with a lower bound": Schema.Number.pipe(Schema.positive()),
    "undefined in a tuple": Schema.Tuple(Schema.UndefinedOr(Schema.String)),
    "a declared type": Schema.DateFromSelf,
    "a transformation from any number": Schema.DateFromNumber,
    "an integer that is encoded as a Date": DateAsInt,
    "a part that is encoded as JSON, which loses its type": Schema.parseJson(
      Schema.Struct({ at: Schema.DateFromSelf })
    ),
    "a bigint": Schema.BigIntFromSelf,
    "a symbol as a key": Schema.Struct({ [key]: Schema.String })
  }
  for (const [name, schema] of Object.entries(safe)) {
    it(`is not checked at each enqueue: ${name}`, () => expect(isJsonSafe(schema.ast)).toBe(true))
  }
  for (const [name, schema] of Object.entries(unknown)) {
    it(`is none of these: ${name}`, () => expect(isJsonSafe(schema.ast)).toBe(false))
  }
})
