/**
 * An executor dispatches the intents of a scope. It takes them as one batch and returns an outcome for each intent.
 *
 * The built-in executors run handlers in this process: `inProcess` while the scope settles, `background` after it has
 * settled, and `drain` while it settles, with all intents that the handlers enqueue. `route` chooses an executor for each
 * intent.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import type { Intent } from "./Intent.js"
import {
  type BackgroundOptions,
  currentExecutorKey,
  type DispatchReason,
  type Executor,
  type Outcome,
  type RunOptions
} from "./internal/contract/executor.js"
import * as internalBackground from "./internal/executor/background.js"
import * as combinators from "./internal/executor/combinators.js"
import * as internalDrain from "./internal/executor/drain.js"
import * as internal from "./internal/executor/make.js"
import * as internalRoute from "./internal/executor/route.js"

export {
  type BackgroundOptions,
  type Capability,
  type DispatchReason,
  type Executor,
  type Handlers,
  type Outcome,
  type RunOptions,
  type Transactional,
  TypeId,
  type Work,
  type WorkSource
} from "./internal/contract/executor.js"

/**
 * Makes an executor from a function that dispatches a batch. Its Effect may be interrupted anywhere. If the
 * `dispatchTimeout` of the scope interrupts it, the intents of the batch count as not dispatched, except those whose
 * handlers have run.
 *
 * `dispatch` returns an outcome for each intent, in the order of the batch. An intent without an outcome counts as failed.
 *
 * @example
 * ```ts
 * import { Effect, Exit } from "effect"
 * import { Executor } from "effect-airlock"
 *
 * const printer = Executor.make({
 *   name: "printer",
 *   dispatch: (intents) =>
 *     Effect.forEach(intents, ({ id, task }) => Effect.as(Effect.log(`${task.name} ${id}`), Exit.void))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: (options: {
  /** The name in errors and in `Airlock.configuration`. */
  readonly name: string
  /** Whether the executor stores intents outside of this process. Then it takes no closures. Default: `false`. */
  readonly durable?: boolean
  /**
   * The options of an enqueue that `dispatch` carries out, such as `["delay", "queue"]`. An enqueue with another option is
   * refused. Default: none.
   */
  readonly capabilities?: Executor["capabilities"]
  readonly dispatch: Executor["dispatch"]
}) => Executor = internal.make

/**
 * Makes an executor that runs the handlers in this process while the scope settles. When the scope has settled, they have
 * run. If the process dies before that, the intents whose handlers have not run are lost.
 *
 * If a handler fails, the others still run, unless `failFast` is set. The `FlushError` names every intent that was not
 * dispatched.
 *
 * @example
 * ```ts
 * import { Schedule } from "effect"
 * import { Airlock, Executor } from "effect-airlock"
 *
 * const AirlockRetrying = Airlock.layer({
 *   executor: Executor.inProcess({ concurrency: 4, timeout: "10 seconds", retry: Schedule.recurs(2) })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const inProcess: (options?: RunOptions) => Executor = internal.inProcess

/**
 * Makes an executor that returns at once and dispatches the batch afterwards. By then the scope has settled, and a response
 * may have been sent. The intents of a batch are dispatched in order, and several batches concurrently. A failure is logged
 * as an error that names the intent.
 *
 * An intent with a `delay` or `runAt` waits in this process for its time, counts in `capacity` meanwhile, and is lost with
 * the process. It does not hold up later intents with its `orderingKey`. A shutdown does not wait for its time: it logs an
 * error that names it. If `executor` carries out these options itself, it gets the intent at once.
 *
 * At shutdown, when the Layer of a handler or of Airlock closes, the executor completes the batches that it holds, while
 * all handlers are still there. After `shutdownTimeout` it interrupts the remaining batches, and logs an error that names
 * every intent that it could not complete. For a host that freezes the process after a response, provide {@link WaitUntil}.
 *
 * Throws a `RangeError` if `capacity` or `concurrency` is below 1.
 *
 * @example
 * ```ts
 * import { Airlock, Executor } from "effect-airlock"
 *
 * const AirlockInBackground = Airlock.layer({
 *   executor: Executor.background({ executor: Executor.inProcess({ timeout: "1 minute" }), concurrency: 10 })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const background: (options?: BackgroundOptions) => Executor = internalBackground.background

/**
 * The function that tells a host to wait for work after the response, such as `context.waitUntil` of edge runtimes. Provide
 * it where the request is handled. {@link background} calls it with a Promise that resolves when the batch, and all that
 * its handlers enqueue, is done. Default: a function that does nothing.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Executor } from "effect-airlock"
 *
 * const onHost = (host: { readonly waitUntil: (work: Promise<void>) => void }) =>
 *   Effect.provideService(Executor.WaitUntil, (work) => host.waitUntil(work))
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class WaitUntil extends Context.Reference<WaitUntil>()(internalBackground.waitUntilKey, {
  defaultValue: (): (work: Promise<void>) => void => () => {}
}) {}

/**
 * Makes an executor that runs handlers, then the intents that these enqueue, and so on, until nothing is queued or running.
 * The event loop of App Engine's NDB does the same at the end of a request. Intents that are enqueued while handlers run
 * are collected, so that a batched handler gets them in one call.
 *
 * Intents that `beforeDescendantFlushes` lets leave early start at once. When the outermost scope settles, with or without
 * success, its `FlushError` names every intent that failed since the scope opened, those that handlers enqueued included.
 * At the `timeout` the running handlers are interrupted and not awaited, and each remaining intent fails with a
 * `SettleTimeoutError`.
 *
 * @example
 * ```ts
 * import { Airlock, Executor } from "effect-airlock"
 *
 * const AirlockDraining = Airlock.layer({
 *   executor: Executor.drain({ timeout: "10 seconds", run: { concurrency: 4 } })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const drain: (options?: {
  /** The time limit for all handlers together. Default: 30 seconds. */
  readonly timeout?: Duration.DurationInput
  /** The options of the handlers' runs. Default: one at a time, in order. */
  readonly run?: Omit<RunOptions, "executor">
}) => Executor = internalDrain.drain

/**
 * Makes an executor that chooses another executor for each intent. Each chosen executor gets its intents as one batch, in
 * order. The executors run one after the other, durable ones first. A failure of one executor does not affect the others.
 *
 * `choose` is called at the enqueue, to find out whether the executor is durable, and at the dispatch. It must return the
 * same executor both times, so make the executors outside of it. A route has the capabilities of the chosen executor.
 *
 * @example
 * ```ts
 * import { Executor } from "effect-airlock"
 *
 * const afterwards = Executor.background()
 * const atOnce = Executor.inProcess()
 *
 * const byTask = Executor.route(({ task }) => task.name === "SendReceipt" ? atOnce : afterwards)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const route: (choose: (intent: Intent) => Executor) => Executor = internalRoute.route

/**
 * Repeats the dispatch of intents that were not dispatched, as a smaller batch in the same order, as often as the schedule
 * allows. Use it for a queue that may be down for a moment. An intent without a handler is not dispatched again. To run a
 * failed handler again, use `inProcess({ retry })`.
 *
 * Intents that an outbox inserts in a transaction do not pass through this combinator, nor through the other ones.
 *
 * @example
 * ```ts
 * import { Effect, Exit, Schedule } from "effect"
 * import { Executor } from "effect-airlock"
 *
 * const queue = Executor.make({
 *   name: "queue",
 *   durable: true,
 *   dispatch: (intents) => Effect.succeed(intents.map(() => Exit.void))
 * }).pipe(Executor.retrying(Schedule.exponential("100 millis").pipe(Schedule.intersect(Schedule.recurs(3)))))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const retrying: {
  (schedule: Schedule.Schedule<unknown, ReadonlyArray<DispatchReason>>): (self: Executor) => Executor
  (self: Executor, schedule: Schedule.Schedule<unknown, ReadonlyArray<DispatchReason>>): Executor
} = dual(2, combinators.retrying)

/**
 * Sets a time limit for each batch, in addition to the `dispatchTimeout` of its scope. Intents that are not dispatched by
 * then fail with a `SettleTimeoutError`.
 *
 * @example
 * ```ts
 * import { Executor } from "effect-airlock"
 *
 * const brief = Executor.inProcess().pipe(Executor.timed("5 seconds"))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const timed: {
  (limit: Duration.DurationInput): (self: Executor) => Executor
  (self: Executor, limit: Duration.DurationInput): Executor
} = dual(
  2,
  (self: Executor, limit: Duration.DurationInput): Executor => combinators.timed(self, Duration.decode(limit))
)

/**
 * Calls a function with each intent and its outcome, after the dispatch of its batch. The outcomes are known to the scope
 * only when the function's Effects have completed. If one of them dies, that is logged as a warning.
 *
 * @example
 * ```ts
 * import { Effect, Exit } from "effect"
 * import { Executor } from "effect-airlock"
 *
 * const audited = Executor.inProcess().pipe(
 *   Executor.tapped(({ id, task }, outcome) => Effect.log(`${task.name} ${id}`, Exit.isSuccess(outcome)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const tapped: {
  (onOutcome: (intent: Intent, outcome: Outcome) => Effect.Effect<void>): (self: Executor) => Executor
  (self: Executor, onOutcome: (intent: Intent, outcome: Outcome) => Effect.Effect<void>): Executor
} = dual(2, combinators.tapped)

/**
 * The executor of the running context. `Airlock.layer` uses it, and so does each outermost scope that opens in a context
 * which provides it. Default: `inProcess()`.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentExecutor extends Context.Reference<CurrentExecutor>()(currentExecutorKey, {
  defaultValue: (): Executor => inProcess()
}) {}

/**
 * Provides an executor to `AirlockLive`, or to the outermost scopes of a program.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import { AirlockLive, Executor } from "effect-airlock"
 *
 * const AirlockInBackground = AirlockLive.pipe(Layer.provide(Executor.layer(Executor.background())))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (executor: Executor): Layer.Layer<CurrentExecutor> => Layer.succeed(CurrentExecutor, executor)
