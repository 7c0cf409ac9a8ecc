/**
 * What a hostile reader tried: interruptions, orders, compositions and wrong code that nobody writes, until somebody does.
 */
import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  Layer,
  Option,
  Schema,
  Scope,
  TestClock
} from "effect"
import type { AirlockError } from "effect-airlock"
import { Airlock, AirlockScope, Executor, Policy, Task } from "effect-airlock"
import { batched, get } from "./support/batching.js"
import { defectOf } from "./support/exits.js"
import { layer, left, note } from "./support/recorder.js"

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

  it.effect("does not end the limit of a hung executor, nor hold the handlers' Layer for ever", () =>
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

  it.effect("does not touch a scope that opened in the cleanup after it", () =>
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

describe("an interruption at every step", () => {
  it.effect("of enqueue, policies, approval and dispatch lets all intents leave or none, and no scope stays half settled", () =>
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
      // The steps were enough to meet every end.
      expect(ends).toEqual(["never seen", "discarded", "flushed"])
    }).pipe(Effect.provide(layer())))
})

describe("cascades", () => {
  it.effect("go far deeper than the stack of JavaScript", () =>
    Effect.gen(function*() {
      let runs = 0
      const Live = Job.toLayer((n) => {
        runs++
        return n > 0 ? Airlock.enqueue(Job, n - 1) : Effect.void
      })
      yield* Airlock.enqueue(Job, 3000).pipe(Airlock.scoped, Effect.provide(Live))
      expect(runs).toBe(3001)
    }).pipe(Effect.provide(layer({ maxCascade: 10_000 }))))
})

describe("branches of fibers", () => {
  const steps: Record<string, Effect.Effect<unknown, unknown, Airlock.Airlock | AirlockScope>> = {
    "itself": note("x"),
    "under a timeout": note("x").pipe(Effect.timeout("1 seconds")),
    "in a child of its own": Effect.all([note("x"), Effect.void], { concurrency: 2 }),
    "in a scope under a timeout": Airlock.scoped(note("x")).pipe(Effect.timeout("1 seconds"))
  }
  for (const [where, step] of Object.entries(steps)) {
    it.effect(`what an interrupted worker enqueued ${where} does not leave`, () =>
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

describe("executors that misbehave", () => {
  it.effect("one that gives no answer in time: those whose handlers have run are not named", () =>
    Effect.gen(function*() {
      const deaf = Job.toLayer((n) => n === 2 ? Effect.uninterruptible(Effect.never) : note(`job ${n}`))
      // The Layer of a handler that never ends would wait for it: it is not closed here.
      yield* Layer.buildWithScope(deaf, yield* Scope.make())
      const fiber = yield* Effect.fork(Effect.flip(
        Effect.forEach([1, 2, 3], (n) => Airlock.enqueue(Job, n)).pipe(Airlock.scoped({ dispatchTimeout: "1 second" }))
      ))
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      expect(yield* left).toEqual(["job 1"])
      expect(namesIn(error)).toEqual(["Job: SettleTimeoutError", "Job: SettleTimeoutError"])
    }).pipe(Effect.provide(layer())))

  it.effect("one that throws, and one whose outcomes are none: each intent is named", () =>
    Effect.gen(function*() {
      const throwing = Executor.make({
        name: "throwing",
        dispatch: () => {
          throw new Error("boom")
        }
      })
      const foreign = Executor.make({
        name: "foreign",
        dispatch: (intents) => Effect.succeed(intents.map(() => Exit.fail("nope" as never)))
      })
      const both = Effect.zipRight(note("a"), note("b"))
      const thrown = yield* Effect.flip(both.pipe(Airlock.scoped({ executor: throwing })))
      expect(thrown.failures.map(({ reason }) => reason.message)).toEqual(
        Array(2).fill("Dispatching \"Note\" failed: boom")
      )
      const failed = yield* Effect.flip(both.pipe(Airlock.scoped({ executor: foreign })))
      expect(namesIn(failed)).toEqual(["Note: DispatchError", "Note: DispatchError"])
    }).pipe(Effect.provide(layer())))
})

describe("a body that goes on in another fiber, for its requests are batched", () => {
  it.effect("leaves its scope in that one", () =>
    Effect.gen(function*() {
      yield* batched([1, 2], (id) =>
        Effect.zipRight(Airlock.scoped(Effect.zipRight(get(id), note(`inner ${id}`))), note(`after ${id}`))).pipe(
          Airlock.scoped
        )
      expect((yield* left).sort()).toEqual(["after 1", "after 2", "inner 1", "inner 2"])
    }).pipe(Effect.provide(layer())))

  it.effect("of a handler leaves it its own scope, and the caller its own place", () =>
    Effect.gen(function*() {
      const service = Context.GenericTag<string>("service")
      const seen: Array<unknown> = []
      const look = Effect.map(Effect.serviceOption(service), (found) => seen.push(Option.getOrUndefined(found)))
      const Live = Job.toLayer((n) => Effect.zipRight(get(n), Effect.zipRight(note(`cascade ${n}`), look))).pipe(
        Layer.provide(Layer.succeed(service, "the handler's"))
      )
      const batching = Executor.make({
        name: "batching",
        dispatch: (intents, handlers) =>
          Effect.map(
            Effect.forEach([intents.slice(0, 1), intents.slice(1)], (some) => Effect.tap(handlers.run(some), look), {
              batching: true,
              concurrency: 2
            }),
            (outcomes) => outcomes.flat()
          )
      })
      yield* Effect.forEach([1, 2], (n) => Airlock.enqueue(Job, n)).pipe(
        Airlock.scoped({ executor: batching }),
        Effect.provide(Live)
      )
      expect(seen).toEqual(["the handler's", undefined, "the handler's", undefined])
      expect((yield* left).sort()).toEqual(["cascade 1", "cascade 2"])
    }).pipe(Effect.provide(layer())))
})

describe("an executor that is interrupted while handlers run", () => {
  it.effect("has what they came to, and goes no further", () =>
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

describe("handlers of one batch", () => {
  it.effect("do not see each other's FiberRefs", () =>
    Effect.gen(function*() {
      const ref = FiberRef.unsafeMake("initial")
      const seen: Array<string> = []
      const Live = Job.toLayer((n) => Effect.map(FiberRef.getAndSet(ref, `set by ${n}`), (value) => seen.push(value)))
      yield* Effect.forEach([1, 2, 3], (n) => Airlock.enqueue(Job, n)).pipe(Airlock.scoped, Effect.provide(Live))
      expect(seen).toEqual(["initial", "initial", "initial"])
    }).pipe(Effect.provide(layer())))

  it.effect("get no payload that another task of their name let pass", () =>
    Effect.gen(function*() {
      const Other = Task.make("Job", { payload: Schema.String })
      const Live = Job.toLayer((n) => note(`job ${n}`))
      const error = yield* Airlock.enqueue(Other, "text").pipe(Airlock.scoped, Effect.provide(Live), Effect.flip)
      expect(error.failures[0]?.reason.message).toContain("payload: expected number")
      const Same = Task.make("Job", { payload: Schema.Int })
      yield* Airlock.enqueue(Same, 1).pipe(Airlock.scoped, Effect.provide(Live))
      expect(yield* left).toEqual(["job 1"])
    }).pipe(Effect.provide(layer())))
})

describe("scopes as resources", () => {
  it.effect("are found however their Layer is composed, inside another scope and under a local policy", () =>
    Effect.gen(function*() {
      const Dropping = Layer.scoped(AirlockScope, Airlock.open({ policy: Policy.dropAll }))
      const Other = Layer.effectDiscard(Effect.void)
      yield* note("a").pipe(Effect.provide(Dropping), Airlock.scoped)
      yield* note("b").pipe(Effect.provide(Layer.mergeAll(Other, Dropping)), Airlock.scoped)
      const Plain = Layer.scoped(AirlockScope, Airlock.open())
      yield* note("c").pipe(Effect.provide(Layer.mergeAll(Other, Plain)), Airlock.withPolicy(Policy.dropAll))
      expect(yield* left).toEqual([])
      yield* note("d").pipe(Effect.provide(Layer.mergeAll(Other, Plain)), Airlock.withPolicy(Policy.limit(1)))
      expect(yield* left).toEqual(["d"])
    }).pipe(Effect.provide(layer())))

  it.effect("may close in any order, and by any fiber: the scope around goes on", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        const [first, second] = yield* Effect.all([Scope.make(), Scope.make()])
        yield* Scope.extend(Airlock.open(), first)
        yield* Scope.extend(Airlock.open({ independent: true }), second)
        yield* Scope.close(first, Exit.void)
        yield* note("in the second")
        yield* Fiber.join(yield* Effect.fork(Scope.close(second, Exit.void)))
        yield* note("in the outer")
      }).pipe(Airlock.scoped)
      expect((yield* left).sort()).toEqual(["in the outer", "in the second"])
    }).pipe(Effect.provide(layer())))

  it.effect("carry the Exit that they closed with in their FlushError", () =>
    Effect.gen(function*() {
      const defect = yield* Effect.scoped(Effect.gen(function*() {
        yield* Airlock.open({ shouldFlush: () => true })
        yield* note("fail")
        return yield* Effect.fail("body")
      })).pipe(Effect.provide(Airlock.unchecked), Effect.exit)
      const [died] = Exit.isFailure(defect) ? Array.from(Cause.defects(defect.cause)) : []
      expect(died).toMatchObject({ _tag: "FlushError", exit: Exit.fail("body") })
    }).pipe(Effect.provide(layer())))
})

describe("handing over", () => {
  it.effect("keeps the order of the enqueues, whichever of two scopes ends first", () =>
    Effect.gen(function*() {
      const [enqueued, ended] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const first = Airlock.scoped(
        note("1").pipe(
          Effect.zipRight(Deferred.succeed(enqueued, void 0)),
          Effect.zipRight(Deferred.await(ended))
        )
      )
      const second = Deferred.await(enqueued).pipe(
        Effect.zipRight(Airlock.scoped(note("2"))),
        Effect.zipRight(Deferred.succeed(ended, void 0))
      )
      yield* Airlock.scoped(Effect.all([first, second], { concurrency: 2 }))
      expect(yield* left).toEqual(["1", "2"])
    }).pipe(Effect.provide(layer())))

  it.effect("gives nobody anything where one of those who are asked throws", () =>
    Effect.gen(function*() {
      const throwing = Airlock.scoped({
        beforeDescendantFlushes: () => {
          throw new Error("hook")
        }
      })
      const middle = Airlock.scoped({ beforeDescendantFlushes: (intents) => intents.slice(1) })
      const inner = Effect.exit(Airlock.scoped(Effect.zipRight(note("a"), note("b"))))
      const exit = yield* inner.pipe(middle, throwing)
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("hook")
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))
})

describe("policies that are provided around each other", () => {
  it.effect("add up: none inside can widen one outside", () =>
    Effect.gen(function*() {
      yield* note("a").pipe(
        Airlock.scoped,
        Effect.provide(Policy.layer(Policy.blockTasks(["Other"]))),
        Effect.provide(Policy.layer(Policy.dropAll))
      )
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("so do Airlock's own option and what is provided to it", () =>
    Effect.gen(function*() {
      yield* Airlock.scoped(note("a"))
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer({ policy: Policy.limit(5) }).pipe(Layer.provide(Policy.layer(Policy.dropAll))))))

  it.effect("one that hangs at the enqueue is bounded", () =>
    Effect.gen(function*() {
      const hangs = Policy.make({ name: "hangs", onEnqueue: () => Effect.never })
      const fiber = yield* Effect.fork(defectOf(note("a").pipe(Airlock.scoped({ policy: hangs }))))
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "SettleTimeoutError" })
    }).pipe(Effect.provide(layer())))
})

describe("a Schema that throws", () => {
  it.effect("is a defect of the enqueue, not of the code that makes the Effect", () =>
    Effect.gen(function*() {
      const Odd = Task.make("Odd", {
        payload: Schema.String.pipe(Schema.filter((): boolean => {
          throw new TypeError("no")
        }))
      })
      const enqueue = Airlock.enqueue(Odd, "x")
      expect(yield* defectOf(Airlock.scoped(enqueue))).toMatchObject({
        _tag: "InvalidPayloadError",
        issues: ["payload: its Schema threw TypeError"]
      })
    }).pipe(Effect.provide(layer())))
})
