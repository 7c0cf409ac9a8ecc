/**
 * The scenarios of the Python original (its README, its page on nesting and its page of problems), as
 * docs/migrating-from-python.md translates them.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Schema } from "effect"
import { Airlock, AirlockTest, Plan, Policy, Task } from "effect-airlock"
import { defectOf } from "../support/exits.js"

const NotifyWarehouse = Task.make("NotifyWarehouse", { payload: { order: Schema.Number } })
const SendConfirmation = Task.make("SendConfirmation", { payload: { order: Schema.Number } })
const Enrich = Task.make("Enrich", { payload: { user: Schema.Number } })

const process = (order: number) =>
  Effect.zipRight(
    Airlock.enqueue(NotifyWarehouse, { order }),
    Airlock.enqueue(SendConfirmation, { order })
  )

const names = Effect.map(AirlockTest.Recorded, (recorded) => recorded.map(({ task }) => task.name))

describe("a context of the original's README", () => {
  it.effect("a request dispatches its intents at its end", () =>
    Effect.gen(function*() {
      yield* Airlock.scoped(process(1))
      expect(yield* names).toEqual(["NotifyWarehouse", "SendConfirmation"])
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("a migration drops every intent, and shows what it would have dispatched", () =>
    Effect.gen(function*() {
      const held = yield* Effect.zipRight(process(1), Airlock.intents).pipe(Airlock.scoped({ policy: Policy.dropAll }))
      expect(held.length).toBe(2)
      expect(yield* names).toEqual([])
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("a test asserts that code enqueues nothing", () =>
    Effect.gen(function*() {
      const defect = yield* defectOf(process(1).pipe(Airlock.scoped({ policy: Policy.assertNoEffects })))
      expect(defect).toMatchObject({ _tag: "PolicyViolation" })
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("an endpoint blocks one task, whose intent stays in the buffer until the end", () =>
    Effect.gen(function*() {
      const held = yield* Effect.zipRight(process(1), Airlock.intents).pipe(
        Airlock.scoped({ policy: Policy.blockTasks([SendConfirmation]) })
      )
      expect(held.length).toBe(2)
      expect(yield* names).toEqual(["NotifyWarehouse"])
    }).pipe(Effect.provide(AirlockTest.layer())))
})

describe("nesting", () => {
  it.effect("a local policy drops the intents of its region, which use the buffer of the scope", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        yield* Airlock.enqueue(NotifyWarehouse, { order: 1 })
        yield* Airlock.enqueue(SendConfirmation, { order: 1 }).pipe(Airlock.withPolicy(Policy.dropAll))
        yield* Airlock.enqueue(NotifyWarehouse, { order: 2 })
      }).pipe(Airlock.scoped)
      expect(yield* names).toEqual(["NotifyWarehouse", "NotifyWarehouse"])
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("a scope tells its own intents from captured ones", () =>
    Effect.gen(function*() {
      const counts = yield* Effect.gen(function*() {
        yield* Airlock.enqueue(NotifyWarehouse, { order: 1 })
        yield* Airlock.scoped(Airlock.enqueue(SendConfirmation, { order: 1 }))
        const { captured, intents, own } = Option.getOrThrow(yield* Airlock.current)
        return [own.length, captured.length, intents.length]
      }).pipe(Airlock.scoped)
      expect(counts).toEqual([1, 1, 2])
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("a safety scope lets safe intents leave early, and keeps dangerous ones until its end", () =>
    Effect.gen(function*() {
      const early = yield* Effect.zipRight(
        Airlock.enqueue(NotifyWarehouse, { order: 1 }),
        Airlock.enqueue(SendConfirmation, { order: 1 }, { native: { dangerous: true } })
      ).pipe(
        Airlock.scoped,
        Effect.zipRight(names),
        Airlock.scoped({
          beforeDescendantFlushes: (intents) => intents.filter(({ options }) => options.native?.["dangerous"] !== true)
        })
      )
      expect(early).toEqual(["NotifyWarehouse"])
      expect(yield* names).toEqual(["NotifyWarehouse", "SendConfirmation"])
    }).pipe(Effect.provide(AirlockTest.layer())))
})

describe("a problem that the original solves", () => {
  it.effect("bulk: 10 000 saves in one scope dispatch one intent for each key", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(
        Array.from({ length: 10_000 }, (_, n) => n % 10),
        (order) => Airlock.enqueue(NotifyWarehouse, { order }, { dedupeKey: `${order}` }),
        { discard: true }
      ).pipe(Airlock.scoped({ policy: Policy.dedupe() }))
      expect((yield* names).length).toBe(10)
    }).pipe(Effect.provide(AirlockTest.layer())))

  it.effect("re-entrancy: a policy or maxCascade stops a handler whose own save enqueues it again", () => {
    const saves: Array<string> = []
    const save = (user: number, by: string) =>
      Effect.zipRight(Effect.sync(() => saves.push(by)), Airlock.enqueue(Enrich, { user }))
    return Effect.gen(function*() {
      const Guarded = Enrich.toLayer(({ user }) =>
        save(user, "handler").pipe(Airlock.withPolicy(Policy.blockTasks([Enrich])))
      )
      yield* save(1, "user").pipe(Airlock.scoped, Effect.provide(Guarded))
      expect(saves).toEqual(["user", "handler"])

      saves.length = 0
      const Unguarded = Enrich.toLayer(({ user }) => save(user, "handler"))
      const error = yield* save(1, "user").pipe(Airlock.scoped, Effect.provide(Unguarded), Effect.flip)
      expect(error.message).toContain("Enrich -> Enrich")
      expect(saves.length).toBe(6)
    }).pipe(Effect.provide(AirlockTest.inline({ maxCascade: 5 })))
  })

  it.effect("opting out: a plan shows what fixtures would have dispatched", () =>
    Effect.gen(function*() {
      const plan = yield* Airlock.plan(process(1).pipe(Airlock.withPolicy(Policy.dropAll)))
      expect(Plan.outline(plan)).toEqual([
        "drop     NotifyWarehouse by dropAll: every intent is dropped",
        "drop     SendConfirmation by dropAll: every intent is dropped"
      ])
    }).pipe(Effect.provide(Layer.merge(AirlockTest.layer(), Layer.empty))))
})
