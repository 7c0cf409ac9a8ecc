/**
 * An engine in the suite of executors, and the application that hands intents over to it.
 */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Airlock from "../../Airlock.js"
import type { Executor, Outcome } from "../../Executor.js"
import type { EnqueueOptions, Intent } from "../../Intent.js"
import { capabilitiesOf } from "../../internal/contract/executor.js"
import { makeId } from "../../internal/support/id.js"
import * as Task from "../../Task.js"

/**
 * An executor and its engine, with nothing in it.
 *
 * @since 0.1.0
 * @category testing
 */
export interface Engine {
  readonly executor: Executor
  /**
   * A worker that runs what the executor has handed over, with the handlers of its Airlock. It runs one intent at a time, and
   * a failed one again within a second. Absent if the executor runs handlers itself, or has no worker.
   */
  readonly worker?: Layer.Layer<never, unknown, Airlock.Airlock>
  /** Breaks the connection of the executor to its engine, and lets it connect again. Absent if it has none. */
  readonly connection?: {
    readonly cut: Effect.Effect<void>
    /** Breaks the connection when this text passes for the next time, before the engine gets it. */
    readonly cutAt: (text: string) => Effect.Effect<void>
    readonly restore: Effect.Effect<void>
  }
}

/**
 * What an engine may lack: a worker, a connection that can break, or the memory of intents that it got before, by their ids.
 *
 * @since 0.1.0
 * @category testing
 */
export type Lack = "worker" | "connection" | "recognition"

/** @internal */
export const Item = Task.make("SuiteItem", { payload: { text: Schema.String } })

/** What a handler got. @internal */
export interface Got {
  readonly id: string
  readonly text: string
  readonly attempt: number
}

/** @internal */
export interface Given {
  readonly engine: Engine
  /** The connection of the engine. Only for tests of it. */
  readonly connection: NonNullable<Engine["connection"]>
  /** What the handlers of items have got, in order. */
  readonly got: Array<Got>
  /** Waits until the handlers have got this many items. */
  readonly untilGot: (count: number) => Effect.Effect<void>
  readonly dispatch: (intents: ReadonlyArray<Intent>) => Effect.Effect<ReadonlyArray<Outcome>>
  /** Whether the executor carries out the options of an intent. If not, it has to refuse them at the enqueue. */
  readonly carriesOut: (intent: Intent) => Effect.Effect<boolean>
  /** Starts a worker with these handlers, or with one that records items. It stops with the Scope of the test, or before. */
  readonly work: (
    handlers?: Layer.Layer<never, never, Airlock.Airlock>
  ) => Effect.Effect<{ readonly stop: Effect.Effect<void> }, unknown, Scope.Scope>
  /** The Airlock of the application, whose executor is the engine's. */
  readonly airlock: Layer.Layer<Airlock.Airlock>
}

/** Defines a test, which has an empty engine. @internal */
export type DefineEngineTest = (
  title: string,
  self: (given: Given) => Effect.Effect<unknown, unknown, Scope.Scope>
) => void

/** @internal */
export const engineTestsOn = (
  engine: Effect.Effect<Engine, unknown, Scope.Scope>,
  without: ReadonlyArray<Lack>
): DefineEngineTest =>
(title, self) =>
  it.scopedLive(title, () =>
    Effect.flatMap(engine, (engine) =>
      Effect.gen(function*() {
        const lacks = (["worker", "connection"] as const).filter((part) => engine[part] === undefined)
        expect(lacks, "the parts that the engine lacks, and that `without` has to name").toEqual(
          lacks.filter((part) => without.includes(part))
        )
        const got: Array<Got> = []
        const itemLive = Item.toLayer(({ text }, { attempt, intentId }) =>
          Effect.suspend(() => {
            got.push({ id: intentId, text, attempt })
            return text.startsWith("fail") ? Effect.fail(new Error(text)) : Effect.void
          })
        )
        const airlock = Airlock.layer({ executor: engine.executor })
        // An executor without a worker runs the handlers of the Airlock that it gets.
        const local = yield* Layer.build(
          (engine.worker === undefined ? itemLive : Layer.empty).pipe(Layer.provideMerge(airlock))
        )
        const { handlers } = yield* Effect.provide(Airlock.Airlock, local)
        yield* self({
          engine,
          got,
          untilGot: (count) => until(() => got.length >= count),
          get connection() {
            if (engine.connection === undefined) {
              throw new Error("The engine has no connection")
            }
            return engine.connection
          },
          dispatch: (intents) => Effect.uninterruptible(engine.executor.dispatch(intents, handlers)),
          carriesOut: (intent) => carriesOut(engine.executor, intent, airlock),
          work: (given = itemLive) =>
            Effect.gen(function*() {
              const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
              yield* Layer.buildWithScope(
                engine.worker === undefined
                  ? Layer.empty
                  : engine.worker.pipe(
                    Layer.provide(given),
                    Layer.provide(Airlock.layer({ executor: engine.executor }))
                  ),
                scope
              )
              return { stop: Scope.close(scope, Exit.void) }
            }),
          airlock: Layer.succeedContext(local)
        })
      })), 30_000)

const carriesOut = (
  executor: Executor,
  intent: Intent,
  airlock: Layer.Layer<Airlock.Airlock>
): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const capabilities = capabilitiesOf(executor, intent)
    const isCapable = Object.keys(intent.options).every((option) => capabilities.some((name) => name === option))
    const exit = yield* Airlock.enqueue(Item, { text: "a" }, intent.options).pipe(
      Airlock.scoped({ shouldFlush: () => false }),
      Effect.exit,
      Effect.provide(airlock)
    )
    expect([intent.options, Exit.isSuccess(exit)]).toEqual([intent.options, isCapable])
    return isCapable
  })

/** @internal */
export const item = (text: string, options: EnqueueOptions = {}): Intent => ({
  id: makeId(Date.now()),
  task: Item,
  payload: { text },
  encoded: JSON.stringify({ text }),
  options,
  enqueuedAt: Date.now(),
  scopeId: 0,
  span: undefined
})

/** @internal */
export const areSuccesses = (outcomes: ReadonlyArray<Outcome>): ReadonlyArray<boolean> => outcomes.map(Exit.isSuccess)

/** A turn of the event loop, in which connections can do their work. @internal */
export const turn: Effect.Effect<void> = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))

/** Waits until a condition holds. @internal */
export const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.zipRight(turn, until(holds)))
