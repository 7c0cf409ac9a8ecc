import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, LogLevel, TestClock } from "effect"
import type { Intent } from "effect-airlock"
import { Airlock, AirlockError, Policy } from "effect-airlock"
import { defectOf } from "./support/exits.js"
import { layer, left, Note, note } from "./support/recorder.js"

const textOf = (intent: Intent.Intent) => (intent.payload as typeof Note.payloadSchema.Type).text

const shout = Policy.make({
  name: "noShouting",
  allows: (intent) => Effect.succeed(String(textOf(intent)).endsWith("!") ? { drop: "shouts" } : true)
})

describe("the built-in policies", () => {
  it.effect("allowAll lets all leave, dropAll none", () =>
    Effect.gen(function*() {
      yield* note("a").pipe(Airlock.scoped({ policy: Policy.allowAll }))
      yield* note("b").pipe(Airlock.scoped({ policy: Policy.dropAll }))
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))

  it.effect("assertNoEffects refuses at the enqueue, names the place, and leaves the buffer as it was", () =>
    Effect.gen(function*() {
      const [defect, held] = yield* Effect.all([defectOf(note("a")), Airlock.intents]).pipe(
        Airlock.scoped({ policy: Policy.assertNoEffects })
      )
      expect(defect).toMatchObject({ _tag: "PolicyViolation", task: "Note", policy: "assertNoEffects" })
      expect(String(defect)).toContain("recorder.ts")
      expect(held).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("blockTasks drops, or raises, the tasks it names and no other", () =>
    Effect.gen(function*() {
      yield* note("a").pipe(Airlock.scoped({ policy: Policy.blockTasks(["Other"]) }))
      yield* note("b").pipe(Airlock.scoped({ policy: Policy.blockTasks([Note]) }))
      const raising = Policy.blockTasks(["Note"], { onEnqueue: "raise" })
      expect(yield* defectOf(note("c").pipe(Airlock.scoped({ policy: raising })))).toMatchObject({
        _tag: "PolicyViolation",
        policy: "blockTasks"
      })
      yield* note("d").pipe(Airlock.scoped({ policy: Policy.blockTasks(["Other"], { onEnqueue: "raise" }) }))
      expect(yield* left).toEqual(["a", "d"])
    }).pipe(Effect.provide(layer())))
})

describe("I4: policies add up, and stay sealed", () => {
  it.effect("an inner dropAll under an outer allowAll stays dropped", () =>
    Effect.gen(function*() {
      yield* note("inner").pipe(
        Airlock.scoped({ policy: Policy.dropAll }),
        Effect.zipRight(note("outer")),
        Airlock.scoped({ policy: Policy.allowAll })
      )
      expect(yield* left).toEqual(["outer"])
    }).pipe(Effect.provide(layer())))

  it.effect("those of the scope, the region, the context and Airlock all hold", () => {
    const drops = (text: string) =>
      Policy.make({
        name: `drops ${text}`,
        allows: (intent) => Effect.succeed(textOf(intent) === text ? { drop: text } : true)
      })
    return Effect.gen(function*() {
      yield* Effect.forEach(["scope", "region", "context", "airlock", "free"], note).pipe(
        Airlock.scoped({ policy: drops("scope") }),
        Airlock.withPolicy(drops("region")),
        Effect.provide(Policy.layer(drops("context")))
      )
      expect(yield* left).toEqual(["free"])
    }).pipe(Effect.provide(layer({ policy: drops("airlock") })))
  })

  it.effect("a Policy layer under Airlock holds for every scope, independent ones and handlers' included", () =>
    Effect.gen(function*() {
      yield* note("a").pipe(Airlock.scoped({ independent: true }), Airlock.scoped)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer().pipe(Layer.provide(Policy.layer(Policy.dropAll))))))

  it.effect("withPolicy holds for an independent scope opened in its region, the policy of the scope around does not", () =>
    Effect.gen(function*() {
      yield* note("a!").pipe(
        Airlock.scoped({ independent: true }),
        Airlock.withPolicy(shout),
        Effect.zipRight(note("b").pipe(Airlock.scoped({ independent: true }))),
        Airlock.scoped({ policy: Policy.dropAll })
      )
      expect(yield* left).toEqual(["b"])
    }).pipe(Effect.provide(layer())))

  it.effect("onEnqueue of every policy in force runs, innermost first", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const asks = (name: string) => Policy.make({ name, onEnqueue: () => Effect.sync(() => void asked.push(name)) })
      yield* note("a").pipe(
        Airlock.withPolicy(asks("region")),
        Airlock.scoped({ policy: asks("inner") }),
        Airlock.scoped({ policy: asks("outer") })
      )
      expect(asked).toEqual(["region", "inner", "outer"])
    }).pipe(Effect.provide(layer())))

  it.effect("a chain is evaluated once, and its state is made anew for each evaluation", () =>
    Effect.gen(function*() {
      let evaluations = 0
      const counting: Policy.Policy = {
        ...Policy.make({ name: "first of a scope" }),
        allows: Effect.sync(() => {
          evaluations++
          let seen = 0
          return () => Effect.succeed(seen++ === 0 ? true as const : { drop: "not the first" })
        })
      }
      const program = Effect.zipRight(note("a"), note("b")).pipe(Airlock.scoped, Airlock.scoped({ policy: counting }))
      yield* Effect.repeatN(program, 1)
      expect(yield* left).toEqual(["a", "a"])
      expect(evaluations).toBe(2)
    }).pipe(Effect.provide(layer())))

  it.effect("what was dropped is in the debug log, by task, policy and reason", () =>
    Effect.gen(function*() {
      const logs: Array<unknown> = []
      const logger = Logger.make(({ annotations }) => {
        logs.push(Object.fromEntries(annotations)["airlock.intents"])
      })
      yield* Effect.zipRight(note("a!"), note("b")).pipe(
        Airlock.scoped({ policy: shout }),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(LogLevel.Debug)
      )
      expect(logs).toEqual([[expect.stringMatching(/^Note [0-9a-f-]{36} by noShouting: shouts$/)]])
    }).pipe(Effect.provide(layer())))
})

describe("policies only decide", () => {
  it.effect("one that enqueues dies of a PolicyEnqueueError, at the enqueue and at the flush, in a scope of its own too", () =>
    Effect.gen(function*() {
      const airlock = yield* Airlock.Airlock
      const enqueues = note("more").pipe(Effect.provide(Airlock.unchecked), Effect.asVoid)
      const inScope = Airlock.scoped(note("more")).pipe(
        Effect.provideService(Airlock.Airlock, airlock),
        Effect.orDie,
        Effect.asVoid
      )
      for (const effect of [enqueues, inScope]) {
        const atEnqueue = Policy.make({ name: "bad", onEnqueue: () => effect })
        expect(yield* defectOf(note("a").pipe(Airlock.scoped({ policy: atEnqueue })))).toMatchObject({
          _tag: "PolicyEnqueueError"
        })
        const atFlush = Policy.make({ name: "bad", allows: () => Effect.as(effect, true) })
        const exit = yield* Effect.exit(note("a").pipe(Airlock.scoped({ policy: atFlush })))
        expect(reasonsOf(exit)).toEqual(["PolicyFailedError"])
      }
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("one that dies makes the flush fail, and names every intent", () =>
    Effect.gen(function*() {
      const dies = Policy.make({ name: "dies", allows: () => Effect.die(new Error("no flags")) })
      const exit = yield* Effect.exit(Effect.zipRight(note("a"), note("b")).pipe(Airlock.scoped({ policy: dies })))
      expect(reasonsOf(exit)).toEqual(["PolicyFailedError", "PolicyFailedError"])
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("one that hangs is bounded in time", () =>
    Effect.gen(function*() {
      const hangs = Policy.make({ name: "hangs", allows: () => Effect.never })
      const fiber = yield* Effect.fork(Effect.exit(note("a").pipe(Airlock.scoped({ policy: hangs }))))
      yield* TestClock.adjust("5 seconds")
      expect(reasonsOf(yield* Fiber.join(fiber))).toEqual(["SettleTimeoutError"])
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))
})

const reasonsOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.match(exit, {
    onSuccess: () => [],
    onFailure: (cause) =>
      cause._tag === "Fail" && cause.error instanceof AirlockError.FlushError
        ? cause.error.failures.map(({ reason }) => reason._tag)
        : [String(cause)]
  })
