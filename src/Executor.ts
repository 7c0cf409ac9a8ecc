/**
 * An executor takes intents out of a scope's hands, and says of each whether it did.
 *
 * One batch goes in, an outcome for each intent comes out. What is built in runs handlers in this process: `inProcess`
 * before the scope has settled, `background` after it, `drain` until nothing is left. `route` chooses for each intent.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Schedule from "effect/Schedule"
import type {
  DispatchError,
  FlushFailure,
  NotAttemptedError,
  SettleTimeoutError,
  UnknownTaskError
} from "./AirlockError.js"
import type { Intent } from "./Intent.js"
import * as internalBackground from "./internal/background.js"
import { dispatchWithin, reasonOf, withDispatch } from "./internal/dispatch.js"
import { Drain } from "./internal/drain.js"
import * as report from "./internal/report.js"
import * as internalRoute from "./internal/route.js"
import type * as Task from "./Task.js"

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
 * How handlers are run.
 *
 * @since 0.1.0
 * @category options
 */
export interface RunOptions {
  /** How many handlers run at a time. Those of intents with the same `orderingKey` run in order. Default: 1, in order. */
  readonly concurrency?: number | "unbounded"
  /** Whether no handler is begun any more after one failed. Default: `false`, which is to be robust. */
  readonly failFast?: boolean
  /**
   * How long one run of a handler may take. Then it is interrupted, and not waited for; its intent has a
   * `SettleTimeoutError`. Default: not limited, but for what the scope may take.
   */
  readonly timeout?: Duration.DurationInput
  /**
   * Whether a run that failed is tried again, and when. The schedule gets the reason; an intent's `maxAttempts` ends it
   * sooner. Default: not tried again.
   */
  readonly retry?: Schedule.Schedule<unknown, DispatchReason>
  /** The number of the first attempt, as the handler is told. Default: 1. */
  readonly attempt?: number
  /** How what the handlers enqueue leaves. Default: as Airlock was built. */
  readonly executor?: Executor
}

/**
 * The handlers that the Layers of `task.toLayer` registered, for executors that run them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Handlers {
  /** The names of the tasks that have a handler, sorted. */
  readonly names: ReadonlyArray<string>
  /** The task of a name, as its handler knows it: what a payload that was kept is decoded by. */
  readonly task: (name: string) => Task.Any | undefined
  /**
   * Runs the handlers of these intents, each in a root scope and a context of its own. It never fails, and it is bounded by
   * interruption: interrupted in a region that is uninterruptible, it answers with what it did.
   */
  readonly run: (intents: ReadonlyArray<Intent>, options?: RunOptions) => Effect.Effect<ReadonlyArray<Outcome>>
  /**
   * For an executor that holds intents when it has answered: asks it to finish them before the first handler goes away. It
   * gets the time that is left of `shutdownTimeout`. Gives what takes the wish back.
   */
  readonly onClose: (finish: (limit: Duration.Duration) => Effect.Effect<void>) => () => void
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Executor extends Pipeable {
  readonly [TypeId]: TypeId
  readonly name: string
  /** What it was made with, for whoever looks at the configuration. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Whether it keeps an intent outside of this process, and so takes no closures. */
  readonly isDurable: (intent: Intent) => boolean
  /**
   * Takes a batch, in the order in which it was enqueued, and gives an outcome for each intent, in the same order. It is
   * bounded in time by interruption, in a region that is uninterruptible but for what it makes interruptible itself: so
   * one that is interrupted can still answer with what it did.
   */
  readonly dispatch: (
    intents: ReadonlyArray<Intent>,
    handlers: Handlers
  ) => Effect.Effect<ReadonlyArray<Outcome>>
  /** For an executor that can write an intent in the SQL transaction that it was enqueued in: how it does. */
  readonly transactional?: (intent: Intent) => Transactional | undefined
  /** For an executor that keeps account of a scope: each outermost scope gets one of its own. */
  readonly forScope?: () => Executor
  /**
   * Called when the outermost scope settles, whether it flushes or discards, after what leaves was dispatched: the failures
   * that `dispatch` could not know yet.
   */
  readonly close?: (handlers: Handlers) => Effect.Effect<ReadonlyArray<FlushFailure>>
}

/**
 * How an executor writes intents in the transaction that they were enqueued in. What it has written, and what scopes around
 * the transaction then let leave, is given to `dispatch` among the others.
 *
 * @since 0.1.0
 * @category models
 */
export interface Transactional {
  /** What identifies the database, where it is the `reserve` of a `SqlClient`. In a transaction of another one nothing is written. */
  readonly database: unknown
  /**
   * Runs in the transaction, last before its COMMIT, with what the policies let through. To fail rolls the transaction
   * back.
   */
  readonly park: (intents: ReadonlyArray<Intent>, how: {
    /** Whether a scope around may still refuse them. */
    readonly held: boolean
    /** Whether somebody will be asked to approve of them. */
    readonly undecided: boolean
  }) => Effect.Effect<void, unknown>
  /** The transaction was committed, and no scope around has a say: they have left. */
  readonly committed: (intents: ReadonlyArray<Intent>) => Effect.Effect<void>
  /** The scopes around refused them. */
  readonly discard: (intents: ReadonlyArray<Intent>) => Effect.Effect<void>
  /** The transaction was not committed, or nobody knows whether it was: nobody will say more about them. */
  readonly detach: (intents: ReadonlyArray<Intent>) => Effect.Effect<void>
}

/** What all executors have; copied into each, so that a spread of one is one. */
const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
} as const

/**
 * Makes an executor from an Effect that may be interrupted anywhere: cut off at its limit, it leaves no answer, and
 * every intent of the batch counts as not dispatched.
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
export const make = ({ dispatch, durable, name }: {
  readonly name: string
  /** Whether it keeps intents outside of this process. Default: `false`. */
  readonly durable?: boolean
  readonly dispatch: Executor["dispatch"]
}): Executor => ({
  ...Proto,
  name,
  isDurable: () => durable === true,
  dispatch: (intents, handlers) => Effect.interruptible(dispatch(intents, handlers))
})

const inThisProcess = (
  name: string,
  options: Readonly<Record<string, unknown>>,
  dispatch: Executor["dispatch"]
): Executor => ({
  ...Proto,
  name,
  options,
  isDurable: () => false,
  dispatch
})

/**
 * Runs the handlers in this process, while the scope settles: when it has settled, they have run. What has not run is lost
 * with the process, so it suits effects whose loss in a crash is acceptable.
 *
 * A handler that fails keeps no other back; with `failFast` those after it are not attempted. Either way the `FlushError`
 * names every intent that did not leave.
 *
 * @since 0.1.0
 * @category executors
 */
export const inProcess = (options?: RunOptions): Executor =>
  inThisProcess("inProcess", shown(options), (intents, handlers) => handlers.run(intents, options))

/** Options as people read them: what is code is left out. */
const shown = ({ concurrency, failFast, timeout }: RunOptions = {}) => ({
  concurrency: concurrency ?? 1,
  failFast: failFast === true,
  timeout: timeout === undefined ? "unlimited" : Duration.format(timeout)
})

/**
 * @since 0.1.0
 * @category options
 */
export interface BackgroundOptions {
  /** What carries the batches. Default: `inProcess()`. */
  readonly executor?: Executor
  /** How many batches are carried at a time; the others wait, in order. Default: not limited. */
  readonly concurrency?: number
  /**
   * How many intents may be held. Where there is no room for a batch its scope waits, as long as `dispatchTimeout` lets it.
   * Default: 10 000.
   */
  readonly capacity?: number
}

/**
 * Answers at once, and carries the batch afterwards: the scope has settled, the response has been sent. A batch is carried
 * in order, batches side by side. A failure is logged as an error that names the intent.
 *
 * When the application shuts down (the Layer of a handler, or Airlock's, closes) it finishes what it holds, while all
 * handlers are still there, within `shutdownTimeout`; then it interrupts the rest, and names in an error what it could not
 * finish. A host that freezes a process after its response is told by {@link WaitUntil}.
 *
 * @since 0.1.0
 * @category executors
 */
export const background = (
  { capacity = 10_000, concurrency, executor = inProcess() }: BackgroundOptions = {}
): Executor => {
  if (!(capacity >= 1) || !(concurrency === undefined || concurrency >= 1)) {
    throw new RangeError(`Executor.background needs a capacity and a concurrency of at least 1`)
  }
  const carried = inThisProcess(
    "background",
    { executor: executor.name, ...executor.options, batches: concurrency ?? "unlimited", capacity },
    internalBackground.dispatch(
      executor,
      concurrency ?? Infinity,
      capacity,
      (context) => context.unsafeMap.get(WaitUntil.key)
    )
  )
  return { ...carried, isDurable: executor.isDurable }
}

/**
 * Tells the host of a request that work goes on after its response: what edge runtimes give as `context.waitUntil`. Provide
 * it where the request is handled. Default: nobody is told.
 *
 * @since 0.1.0
 * @category services
 */
export class WaitUntil extends Context.Reference<WaitUntil>()("effect-airlock/Executor/WaitUntil", {
  defaultValue: (): (work: Promise<void>) => void => () => {}
}) {}

/**
 * Runs handlers, and what they enqueue, and what those enqueue, until nothing is queued or running: as the event loop of
 * App Engine's NDB does at the end of a request. What handlers enqueue meanwhile is gathered, so that batched tasks find it
 * together.
 *
 * What `beforeDescendantFlushes` lets go early is begun at once, and not waited for; when the outermost scope settles, well
 * or not, every failure since it opened is in its `FlushError`, by the intents' own ids. At the `timeout` what still runs is
 * interrupted and left to itself, and a `SettleTimeoutError` for each intent names what remains.
 *
 * @since 0.1.0
 * @category executors
 */
export const drain = (
  { timeout = "30 seconds", run = {} }: {
    /** How long draining may take in all. Default: 30 seconds. */
    readonly timeout?: Duration.DurationInput
    /** How the handlers are run. */
    readonly run?: Omit<RunOptions, "executor">
  } = {}
): Executor => {
  const limit = Duration.decode(timeout)
  const options = { ...shown(run), drainTimeout: Duration.format(limit) }
  const executor = inThisProcess("drain", options, (intents, handlers) => {
    const account = new Drain(executor, limit, run)
    return Effect.flatMap(Effect.zipRight(account.begin(intents, handlers), account.close()), (failures) => {
      const reasons = new Map(failures.map(({ intentId, reason }) => [intentId, reason]))
      const own = new Set<string>(intents.map(({ id }) => id))
      return Effect.as(
        report.failed(failures.filter(({ intentId }) => !own.has(intentId))),
        intents.map(({ id }) => reasons.has(id) ? Exit.fail(reasons.get(id)!) : Exit.void)
      )
    })
  })
  const forScope = (): Executor => {
    const { begin, close } = new Drain(executor, limit, run)
    return { ...executor, dispatch: begin, close }
  }
  return { ...executor, forScope }
}

/**
 * Chooses an executor for each intent. What goes to the same one goes as one batch, in order; the executors are asked one
 * after the other, by their first intent. One that fails takes no other's intents with it.
 *
 * `choose` is asked at the enqueue of a closure, and at the dispatch.
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
 * @category executors
 */
export const route = (choose: (intent: Intent) => Executor): Executor => {
  const routed = (choose: (intent: Intent) => Executor): Executor => ({
    ...Proto,
    name: "route",
    isDurable: (intent) => choose(intent).isDurable(intent),
    transactional: (intent) => choose(intent).transactional?.(intent),
    dispatch: internalRoute.dispatch(choose)
  })
  const forScope = (): Executor => {
    const { choose: chosen, close } = internalRoute.forScope(choose)
    return { ...routed(chosen), close }
  }
  return { ...routed(choose), forScope }
}

/**
 * Dispatches again what was not dispatched, as a smaller batch, in order, as long as the schedule says: for an engine that
 * is away for a moment. What has no handler is not tried again. To try a handler again, use `inProcess({ retry })`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const retrying: {
  (schedule: Schedule.Schedule<unknown, ReadonlyArray<DispatchReason>>): (self: Executor) => Executor
  (self: Executor, schedule: Schedule.Schedule<unknown, ReadonlyArray<DispatchReason>>): Executor
} = dual(
  2,
  (self: Executor, schedule: Schedule.Schedule<unknown, ReadonlyArray<DispatchReason>>): Executor =>
    withDispatch(self, (dispatch) => (intents, handlers) =>
      Effect.flatMap(Schedule.driver(schedule), (driver) => {
        const known: Array<Outcome> = []
        const attempt = (left: ReadonlyArray<number>): Effect.Effect<ReadonlyArray<Outcome>> =>
          Effect.flatMap(
            Effect.exit(Effect.suspend(() => dispatch(left.map((index) => intents[index]!), handlers))),
            (exit) => {
              left.forEach((index, at) => {
                const answer = Exit.isSuccess(exit) ? exit.value[at] : undefined
                known[index] = answer ?? Exit.fail(reasonOf(self, intents[index]!, exit, undefined))
              })
              const again = left.filter((index) => mayHelp(known[index]!))
              if (again.length === 0 || Exit.isInterrupted(exit)) {
                return Effect.succeed(known)
              }
              const reasons = again.map((index) => reasonOf(self, intents[index]!, undefined, known[index]))
              // To be interrupted while it waits is to answer with what is known.
              return Effect.flatMap(
                Effect.exit(Effect.interruptible(driver.next(reasons))),
                (next) => Exit.isSuccess(next) ? attempt(again) : Effect.succeed(known)
              )
            }
          )
        return attempt(intents.map((_, index) => index))
      }))
)

const mayHelp = (outcome: Outcome): boolean =>
  Exit.isFailure(outcome) && !(outcome.cause._tag === "Fail" && outcome.cause.error._tag === "UnknownTaskError")

/**
 * Bounds how long a batch may take, below the `dispatchTimeout` of its scope. What was not dispatched by then has a
 * `SettleTimeoutError`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const timed: {
  (limit: Duration.DurationInput): (self: Executor) => Executor
  (self: Executor, limit: Duration.DurationInput): Executor
} = dual(
  2,
  (self: Executor, limit: Duration.DurationInput): Executor =>
    withDispatch(self, (dispatch) => (intents, handlers) =>
      Effect.map(
        dispatchWithin({ ...self, dispatch }, intents, handlers, Duration.decode(limit), true),
        (undispatched) => {
          const outcomes: Array<Outcome> = intents.map(() => Exit.void)
          for (const { index, reason } of undispatched) {
            outcomes[index] = Exit.fail(reason)
          }
          return outcomes
        }
      ))
)

/**
 * Tells of each intent what became of it, after the batch. What it does may not fail, and is part of the dispatch: it is
 * waited for.
 *
 * @since 0.1.0
 * @category combinators
 */
export const tapped: {
  (onOutcome: (intent: Intent, outcome: Outcome) => Effect.Effect<void>): (self: Executor) => Executor
  (self: Executor, onOutcome: (intent: Intent, outcome: Outcome) => Effect.Effect<void>): Executor
} = dual(
  2,
  (self: Executor, onOutcome: (intent: Intent, outcome: Outcome) => Effect.Effect<void>): Executor =>
    withDispatch(self, (dispatch) => (intents, handlers) =>
      Effect.flatMap(dispatch(intents, handlers), (outcomes) => {
        const told = Effect.forEach(intents, (intent, index) =>
          Effect.catchAllCause(
            Effect.suspend(() => onOutcome(intent, outcomes[index]!)),
            (cause) => Effect.logWarning("An executor is tapped by what fails", cause)
          ), { discard: true })
        // What became of the intents is known, however telling it ends.
        return Effect.as(Effect.exit(Effect.interruptible(told)), outcomes)
      }))
)

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
