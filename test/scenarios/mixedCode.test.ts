/**
 * Code that is not Effect: Promises, timers and emitters that run Effects with a captured runtime.
 */
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Either, Exit, Fiber, Logger, Metric, Option, Runtime } from "effect"
import type { AirlockScope } from "effect-airlock"
import { Airlock, AirlockMetrics } from "effect-airlock"
import { EventEmitter, once } from "node:events"
import { readFile } from "node:fs/promises"
import { setImmediate as turn } from "node:timers/promises"
import { layer, left, note } from "../support/recorder.js"

type Run = <A, E>(self: Effect.Effect<A, E, AirlockScope>, options?: { readonly signal?: AbortSignal }) => Promise<A>

/** Runs Promise code, which gets a function that runs Effects in the scope of the caller. */
const promise = <A>(body: (run: Run) => Promise<A>) =>
  Effect.flatMap(Effect.runtime<AirlockScope>(), (runtime) => Effect.promise(() => body(Runtime.runPromise(runtime))))

it.effect("a captured runtime enqueues into its scope after every await of a Promise", () =>
  Effect.gen(function*() {
    yield* Effect.gen(function*() {
      yield* note("before")
      yield* promise(async (run) => {
        await run(note("at once"))
        await turn()
        await run(note("after a turn"))
        await readFile("package.json")
        await run(note("after I/O"))
        await Promise.all([run(note("one of two")), run(note("two of two"))])
      })
      yield* note("after")
      expect(yield* left).toEqual([])
    }).pipe(Airlock.scoped)
    expect(yield* left).toEqual(
      ["before", "at once", "after a turn", "after I/O", "one of two", "two of two", "after"]
    )
  }).pipe(Effect.provide(layer())))

it.effect("a captured runtime enqueues into its scope from callbacks of timers and emitters", () =>
  Effect.gen(function*() {
    yield* promise(async (run) => {
      const emitter = new EventEmitter()
      const done: Array<Promise<unknown>> = []
      emitter.on("data", (text: string) => done.push(run(note(text))))
      // The timer's callback runs outside of the scope. Only the listener has the captured runtime.
      setTimeout(() => {
        emitter.emit("data", "first")
        setImmediate(() => emitter.emit("data", "second") && emitter.emit("end"))
      }, 0)
      await once(emitter, "end")
      await Promise.all(done)
    }).pipe(Airlock.scoped)
    expect(yield* left).toEqual(["first", "second"])
  }).pipe(Effect.provide(layer())))

it.live("100 concurrent Promises with captured runtimes never mix their intents", () =>
  Effect.gen(function*() {
    const held = yield* Effect.forEach(
      Array.from({ length: 100 }, (_, index) => index),
      (index) =>
        promise(async (run) => {
          await turn()
          await run(note(`${index}a`))
          await turn()
          await run(note(`${index}b`))
          return run(Effect.map(Airlock.intents, (intents) => intents.map(({ payload }) => payload)))
        }).pipe(
          Effect.tap(() => index % 2 === 0 ? Effect.void : Effect.fail("odd")),
          Airlock.scoped,
          Effect.either
        ),
      { concurrency: "unbounded" }
    )
    held.forEach((result, index) => {
      expect(Either.getOrElse(result, () => "failed")).toEqual(
        index % 2 === 0 ? [{ text: `${index}a` }, { text: `${index}b` }] : "failed"
      )
    })
    const even = Array.from({ length: 50 }, (_, index) => index * 2)
    expect([...(yield* left)].sort()).toEqual(even.flatMap((index) => [`${index}a`, `${index}b`]).sort())
  }).pipe(Effect.provide(layer())))

it.effect("a rejected Promise fails the scope, which discards its intents", () =>
  Effect.gen(function*() {
    const exit = yield* promise(async (run) => {
      await run(note("lost"))
      throw new Error("no")
    }).pipe(Airlock.scoped, Effect.exit)
    expect(Exit.isFailure(exit)).toBe(true)
    expect(yield* left).toEqual([])
  }).pipe(Effect.provide(layer())))

it.effect("a run that fails discards its intents although the Promise catches the error, and one that recovers keeps them", () =>
  Effect.gen(function*() {
    const failing = (text: string) => Effect.zipRight(note(text), Effect.fail("no"))
    yield* promise(async (run) => {
      await run(failing("gone")).catch(() => {})
      await run(Effect.ignore(failing("stays")))
    }).pipe(Airlock.scoped)
    expect(yield* left).toEqual(["stays"])
  }).pipe(Effect.provide(layer())))

it.effect("a run that still runs when the scope settles discards its intents", () =>
  Effect.gen(function*() {
    yield* promise(async (run) => {
      void run(Effect.zipRight(note("gone"), Effect.never))
      await run(note("leaves"))
    }).pipe(Airlock.scoped)
    expect(yield* left).toEqual(["leaves"])
  }).pipe(Effect.provide(layer()), Effect.provide(Logger.remove(Logger.defaultLogger))))

it.effect("an inner scope of a run hands its intents to the scope in which the runtime was captured", () =>
  Effect.gen(function*() {
    const airlock = yield* Airlock.Airlock
    const [inner, outer] = yield* promise(async (run) => {
      await run(note("inner").pipe(Airlock.scoped, Effect.provideService(Airlock.Airlock, airlock)))
      await run(note("outer"))
      return run(Effect.map(
        Airlock.current,
        Option.match({
          onNone: () => [0, 0],
          onSome: ({ captured, own }) => [captured.length, own.length]
        })
      ))
    }).pipe(Airlock.scoped)
    expect([inner, outer]).toEqual([1, 1])
    expect(yield* left).toEqual(["inner", "outer"])
  }).pipe(Effect.provide(layer())))

it.effect("a Promise that enqueues after its scope has settled gets a ScopeClosedError, which is counted", () =>
  Effect.gen(function*() {
    const before = yield* Metric.value(AirlockMetrics.lateIntents)
    const settled = yield* Deferred.make<void>()
    const late = yield* Effect.flatMap(Effect.runtime<AirlockScope>(), (runtime) =>
      Effect.sync(() =>
        // The scope does not wait for this Promise, and settles meanwhile.
        Runtime.runPromise(runtime)(note("in time"))
          .then(() => Runtime.runPromise(runtime)(Deferred.await(settled)))
          .then(() => Runtime.runPromiseExit(runtime)(note("late")))
      )).pipe(Effect.tap(() => Effect.promise(() => turn())), Airlock.scoped({ name: "order" }))
    yield* Deferred.succeed(settled, void 0)
    const exit = yield* Effect.promise(() => late)
    expect(String(exit)).toContain("ScopeClosedError")
    expect((yield* Metric.value(AirlockMetrics.lateIntents)).count).toBe(before.count + 1)
    expect(yield* left).toEqual(["in time"])
  }).pipe(Effect.provide(layer()), Effect.provide(Logger.remove(Logger.defaultLogger))))

it.effect("a run with the signal of a fiber is interrupted with that fiber", () =>
  Effect.gen(function*() {
    const started = yield* Deferred.make<void>()
    const runs: Array<Promise<unknown>> = []
    const fiber = yield* Effect.flatMap(Effect.runtime<AirlockScope>(), (runtime) =>
      Effect.promise((signal) => {
        const run = Runtime.runPromiseExit(runtime)
        runs.push(run(Effect.zipRight(note("gone"), Effect.never), { signal }))
        runs.push(run(Deferred.succeed(started, void 0)))
        return Promise.all(runs)
      })).pipe(Airlock.scoped, Effect.fork)
    yield* Deferred.await(started)
    yield* Fiber.interrupt(fiber)
    const [stopped] = yield* Effect.promise(() => Promise.all(runs))
    expect(Exit.isExit(stopped) && Exit.isInterrupted(stopped)).toBe(true)
    expect(yield* left).toEqual([])
  }).pipe(Effect.provide(layer())))
