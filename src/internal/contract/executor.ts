/**
 * An executor, the handlers that it can run, and the outbox that it can have. The public names stand in `Executor`.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { Pipeable } from "effect/Pipeable"
import type * as Schedule from "effect/Schedule"
import type { DispatchReason, FlushFailure } from "../../AirlockError.js"
import type { AnyTask, EnqueueOptions, Intent } from "../../Intent.js"

export type { DispatchReason } from "../../AirlockError.js"

/**
 * The symbol that marks an executor.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-airlock/Executor")

/**
 * The type of {@link TypeId}.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/** The key of the service `Executor.CurrentExecutor`. @internal */
export const currentExecutorKey = "effect-airlock/Executor"

/**
 * The outcome of one intent: a success if it was dispatched, otherwise a failure with the reason.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = Exit.Exit<void, DispatchReason>

/**
 * An option of an enqueue that an executor has to carry out. `origin` is none: it is for people.
 *
 * @since 0.1.0
 * @category models
 */
export type Capability = Exclude<keyof EnqueueOptions, "origin">

/**
 * The options of executors that run handlers in this process.
 *
 * @since 0.1.0
 * @category options
 */
export interface RunOptions {
  /**
   * The maximum number of handlers that run at a time. Handlers of intents with the same `orderingKey` run in order in any
   * case. Default: 1, so that all handlers run in order.
   */
  readonly concurrency?: number | "unbounded"
  /** Whether no further handler starts after one has failed. Default: `false`. */
  readonly failFast?: boolean
  /**
   * The time limit of one run of a handler. A handler that exceeds it is interrupted and not awaited; its intent fails with
   * a `SettleTimeoutError`. Default: no limit of its own. The `dispatchTimeout` of the scope applies in any case.
   */
  readonly timeout?: Duration.DurationInput
  /**
   * When to run a failed handler again. The schedule receives the reason; an intent's `maxAttempts` can end it sooner.
   * Default: no retry.
   */
  readonly retry?: Schedule.Schedule<unknown, DispatchReason>
  /** The number of the first attempt, which the handler receives in its context. Default: 1. */
  readonly attempt?: number
  /** The executor for the intents that the handlers enqueue. Default: that of Airlock. */
  readonly executor?: Executor
}

/**
 * The options of `Executor.background`.
 *
 * @since 0.1.0
 * @category options
 */
export interface BackgroundOptions {
  /** The executor that dispatches the batches. Default: `inProcess()`. */
  readonly executor?: Executor
  /** The maximum number of batches that are dispatched at a time. The others wait, in order. Default: no limit. */
  readonly concurrency?: number
  /**
   * The maximum number of intents that are held. If a batch does not fit, its scope waits for room, for at most its
   * `dispatchTimeout`. Default: 10 000.
   */
  readonly capacity?: number
}

/**
 * What a worker runs next: one intent, or several intents of a task whose handler is batched.
 *
 * @since 0.1.0
 * @category models
 */
export interface Work {
  readonly intents: ReadonlyArray<Intent>
  /** The number of the attempt that begins, which the handler receives in its context. */
  readonly attemptOf: (intent: Intent) => number
}

/**
 * Where a worker gets its work, and what it reports.
 *
 * @since 0.1.0
 * @category models
 */
export interface WorkSource<W extends Work> {
  /** Returns the next work. `undefined` ends the worker, unless there is `more`. */
  readonly next: () => W | undefined
  /** Waits until `next` may have work again. `false` ends the worker. Default: it ends as soon as `next` has none. */
  readonly more?: Effect.Effect<boolean>
  /**
   * Called when a work has ended, with an outcome for each of its intents. If the worker was interrupted, the outcomes of intents
   * whose handlers had not ended are interruptions.
   */
  readonly ended: (work: W, outcomes: ReadonlyArray<Outcome>) => void
  /** Runs a handler of a transactional task. Default: it runs as any other. */
  readonly transact?: (
    work: W,
    handler: Effect.Effect<unknown, unknown>
  ) => Effect.Effect<unknown, unknown>
}

/**
 * The handlers that the Layers of `task.toLayer` registered, for executors and workers that run them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Handlers {
  /** The names of the tasks that have a handler, sorted. */
  readonly names: ReadonlyArray<string>
  /** Returns the task with a name, if it has a handler. The Schema of the task decodes a stored payload. */
  readonly task: (name: string) => AnyTask | undefined
  /**
   * Runs the handlers of some intents, each in a root scope and a context of its own. It never fails. To limit its time,
   * interrupt it. If it is interrupted in an uninterruptible region, it returns the outcomes that it has.
   */
  readonly run: (intents: ReadonlyArray<Intent>, options?: RunOptions) => Effect.Effect<ReadonlyArray<Outcome>>
  /** The maximum number of intents that one call of a task's handler takes: 1, unless the handler is batched. */
  readonly maxBatch: (name: string) => number
  /**
   * Runs handlers in the calling fiber, one after the other, until `next` gives no more work. For workers that take intents
   * from an engine or an outbox as long as there are any.
   */
  readonly work: <W extends Work>(source: WorkSource<W>) => Effect.Effect<void>
  /**
   * Registers an executor that still holds intents after its `dispatch` has returned. At shutdown, before the first handler
   * closes, `finish` is called to complete these intents. It receives the rest of `shutdownTimeout`. Returns a function
   * that unregisters it.
   */
  readonly onClose: (finish: (limit: Duration.Duration) => Effect.Effect<void>) => () => void
}

/**
 * An executor dispatches the intents of a scope and returns an outcome for each.
 *
 * @since 0.1.0
 * @category models
 */
export interface Executor extends Pipeable {
  readonly [TypeId]: TypeId
  /** The name in errors and in `Airlock.configuration`. */
  readonly name: string
  /** The options that it was made with, shown by `Airlock.configuration`. */
  readonly options?: Readonly<Record<string, unknown>>
  /**
   * Whether it stores every intent outside of this process (`true`), or none (`false`). Absent if that depends on the intent,
   * as for `Executor.route`, or if it is not known.
   */
  readonly durable?: boolean | undefined
  /** Whether it stores an intent outside of this process. A durable executor takes no closures. */
  readonly isDurable: (intent: Intent) => boolean
  /**
   * The options of an enqueue that it carries out; a function if that depends on the intent, as for `Executor.route`. An
   * enqueue with another option is refused: see `unsupportedOptions` of `Airlock.layer`.
   */
  readonly capabilities: ReadonlyArray<Capability> | ((intent: Intent) => ReadonlyArray<Capability>)
  /**
   * Dispatches a batch, which is in the order of the enqueues, and returns one outcome for each intent, in the same order.
   * It runs in an uninterruptible region, and is interrupted at the `dispatchTimeout` of the scope. Then the parts that it
   * made interruptible stop, and it can still return the outcomes that it has.
   */
  readonly dispatch: (
    intents: ReadonlyArray<Intent>,
    handlers: Handlers
  ) => Effect.Effect<ReadonlyArray<Outcome>>
  /** The outbox that stores an intent in the SQL transaction in which it was enqueued, if the executor has one. */
  readonly transactional?: (intent: Intent) => Transactional | undefined
  /** Makes an executor for one outermost scope. Present if the executor keeps state for a scope. */
  readonly forScope?: () => Executor
  /**
   * Called when the outermost scope settles, whether it flushes or discards, after its intents were dispatched. Returns the
   * failures that `dispatch` did not know yet.
   */
  readonly close?: (handlers: Handlers) => Effect.Effect<ReadonlyArray<FlushFailure>>
}

/**
 * An outbox: it stores intents in the SQL transaction in which they were enqueued.
 *
 * Each method is one arrow of the row's life: `insert` writes rows as `held` or `ready`, `release` makes held rows ready,
 * `discard` deletes them, and `forget` drops what this process remembers of rows that were rolled back.
 *
 * @since 0.1.0
 * @category models
 */
export interface Transactional {
  /** The `reserve` of the `SqlClient`, which identifies the database. Transactions of other databases insert no rows. */
  readonly database: unknown
  /**
   * Writes the rows of the intents that all policies let through. Runs in the transaction, last before its COMMIT; a
   * failure rolls the transaction back.
   */
  readonly insert: (intents: ReadonlyArray<Intent>, options: {
    /** Whether an outer scope can still refuse the intents. If not, their rows are `ready` when the transaction commits. */
    readonly held: boolean
    /**
     * Whether an outer scope has to approve the intents. If this process dies first, their rows are discarded when they
     * expire.
     */
    readonly undecided: boolean
  }) => Effect.Effect<void, unknown>
  /**
   * The transaction committed and every outer scope succeeded: held rows become ready, and relays are notified. A release that
   * fails is tried again until it succeeds. Returns what to wait for, if anything.
   */
  readonly release: (intents: ReadonlyArray<Intent>, options: {
    /**
     * Whether other intents of the same scope are dispatched after it. If not, there may be nothing to wait for, so that the
     * rows of many scopes are released together.
     */
    readonly awaited: boolean
  }) => Effect.Effect<void> | undefined
  /** An outer scope refused the intents: their rows are deleted, unless a relay has claimed them. */
  readonly discard: (intents: ReadonlyArray<Intent>) => Effect.Effect<void>
  /** The transaction was rolled back, or its outcome is unknown: this process stops renewing the rows. */
  readonly forget: (intents: ReadonlyArray<Intent>) => Effect.Effect<void>
}

/** The options of an enqueue that an executor carries out for an intent. @internal */
export const capabilitiesOf = ({ capabilities }: Executor, intent: Intent): ReadonlyArray<Capability> =>
  typeof capabilities === "function" ? capabilities(intent) : capabilities

/** @internal */
export const allCapabilities: ReadonlyArray<Capability> = [
  "delay",
  "runAt",
  "queue",
  "priority",
  "dedupeKey",
  "orderingKey",
  "maxAttempts",
  "native"
]
