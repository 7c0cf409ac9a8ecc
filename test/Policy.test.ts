import { describe, expect, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Logger, LogLevel, TestClock } from "effect"
import type { Intent, ScopeOptions } from "effect-airlock"
import { Airlock, AirlockError, Plan, Policy, Task } from "effect-airlock"
import { defectOf } from "./support/exits.js"
import { layer, left, Note, note } from "./support/recorder.js"

const textOf = (intent: Intent.Intent) => (intent.payload as typeof Note.payloadSchema.Type).text

const shout = Policy.make({
  name: "noShouting",
  allows: (intent) => Effect.succeed(String(textOf(intent)).endsWith("!") ? { drop: "shouts" } : true)
})

describe("the built-in policies", () => {
  it.effect("allowAll lets every intent leave, dropAll lets none leave", () =>
    Effect.gen(function*() {
      yield* note("a").pipe(Airlock.scoped({ policy: Policy.allowAll }))
      yield* note("b").pipe(Airlock.scoped({ policy: Policy.dropAll }))
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide(layer())))

  it.effect("assertNoEffects refuses an enqueue, names its call site and keeps the buffer as it was", () =>
    Effect.gen(function*() {
      const [defect, held] = yield* Effect.all([defectOf(note("a")), Airlock.intents]).pipe(
        Airlock.scoped({ policy: Policy.assertNoEffects })
      )
      expect(defect).toMatchObject({ _tag: "PolicyViolation", task: "Note", policy: "assertNoEffects" })
      expect(String(defect)).toContain("recorder.ts")
      expect(held).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("blockTasks drops or refuses the tasks that it names, and no other", () =>
    Effect.gen(function*() {
      yield* note("a").pipe(Airlock.scoped({ policy: Policy.blockTasks(["Other"]) }))
      yield* note("b").pipe(Airlock.scoped({ policy: Policy.blockTasks([Note]) }))
      const raising = Policy.blockTasks(["Note"], { onEnqueue: "raise" })
      expect(yield* defectOf(note("c").pipe(Airlock.scoped({ policy: raising })))).toMatchObject({
        _tag: "PolicyViolation",
        policy: "blockTasks(Note)"
      })
      yield* note("d").pipe(Airlock.scoped({ policy: Policy.blockTasks(["Other"], { onEnqueue: "raise" }) }))
      expect(yield* left).toEqual(["a", "d"])
    }).pipe(Effect.provide(layer())))
})

describe("a selective policy", () => {
  const outcomes: Record<string, readonly [Policy.Policy, ReadonlyArray<string>]> = {
    "allowTasks lets the named tasks leave": [Policy.allowTasks([Note]), ["a", "a", "b!", "c"]],
    "allowTasks drops all other tasks": [Policy.allowTasks(["Other"]), []],
    "limit lets the first intents leave": [Policy.limit(2), ["a", "a"]],
    "dedupe lets the first intent of each key leave": [Policy.dedupe(textOf), ["a", "b!", "c"]],
    "dedupe without a function uses dedupeKey, and lets intents without a key leave": [Policy.dedupe(), [
      "a",
      "a",
      "b!",
      "c"
    ]],
    "when applies its policy to the intents that match the predicate": [
      Policy.when((intent) => textOf(intent) === "a", Policy.dropAll),
      [
        "b!",
        "c"
      ]
    ],
    "all lets an intent leave if each policy does": [Policy.all(shout, Policy.limit(2)), ["a", "a"]],
    "all without policies lets every intent leave": [Policy.all(), ["a", "a", "b!", "c"]],
    "any lets an intent leave if one policy does": [Policy.any(shout, Policy.limit(3)), ["a", "a", "b!", "c"]],
    "any drops an intent if no policy lets it leave": [Policy.any(Policy.dropAll, shout), ["a", "a", "c"]],
    "any without policies lets no intent leave": [Policy.any(), []],
    "logOnFlush lets every intent leave": [Policy.logOnFlush({ level: LogLevel.Trace }), ["a", "a", "b!", "c"]]
  }
  for (const [name, [policy, leaves]] of Object.entries(outcomes)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        yield* Effect.forEach(["a", "a", "b!", "c"], note).pipe(Airlock.scoped({ policy }))
        expect(yield* left).toEqual(leaves)
      }).pipe(Effect.provide(layer())))
  }

  it.effect("dedupe gives its reason", () =>
    Effect.gen(function*() {
      const plan = yield* Airlock.plan(
        Effect.forEach(["x", "x", "y"], (dedupeKey) => Airlock.enqueue(Note, { text: "a" }, { dedupeKey })).pipe(
          Airlock.withPolicy(Policy.dedupe())
        )
      )
      expect(Plan.outline(plan)).toEqual([
        "dispatch Note",
        "drop     Note by dedupe: an earlier intent has the key \"Note/x\"",
        "dispatch Note"
      ])
    }).pipe(Effect.provide(layer({ unsupportedOptions: "ignore" }))))

  it.effect("logOnFlush logs the task and the id, and the payload only if its option is set", () =>
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

  it.effect("all, any and when refuse an enqueue as their parts do", () =>
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

describe("a policy that needs services", () => {
  class Flags extends Context.Tag("test/Flags")<Flags, { readonly on: boolean }>() {}

  const flagged = Policy.make({
    name: "flagged",
    onEnqueue: () => Effect.asVoid(Flags),
    allows: () => Effect.map(Flags, ({ on }) => on || { drop: "its flag is off" })
  })

  it.effect("uses the services at the scope or region that it is given to, even if an outer scope evaluates it", () =>
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

  it.effect("uses the services of the Layer that provides it, or is built from them", () =>
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

describe("I4: policies add up, and stay sealed on their intents", () => {
  it.effect("an outer allowAll does not let an intent leave that an inner dropAll drops", () =>
    Effect.gen(function*() {
      yield* note("inner").pipe(
        Airlock.scoped({ policy: Policy.dropAll }),
        Effect.zipRight(note("outer")),
        Airlock.scoped({ policy: Policy.allowAll })
      )
      expect(yield* left).toEqual(["outer"])
    }).pipe(Effect.provide(layer())))

  it.effect("the policies of the scope, of withPolicy, of the context and of Airlock all apply", () => {
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

  it.effect("a Policy layer provided to Airlock applies to independent scopes too", () =>
    Effect.gen(function*() {
      yield* note("a").pipe(Airlock.scoped({ independent: true }), Airlock.scoped)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer().pipe(Layer.provide(Policy.layer(Policy.dropAll))))))

  it.effect("withPolicy applies to an independent scope opened in it, the policy of the outer scope does not", () =>
    Effect.gen(function*() {
      yield* note("a!").pipe(
        Airlock.scoped({ independent: true }),
        Airlock.withPolicy(shout),
        Effect.zipRight(note("b").pipe(Airlock.scoped({ independent: true }))),
        Airlock.scoped({ policy: Policy.dropAll })
      )
      expect(yield* left).toEqual(["b"])
    }).pipe(Effect.provide(layer())))

  it.effect("onEnqueue of every policy in force runs, the innermost first", () =>
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

  it.effect("an intent's policies are evaluated once, with fresh state for each evaluation", () =>
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

  it.effect("the debug log names each dropped intent with its task, policy and reason", () =>
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

  it.effect("an inner Policy layer cannot let an intent leave that an outer one drops", () =>
    Effect.gen(function*() {
      yield* note("a").pipe(
        Airlock.scoped,
        Effect.provide(Policy.layer(Policy.blockTasks(["Other"]))),
        Effect.provide(Policy.layer(Policy.dropAll))
      )
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("Airlock's policy option and a Policy layer provided to Airlock both apply", () =>
    Effect.gen(function*() {
      yield* Airlock.scoped(note("a"))
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer({ policy: Policy.limit(5) }).pipe(Layer.provide(Policy.layer(Policy.dropAll))))))
})

describe("a policy that misbehaves", () => {
  it.effect("fails the enqueue or the flush if it enqueues, even in a scope of its own", () =>
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

  it.effect("fails the flush if it dies, and the FlushError names every intent", () =>
    Effect.gen(function*() {
      const dies = Policy.make({ name: "dies", allows: () => Effect.die(new Error("no flags")) })
      const exit = yield* Effect.exit(Effect.zipRight(note("a"), note("b")).pipe(Airlock.scoped({ policy: dies })))
      expect(reasonsOf(exit)).toEqual(["PolicyFailedError", "PolicyFailedError"])
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("ends at policyTimeout if it hangs in allows", () =>
    Effect.gen(function*() {
      const hangs = Policy.make({ name: "hangs", allows: () => Effect.never })
      const fiber = yield* Effect.fork(Effect.exit(note("a").pipe(Airlock.scoped({ policy: hangs }))))
      yield* TestClock.adjust("5 seconds")
      expect(reasonsOf(yield* Fiber.join(fiber))).toEqual(["SettleTimeoutError"])
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("ends at policyTimeout if it hangs in onEnqueue", () =>
    Effect.gen(function*() {
      const hangs = Policy.make({ name: "hangs", onEnqueue: () => Effect.never })
      const fiber = yield* Effect.fork(defectOf(note("a").pipe(Airlock.scoped({ policy: hangs }))))
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "SettleTimeoutError" })
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

describe("the name of a policy", () => {
  it("says what it does", () => {
    const blocked = Policy.blockTasks([Note, "Charge"])
    const only = Policy.allowTasks(["Alert"], { onEnqueue: "raise" })
    expect(String(blocked)).toBe("blockTasks(Note, Charge)")
    expect(`${Policy.all(only, Policy.when(() => true, blocked))}`).toBe(
      "all(allowTasks(Alert), when(blockTasks(Note, Charge)))"
    )
  })
})

it.effect("a policy that names a task without a handler warns once of the same names, however often it is made", () =>
  Effect.gen(function*() {
    const warnings: Array<unknown> = []
    const logger = Logger.make(({ message }) => {
      warnings.push(String(message))
    })
    const Elsewhere = Task.make("Elsewhere", { payload: {} })
    const policies = [
      () => Policy.all(Policy.when(() => true, Policy.blockTasks(["Note", "SendWelcom"])), Policy.blockTasks([Note])),
      () => Policy.blockTasks(["Charg"], { onEnqueue: "raise" }),
      () => Policy.blockTasks([Elsewhere])
    ]
    for (const make of [...policies, ...policies]) {
      yield* note("a").pipe(
        Airlock.scoped({ policy: make() }),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
    }
    expect(warnings).toEqual([
      expect.stringContaining("have no handler in this Airlock: SendWelcom (registered: Note)"),
      expect.stringContaining("have no handler in this Airlock: Charg (registered: Note)")
    ])
  }).pipe(Effect.provide(layer())))

describe("a function of a user that returns a wrong value", () => {
  const wrong = undefined as never
  const hooks: Record<string, readonly [Partial<ScopeOptions>, string]> = {
    "shouldFlush": [{ shouldFlush: () => wrong }, "The shouldFlush of the scope \"order\" returned undefined"],
    "approve": [{ approve: () => wrong }, "The approval of a plan returned undefined"],
    "approve, with an Effect": [{ approve: () => Effect.succeed(wrong) }, "The approval of a plan returned undefined"],
    "onEnqueue": [
      { policy: Policy.make({ name: "mine", onEnqueue: () => wrong }) },
      "The onEnqueue of the policy \"mine\""
    ],
    "allows": [
      { policy: Policy.make({ name: "mine", allows: () => Effect.succeed(wrong) }) },
      "The allows of the policy"
    ],
    "allows, with no Effect": [{ policy: Policy.make({ name: "mine", allows: () => wrong }) }, "returned undefined"],
    "allows, with false": [
      { policy: Policy.make({ name: "mine", allows: () => Effect.succeed(false as never) }) },
      "returned false, and has to return true or"
    ],
    "allows, as an Effect of no function": [
      { policy: Policy.make({ name: "mine", allows: Effect.succeed(wrong) }) },
      "The allows of the policy \"mine\" returned undefined"
    ],
    "a part of all": [{ policy: Policy.all(Policy.make({ name: "mine", allows: () => wrong })) }, "all(mine)"],
    "a part of any": [{ policy: Policy.any(Policy.make({ name: "mine", allows: () => wrong })) }, "any(mine)"]
  }
  for (const [what, [options, message]] of Object.entries(hooks)) {
    it.effect(`is an error that names it: ${what}`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(note("a").pipe(Airlock.scoped({ ...options, name: "order" } as {})))
        expect(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "").toContain(message)
        expect(yield* left).toEqual([])
      }).pipe(Effect.provide(layer())))
  }

  it.effect("is an error that names it: beforeDescendantFlushes", () =>
    Effect.gen(function*() {
      for (const answer of [undefined, ["an id"]]) {
        const exit = yield* note("a").pipe(
          Airlock.scoped,
          Airlock.scoped({ name: "order", beforeDescendantFlushes: () => answer as never }),
          Effect.exit
        )
        expect(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "").toContain(
          "The beforeDescendantFlushes of the scope \"order\" returned"
        )
      }
    }).pipe(Effect.provide(layer())))
})
