/**
 * `Executor.route` chooses an executor for each intent.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { Airlock, type AirlockError, Executor } from "effect-airlock"
import { index, Step, step } from "../support/tasks.js"

describe("Executor.route", () => {
  const recording = (name: string, seen: Array<string>, durable = false) =>
    Executor.make({
      name,
      durable,
      dispatch: (intents) =>
        Effect.sync(() => {
          seen.push(`${name}: ${intents.map(({ payload }) => (payload as { text: string }).text).join(" ")}`)
          return intents.map(() => Exit.void)
        })
    })

  const failures = (error: AirlockError.FlushError) =>
    error.failures.map(({ reason, task }) => `${task} ${reason.message}`)

  it.effect("gives each executor its intents as one batch, in order, and puts the outcomes back in place", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const steps = recording("steps", seen)
      const broken = Executor.make({ name: "broken", dispatch: () => Effect.die(new Error("it broke")) })
      const error = yield* Effect.all([step("1"), index("2"), step("3"), index("4")]).pipe(
        Airlock.scoped,
        Effect.flip,
        Effect.provide(
          Airlock.layer({ executor: Executor.route(({ task }) => task.name === "Step" ? steps : broken) })
        )
      )
      expect(seen).toEqual(["steps: 1 3"])
      expect(failures(error)).toEqual([
        "Index Dispatching \"Index\" failed: it broke",
        "Index Dispatching \"Index\" failed: it broke"
      ])
    }))

  it.effect("makes the enqueue die if the choice throws, and keeps the other intents", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const steps = recording("steps", seen)
      const executor = Executor.route(({ task }) => {
        if (task.name === "Index") {
          throw new Error("whither?")
        }
        return steps
      })
      const refused = yield* Effect.all([step("1"), Effect.exit(index("2")), step("3")]).pipe(
        Airlock.scoped,
        Effect.provide(Airlock.layer({ executor }))
      )
      expect(Exit.isFailure(refused[1]) && refused[1].cause).toMatchObject({
        _tag: "Die",
        defect: { message: "whither?" }
      })
      expect(seen).toEqual(["steps: 1 3"])
    }))

  it.effect("refuses the enqueue of a closure for a durable executor", () =>
    Effect.gen(function*() {
      const durable = recording("queue", [], true)
      const atOnce = Executor.inProcess()
      const executor = Executor.route(({ task }) => task.name === "kept" ? durable : atOnce)
      const refused = yield* Airlock.enqueueEffect("kept", Effect.void).pipe(
        Airlock.scoped({ executor }),
        Effect.exit,
        Effect.provide(Airlock.AirlockLive)
      )
      expect(Exit.isFailure(refused) && refused.cause._tag === "Die" && refused.cause.defect).toMatchObject({
        _tag: "NotSerializableError",
        executor: "route"
      })
      let ran = false
      yield* Airlock.enqueueEffect(
        "here",
        Effect.sync(() => {
          ran = true
        })
      ).pipe(Airlock.scoped({ executor }), Effect.provide(Airlock.AirlockLive))
      expect(ran).toBe(true)
    }))

  it.effect("reports a failure of Executor.drain after an early dispatch in the outer scope's FlushError", () =>
    Effect.gen(function*() {
      const drain = Executor.drain()
      const error = yield* Airlock.scoped(step("early")).pipe(
        Airlock.scoped({ beforeDescendantFlushes: (intents) => intents }),
        Effect.flip,
        Effect.provide(
          Step.toLayer(() => Effect.fail(new Error("no"))).pipe(
            Layer.provideMerge(Airlock.layer({ executor: Executor.route(() => drain) }))
          )
        )
      )
      expect(failures(error)).toEqual(["Step Dispatching \"Step\" failed: no"])
    }))
})
