/**
 * Hand-over, encoding, options and ids.
 *
 * @internal
 */
import { expect } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Airlock from "../../Airlock.js"
import type { EnqueueOptions } from "../../Intent.js"
import { allCapabilities, type Capability } from "../../internal/contract/executor.js"
import * as Task from "../../Task.js"
import { areSuccesses, type DefineEngineTest, item } from "./engineTest.js"

const Rich = Task.make("SuiteRich", {
  payload: {
    at: Schema.Date,
    count: Schema.BigInt,
    text: Schema.String,
    list: Schema.Array(Schema.NullOr(Schema.Number))
  }
})

const examples: { readonly [Name in Capability]-?: EnqueueOptions } = {
  delay: { delay: "1 hour" },
  runAt: { runAt: new Date("2999-01-01") },
  queue: { queue: "suite" },
  priority: { priority: 1 },
  dedupeKey: { dedupeKey: "key" },
  orderingKey: { orderingKey: "key" },
  maxAttempts: { maxAttempts: 2 },
  native: { native: {} }
}

/** @internal */
export const handOvers = (
  test: DefineEngineTest,
  { recognisesIds }: { readonly recognisesIds: boolean }
): void => {
  test("hands a batch over, and each handler gets its payload and its id", ({ dispatch, got, untilGot, work }) =>
    Effect.gen(function*() {
      const intents = ["a", "b", "c"].map((text) => item(text))
      yield* work()
      expect(areSuccesses(yield* dispatch(intents))).toEqual([true, true, true])
      yield* untilGot(3)
      expect([...got].sort((a, b) => a.text < b.text ? -1 : 1)).toEqual(
        intents.map(({ id }, index) => ({ id, text: "abc"[index], attempt: 1 }))
      )
    }))

  test("hands over what a scope flushes, encoded by its Schema, and the handler gets the same value", ({ airlock, engine, work }) =>
    Effect.gen(function*() {
      const decoded = yield* Deferred.make<typeof Rich.payloadSchema.Type>()
      const payload = {
        at: new Date("2024-02-29T12:00:00.123Z"),
        count: 2n ** 70n,
        text: "\u0000 é 😀 \"",
        list: [null, -1.5e-9]
      }
      const handler = Rich.toLayer((payload) => Deferred.succeed(decoded, payload))
      yield* work(handler)
      const enqueued = Airlock.scoped(Airlock.enqueue(Rich, payload))
      yield* engine.worker === undefined
        ? Effect.provide(Effect.provide(enqueued, handler), airlock)
        : Effect.provide(enqueued, airlock)
      expect(yield* Deferred.await(decoded)).toEqual(payload)
    }))

  test("hands over payloads of 1 MB", ({ dispatch, got, untilGot, work }) =>
    Effect.gen(function*() {
      yield* work()
      const texts = ["a", "b"].map((letter) => letter.repeat(1024 * 1024))
      expect(areSuccesses(yield* dispatch(texts.map((text) => item(text))))).toEqual([true, true])
      yield* untilGot(2)
      expect(got.map(({ text }) => text).sort()).toEqual(texts)
    }))

  test("refuses at the enqueue each option that it does not carry out", ({ carriesOut }) =>
    Effect.forEach(allCapabilities, (option) => carriesOut(item("a", examples[option]))))

  for (const option of ["delay", "runAt"] as const) {
    test(`does not run an intent before its ${option}, or refuses the option`, ({ carriesOut, dispatch, got, untilGot, work }) =>
      Effect.gen(function*() {
        const late = item("late", examples[option])
        yield* dispatch((yield* carriesOut(late)) ? [late, item("now")] : [item("now")])
        yield* work()
        yield* untilGot(1)
        expect(got.map(({ text }) => text)).toEqual(["now"])
      }))
  }

  test("runs intents by their priority, a lower number first, or refuses the option", ({ carriesOut, dispatch, got, untilGot, work }) =>
    Effect.gen(function*() {
      const intents = [item("3", { priority: 3 }), item("1", { priority: 1 }), item("none"), item("2", { priority: 2 })]
      if ((yield* Effect.forEach(intents, carriesOut)).every(Boolean)) {
        yield* dispatch(intents)
        yield* work()
        yield* untilGot(4)
        expect(got.map(({ text }) => text)).toEqual(["none", "1", "2", "3"])
      }
    }))

  test("ignores an intent whose dedupeKey waits, and runs one that is enqueued later, or refuses the option", ({ carriesOut, dispatch, got, untilGot, work }) =>
    Effect.gen(function*() {
      const keyed = (text: string) => item(text, { dedupeKey: "key" })
      if (yield* carriesOut(keyed("first"))) {
        yield* dispatch([keyed("first"), keyed("second"), item("other")])
        yield* work()
        yield* untilGot(2)
        yield* dispatch([keyed("later")])
        yield* untilGot(3)
        expect(got.map(({ text }) => text)).toEqual(["first", "other", "later"])
      }
    }))

  test("runs the intents of an orderingKey in the order of their enqueues, or refuses the option", ({ carriesOut, dispatch, got, untilGot, work }) =>
    Effect.gen(function*() {
      const texts = ["a", "b", "c", "d", "e"]
      const intents = texts.map((text) => item(text, { orderingKey: "key" }))
      if (yield* carriesOut(intents[0]!)) {
        yield* dispatch(intents)
        yield* work()
        yield* untilGot(texts.length)
        expect(got.map(({ text }) => text)).toEqual(texts)
      }
    }))

  const twice = recognisesIds
    ? "recognises an intent that it gets twice by its id, if it stores intents"
    : "keeps the id of an intent that it gets twice"
  test(twice, ({ dispatch, engine, got, untilGot, work }) =>
    Effect.gen(function*() {
      const intent = item("a")
      const runs = recognisesIds && engine.executor.durable === true ? 1 : 2
      expect(areSuccesses(yield* dispatch([intent]))).toEqual([true])
      expect(areSuccesses(yield* dispatch([intent, item("b")]))).toEqual([true, true])
      yield* work()
      yield* untilGot(runs + 1)
      expect(areSuccesses(yield* dispatch([item("c")]))).toEqual([true])
      yield* untilGot(runs + 2)
      expect(got.filter(({ id }) => id === intent.id).length).toBe(runs)
      expect(got.length).toBe(runs + 2)
    }))
}
