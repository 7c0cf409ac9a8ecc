import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, LogLevel, TestClock } from "effect"
import type { Intent } from "effect-airlock"
import { Airlock, AirlockError, Plan, Policy } from "effect-airlock"
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

describe("policies that pick", () => {
  const outcomes: Record<string, readonly [Policy.Policy, ReadonlyArray<string>]> = {
    "allowTasks lets the named tasks leave": [Policy.allowTasks([Note]), ["a", "a", "b!", "c"]],
    "allowTasks keeps all others back": [Policy.allowTasks(["Other"]), []],
    "limit lets the first ones leave": [Policy.limit(2), ["a", "a"]],
    "dedupe lets the first of a key leave": [Policy.dedupe(textOf), ["a", "b!", "c"]],
    "dedupe goes by dedupeKey, and lets those without one leave": [Policy.dedupe(), ["a", "a", "b!", "c"]],
    "when applies to those that a predicate picks": [Policy.when((intent) => textOf(intent) === "a", Policy.dropAll), [
      "b!",
      "c"
    ]],
    "all needs the consent of each": [Policy.all(shout, Policy.limit(2)), ["a", "a"]],
    "all of none lets everything leave": [Policy.all(), ["a", "a", "b!", "c"]],
    "any needs the consent of one": [Policy.any(shout, Policy.limit(3)), ["a", "a", "b!", "c"]],
    "any needs that of at least one": [Policy.any(Policy.dropAll, shout), ["a", "a", "c"]],
    "any of none lets nothing leave": [Policy.any(), []],
    "logOnFlush lets everything leave": [Policy.logOnFlush({ level: LogLevel.Trace }), ["a", "a", "b!", "c"]]
  }
  for (const [name, [policy, leaves]] of Object.entries(outcomes)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        yield* Effect.forEach(["a", "a", "b!", "c"], note).pipe(Airlock.scoped({ policy }))
        expect(yield* left).toEqual(leaves)
      }).pipe(Effect.provide(layer())))
  }

  it.effect("dedupe by dedupeKey tells tasks apart, and gives the reason", () =>
    Effect.gen(function*() {
      const plan = yield* Airlock.plan(
        Effect.forEach(["x", "x", "y"], (dedupeKey) => Airlock.enqueue(Note, { text: "a" }, { dedupeKey })).pipe(
          Airlock.withPolicy(Policy.dedupe())
        )
      )
      expect(Plan.outline(plan)).toEqual([
        "dispatch Note",
        "drop     Note by dedupe: one with the key \"Note/x\" leaves already",
        "dispatch Note"
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("logOnFlush logs task and id, and the payload only where asked", () =>
    Effect.gen(function*() {
      const logs: Array<unknown> = []
      const logger = Logger.make(({ annotations, message }) => {
        logs.push([...[message].flat(), Object.keys(Object.fromEntries(annotations)).sort()])
      })
      for (const policy of [Policy.logOnFlush(), Policy.logOnFlush({ payload: true })]) {
        yield* note("a").pipe(Airlock.scoped({ policy }), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      }
      expect(logs).toEqual([
        ["Airlock lets Note leave", ["airlock.intent"]],
        ["Airlock lets Note leave", ["airlock.intent", "airlock.payload"]]
      ])
    }).pipe(Effect.provide(layer())))

  it.effect("combinators ask at the enqueue as their parts do", () =>
    Effect.gen(function*() {
      const refuses = Policy.assertNoEffects
      const refused = (policy: Policy.Policy) =>
        Effect.map(defectOf(note("a").pipe(Airlock.scoped({ policy }))), (defect) => defect !== undefined)
      expect(yield* refused(Policy.all(Policy.allowAll, refuses))).toBe(true)
      expect(yield* refused(Policy.any(Policy.allowAll, refuses))).toBe(false)
      expect(yield* refused(Policy.any(refuses, refuses))).toBe(true)
      expect(yield* refused(Policy.any(refuses, Policy.when(() => false, refuses)))).toBe(false)
      expect(yield* refused(Policy.when(() => false, refuses))).toBe(false)
      expect(yield* refused(Policy.when(() => true, refuses))).toBe(true)
      expect(yield* refused(Policy.allowTasks(["Other"], { onEnqueue: "raise" }))).toBe(true)
    }).pipe(Effect.provide(layer())))
})

describe("policies that need services", () => {
  class Flags extends Context.Tag("test/Flags")<Flags, { readonly on: boolean }>() {}

  const flagged = Policy.make({
    name: "flagged",
    onEnqueue: () => Effect.asVoid(Flags),
    allows: () => Effect.map(Flags, ({ on }) => on || { drop: "its flag is off" })
  })

  it.effect("find them where they are put into force, even where an outer scope evaluates them", () =>
    Effect.gen(function*() {
      const on = Effect.provideService(Flags, { on: true })
      const off = Effect.provideService(Flags, { on: false })
      yield* Effect.gen(function*() {
        yield* note("scope on").pipe(Airlock.scoped({ policy: flagged }), on)
        yield* note("scope off").pipe(Airlock.scoped({ policy: flagged }), off)
        yield* note("region on").pipe(Airlock.withPolicy(flagged), on)
        yield* note("region off").pipe(Airlock.withPolicy(flagged), off)
      }).pipe(Airlock.scoped)
      expect(yield* left).toEqual(["scope on", "region on"])
    }).pipe(Effect.provide(layer())))

  it.effect("or in the Layer that provides them, which may build them from services", () =>
    Effect.gen(function*() {
      const FlagsOff = Layer.succeed(Flags, { on: false })
      yield* note("a").pipe(Airlock.scoped, Effect.provide(Policy.layer(flagged).pipe(Layer.provide(FlagsOff))))
      const built = Policy.effect(Effect.map(Flags, ({ on }) => on ? Policy.allowAll : Policy.dropAll))
      yield* note("b").pipe(Airlock.scoped, Effect.provide(built.pipe(Layer.provide(FlagsOff))))
      yield* note("c").pipe(
        Airlock.scoped,
        Effect.provide(built.pipe(Layer.provide(Layer.succeed(Flags, { on: true }))))
      )
      expect(yield* left).toEqual(["c"])
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
