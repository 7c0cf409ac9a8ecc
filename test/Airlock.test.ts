import { describe, expect, it, vi } from "@effect/vitest"
import {
  Cause,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  Layer,
  Logger,
  LogLevel,
  Metric,
  Option,
  Schema,
  Scope,
  Stream,
  TestClock
} from "effect"
import type { Intent } from "effect-airlock"
import { Airlock, AirlockError, AirlockMetrics, AirlockScope, Executor, Policy, Task } from "effect-airlock"
import { defectOf } from "./support/exits.js"
import { layer, Left, left, Note, note } from "./support/recorder.js"

const adjust = TestClock.adjust

/** A task whose handler each test brings. */
const Job = Task.make("Job", { payload: Schema.Number })

const payloadOf = (intent: Intent.Intent) => intent.payload as typeof Note.payloadSchema.Type

const namesIn = (error: AirlockError.FlushError) => error.failures.map(({ reason, task }) => `${task}: ${reason._tag}`)

const flushErrorOf = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(self), (exit) => {
    const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    if (!(error instanceof AirlockError.FlushError)) {
      throw new Error(`expected a FlushError, got ${exit}`)
    }
    return error
  })

describe("I1: nothing leaves before its scope settles", () => {
  it.effect("a scope buffers an intent until it succeeds", () =>
    Effect.gen(function*() {
      const during = yield* note("a").pipe(Effect.zipRight(left), Airlock.scoped)
      expect(during).toEqual([])
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))
})

describe("I2: a scope settles once, from its Exit", () => {
  it.effect("a scope that succeeds dispatches its intents in the order of the enqueues", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(["a", "b", "c"], note).pipe(Airlock.scoped)
      expect(yield* left).toEqual(["a", "b", "c"])
    }).pipe(Effect.provide(layer())))

  it.effect("a scope that fails, dies or is interrupted discards its intents and keeps its exit", () =>
    Effect.gen(function*() {
      const ends = { fail: Effect.fail("no"), die: Effect.die("no"), interrupt: Effect.interrupt }
      for (const end of Object.values(ends)) {
        const exit = yield* Effect.exit(note("a").pipe(Effect.zipRight(end), Airlock.scoped))
        const bare = yield* Effect.exit(end)
        expect(exit).toEqual(bare)
      }
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("an interruption that is pending when the body succeeds discards the intents", () =>
    Effect.gen(function*() {
      const [begun, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const fiber = yield* note("a").pipe(
        Effect.zipRight(Deferred.succeed(begun, void 0)),
        Effect.zipRight(Deferred.await(go)),
        Effect.uninterruptible,
        Airlock.scoped,
        Effect.forkDaemon
      )
      yield* Deferred.await(begun)
      yield* Fiber.interruptFork(fiber)
      yield* Effect.yieldNow()
      yield* Deferred.succeed(go, void 0)
      yield* Fiber.await(fiber)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  const regions: Record<string, <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<unknown, unknown, R>> = {
    "Effect.uninterruptible": Effect.uninterruptible,
    "an acquire": (self) => Effect.scoped(Effect.acquireRelease(self, () => Effect.void)),
    "a release": (self) => Effect.scoped(Effect.acquireRelease(Effect.void, () => Effect.orDie(self))),
    "Effect.ensuring": (self) => Effect.ensuring(Effect.void, Effect.orDie(self))
  }
  for (const [name, region] of Object.entries(regions)) {
    it.effect(`a scope inside ${name} that is interrupted meanwhile flushes, as the region goes on`, () =>
      Effect.gen(function*() {
        const [begun, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        const fiber = yield* note("a").pipe(
          Effect.zipRight(Deferred.succeed(begun, void 0)),
          Effect.zipRight(Deferred.await(go)),
          Airlock.scoped,
          Effect.zipRight(Airlock.scoped(note("b"))),
          region,
          Effect.forkDaemon
        )
        yield* Deferred.await(begun)
        yield* Fiber.interruptFork(fiber)
        yield* Effect.yieldNow()
        yield* Deferred.succeed(go, void 0)
        yield* Fiber.await(fiber)
        expect(yield* left).toEqual(["a", "b"])
      }).pipe(Effect.provide(layer())))
  }

  it.scoped("a FiberRef that the body set stays set after the scope", () =>
    Effect.gen(function*() {
      const ref = yield* FiberRef.make("before")
      yield* Airlock.scoped(Effect.zipRight(note("a"), FiberRef.set(ref, "set by the body")))
      expect(yield* FiberRef.get(ref)).toBe("set by the body")
    }).pipe(Effect.provide(layer())))

  it.effect("a settling scope refuses further intents", () =>
    Effect.gen(function*() {
      const [dispatching, refused] = yield* Effect.all([Deferred.make<void>(), Deferred.make<unknown>()])
      const slow = Executor.make({
        name: "slow",
        dispatch: (intents) =>
          Deferred.succeed(dispatching, void 0).pipe(
            Effect.zipRight(Deferred.await(refused)),
            Effect.as(intents.map(() => Exit.void))
          )
      })
      yield* Deferred.await(dispatching).pipe(
        Effect.zipRight(defectOf(note("late"))),
        Effect.intoDeferred(refused),
        Effect.forkDaemon,
        Effect.zipRight(note("a")),
        Airlock.scoped({ executor: slow }),
        Logger.withMinimumLogLevel(LogLevel.None)
      )
      expect(yield* Deferred.await(refused)).toMatchObject({ _tag: "ScopeClosedError", state: "settling" })
    }).pipe(Effect.provide(layer())))

  it.effect("an interruption during the dispatch does not keep any intent from leaving", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const slow = Executor.make({
        name: "slow",
        dispatch: (intents, handlers) =>
          Deferred.succeed(started, void 0).pipe(
            Effect.zipRight(Deferred.await(go)),
            Effect.zipRight(Executor.inProcess().dispatch(intents, handlers))
          )
      })
      const fiber = yield* Effect.forkDaemon(
        Effect.forEach(["a", "b"], note).pipe(Airlock.scoped({ executor: slow }))
      )
      yield* Deferred.await(started)
      yield* Fiber.interruptFork(fiber)
      yield* Deferred.succeed(go, void 0)
      yield* Fiber.await(fiber)
      expect(yield* left).toEqual(["a", "b"])
    }).pipe(Effect.provide(layer())))

  it.effect("shouldFlush gets the exit and the intents, and decides", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const options = {
        shouldFlush: (exit: Exit.Exit<unknown, unknown>, intents: ReadonlyArray<unknown>) => {
          seen.push([exit._tag, intents.length])
          return Exit.isFailure(exit)
        }
      }
      yield* Effect.exit(note("a").pipe(Effect.zipRight(Effect.fail("no")), Airlock.scoped(options)))
      yield* note("b").pipe(Airlock.scoped(options))
      expect(seen).toEqual([["Failure", 1], ["Success", 1]])
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))

  it.effect("shouldFlush is asked about the interruption of the body, and obeyed", () =>
    Effect.gen(function*() {
      for (const answer of [true, false]) {
        const seen: Array<unknown> = []
        const fiber = yield* note(`${answer}`).pipe(
          Effect.zipRight(Effect.never),
          Airlock.scoped({
            shouldFlush: (exit) => {
              seen.push(Exit.isInterrupted(exit))
              return answer
            }
          }),
          Effect.fork
        )
        yield* Effect.yieldNow()
        const exit = yield* Fiber.interrupt(fiber)
        expect([seen, Exit.isInterrupted(exit)]).toEqual([[true], true])
      }
      expect(yield* left).toEqual(["true"])
    }).pipe(Effect.provide(layer())))

  it.effect("an interruption that is pending when the body ends is part of the exit that shouldFlush gets", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const ends = { "after a success": Effect.void, "after a failure": Effect.fail("no") }
      for (const [name, end] of Object.entries(ends)) {
        const [begun, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        const fiber = yield* note(name).pipe(
          Effect.zipRight(Deferred.succeed(begun, void 0)),
          Effect.zipRight(Deferred.await(go)),
          Effect.zipRight(end),
          Effect.uninterruptible,
          Airlock.scoped({
            shouldFlush: (exit) => {
              seen.push(Exit.isFailure(exit) && [Cause.isInterrupted(exit.cause), ...Cause.failures(exit.cause)])
              return true
            }
          }),
          Effect.fork
        )
        yield* Deferred.await(begun)
        yield* Fiber.interruptFork(fiber)
        yield* Effect.yieldNow()
        yield* Deferred.succeed(go, void 0)
        yield* Fiber.await(fiber)
      }
      expect(seen).toEqual([[true], [true, "no"]])
      expect(yield* left).toEqual(Object.keys(ends))
    }).pipe(Effect.provide(layer())))

  it.effect("policies and approval decide to the end for a scope that flushes though it was interrupted", () =>
    Effect.gen(function*() {
      const slowly = Effect.repeatN(Effect.yieldNow(), 3)
      const options = {
        policy: Policy.make({ name: "slow", allows: () => Effect.as(slowly, true as const) }),
        approve: () => Effect.as(slowly, true)
      }
      const body = Effect.forkDaemon(
        Effect.zipRight(note("obeyed"), Effect.never).pipe(Airlock.scoped({ ...options, shouldFlush: () => true }))
      )
      const cleanup = Effect.forkDaemon(
        Effect.onInterrupt(Effect.never, () => Effect.orDie(note("cleanup").pipe(Airlock.scoped(options))))
      )
      for (const forked of [body, cleanup]) {
        const fiber = yield* forked
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
      }
      expect(yield* left).toEqual(["obeyed", "cleanup"])
    }).pipe(Effect.provide(layer())))

  it.effect("a shouldFlush that throws discards the intents and becomes a defect", () =>
    Effect.gen(function*() {
      const exit = yield* note("a").pipe(
        Airlock.scoped({
          shouldFlush: () => {
            throw new Error("oops")
          }
        }),
        Effect.exit
      )
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("oops")
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("a failed flush appends its FlushError to the cause of a failed body", () =>
    Effect.gen(function*() {
      const exit = yield* note("fail").pipe(
        Effect.zipRight(Effect.fail("body")),
        Airlock.scoped({ shouldFlush: () => true }),
        Effect.exit
      )
      const failures = Exit.isFailure(exit) ? Array.from(Cause.failures(exit.cause)) : []
      expect(failures[0]).toBe("body")
      expect(failures[1]).toBeInstanceOf(AirlockError.FlushError)
    }).pipe(Effect.provide(layer())))

  it.effect("an executor that is ignored inside another scope is named in one warning", () =>
    Effect.gen(function*() {
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel.label === "WARN") {
          logged.push(String(message))
        }
      })
      const makeIgnored = () => Executor.make({ name: "ignored", dispatch: () => Effect.succeed([]) })
      const used = Executor.drain()
      const nested = (executor: Executor.Executor) => note("a").pipe(Airlock.scoped({ executor, name: "inner" }))
      yield* Effect.zipRight(nested(makeIgnored()), nested(makeIgnored())).pipe(
        Airlock.scoped,
        Effect.zipRight(nested(used).pipe(Airlock.scoped({ executor: used }))),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      expect(yield* left).toEqual(["a", "a", "a"])
      expect(logged.length).toBe(1)
      expect(logged[0]).toMatch(/"ignored" of the scope "inner".*"inProcess"/)
    }).pipe(Effect.provide(layer())))

  it.effect("onFlushError gets the FlushError, which is logged; then the exit of the body stands", () =>
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => {
        logged.push([logLevel.label, ...message as ReadonlyArray<unknown>].slice(0, 2))
      })
      const seen: Array<unknown> = []
      const onFlushError = (error: AirlockError.FlushError) =>
        Effect.sync(() => {
          seen.push(error.exit)
        })
      const program = Effect.as(note("fail"), "done").pipe(Airlock.scoped({ onFlushError }))
      expect(yield* program.pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))).toBe("done")
      expect(logged).toContainEqual(["ERROR", "Airlock: not all intents of the scope left"])
      yield* note("fine").pipe(Airlock.scoped({ onFlushError }))
      expect(seen).toEqual([Exit.succeed("done")])
    }).pipe(Effect.provide(layer())))

  it.effect("an onFlushError that returns no Effect is a defect that says so", () =>
    Effect.gen(function*() {
      const onFlushError = (() => undefined) as unknown as () => Effect.Effect<void>
      const exit = yield* note("fail").pipe(
        Airlock.scoped({ onFlushError }),
        Effect.exit,
        Logger.withMinimumLogLevel(LogLevel.None)
      )
      expect(Exit.isFailure(exit) && [...Cause.defects(exit.cause)]).toMatchObject([{ _tag: "HookAnswerError" }])
    }).pipe(Effect.provide(layer())))

  it.effect("a failure of onFlushError replaces the FlushError, and follows a cause of the body", () =>
    Effect.gen(function*() {
      const options = { onFlushError: () => Effect.fail("handled"), shouldFlush: () => true }
      const causes: Array<unknown> = []
      for (const end of [Effect.void, Effect.fail("body")]) {
        const exit = yield* note("fail").pipe(Effect.zipRight(end), Airlock.scoped(options), Effect.exit)
        causes.push(Exit.isFailure(exit) && Array.from(Cause.failures(exit.cause)))
      }
      expect(causes).toEqual([["handled"], ["body", "handled"]])
    }).pipe(Effect.provide([layer(), Logger.remove(Logger.defaultLogger)])))

  it.scoped("Airlock.open settles when the Effect Scope closes, by the Exit of that Scope", () =>
    Effect.gen(function*() {
      const program = Effect.zipRight(note("a"), left).pipe(
        Effect.provideServiceEffect(AirlockScope, Airlock.open()),
        Effect.scoped
      )
      expect(yield* program).toEqual([])
      expect(yield* left).toEqual(["a"])
      yield* Effect.exit(
        note("b").pipe(
          Effect.zipRight(Effect.fail("no")),
          Effect.provideServiceEffect(AirlockScope, Airlock.open()),
          Effect.scoped
        )
      )
      expect(yield* left).toEqual(["a"])
      expect(yield* Airlock.current).toEqual(Option.none())
    }).pipe(Effect.provide(layer())))

  it.effect("Airlock.open dies with the FlushError when an intent cannot leave", () =>
    Effect.gen(function*() {
      const defect = yield* defectOf(Effect.scoped(
        note("fail").pipe(Effect.provideServiceEffect(AirlockScope, Airlock.open()))
      ))
      expect(defect).toBeInstanceOf(AirlockError.FlushError)
    }).pipe(Effect.provide(layer())))

  it.effect("code with the AirlockScope service of a Layer enqueues into the scope that the Layer opened", () =>
    Effect.gen(function*() {
      const ScopeLive = Layer.scoped(AirlockScope, Airlock.open())
      // Merged Layers are built in fibers of their own. Their FiberRefs are not joined.
      const program = note("a").pipe(Effect.provide(Layer.merge(ScopeLive, Layer.empty)))
      yield* program
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))
})

describe("I3: an intent is never lost in silence", () => {
  it.effect("an enqueue without a scope dies with a NoScopeError that names the task and the call site", () =>
    Effect.gen(function*() {
      const defect = yield* defectOf(note("a").pipe(Effect.provide(Airlock.unchecked)))
      expect(defect).toMatchObject({ _tag: "NoScopeError", task: "Note" })
      expect(String(defect)).toContain("recorder.ts")
    }).pipe(Effect.provide(layer())))

  it.effect("a daemon that enqueues after its scope has settled dies with a ScopeClosedError, which is logged and counted", () =>
    Effect.gen(function*() {
      const messages: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => {
        messages.push([logLevel._tag, ...[message].flat()])
      })
      const before = yield* Metric.value(AirlockMetrics.lateIntents)
      const go = yield* Deferred.make<void>()
      const daemon = yield* Deferred.await(go).pipe(
        Effect.zipRight(note("late")),
        Effect.forkDaemon,
        Airlock.scoped,
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      yield* Deferred.succeed(go, void 0)
      expect(yield* defectOf(Fiber.join(daemon))).toMatchObject({ _tag: "ScopeClosedError", state: "flushed" })
      expect(messages).toEqual([["Error", expect.stringMatching(/has settled. Wrap .* independent: true/)]])
      expect((yield* Metric.value(AirlockMetrics.lateIntents)).count).toBe(before.count + 1)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("an inner scope whose outer scope has settled fails with a FlushError that names its intents", () =>
    Effect.gen(function*() {
      const [opened, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const daemon = yield* Deferred.succeed(opened, void 0).pipe(
        Effect.zipRight(Deferred.await(go)),
        Effect.zipRight(note("late")),
        Airlock.scoped,
        Effect.forkDaemon,
        Effect.zipLeft(Deferred.await(opened)),
        Airlock.scoped
      )
      yield* Deferred.succeed(go, void 0)
      const error = yield* flushErrorOf(Fiber.join(daemon)).pipe(Logger.withMinimumLogLevel(LogLevel.None))
      expect(error.failures.map(({ reason, task }) => [task, reason._tag])).toEqual([["Note", "ScopeClosedError"]])
    }).pipe(Effect.provide(layer())))

  it.effect("an enqueue refuses a payload that does not match the Schema, and the error shows no value", () =>
    Effect.gen(function*() {
      const wrong = "s3cret" as unknown as { text: string }
      const defect = yield* defectOf(Airlock.scoped(Airlock.enqueue(Note, wrong)))
      expect(defect).toMatchObject({
        _tag: "InvalidPayloadError",
        issues: ["payload: expected { readonly text: string }"]
      })
      const nested = { text: 5 } as unknown as { text: string }
      const inner = yield* defectOf(Airlock.scoped(Airlock.enqueue(Note, nested)))
      expect(inner).toMatchObject({ issues: ["text: expected string"] })
      expect(String(defect)).not.toContain("s3cret")
    }).pipe(Effect.provide(layer())))

  it.effect("a full scope refuses an intent and keeps those that it has", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        yield* note("a")
        const refused = yield* defectOf(note("b"))
        return [refused, (yield* Airlock.intents).length] as const
      })
      const [refused, held] = yield* program.pipe(Airlock.scoped({ maxIntents: 1 }))
      expect(refused).toMatchObject({ _tag: "BufferFullError", limit: 1 })
      expect(held).toBe(1)
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))

  it.effect("a Schema that throws makes the enqueue die, not the code that builds the Effect", () =>
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

describe("I5: an inner scope hands its intents to the outer scope, and the outermost scope decides", () => {
  it.effect("an inner scope that succeeds hands over its intents in the order of the enqueues", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        yield* note("a")
        yield* Effect.zipRight(note("b"), note("c")).pipe(Airlock.scoped)
        yield* note("d")
        return yield* left
      })
      expect(yield* Airlock.scoped(program)).toEqual([])
      expect(yield* left).toEqual(["a", "b", "c", "d"])
    }).pipe(Effect.provide(layer())))

  it.effect("an inner scope that fails discards only its own intents when the outer scope recovers", () =>
    Effect.gen(function*() {
      const inner = Effect.zipRight(note("inner"), Effect.fail("no")).pipe(Airlock.scoped)
      yield* note("a").pipe(Effect.zipRight(Effect.ignore(inner)), Effect.zipRight(note("b")), Airlock.scoped)
      expect(yield* left).toEqual(["a", "b"])
    }).pipe(Effect.provide(layer())))

  it.effect("an outer scope that fails discards the intents that it captured", () =>
    Effect.gen(function*() {
      yield* Effect.exit(Airlock.scoped(Effect.zipRight(Airlock.scoped(note("a")), Effect.fail("no"))))
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("a scope tells its own intents from captured ones", () =>
    Effect.gen(function*() {
      const view = yield* Airlock.scoped(Effect.gen(function*() {
        yield* note("own")
        yield* Airlock.scoped(note("captured"))
        const { captured, own } = Option.getOrThrow(yield* Airlock.current)
        return { own: own.map(payloadOf), captured: captured.map(payloadOf) }
      }))
      expect(view).toEqual({ own: [{ text: "own" }], captured: [{ text: "captured" }] })
    }).pipe(Effect.provide(layer())))

  it.effect("an independent scope dispatches its intents although the outer scope fails", () =>
    Effect.gen(function*() {
      yield* Effect.exit(
        Airlock.scoped(Effect.zipRight(Airlock.scoped(note("a")), Effect.fail("no")))
      )
      yield* Effect.exit(
        Airlock.scoped(Effect.zipRight(note("b").pipe(Airlock.scoped({ independent: true })), Effect.fail("no")))
      )
      expect(yield* left).toEqual(["b"])
    }).pipe(Effect.provide(layer())))

  it.effect("beforeDescendantFlushes lets chosen intents leave early, subject to the policies of every outer scope", () =>
    Effect.gen(function*() {
      const early = yield* Effect.zipRight(note("early"), note("late")).pipe(
        Airlock.scoped,
        Effect.zipRight(left),
        Airlock.scoped({ beforeDescendantFlushes: (intents) => intents.slice(0, 1) })
      )
      expect(early).toEqual(["early"])
      expect(yield* left).toEqual(["early", "late"])
      yield* note("dropped").pipe(
        Airlock.scoped,
        Airlock.scoped({ policy: Policy.dropAll, beforeDescendantFlushes: (intents) => intents })
      )
      expect(yield* left).toEqual(["early", "late"])
    }).pipe(Effect.provide(layer())))

  it.effect("an inner scope fails with a FlushError when the outer scope has no room for its intents", () =>
    Effect.gen(function*() {
      const error = yield* note("b").pipe(
        Airlock.scoped,
        Effect.zipRight(Effect.void),
        (inner) => Effect.zipRight(note("a"), flushErrorOf(inner)),
        Airlock.scoped({ maxIntents: 1 })
      )
      expect(error.failures.map(({ reason }) => reason._tag)).toEqual(["BufferFullError"])
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))

  it.effect("the outer scope keeps the order of the enqueues, whichever of two inner scopes ends first", () =>
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

  it.effect("a beforeDescendantFlushes that throws discards the intents, and no outer scope captures any", () =>
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

  it.effect("the outermost scope's executor dispatches the intents of all inner scopes", () =>
    Effect.gen(function*() {
      const carried: Array<string> = []
      const named = (name: string) =>
        Executor.make({
          name,
          dispatch: (intents) =>
            Effect.sync(() => {
              carried.push(name)
              return intents.map(() => Exit.void)
            })
        })
      yield* note("a").pipe(Airlock.scoped({ executor: named("inner") }), Airlock.scoped({ executor: named("outer") }))
      yield* note("b").pipe(Airlock.scoped, Effect.provide(Executor.layer(named("context"))))
      expect(carried).toEqual(["outer", "context"])
      expect(yield* Left).toEqual([])
    }).pipe(Effect.provide(layer())))
})

describe("I6: what became of a fiber decides whether its intents leave", () => {
  const cases: Record<
    string,
    {
      readonly program: Effect.Effect<unknown, unknown, Airlock.Airlock | AirlockScope>
      readonly leaves: Array<string>
    }
  > = {
    "the intents of the loser of Effect.race do not leave": {
      program: Effect.race(
        Effect.zipRight(note("loser"), Effect.never),
        Effect.zipRight(note("winner"), Effect.yieldNow())
      ),
      leaves: ["winner"]
    },
    "the intents of an uninterruptible loser that succeeds do not leave": {
      program: Effect.gen(function*() {
        const won = yield* Deferred.make<void>()
        const loser = Effect.repeatN(Effect.yieldNow(), 20).pipe(
          Effect.zipRight(note("loser")),
          Effect.zipLeft(Deferred.await(won)),
          Effect.zipLeft(Effect.repeatN(Effect.yieldNow(), 20))
        )
        const winner = Effect.zipRight(note("winner"), Deferred.succeed(won, void 0))
        // Both fibers inherit that they cannot be interrupted, so the loser succeeds.
        yield* Effect.uninterruptible(Effect.race(loser, winner))
      }),
      leaves: ["winner"]
    },
    "the intents of a scope inside a loser do not leave": {
      program: Effect.race(Effect.zipRight(Airlock.scoped(note("loser")), Effect.never), Effect.yieldNow()),
      leaves: []
    },
    "the intents of a loser's finished children do not leave": {
      program: Effect.race(
        Effect.zipRight(Effect.all([note("a"), note("b")], { concurrency: 2 }), Effect.never),
        Effect.repeatN(Effect.yieldNow(), 20)
      ),
      leaves: []
    },
    "the intents of a loser's finished child do not leave when its sibling still runs": {
      program: Effect.race(
        Effect.all([note("a"), Effect.never], { concurrency: 2 }),
        Effect.repeatN(Effect.yieldNow(), 20)
      ),
      leaves: []
    },
    "the intents of concurrent children that succeed leave": {
      program: Effect.all([note("a"), note("b"), note("c")], { concurrency: 2 }),
      leaves: ["a", "b", "c"]
    },
    "the intents of a failed child of a recovered Effect.all do not leave, those of its sibling do": {
      program: Effect.all([note("a"), Effect.zipRight(note("b"), Effect.fail("no"))], { concurrency: 2 }).pipe(
        Effect.ignore
      ),
      leaves: ["a"]
    },
    "the intents of the workers of a concurrent Stream.mapEffect leave": {
      program: Stream.make("a", "b", "c", "d").pipe(Stream.mapEffect(note, { concurrency: 2 }), Stream.runDrain),
      leaves: ["a", "b", "c", "d"]
    },
    "the intents of a Stream inside a loser do not leave": {
      program: Effect.race(
        Stream.make("a", "b").pipe(
          Stream.mapEffect(note, { concurrency: 2 }),
          Stream.runDrain,
          Effect.zipRight(Effect.never)
        ),
        Effect.repeatN(Effect.yieldNow(), 100)
      ),
      leaves: []
    },
    "the intents of a fiber that was forked and joined leave": {
      program: Effect.flatMap(Effect.fork(note("a")), Fiber.join),
      leaves: ["a"]
    },
    "the intents of a fiber that was forked and awaited leave if it succeeded, and not if it failed": {
      program: Effect.gen(function*() {
        yield* Fiber.await(yield* Effect.fork(note("a")))
        yield* Fiber.await(yield* Effect.fork(Effect.zipRight(note("b"), Effect.fail("no"))))
      }),
      leaves: ["a"]
    },
    "the intents enqueued before a failure that the same fiber recovers leave": {
      program: Effect.zipRight(note("a"), Effect.fail("no")).pipe(Effect.ignore),
      leaves: ["a"]
    }
  }
  for (const [name, { leaves, program }] of Object.entries(cases)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        yield* Airlock.scoped(program)
        expect((yield* left).sort()).toEqual(leaves)
      }).pipe(Effect.provide(layer())))
  }

  it.effect("the intents of an Effect that Effect.timeoutOption interrupted do not leave", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.zipRight(note("slow"), Effect.never).pipe(
        Effect.timeoutOption("1 second"),
        Effect.zipRight(note("after")),
        Airlock.scoped,
        Effect.fork
      )
      yield* adjust("1 second")
      yield* Fiber.join(fiber)
      expect(yield* left).toEqual(["after"])
    }).pipe(Effect.provide(layer())))

  it.effect("the intents of a fiber that still runs at settlement do not leave, and a warning names the scope", () =>
    Effect.gen(function*() {
      const warnings: Array<unknown> = []
      const logger = Logger.make(({ annotations, logLevel }) => {
        warnings.push([logLevel._tag, Object.fromEntries(annotations)])
      })
      const fiber = yield* Effect.zipRight(note("a"), Effect.never).pipe(
        Effect.forkDaemon,
        Effect.zipLeft(Effect.yieldNow()),
        Effect.zipLeft(note("b")),
        Airlock.scoped({ name: "order" }),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      yield* Fiber.interrupt(fiber)
      expect(yield* left).toEqual(["b"])
      expect(warnings).toEqual([["Warning", expect.objectContaining({ "airlock.scope": "order", "airlock.count": 1 })]])
    }).pipe(Effect.provide(layer())))

  it.effect("concurrent scopes never mix their intents", () =>
    Effect.gen(function*() {
      const one = (n: number) =>
        Effect.gen(function*() {
          yield* note(`${n}`)
          yield* Effect.yieldNow()
          yield* Airlock.scoped(note(`${n}`))
          yield* Effect.yieldNow()
          const texts = (yield* Airlock.intents).map((intent) => payloadOf(intent).text)
          expect(texts).toEqual([`${n}`, `${n}`])
          return n % 2 === 0 ? yield* Effect.fail("odd one out") : n
        }).pipe(Airlock.scoped, Effect.exit)
      yield* Effect.forEach(Array.from({ length: 200 }, (_, n) => n), one, { concurrency: "unbounded" })
      expect((yield* left).length).toBe(200)
    }).pipe(Effect.provide(layer())))
})

describe("I9: one failed dispatch does not lose the other intents", () => {
  it.effect("the other intents leave, and the FlushError names the failed ones and carries the body's exit", () =>
    Effect.gen(function*() {
      const error = yield* flushErrorOf(
        Effect.forEach(["a", "fail", "b", "die", "c"], note).pipe(Effect.as("done"), Airlock.scoped)
      )
      expect(yield* left).toEqual(["a", "b", "c"])
      expect(error.failures.map(({ reason }) => reason.message)).toEqual([
        "Dispatching \"Note\" failed: fail",
        "Dispatching \"Note\" failed: die"
      ])
      expect(error.exit).toEqual(Exit.succeed("done"))
    }).pipe(Effect.provide(layer())))

  it.effect("a hanging executor ends at dispatchTimeout, and an intent that it had dispatched does not count as failed", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(flushErrorOf(
        Effect.forEach(["a", "hang", "b"], note).pipe(Airlock.scoped({ dispatchTimeout: "2 seconds" }))
      ))
      yield* adjust("2 seconds")
      const error = yield* Fiber.join(fiber)
      expect(yield* left).toEqual(["a"])
      expect(error.failures.map(({ reason }) => reason._tag)).toEqual(["SettleTimeoutError", "SettleTimeoutError"])
    }).pipe(Effect.provide(layer())))

  it.effect("an executor that ignores interruption does not keep the scope from settling", () =>
    Effect.gen(function*() {
      const deaf = Executor.make({ name: "deaf", dispatch: () => Effect.uninterruptible(Effect.never) })
      const fiber = yield* Effect.fork(flushErrorOf(
        note("a").pipe(Airlock.scoped({ executor: deaf, dispatchTimeout: "2 seconds" }))
      ))
      yield* adjust("2 seconds")
      yield* adjust("1 second")
      expect((yield* Fiber.join(fiber)).failures[0]?.reason.message).toContain(
        "\"deaf\" did not complete within 2000 ms"
      )
    }).pipe(Effect.provide(layer())))

  it.effect("the FlushError names every intent of an executor that dies or gives too few outcomes", () =>
    Effect.gen(function*() {
      const dead = Executor.make({ name: "dead", dispatch: () => Effect.die(new Error("no engine")) })
      const lazy = Executor.make({ name: "lazy", dispatch: () => Effect.succeed([Exit.void]) })
      const program = Effect.zipRight(note("a"), note("b"))
      const died = yield* flushErrorOf(program.pipe(Airlock.scoped({ executor: dead })))
      const short = yield* flushErrorOf(program.pipe(Airlock.scoped({ executor: lazy })))
      expect(died.failures.map(({ reason }) => reason.message)).toEqual(
        Array(2).fill("Dispatching \"Note\" failed: no engine")
      )
      expect(short.failures.map(({ reason }) => reason.message)).toEqual([
        "Dispatching \"Note\" failed: the executor \"lazy\" gave no outcome for it"
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("the FlushError names a task without a handler, and the tasks that have one", () =>
    Effect.gen(function*() {
      const error = yield* flushErrorOf(note("a").pipe(Airlock.scoped))
      expect(error.failures[0]?.reason.message).toContain(
        "No handler is registered for the task \"Note\" (registered: none)"
      )
    }).pipe(Effect.provide(Airlock.layer())))

  it.effect("the FlushError of an executor that does not answer in time leaves out the intents whose handlers have run", () =>
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

  it.effect("the FlushError names every intent of an executor that throws or fails intents with errors of its own", () =>
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

describe("Airlock.enqueue", () => {
  it.effect("gives each intent its id, the time of its enqueue and its options", () =>
    Effect.gen(function*() {
      yield* adjust("5 seconds")
      const [id, intent] = yield* Airlock.scoped(Effect.gen(function*() {
        const id = yield* Airlock.enqueue(Note, { text: "a" }, { queue: "mail", origin: "checkout" })
        return [id, (yield* Airlock.intents)[0]!] as const
      }))
      expect(intent).toMatchObject({ id, task: { name: "Note" }, enqueuedAt: 5000, options: { queue: "mail" } })
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    }).pipe(Effect.provide(layer())))
})

describe("Airlock.unchecked", () => {
  it.effect("removes the requirement, and shows the scope of the fiber that uses the service", () =>
    Effect.gen(function*() {
      const service = yield* Effect.map(
        AirlockScope,
        (scope) => Effect.sync(() => [scope.name, scope.intents.length, scope.state])
      )
        .pipe(Effect.provide(Airlock.unchecked))
      expect(yield* Effect.zipRight(note("a"), service).pipe(Airlock.scoped({ name: "here" }))).toEqual([
        "here",
        1,
        "open"
      ])
      expect(yield* defectOf(service)).toMatchObject({ _tag: "NoScopeError" })
    }).pipe(Effect.provide(layer())))
})

describe("I11: limits are enforced", () => {
  const Again = Task.make("Again", { payload: Schema.Number })

  it.effect("maxCascade stops a handler that enqueues itself, and the error names the chain of tasks", () =>
    Effect.gen(function*() {
      const Live = Again.toLayer((n) => Airlock.enqueue(Again, n + 1))
      const error = yield* Airlock.enqueue(Again, 0).pipe(
        Airlock.scoped,
        Effect.provide(Live),
        Effect.provide(Airlock.layer({ maxCascade: 3 })),
        Effect.flip
      )
      expect(error.message).toContain("\"Again\" was enqueued 3 handlers deep")
      expect(error.message).toContain("Again -> Again -> Again -> Again")
    }))

  it.effect("a cascade as deep as maxCascade allows runs to its end", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const Live = Again.toLayer((n) => {
        seen.push(n)
        return n < 99 ? Airlock.enqueue(Again, n + 1) : Effect.void
      })
      yield* Airlock.enqueue(Again, 0).pipe(Airlock.scoped, Effect.provide(Live))
      expect(seen.length).toBe(100)
    }).pipe(Effect.provide(layer())))

  it.effect("an enqueue refuses a payload above maxPayloadBytes, and the error gives its size", () =>
    Effect.gen(function*() {
      const large = "x".repeat(100)
      const defect = yield* defectOf(note(large).pipe(Airlock.scoped({ maxPayloadBytes: 50 })))
      expect(defect).toMatchObject({ _tag: "PayloadTooLargeError", bytes: 111, limit: 50 })
      expect(String(defect)).not.toContain("xxx")
      yield* note("small").pipe(Airlock.scoped({ maxPayloadBytes: 50 }))
      expect(yield* left).toEqual(["small"])
    }).pipe(Effect.provide(layer())))

  it.live("the event loop runs while many intents are enqueued, decided and dispatched", () =>
    Effect.gen(function*() {
      let turns = 0
      let next = setImmediate(function turn() {
        turns++
        next = setImmediate(turn)
      })
      yield* Effect.forEach(Array.from({ length: 10_000 }), () => note("a"), { discard: true }).pipe(
        Airlock.scoped({ policy: Policy.limit(10_000) })
      )
      clearImmediate(next)
      expect(turns).toBeGreaterThan(0)
      expect((yield* left).length).toBe(10_000)
    }).pipe(Effect.provide(layer())))

  it.effect("a cascade of handlers can be deeper than JavaScript's stack", () =>
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

describe("Airlock.open", () => {
  it.effect("code finds the scope that a Layer opened, however the Layer is composed, inside another scope and under a local policy", () =>
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

  it.effect("scopes close in any order and in any fiber, and the outer scope stays open", () =>
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

  it.effect("the FlushError carries the Exit that the scope closed with", () =>
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

describe("Airlock.enqueueEffect", () => {
  class Service extends Context.Tag("test/Service")<Service, string>() {}

  it.effect("buffers a closure, and runs it with the services of the enqueue in a scope of its own", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const closure = Effect.gen(function*() {
        seen.push(yield* Service)
        yield* note("from the closure")
        yield* Effect.addFinalizer(() => Effect.sync(() => seen.push("released")))
      })
      const during = yield* Airlock.enqueueEffect("closure", closure).pipe(
        Effect.provideService(Service, "here"),
        Effect.as(seen.length),
        Airlock.scoped
      )
      expect(during).toBe(0)
      expect(seen).toEqual(["here", "released"])
      expect(yield* left).toEqual(["from the closure"])
    }).pipe(Effect.provide(layer())))

  it.effect("reports a closure that fails under its name in the FlushError", () =>
    Effect.gen(function*() {
      const error = yield* flushErrorOf(Airlock.enqueueEffect("closure", Effect.fail("no")).pipe(Airlock.scoped))
      expect(error.failures.map(({ reason, task }) => [task, reason._tag])).toEqual([["closure", "DispatchError"]])
    }).pipe(Effect.provide(layer())))

  it.effect("refuses a closure if the executor is durable", () =>
    Effect.gen(function*() {
      const durable = Executor.make({
        name: "queue",
        durable: true,
        dispatch: (all) => Effect.succeed(all.map(() => Exit.void))
      })
      const defect = yield* defectOf(
        Airlock.enqueueEffect("closure", Effect.void).pipe(Airlock.scoped({ executor: durable }))
      )
      expect(defect).toMatchObject({ _tag: "NotSerializableError", task: "closure", executor: "queue" })
    }).pipe(Effect.provide(layer())))
})

describe("two copies of the package in one process", () => {
  it.effect("share their scopes", () =>
    Effect.gen(function*() {
      vi.resetModules()
      const copy = yield* Effect.promise(() => import("effect-airlock"))
      expect(copy.Airlock.enqueue).not.toBe(Airlock.enqueue)
      const Theirs = copy.Task.make("Note", { payload: Note.payloadSchema })
      yield* note("ours").pipe(
        Effect.zipRight(copy.Airlock.enqueue(Theirs, { text: "theirs" })),
        copy.Airlock.scoped,
        Effect.zipRight(copy.Airlock.enqueue(Theirs, { text: "in our scope" })),
        Airlock.scoped
      )
      expect(yield* left).toEqual(["ours", "theirs", "in our scope"])
    }).pipe(Effect.provide(layer())))
})

describe("the application's scope behaviour", () => {
  class Open extends Context.Tag("test/Open")<Open, boolean>() {}

  it.effect("holds for every scope, and the options of a scope override it", () =>
    Effect.gen(function*() {
      const scope = {
        shouldFlush: () => false,
        beforeDescendantFlushes: (intents: ReadonlyArray<Intent.Intent>) => intents
      }
      yield* Effect.gen(function*() {
        yield* note("default").pipe(Airlock.scoped)
        yield* note("own").pipe(Airlock.scoped({ shouldFlush: () => true }))
        yield* note("opened").pipe(Effect.provideServiceEffect(AirlockScope, Airlock.open()), Effect.scoped)
        // The outer scope lets it pass, and is discarded itself.
        yield* note("passes").pipe(Airlock.scoped({ shouldFlush: () => true }), Airlock.scoped)
        yield* note("is captured").pipe(
          Airlock.scoped({ shouldFlush: () => true }),
          Airlock.scoped({ beforeDescendantFlushes: () => [] })
        )
        const plan = yield* Airlock.plan(note("planned").pipe(Airlock.scoped({ shouldFlush: () => true })))
        expect(plan.entries.length).toBe(1)
        expect(yield* left).toEqual(["own", "passes"])
      }).pipe(Effect.provide(layer({ scope })))
    }))

  it.effect("its approval has the services of the Layer, and those of the place where a scope opens first", () =>
    Effect.gen(function*() {
      const App = layer({ scope: { approve: () => Open } })
      yield* Effect.gen(function*() {
        yield* note("closed").pipe(Airlock.scoped)
        yield* note("open").pipe(Airlock.scoped, Effect.provideService(Open, true))
        // A property of an options object may be undefined without `exactOptionalPropertyTypes`.
        const nothing = { approve: undefined } as unknown as { readonly name: string }
        yield* note("still closed").pipe(Airlock.scoped(nothing))
        expect(yield* left).toEqual(["open"])
      }).pipe(Effect.provide(App), Effect.provideService(Open, false))
    }))
})
