/**
 * The cases of docs/pitfalls.md, each with its cure.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Logger, LogLevel, Stream } from "effect"
import { Airlock, type AirlockScope } from "effect-airlock"
import { layer, left, note } from "../support/recorder.js"

type Program = Effect.Effect<unknown, unknown, Airlock.Airlock | AirlockScope>

const quiet = Logger.withMinimumLogLevel(LogLevel.None)

/** Fails for all but "b", after it has enqueued. */
const onlyB = (text: string) => Effect.zipRight(note(text), text === "b" ? Effect.succeed(text) : Effect.fail(text))
const isB = (text: string) => Effect.as(note(text), text === "b")
const texts = ["a", "b"]

/** An Effect that fails until its last attempt. */
const flaky = (attempts: number) => {
  let count = 0
  return Effect.suspend(() => ++count < attempts ? Effect.fail(`attempt ${count}`) : Effect.void)
}

const cases: Record<string, { readonly program: () => Program, readonly leaves: ReadonlyArray<string> }> = {
  "Effect.validateFirst with concurrency lets what failed leave, and discards what succeeded": {
    program: () => Effect.validateFirst(texts, onlyB, { concurrency: 2 }),
    leaves: ["a"]
  },
  "the cure: decide first, and enqueue after": {
    program: () =>
      Effect.validateFirst(texts, (text) => text === "b" ? Effect.succeed(text) : Effect.fail(text), { concurrency: 2 })
        .pipe(Effect.tap(note)),
    leaves: ["b"]
  },
  "the cure: a scope around each item that leaves independently of the scope around": {
    program: () =>
      Effect.validateFirst(texts, (text) => Airlock.scoped({ independent: true })(onlyB(text)), { concurrency: 2 }),
    leaves: ["b"]
  },
  "Effect.exists with concurrency discards what its answer was found by": {
    program: () => Effect.exists(texts, isB, { concurrency: 2 }),
    leaves: ["a"]
  },
  "the cure for Effect.exists: no concurrency": {
    program: () => Effect.exists(texts, isB),
    leaves: texts
  },
  "two racers that never wait both end, and both leave": {
    program: () => Effect.race(note("a"), note("b")),
    leaves: texts
  },
  "the cure: race for the answer, and enqueue after": {
    program: () => Effect.flatMap(Effect.race(Effect.succeed("a"), Effect.succeed("b")), note),
    leaves: ["a"]
  },
  "a fiber that ends with the Exit of a failure counts as failed": {
    program: () =>
      Effect.flatMap(
        Effect.fork(Effect.exit(Effect.zipRight(note("a"), Effect.fail("no")))),
        Fiber.join
      ),
    leaves: []
  },
  "the cure: a success that is no Exit": {
    program: () =>
      Effect.flatMap(
        Effect.fork(Effect.either(Effect.zipRight(note("a"), Effect.fail("no")))),
        Fiber.join
      ),
    leaves: ["a"]
  },
  "an enqueue that is not yielded does nothing": {
    program: () =>
      Effect.gen(function*() {
        note("a")
        yield* note("b")
      }),
    leaves: ["b"]
  },
  "Effect.retry enqueues again at each attempt": {
    program: () => Effect.zipRight(note("a"), flaky(3)).pipe(Effect.retry({ times: 5 })),
    leaves: ["a", "a", "a"]
  },
  "the cure: a scope around each attempt": {
    program: () => {
      const attempt = flaky(3)
      return Effect.zipRight(note("a"), attempt).pipe(Airlock.scoped, Effect.retry({ times: 5 }))
    },
    leaves: ["a"]
  },
  "a failure that the same fiber recovers discards nothing": {
    program: () => Effect.ignore(Effect.zipRight(note("a"), Effect.fail("no"))),
    leaves: ["a"]
  },
  "the cure for that: a scope around the step": {
    program: () => Effect.ignore(Airlock.scoped(Effect.zipRight(note("a"), Effect.fail("no")))),
    leaves: []
  },
  "operators that recover inside each worker let what failed leave": {
    program: () => Effect.zipRight(Effect.partition(texts, onlyB, { concurrency: 2 }), Effect.void),
    leaves: texts
  },
  "the cure for them: a scope around each item": {
    program: () => Effect.partition(texts, (text) => Airlock.scoped(onlyB(text)), { concurrency: 2 }),
    leaves: ["b"]
  },
  "a concurrent Stream.flatMap whose failure the Stream recovers lets what failed leave": {
    program: () =>
      Stream.fromIterable(texts).pipe(
        Stream.flatMap(onlyB, { concurrency: 2 }),
        Stream.catchAll(() => Stream.empty),
        Stream.runDrain
      ),
    leaves: texts
  },
  "a fiber that still runs when the scope ends loses its intents": {
    program: () =>
      Effect.gen(function*() {
        const enqueued = yield* Deferred.make<void>()
        yield* Effect.fork(
          Effect.zipRight(note("a"), Effect.zipRight(Deferred.succeed(enqueued, void 0), Effect.never))
        )
        yield* Deferred.await(enqueued)
      }),
    leaves: []
  }
}

describe("docs/pitfalls.md", () => {
  for (const [name, { leaves, program }] of Object.entries(cases)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        yield* Airlock.scoped(program())
        expect((yield* left).sort()).toEqual(leaves)
      }).pipe(quiet, Effect.provide(layer())))
  }

  it.effect("Effect.retry around a scope runs the body again on a FlushError, with what it did outside of the buffer", () =>
    Effect.gen(function*() {
      let charged = 0
      const charge = Effect.sync(() => charged++)
      const body = Effect.zipRight(charge, note("fail"))
      yield* body.pipe(Airlock.scoped, Effect.retry({ times: 3 }), Effect.ignore)
      expect(charged).toBe(4)
    }).pipe(Effect.provide(layer())))

  it.effect("the cure: no retry of a FlushError", () =>
    Effect.gen(function*() {
      let charged = 0
      const charge = Effect.sync(() => charged++)
      const body = Effect.zipRight(charge, note("fail"))
      yield* body.pipe(
        Airlock.scoped,
        Effect.retry({ times: 3, while: (error) => error._tag !== "FlushError" }),
        Effect.ignore
      )
      expect(charged).toBe(1)
    }).pipe(Effect.provide(layer())))
})
