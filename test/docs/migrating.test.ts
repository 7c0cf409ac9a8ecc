/**
 * The differences that docs/migrating-from-python.md lists: each test has the name of a row's second cell.
 */
import { HttpApp } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Option } from "effect"
import { Airlock, Executor, HttpMiddleware, Policy, Task } from "effect-airlock"
import { readFileSync } from "node:fs"
import { transaction } from "../support/databases.js"
import { defectOf } from "../support/exits.js"
import { layer as recorder, Left, left, note } from "../support/recorder.js"
import { insertOrder, layer as sqlite } from "../support/sqlite.js"

const layer = (options?: Airlock.AirlockOptions) =>
  recorder(options).pipe(Layer.provideMerge(Logger.remove(Logger.defaultLogger)))

const differences: Record<string, Effect.Effect<void, unknown>> = {
  "a missing scope is found by the compiler": Effect.gen(function*() {
    // @ts-expect-error AirlockScope is not provided
    const program: Effect.Effect<unknown> = note("a")
    expect(yield* defectOf(program)).toMatchObject({ _tag: "NoScopeError" })
  }),

  "policies add up: that of a scope does not replace that of the application": Effect.gen(function*() {
    yield* note("a").pipe(Airlock.scoped({ policy: Policy.allowAll }))
    expect(yield* left).toEqual([])
  }).pipe(Effect.provide(layer({ policy: Policy.dropAll }))),

  "policies stay sealed on a captured intent, so an outer scope can only narrow": Effect.gen(function*() {
    yield* note("a").pipe(Airlock.scoped({ policy: Policy.dropAll }), Airlock.scoped({ policy: Policy.allowAll }))
    expect(yield* left).toEqual([])
  }).pipe(Effect.provide(layer())),

  "every policy in force is asked at an enqueue, local ones and those of outer scopes too": Effect.gen(function*() {
    const violation = { _tag: "PolicyViolation" }
    const local = note("a").pipe(Airlock.withPolicy(Policy.assertNoEffects), Airlock.scoped)
    expect(yield* defectOf(local)).toMatchObject(violation)
    const outer = note("a").pipe(Airlock.scoped, Airlock.scoped({ policy: Policy.assertNoEffects }))
    expect(yield* defectOf(outer)).toMatchObject(violation)
  }).pipe(Effect.provide(layer())),

  "a refused enqueue is a defect, which code that recovers from errors does not catch": Effect.gen(function*() {
    const recovers = Effect.catchAll(note("a"), () => Effect.void).pipe(
      Airlock.scoped({ policy: Policy.assertNoEffects })
    )
    expect(yield* defectOf(recovers)).toMatchObject({ _tag: "PolicyViolation" })
  }).pipe(Effect.provide(layer())),

  "a scope holds no intents after it has settled: read them inside, or use Airlock.plan": Effect.gen(function*() {
    const inside = yield* Effect.zipRight(note("a"), Effect.zip(Airlock.intents, Airlock.current)).pipe(Airlock.scoped)
    const [intents, scope] = inside
    expect([intents.length, Option.getOrThrow(scope).intents.length]).toEqual([1, 0])
    expect((yield* Airlock.plan(note("a"))).entries.length).toBe(1)
  }).pipe(Effect.provide(layer())),

  "a dispatch that fails does not stop the others, and a FlushError names those that did not leave": Effect.gen(
    function*() {
      const error = yield* Effect.forEach(["a", "fail", "b"], note).pipe(Airlock.scoped, Effect.flip)
      expect(yield* left).toEqual(["a", "b"])
      expect(error.failures.map(({ reason }) => reason.message)).toEqual([expect.stringContaining("fail")])
    }
  ).pipe(Effect.provide(layer())),

  "a handler runs in a scope of its own, and what it enqueues leaves if it succeeds": Effect.gen(function*() {
    const Twice = Task.make("Twice", { payload: {} })
    yield* Airlock.enqueue(Twice, {}).pipe(Airlock.scoped, Effect.provide(Twice.toLayer(() => note("by a handler"))))
    expect(yield* left).toEqual(["by a handler"])
  }).pipe(Effect.provide(layer())),

  "a fiber that is forked in a scope is in that scope": Effect.gen(function*() {
    yield* Effect.flatMap(Effect.fork(note("a")), Fiber.join).pipe(Airlock.scoped)
    expect(yield* left).toEqual(["a"])
  }).pipe(Effect.provide(layer())),

  "a scope knows success, failure, defect and interruption, and the loser of a race loses its intents": Effect.gen(
    function*() {
      for (const end of [Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
        yield* Effect.zipRight(note("discarded"), end).pipe(Airlock.scoped, Effect.exit)
      }
      yield* Effect.race(Effect.zipRight(note("loser"), Effect.never), note("winner")).pipe(Airlock.scoped)
      expect(yield* left).toEqual(["winner"])
    }
  ).pipe(Effect.provide(layer())),

  "an intent is discarded with its savepoint, also if the code recovers": Effect.gen(function*() {
    yield* transaction(Effect.zipRight(
      note("of the transaction"),
      Effect.ignore(transaction(Effect.zipRight(note("of the savepoint"), Effect.fail("no"))))
    )).pipe(Airlock.scoped)
    expect(yield* left).toEqual(["of the transaction"])
  }).pipe(Effect.provide(sqlite)),

  "an executor is called for each batch, and answers for each intent": Effect.gen(function*() {
    const batches: Array<number> = []
    const executor = Executor.make({
      name: "counts",
      dispatch: (intents) => {
        batches.push(intents.length)
        return Effect.succeed(intents.map(() => Exit.void))
      }
    })
    yield* Effect.forEach(["a", "b", "c"], note).pipe(Airlock.scoped({ executor }))
    expect(batches).toEqual([3])
  }).pipe(Effect.provide(layer())),

  "policies are evaluated after the COMMIT, when the outermost scope settles": Effect.gen(function*() {
    const seen: Array<string> = []
    const say = (what: string) => Effect.sync(() => seen.push(what))
    const policy = Policy.make({ name: "observes", allows: () => Effect.as(say("policy"), true) })
    yield* Effect.zipRight(insertOrder("a"), note("a")).pipe(
      transaction,
      Effect.zipRight(say("committed")),
      Airlock.scoped({ policy })
    )
    expect(seen).toEqual(["committed", "policy"])
  }).pipe(Effect.provide(sqlite)),

  "logOnFlush logs the payload only if it is asked to": Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.map(Logger.jsonLogger, (line) => lines.push(line))
    yield* Effect.all([
      note("secret").pipe(Airlock.scoped({ policy: Policy.logOnFlush() })),
      note("shown").pipe(Airlock.scoped({ policy: Policy.logOnFlush({ payload: true }) }))
    ]).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    expect(lines.map((line) => /secret|shown/.exec(line)?.[0])).toEqual([undefined, "shown"])
  }).pipe(Effect.provide(recorder())),

  "the middleware asks shouldFlush about failures too, by the response that they become": Effect.gen(function*() {
    const context = yield* Effect.context<Airlock.Airlock | Left>()
    const app = HttpMiddleware.airlockWith({ shouldFlush: (_, { status }) => status === 500 })(
      Effect.zipRight(note("a"), Effect.fail("no"))
    )
    const { handler } = HttpApp.toWebHandlerLayer(app, Layer.succeedContext(context))
    yield* Effect.promise(() => handler(new Request("http://localhost/")))
    expect(yield* left).toEqual(["a"])
  }).pipe(Effect.provide(layer()))
}

describe("docs/migrating-from-python.md", () => {
  it("names each difference that is tested here, and no other", () => {
    const page = readFileSync("docs/migrating-from-python.md", "utf8")
    const table = /## Differences\n[\s\S]*?\n\n(\|[\s\S]*?)\n\n/.exec(page)![1]!
    const rows = [...table.matchAll(/\| ([^|]+?) +\|$/gm)].map(([, here]) => here!).slice(2)
    expect(rows).toEqual(Object.keys(differences))
  })

  for (const [name, difference] of Object.entries(differences)) {
    it.effect(name, () => difference)
  }

  it.effect("an outer scope that captures nothing is the original's IndependentScope, and `independent` is for an inner one", () =>
    Effect.gen(function*() {
      const outer = Airlock.scoped({ beforeDescendantFlushes: (intents) => intents })
      const fails = Effect.zipRight(note("of the outer scope"), Effect.fail("no"))
      yield* Effect.zipRight(Airlock.scoped(note("passes")), fails).pipe(outer, Effect.exit)
      yield* Effect.zipRight(Airlock.scoped(note("captured")), fails).pipe(
        Airlock.scoped({ independent: true }),
        Effect.exit
      )
      yield* Effect.zipRight(Airlock.scoped({ independent: true })(note("independent")), fails).pipe(
        Airlock.scoped,
        Effect.exit
      )
      expect(yield* left).toEqual(["passes", "independent"])
    }).pipe(Effect.provide(layer())))
})
