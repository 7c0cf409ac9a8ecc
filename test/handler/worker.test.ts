/**
 * Handlers that a worker runs: one fiber, one work after the other, as long as there is more.
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Executor, type Intent, Task } from "effect-airlock"
import type { Work, WorkSource } from "../../src/internal/contract/executor.js"
import { until } from "../support/until.js"

const Note = Task.make("Note", { payload: { n: Schema.Number } })
const Many = Task.make("Many", { payload: { n: Schema.Number } })

interface Ended {
  readonly numbers: ReadonlyArray<unknown>
  readonly outcomes: ReadonlyArray<Executor.Outcome>
}

/** The intents that a scope gives to an executor which keeps them. */
const intentsOf = (
  enqueues: Effect.Effect<unknown, never, Effect.Effect.Context<ReturnType<typeof Airlock.enqueue>>>
) =>
  Effect.gen(function*() {
    const kept: Array<Intent.Intent> = []
    const executor = Executor.make({
      name: "kept",
      dispatch: (intents) => {
        kept.push(...intents)
        return Effect.succeed(intents.map(() => Exit.void))
      }
    })
    yield* Effect.orDie(enqueues.pipe(Airlock.scoped({ executor })))
    return kept
  })

const notes = (...numbers: ReadonlyArray<number>) =>
  intentsOf(Effect.forEach(numbers, (n) => Airlock.enqueue(Note, { n })))

const numberOf = ({ payload }: Intent.Intent) => (payload as { readonly n: number }).n

/** Works until there is no more work. */
const workOn = (
  works: ReadonlyArray<ReadonlyArray<Intent.Intent>>,
  source: Partial<WorkSource<Work>> = {}
) =>
  Effect.gen(function*() {
    const { handlers } = yield* Airlock.Airlock
    const rest = works.map((intents): Work => ({ intents, attemptOf: () => 7 }))
    const ended: Array<Ended> = []
    const fiber = yield* Effect.fork(handlers.work({
      next: () => rest.shift(),
      ended: (work, outcomes) => ended.push({ numbers: work.intents.map(numberOf), outcomes }),
      ...source
    }))
    return { ended, fiber, rest }
  })

const run = <E>(
  handlers: Layer.Layer<never, never, Airlock.Airlock>,
  effect: Effect.Effect<void, E, Airlock.Airlock>
) => Effect.provide(effect, Layer.provideMerge(handlers, AirlockLive))

const isInterrupted = (outcome: Executor.Outcome | undefined) =>
  outcome !== undefined && Exit.isFailure(outcome) && Cause.isInterrupted(outcome.cause)

describe("a worker", () => {
  it.effect("runs one work after the other, and tells the outcome of each when it has ended", () => {
    const order: Array<string> = []
    return run(
      Note.toLayer(({ n }, { attempt }) =>
        Effect.suspend(() => {
          order.push(`run ${n}, attempt ${attempt}`)
          return n === 2 ? Effect.fail("no") : Effect.void
        })
      ),
      Effect.gen(function*() {
        const intents = yield* notes(1, 2, 3)
        const { fiber } = yield* workOn(intents.map((intent) => [intent]), {
          ended: (work, [outcome]) =>
            order.push(`${Exit.isSuccess(outcome!) ? "ended" : "failed"} ${work.intents.map(numberOf)}`)
        })
        yield* Fiber.join(fiber)
        expect(order).toEqual([
          "run 1, attempt 7",
          "ended 1",
          "run 2, attempt 7",
          "failed 2",
          "run 3, attempt 7",
          "ended 3"
        ])
      })
    )
  })

  it.effect("gives all intents of a work to a batched handler in one call", () => {
    const calls: Array<ReadonlyArray<number>> = []
    return run(
      Many.toLayerBatched((payloads) => Effect.sync(() => calls.push(payloads.map(({ n }) => n))), { maxSize: 5 }),
      Effect.gen(function*() {
        const intents = yield* intentsOf(
          Effect.forEach([1, 2, 3, 4], (n) => Airlock.enqueue(Many, { n }))
        )
        const { ended, fiber } = yield* workOn([intents.slice(0, 3), intents.slice(3)])
        yield* Fiber.join(fiber)
        expect(calls).toEqual([[1, 2, 3], [4]])
        expect(ended.map(({ outcomes }) => outcomes.map(Exit.isSuccess))).toEqual([[true, true, true], [true]])
      })
    )
  })

  it.effect("runs each handler in a scope of its own: intents of a failed one are discarded", () => {
    const followed: Array<number> = []
    return run(
      Layer.mergeAll(
        Note.toLayer(({ n }) =>
          Effect.zipRight(Airlock.enqueue(Many, { n }), n === 2 ? Effect.fail("no") : Effect.void)
        ),
        Many.toLayer(({ n }) => Effect.sync(() => followed.push(n)))
      ),
      Effect.gen(function*() {
        const { fiber } = yield* workOn([yield* notes(1, 2, 3)])
        yield* Fiber.join(fiber)
        expect(followed).toEqual([1, 3])
      })
    )
  })

  it.effect("closes what a handler has opened before it tells its outcome", () => {
    const order: Array<string> = []
    return run(
      Note.toLayer(({ n }) => Effect.addFinalizer(() => Effect.sync(() => order.push(`closed ${n}`)))),
      Effect.gen(function*() {
        const { fiber } = yield* workOn((yield* notes(1, 2)).map((intent) => [intent]), {
          ended: (work) => order.push(`ended ${work.intents.map(numberOf)}`)
        })
        yield* Fiber.join(fiber)
        expect(order).toEqual(["closed 1", "ended 1", "closed 2", "ended 2"])
      })
    )
  })

  it.effect("tells the interruption of its current work, and begins no other", () => {
    let began = 0
    return run(
      Note.toLayer(({ n }) => Effect.suspend(() => (began++, n === 2 ? Effect.never : Effect.void))),
      Effect.gen(function*() {
        const intents = yield* notes(1, 2, 3, 4)
        const { ended, fiber, rest } = yield* workOn([intents.slice(0, 3), intents.slice(3)])
        yield* until(Effect.sync(() => began === 2))
        yield* Fiber.interrupt(fiber)
        expect(ended.length).toBe(1)
        const [first, second, third] = ended[0]!.outcomes
        expect([Exit.isSuccess(first!), isInterrupted(second), isInterrupted(third)]).toEqual([true, true, true])
        expect([began, rest.length]).toEqual([2, 1])
      })
    )
  })

  it.effect("goes on after a handler that interrupts itself", () =>
    run(
      Note.toLayer(({ n }) => n === 1 ? Effect.interrupt : Effect.void),
      Effect.gen(function*() {
        const { ended, fiber } = yield* workOn((yield* notes(1, 2)).map((intent) => [intent]))
        yield* Fiber.join(fiber)
        expect(ended.map(({ outcomes }) => Exit.isSuccess(outcomes[0]!))).toEqual([false, true])
      })
    ))

  it.effect("runs a transactional handler by the source, and others not", () => {
    const transacted: Array<unknown> = []
    return run(
      Layer.mergeAll(
        Note.toLayer(() => Effect.void, { transactional: true }),
        Many.toLayer(() => Effect.void)
      ),
      Effect.gen(function*() {
        const others = yield* intentsOf(Airlock.enqueue(Many, { n: 2 }))
        const { ended, fiber } = yield* workOn([yield* notes(1), others], {
          transact: (work, handler) => {
            transacted.push(...work.intents.map(numberOf))
            return Effect.zipRight(handler, Effect.fail("not committed"))
          }
        })
        yield* Fiber.join(fiber)
        expect(transacted).toEqual([1])
        expect(ended.map(({ outcomes }) => Exit.isSuccess(outcomes[0]!))).toEqual([false, true])
      })
    )
  })

  it.effect("tells that a task has no handler", () =>
    run(
      Many.toLayer(() => Effect.void),
      Effect.gen(function*() {
        const { ended, fiber } = yield* workOn([yield* notes(1)])
        yield* Fiber.join(fiber)
        expect(ended[0]!.outcomes[0]).toEqual(Exit.fail(expect.objectContaining({ _tag: "UnknownTaskError" })))
      })
    ))

  it.live("lets timers run between many handlers that do not wait", () => {
    let ran = 0
    return run(
      Note.toLayer(() => Effect.sync(() => ran++)),
      Effect.gen(function*() {
        const [intent] = yield* notes(1)
        let isOver = false
        const { fiber } = yield* workOn([], {
          next: () => isOver ? undefined : { intents: [intent!], attemptOf: () => 1 },
          ended: () => {}
        })
        yield* Effect.sleep("1 millis")
        isOver = true
        yield* Fiber.join(fiber)
        expect(ran).toBeGreaterThan(0)
      })
    )
  })
})
