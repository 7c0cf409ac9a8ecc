/** What docs/policies.md says about the policies that do not hold. */
import { expect, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { Airlock, Policy, Task } from "effect-airlock"
import { layer, left, Note, note } from "../support/recorder.js"

it.effect("the policy of a scope does not hold for an independent scope inside it, and that of a region does", () =>
  Effect.gen(function*() {
    const independent = Airlock.scoped({ independent: true })
    yield* note("a").pipe(independent, Airlock.scoped({ policy: Policy.dropAll }))
    yield* note("b").pipe(independent, Airlock.withPolicy(Policy.dropAll), Airlock.scoped)
    expect(yield* left).toEqual(["a"])
  }).pipe(Effect.provide(layer())))

it.effect("what a handler enqueues is not under the policies of the scope that dispatched it", () =>
  Effect.gen(function*() {
    const Twice = Task.make("Twice", { payload: {} })
    const scope = Airlock.enqueue(Twice, {}).pipe(
      Airlock.scoped({ policy: Policy.blockTasks([Note]) }),
      Airlock.withPolicy(Policy.blockTasks([Note]))
    )
    yield* Effect.provide(scope, Twice.toLayer(() => note("by a handler")))
    expect(yield* left).toEqual(["by a handler"])
  }).pipe(Effect.provide(layer())))

it.effect("logOnFlush logs an intent that a policy further out drops", () =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => {
      lines.push(String(message))
    })
    yield* note("a").pipe(
      Airlock.scoped({ policy: Policy.logOnFlush() }),
      Airlock.scoped({ policy: Policy.dropAll }),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    expect([lines, yield* left]).toEqual([["Airlock lets Note leave"], []])
  }).pipe(Effect.provide(layer())))
