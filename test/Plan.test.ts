import { describe, expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Logger, LogLevel, Schema, TestClock } from "effect"
import { Airlock, AirlockScope, Plan, Policy } from "effect-airlock"
import { layer, left, Note, note } from "./support/recorder.js"

const shouts = Policy.make({
  name: "noShouting",
  allows: (intent) =>
    Effect.succeed(
      !(intent.payload as typeof Note.payloadSchema.Type).text.endsWith("!") || { drop: "it shouts" }
    )
})

const program = Effect.gen(function*() {
  yield* Airlock.enqueue(Note, { text: "a" }, { origin: "checkout" })
  yield* note("b!")
  yield* Airlock.scoped(Airlock.scoped(note("c")))
  yield* note("d").pipe(Airlock.scoped({ policy: Policy.dropAll }))
}).pipe(Airlock.withPolicy(shouts))

const outline = [
  "dispatch Note [checkout]",
  "drop     Note by noShouting: it shouts",
  "dispatch Note (captured, depth 2)",
  "drop     Note (captured, depth 1) by dropAll: every intent is dropped"
]

describe("Airlock.plan", () => {
  it.effect("gives the decision on every intent, its policy and its reason, and lets nothing leave", () =>
    Effect.gen(function*() {
      const plan = yield* Airlock.plan(program).pipe(Effect.withSpan("checkout"))
      expect(Plan.outline(plan)).toEqual(outline)
      expect(plan.entries.map(({ provenance }) => provenance)).toEqual(["own", "own", "captured", "captured"])
      expect([plan.dispatched.length, plan.kept.length]).toEqual([2, 2])
      expect(plan.entries[0]).toMatchObject({ enqueuedAt: 0, traceId: expect.any(String), spanId: expect.any(String) })
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("lets no independent scope dispatch, and gives nothing to the outer scope", () =>
    Effect.gen(function*() {
      const plan = yield* Airlock.scoped(Airlock.plan(note("a").pipe(Airlock.scoped({ independent: true }))))
      expect(plan.entries.length).toBe(1)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("fails with the failure of its Effect", () =>
    Effect.gen(function*() {
      expect(yield* Effect.exit(Airlock.plan(Effect.zipRight(note("a"), Effect.fail("no"))))).toEqual(Exit.fail("no"))
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("lists an intent that is discarded because its fiber was interrupted", () =>
    Effect.gen(function*() {
      const plan = yield* Airlock.plan(
        Effect.zipRight(
          Effect.race(Effect.zipRight(note("loser"), Effect.never), Effect.repeatN(Effect.yieldNow(), 20)),
          note("a")
        )
      )
      expect(Plan.outline(plan)).toEqual(["aside    Note: its fiber was interrupted", "dispatch Note"])
    }).pipe(Effect.provide(layer())))
})

describe("Plan", () => {
  it.effect("does not change the scope that it is taken from", () =>
    Effect.gen(function*() {
      const plans = yield* Effect.gen(function*() {
        yield* Effect.forEach(["a", "b", "c"], note)
        const scope = yield* AirlockScope
        return [yield* scope.plan, yield* scope.plan]
      }).pipe(Airlock.scoped({ policy: Policy.limit(2), name: "limited" }))
      expect(plans.map(Plan.outline)).toEqual(
        Array.from(plans, () => ["dispatch Note", "dispatch Note", "drop     Note by limit: only 2 intents may leave"])
      )
      expect(yield* left).toEqual(["a", "b"])
    }).pipe(Effect.provide(layer())))

  it.effect("expects a fiber that still runs to succeed", () =>
    Effect.gen(function*() {
      const plan = yield* Effect.gen(function*() {
        const running = yield* Effect.fork(Effect.zipRight(note("a"), Effect.never))
        yield* Effect.yieldNow()
        const scope = yield* AirlockScope
        return yield* Effect.zipLeft(scope.plan, Fiber.interrupt(running))
      }).pipe(Airlock.scoped)
      expect(Plan.outline(plan)).toEqual(["dispatch Note"])
    }).pipe(Effect.provide(layer())))

  it.effect("can be encoded as JSON, printed as a table and compared", () =>
    Effect.gen(function*() {
      const plan = yield* Airlock.plan(program)
      const json = JSON.stringify(Schema.encodeSync(Plan.Plan)(plan))
      expect(Schema.decodeUnknownSync(Plan.Plan)(JSON.parse(json))).toEqual(plan)
      const [head, first] = String(plan).split("\n")
      expect(head).toMatch(/^intent +task +decision +policy +reason +from +origin$/)
      expect(first).toMatch(/^[0-9a-f-]{36} +Note +dispatch +own +checkout$/)
      const other = yield* Airlock.plan(Effect.zipRight(program, note("e")))
      expect(Plan.diff(plan, other)).toEqual({ removed: [], added: ["dispatch Note"] })
      expect(Plan.diff(other, plan)).toEqual({ removed: ["dispatch Note"], added: [] })
    }).pipe(Effect.provide(layer())))
})

describe("the approve option", () => {
  it.effect("gets the plan before anything leaves, and decides", () =>
    Effect.gen(function*() {
      const asked: Array<ReadonlyArray<string>> = []
      const approving = (answer: boolean) => ({
        approve: (plan: Plan.Plan) =>
          Effect.sync(() => {
            asked.push(Plan.outline(plan))
            return answer
          })
      })
      yield* program.pipe(Airlock.scoped(approving(false)))
      expect(yield* left).toEqual([])
      yield* program.pipe(Airlock.scoped(approving(true)))
      expect(yield* left).toEqual(["a", "c"])
      expect(asked).toEqual([outline, outline])
    }).pipe(Effect.provide(layer())))

  it.effect("gets a plan that lists the intents discarded for their fibers too", () =>
    Effect.gen(function*() {
      const asked: Array<ReadonlyArray<string>> = []
      const daemon = yield* Effect.zipRight(note("running"), Effect.never).pipe(
        Effect.forkDaemon,
        Effect.zipLeft(Effect.yieldNow()),
        Effect.zipLeft(Effect.all([Effect.zipRight(note("recovered"), Effect.fail("no")), note("a")], {
          concurrency: 2,
          mode: "either"
        })),
        Effect.zipLeft(
          Effect.ignore(Effect.zipRight(note("lost"), Effect.fail("no")).pipe(Effect.timeout("1 second")))
        ),
        Airlock.scoped({ approve: (plan) => Effect.sync(() => asked.push(Plan.outline(plan)) > 0) }),
        Logger.withMinimumLogLevel(LogLevel.None)
      )
      yield* Fiber.interrupt(daemon)
      expect(asked).toEqual([[
        "aside    Note: its fiber still runs",
        "dispatch Note",
        "dispatch Note",
        "aside    Note: its fiber failed"
      ]])
      expect(yield* left).toEqual(["recovered", "a"])
    }).pipe(Effect.provide(layer())))

  it.effect("fails the flush if it dies or exceeds approveTimeout, and nothing leaves", () =>
    Effect.gen(function*() {
      const died = yield* Effect.flip(note("a").pipe(Airlock.scoped({ approve: () => Effect.die("no") })))
      expect(died.failures[0]?.reason.message).toBe("The approval of a plan failed while it decided: no")
      const fiber = yield* Effect.fork(Effect.flip(note("a").pipe(Airlock.scoped({ approve: () => Effect.never }))))
      yield* TestClock.adjust("5 minutes")
      expect((yield* Fiber.join(fiber)).failures[0]?.reason._tag).toBe("SettleTimeoutError")
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))

  it.effect("discards the intents at once if the scope is interrupted while approve or a policy decides", () =>
    Effect.gen(function*() {
      for (
        const hanging of [
          { approve: (asked: Effect.Effect<unknown>) => () => Effect.zipRight(asked, Effect.never) },
          {
            policy: (asked: Effect.Effect<unknown>) =>
              Policy.make({ name: "hangs", allows: () => Effect.zipRight(asked, Effect.never) })
          }
        ]
      ) {
        const asked = yield* Deferred.make<void>()
        const tell = Deferred.succeed(asked, void 0)
        const options = hanging.approve === undefined
          ? { policy: hanging.policy(tell) }
          : { approve: hanging.approve(tell) }
        const fiber = yield* Effect.fork(note("a").pipe(Airlock.scoped(options)))
        yield* Deferred.await(asked)
        // The clock stands still, so the interruption does not wait for a deadline.
        const exit = yield* Fiber.interrupt(fiber)
        expect(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)).toBe(true)
      }
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))
})
