/**
 * Interruptions of scopes, of workers and of executors, at every step.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Schema, Scope, TestClock } from "effect"
import type { AirlockError } from "effect-airlock"
import { Airlock, AirlockScope, Executor, Policy, Task } from "effect-airlock"
import { layer, left, note } from "../support/recorder.js"

const Job = Task.make("Job", { payload: Schema.Number })

const namesIn = (error: AirlockError.FlushError) => error.failures.map(({ reason, task }) => `${task}: ${reason._tag}`)

describe("an interruption while a scope settles", () => {
  it.effect("waits until the handlers have run, and the scope is flushed", () =>
    Effect.gen(function*() {
      const [running, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const seen: Array<string> = []
      const Live = Job.toLayer((n) =>
        Deferred.succeed(running, void 0).pipe(
          Effect.zipRight(Deferred.await(go)),
          Effect.zipRight(Effect.sync(() => seen.push(`ran ${n}`)))
        )
      )
      const view = yield* Deferred.make<Option.Option<{ readonly state: string }>>()
      const fiber = yield* Effect.all([Airlock.enqueue(Job, 1), Effect.intoDeferred(Airlock.current, view)]).pipe(
        Airlock.scoped,
        Effect.provide(Live),
        Effect.forkDaemon
      )
      yield* Deferred.await(running)
      const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      const scope = Option.getOrThrow(yield* Deferred.await(view))
      expect([scope.state, seen]).toEqual(["settling", []])
      yield* Deferred.succeed(go, void 0)
      expect(Exit.isInterrupted(yield* Fiber.join(interrupting))).toBe(true)
      expect([scope.state, seen]).toEqual(["flushed", ["ran 1"]])
    }).pipe(Effect.provide(layer())))

  it.effect("does not disable dispatchTimeout, and does not keep the handlers' Layer from closing", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const Live = Job.toLayer((n) =>
        n === 1 ? Airlock.enqueue(Job, 2) : Effect.zipRight(Deferred.succeed(started, void 0), Effect.never)
      )
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Live, scope)
      const fiber = yield* Effect.forkDaemon(Airlock.enqueue(Job, 1).pipe(Airlock.scoped))
      yield* Deferred.await(started)
      yield* Fiber.interruptFork(fiber)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("60 seconds")
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(closing)
      yield* Fiber.await(fiber)
    }).pipe(Effect.provide(layer())))

  it.effect("does not discard the intents of a scope that opens in the cleanup after it", () =>
    Effect.gen(function*() {
      const cleanup = note("cancelled").pipe(Airlock.scoped({ independent: true }), Effect.orDie)
      const fiber = yield* Effect.fork(Effect.never.pipe(Effect.onInterrupt(() => cleanup)))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      expect(yield* left).toEqual(["cancelled"])
      const manual = yield* Scope.make()
      const closer = yield* Effect.fork(Effect.never.pipe(Effect.onInterrupt(() => Scope.close(manual, Exit.void))))
      yield* Effect.yieldNow()
      yield* Airlock.open().pipe(
        Scope.extend(manual),
        Effect.zipRight(note("manual")),
        Effect.provide(Airlock.unchecked)
      )
      yield* Fiber.interrupt(closer)
      expect(yield* left).toEqual(["cancelled", "manual"])
    }).pipe(Effect.provide(layer())))
})

describe("an interruption at any step of enqueue, policies, approval and dispatch", () => {
  it.effect("lets all intents leave or none, and leaves no scope in the state settling", () =>
    Effect.gen(function*() {
      const steps = 12
      const slowly = Effect.repeatN(Effect.yieldNow(), steps)
      const Live = Job.toLayer((n) => Effect.zipRight(slowly, note(`job ${n}`)))
      const ends: Array<string> = []
      for (let n = 0; n < 10 * steps; n++) {
        const before = (yield* left).length
        const view = yield* Deferred.make<Option.Option<{ readonly state: string }>>()
        const fiber = yield* slowly.pipe(
          Effect.zipRight(Effect.intoDeferred(Airlock.current, view)),
          Effect.zipRight(Effect.forEach([1, 2, 3], (n) => Airlock.enqueue(Job, n))),
          Airlock.scoped({
            policy: Policy.make({ name: "slow", allows: () => Effect.as(slowly, true as const) }),
            approve: () => Effect.as(slowly, true)
          }),
          Effect.provide(Live),
          Effect.forkDaemon
        )
        yield* Effect.repeatN(Effect.yieldNow(), n)
        const exit = yield* Fiber.interrupt(fiber)
        const seen = yield* Deferred.poll(view)
        const state = Option.isSome(seen) ? Option.getOrThrow(yield* seen.value).state : "never seen"
        expect([n, Exit.isSuccess(exit) || Exit.isInterrupted(exit)]).toEqual([n, true])
        expect([n, state, (yield* left).length - before]).toEqual([n, state, state === "flushed" ? 3 : 0])
        if (!ends.includes(state)) {
          ends.push(state)
        }
      }
      // The number of steps was enough to reach every possible end.
      expect(ends).toEqual(["never seen", "discarded", "flushed"])
    }).pipe(Effect.provide(layer())))
})

describe("I6: an interrupted worker of Effect.all", () => {
  const steps: Record<string, Effect.Effect<unknown, unknown, Airlock.Airlock | AirlockScope>> = {
    "directly": note("x"),
    "under a timeout": note("x").pipe(Effect.timeout("1 seconds")),
    "in a child fiber": Effect.all([note("x"), Effect.void], { concurrency: 2 }),
    "in a scope under a timeout": Airlock.scoped(note("x")).pipe(Effect.timeout("1 seconds"))
  }
  for (const [where, step] of Object.entries(steps)) {
    it.effect(`discards the intents that it enqueued ${where}`, () =>
      Effect.gen(function*() {
        const enqueued = yield* Deferred.make<void>()
        const worker = step.pipe(Effect.zipRight(Deferred.succeed(enqueued, void 0)), Effect.zipRight(Effect.never))
        yield* Effect.all([worker, Effect.zipRight(Deferred.await(enqueued), Effect.fail("no"))], { concurrency: 2 })
          .pipe(
            Effect.ignore,
            Airlock.scoped
          )
        expect(yield* left).toEqual([])
      }).pipe(Effect.provide(layer())))
  }
})

describe("an executor that is interrupted while handlers run", () => {
  it.effect("gets the outcomes of the handlers that have run, and stops", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const goingOn = Executor.make({
        name: "going on",
        dispatch: (intents, handlers) => Effect.zipLeft(handlers.run(intents), Effect.sync(() => seen.push("went on")))
      })
      const Live = Job.toLayer((n) => n === 1 ? Effect.sync(() => seen.push("ran 1")) : Effect.never)
      const fiber = yield* Effect.forEach([1, 2], (n) => Airlock.enqueue(Job, n)).pipe(
        Airlock.scoped({ executor: goingOn, dispatchTimeout: "1 second" }),
        Effect.provide(Live),
        Effect.flip,
        Effect.fork
      )
      yield* TestClock.adjust("2 seconds")
      const error = yield* Fiber.join(fiber)
      expect(error._tag === "FlushError" && namesIn(error)).toEqual(["Job: SettleTimeoutError"])
      expect(seen).toEqual(["ran 1"])
    }).pipe(Effect.provide(layer())))
})
