/**
 * An executor takes intents out of a scope's hands, and says of each whether it did.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import {
  type DispatchError,
  NotAttemptedError,
  type SettleTimeoutError,
  type UnknownTaskError
} from "./AirlockError.js"
import type { Intent } from "./Intent.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-airlock/Executor")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * What became of one intent: it was dispatched, or why not.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = Exit.Exit<void, DispatchReason>

/**
 * Why an executor did not dispatch an intent.
 *
 * @since 0.1.0
 * @category models
 */
export type DispatchReason = DispatchError | UnknownTaskError | NotAttemptedError | SettleTimeoutError

/**
 * The handlers that the Layers of `task.toLayer` registered.
 *
 * @since 0.1.0
 * @category models
 */
export interface Handlers {
  /** The names of the tasks that have a handler, sorted. */
  readonly names: ReadonlyArray<string>
  /**
   * Runs the handlers of these intents one after the other, each in a root scope and a context of its own, and calls
   * `onOutcome` after each. `true` from it stops before the next.
   */
  readonly run: (
    intents: ReadonlyArray<Intent>,
    onOutcome: (outcome: Outcome) => boolean
  ) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Executor {
  readonly [TypeId]: TypeId
  readonly name: string
  /** Whether it keeps intents outside of this process, and so takes no closures. */
  readonly durable: boolean
  /**
   * Takes a batch, in the order in which it was enqueued, and gives an outcome for each intent, in the same order. It is
   * bounded in time by interruption, in a region that is uninterruptible but for what it makes interruptible itself: so
   * one that is interrupted can still answer with what it did.
   */
  readonly dispatch: (
    intents: ReadonlyArray<Intent>,
    handlers: Handlers
  ) => Effect.Effect<ReadonlyArray<Outcome>>
}

/**
 * Makes an executor from an Effect that may be interrupted anywhere: cut off at its limit, it leaves no answer, and
 * every intent of the batch counts as not dispatched.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ dispatch, durable, name }: {
  readonly name: string
  /** Whether it keeps intents outside of this process. Default: `false`. */
  readonly durable?: boolean
  readonly dispatch: Executor["dispatch"]
}): Executor => ({
  [TypeId]: TypeId,
  name,
  durable: durable ?? false,
  dispatch: (intents, handlers) => Effect.interruptible(dispatch(intents, handlers))
})

/**
 * Runs the handlers in this process, in order, while the scope settles: when it has settled, they have run. What a
 * handler answers is lost with the process, so it suits effects whose loss in a crash is acceptable.
 *
 * A handler that fails keeps no other back; with `failFast` those after it are not attempted. Either way the `FlushError`
 * names every intent that did not leave.
 *
 * @since 0.1.0
 * @category executors
 */
export const inProcess = (options?: {
  /** Default: `false`, which is to be robust. */
  readonly failFast?: boolean
}): Executor => ({
  [TypeId]: TypeId,
  name: "inProcess",
  durable: false,
  dispatch: (intents, handlers) =>
    Effect.suspend(() => {
      const failFast = options?.failFast === true
      const outcomes: Array<Outcome> = []
      const tried = handlers.run(intents, (outcome) => {
        outcomes.push(outcome)
        return failFast && Exit.isFailure(outcome)
      })
      return Effect.map(Effect.exit(Effect.interruptible(tried)), () => {
        for (const { task } of intents.slice(outcomes.length)) {
          outcomes.push(Exit.fail(new NotAttemptedError({ task: task.name })))
        }
        return outcomes
      })
    })
})

/**
 * The executor of the running context. A scope uses that of its outermost scope; where none is given, `inProcess()`.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentExecutor extends Context.Reference<CurrentExecutor>()("effect-airlock/Executor", {
  defaultValue: (): Executor => inProcess()
}) {}

/**
 * Provides an executor to `AirlockLive`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (executor: Executor): Layer.Layer<CurrentExecutor> => Layer.succeed(CurrentExecutor, executor)
