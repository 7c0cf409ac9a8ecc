/**
 * Streams in a scope: `Airlock.scopedStream`, and streamed bodies.
 */
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Logger, Option, Stream } from "effect"
import type { AirlockError, AirlockScope } from "effect-airlock"
import { Airlock, HttpMiddleware, Policy } from "effect-airlock"
import { serving } from "../support/http.js"
import { layer, left, note } from "../support/recorder.js"

const numbers = Stream.range(1, 4).pipe(Stream.rechunk(1))
const noted = <E, R>(self: Stream.Stream<number, E, R>) => Stream.tap(self, (n) => note(`${n}`))
const all = ["1", "2", "3", "4"]

/** Streams whose intents are enqueued in fibers of their own. All of them must leave. */
const concurrent: Record<string, Stream.Stream<number, never, AirlockScope>> = {
  "in the workers of mapEffect": Stream.mapEffect(numbers, (n) => Effect.as(note(`${n}`), n), { concurrency: 2 }),
  "in the workers of mapEffect, unordered": Stream.mapEffect(numbers, (n) => Effect.as(note(`${n}`), n), {
    concurrency: 2,
    unordered: true
  }),
  "in a stage before mapEffect": Stream.mapEffect(noted(numbers), Effect.succeed, { concurrency: 2 }),
  "in a stage before buffer": Stream.buffer(noted(numbers), { capacity: 2 }),
  "in a stage after buffer": noted(Stream.buffer(numbers, { capacity: 2 })),
  "in a stage before groupedWithin": Stream.flattenIterables(Stream.groupedWithin(noted(numbers), 2, "1 second")),
  "in both sides of merge": Stream.merge(noted(Stream.make(1, 3)), noted(Stream.make(2, 4))),
  "in both sides of zip": Stream.zipWith(noted(Stream.make(1, 3)), noted(Stream.make(2, 4)), (n) => n),
  "in the streams of flatMap": Stream.flatMap(numbers, (n) => noted(Stream.make(n)), { concurrency: 2 }),
  "in a finalizer": Stream.ensuring(numbers, Effect.forEach(all, note))
}

describe("Airlock.scopedStream", () => {
  it.effect("lets the intents of a stream leave when it ends, and before its end is seen", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const look = Effect.map(left, (texts) => seen.push(texts))
      yield* noted(Stream.range(1, 2).pipe(Stream.rechunk(1))).pipe(
        Airlock.scopedStream,
        Stream.tap(() => look),
        Stream.concat(Stream.execute(look)),
        Stream.runDrain
      )
      expect(seen).toEqual([[], [], ["1", "2"]])
    }).pipe(Effect.provide(layer())))

  for (const [where, stream] of Object.entries(concurrent)) {
    it.effect(`lets intents leave that were enqueued ${where}`, () =>
      Effect.gen(function*() {
        yield* Stream.runDrain(Airlock.scopedStream(stream))
        expect((yield* left).sort()).toEqual(all)
      }).pipe(Effect.provide(layer())))
  }

  it.effect("opens one scope for each run of the stream, with the options", () =>
    Effect.gen(function*() {
      const names: Array<string> = []
      const stream = Stream.fromEffect(
        Effect.flatMap(Airlock.current, (scope) => Effect.sync(() => names.push(Option.getOrThrow(scope).name)))
      ).pipe(
        Stream.zipRight(noted(Stream.make(1))),
        Airlock.scopedStream({ name: "import", policy: Policy.dropAll })
      )
      yield* Stream.runDrain(stream)
      yield* Stream.runDrain(stream)
      expect([names, yield* left]).toEqual([["import", "import"], []])
    }).pipe(Effect.provide(layer())))

  it.effect("discards the intents of a stream that fails, dies or is interrupted", () =>
    Effect.gen(function*() {
      for (const end of [Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
        const stream = Stream.concat(noted(numbers), Stream.fromEffect(end))
        const exit = yield* Effect.exit(Stream.runDrain(Airlock.scopedStream(stream)))
        expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toBe(
          Cause.pretty(yield* Effect.sandbox(end).pipe(Effect.flip))
        )
      }
      const begun = yield* Deferred.make<void>()
      const stream = Stream.concat(noted(numbers), Stream.fromEffect(Deferred.succeed(begun, void 0)))
      const endless = Stream.concat(stream, Stream.never)
      const fiber = yield* Effect.fork(Stream.runDrain(Airlock.scopedStream(endless)))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("discards the intents of a stream whose reader fails or is interrupted", () =>
    Effect.gen(function*() {
      const stream = Airlock.scopedStream(noted(numbers))
      yield* Effect.exit(Stream.runForEach(stream, () => Effect.fail("no")))
      const reading = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        Stream.runForEach(stream, () => Effect.zipRight(Deferred.succeed(reading, void 0), Effect.never))
      )
      yield* Deferred.await(reading)
      yield* Fiber.interrupt(fiber)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("lets the intents of a stream leave whose reader stops before the end", () =>
    Effect.gen(function*() {
      const endless = Stream.forever(noted(Stream.make(1)))
      yield* endless.pipe(Airlock.scopedStream, Stream.take(2), Stream.runDrain)
      expect(yield* left).toEqual(["1", "1"])
      yield* endless.pipe(Stream.buffer({ capacity: 1 }), Airlock.scopedStream, Stream.runHead)
      expect((yield* left).length).toBeGreaterThan(2)
    }).pipe(Effect.provide(layer())))

  it.effect("discards those of a streamed body whose reader stops before the end, as a client does that disconnects", () =>
    Effect.gen(function*() {
      const body = yield* Airlock.scoped(HttpMiddleware.airlockStream(noted(numbers)))
      yield* body.pipe(Stream.take(2), Stream.runDrain)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("a FlushError is an error of the stream, or a defect if its reader has stopped", () =>
    Effect.gen(function*() {
      const stream = Airlock.scopedStream(Stream.make(1, 2).pipe(Stream.rechunk(1), Stream.tap(() => note("fail"))))
      const error = yield* Effect.flip(Stream.runDrain(stream))
      expect([error._tag, error.failures.length]).toEqual(["FlushError", 2])
      const exit = yield* Effect.exit(Stream.runHead(stream))
      const defects = Exit.isFailure(exit) ? Array.from(Cause.defects(exit.cause)) : []
      expect((defects as Array<AirlockError.FlushError>).map(({ failures }) => failures.length)).toEqual([1])
    }).pipe(Effect.provide(layer())))

  it.effect("hands the intents over to an outer scope", () =>
    Effect.gen(function*() {
      const stream = Airlock.scopedStream(noted(numbers))
      yield* Stream.runDrain(stream).pipe(
        Effect.zipRight(Effect.map(left, (texts) => expect(texts).toEqual([]))),
        Airlock.scoped
      )
      expect(yield* left).toEqual(all)
      yield* Effect.exit(Airlock.scoped(Effect.zipRight(Stream.runDrain(stream), Effect.fail("no"))))
      expect(yield* left).toEqual(all)
    }).pipe(Effect.provide(layer())))
})

describe("HttpMiddleware.airlockStream", () => {
  for (const [where, stream] of Object.entries(concurrent)) {
    it.scopedLive(`lets intents leave that the body enqueued ${where}`, () =>
      Effect.gen(function*() {
        const body = Stream.encodeText(Stream.map(stream, String))
        const router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/",
            Effect.map(HttpMiddleware.airlockStream(body), (body) => HttpServerResponse.stream(body))
          )
        )
        const base = yield* serving(HttpServer.serve(router, HttpMiddleware.airlock))
        const text = yield* Effect.promise(() => fetch(base).then((response) => response.text()))
        expect(text.length).toBeGreaterThan(1)
        expect((yield* left).sort()).toEqual(all)
      }).pipe(Effect.provide([layer(), Logger.remove(Logger.defaultLogger)])))
  }
})
