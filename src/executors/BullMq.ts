/**
 * Hands intents over to BullMQ, which keeps them in Redis, and runs its jobs with the application's handlers. Needs the package
 * `bullmq`.
 *
 * The {@link executor} adds a job for each intent, and the {@link worker} runs the handlers of jobs. Put `Outbox.relay` in front of
 * the executor, so that a commit followed by a Redis that is down loses nothing.
 *
 * @since 0.1.0
 */
import {
  type ConnectionOptions,
  type Job,
  type JobsOptions,
  Queue,
  type RedisOptions,
  UnrecoverableError,
  WaitingError,
  Worker
} from "bullmq"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { DispatchError } from "../AirlockError.js"
import * as Executor from "../Executor.js"
import type { Intent } from "../Intent.js"
import { Airlock } from "../internal/contract/airlock.js"
import { intentOfJob, type JobData, jobOf } from "../internal/engine/job.js"
import { groupBy } from "../internal/support/groupBy.js"

/**
 * The options of {@link executor} and {@link worker}.
 *
 * @since 0.1.0
 * @category options
 */
export interface ConnectionSettings {
  /**
   * The address of Redis, as BullMQ takes it: `{ url: "redis://127.0.0.1:6379" }`. Of a client of your own, the worker needs one
   * with `maxRetriesPerRequest: null`; it is not closed.
   */
  readonly connection: ConnectionOptions
  /** The prefix of all keys in Redis. Default: BullMQ's own, `bull`. */
  readonly prefix?: string
}

/**
 * The options of {@link executor}.
 *
 * @since 0.1.0
 * @category options
 */
export interface ExecutorOptions extends ConnectionSettings {
  /**
   * The BullMQ queue of an intent without the option `queue`, which otherwise names it; or a function that names the queue of each
   * intent. A name may not contain a colon. Default: `airlock`.
   */
  readonly queue?: string | ((intent: Intent) => string)
  /**
   * BullMQ's options of each job, unless the intent says otherwise. Default: 10 attempts, with an exponential backoff that begins
   * with 1 second. Completed jobs stay for an hour, at most 10 000 of them: until then, an intent that is handed over twice is
   * recognised by its id.
   */
  readonly defaultJobOptions?: NativeOptions
  /** The time limit of a batch. Default: 10 seconds. */
  readonly timeout?: Duration.DurationInput
}

/**
 * BullMQ's own options of a job, for the option `native` of an enqueue: see {@link native}. The id of a job is that of its intent.
 *
 * @since 0.1.0
 * @category options
 */
export interface NativeOptions extends Omit<JobsOptions, "jobId" | "repeat" | "repeatJobKey" | "prevMillis"> {}

/**
 * Options of BullMQ for one intent, with their types. They come before what other options of the enqueue say.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, Task } from "effect-airlock"
 * import * as BullMq from "effect-airlock/executors/BullMq"
 *
 * const Resize = Task.make("Resize", { payload: { file: Schema.String } })
 *
 * const program = Airlock.enqueue(Resize, { file: "a.png" }, {
 *   native: BullMq.native({ backoff: { type: "fixed", delay: 5000 } })
 * })
 * ```
 *
 * @since 0.1.0
 * @category options
 */
export const native = (options: NativeOptions): Readonly<Record<string, unknown>> => ({ ...options })

const standardJobOptions: NativeOptions = {
  attempts: 10,
  backoff: { type: "exponential", delay: 1000 },
  removeOnComplete: { age: 3600, count: 10_000 }
}

/** The highest number that BullMQ takes as a priority. */
const maxPriority = 2 ** 21 - 1

/** BullMQ has no negative priorities, and runs jobs without one first, as ours do with priority 0. */
const hasPriority = ({ options: { priority } }: Intent): boolean =>
  priority === undefined || Number.isInteger(priority) && priority >= 0 && priority <= maxPriority

const capabilities: ReadonlyArray<Executor.Capability> = [
  "delay",
  "runAt",
  "queue",
  "dedupeKey",
  "maxAttempts",
  "native"
]

const withPriority: ReadonlyArray<Executor.Capability> = [...capabilities, "priority"]

/**
 * Makes an executor that adds a job to BullMQ for each intent: the intents of a queue in one call (`addBulk`). The name of a job is
 * that of the task, its id that of the intent, and `job.data.payload` is the encoded payload.
 *
 * It carries out `delay`, `runAt`, `queue`, `dedupeKey`, `maxAttempts` (the job's `attempts`), `native`, and a `priority` that is an
 * integer from 0 to 2 097 151. It refuses an `orderingKey`, because BullMQ runs the jobs of a queue in no order by key. Of jobs
 * with a `dedupeKey`, BullMQ ignores those that are added while one of the same task waits; of those that are added while one
 * runs, it runs the last. Of a task's `retry` it takes `maxAttempts`, and the worker takes `timeout`; the delays are those of BullMQ.
 *
 * While Redis cannot be reached, a batch fails at once, or at the time limit if it could not be reached since the start. If the
 * connection is lost while jobs are added, some may have been added: to add them again does nothing, as their ids are the same.
 *
 * The connections close with the Scope.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as BullMq from "effect-airlock/executors/BullMq"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const Relay = Layer.unwrapScoped(Effect.map(
 *   BullMq.executor({ connection: { url: "redis://127.0.0.1:6379" } }),
 *   (executor) => Outbox.relay({ executor })
 * ))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executor = (options: ExecutorOptions): Effect.Effect<Executor.Executor, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { defaultJobOptions, queue = "airlock", timeout = "10 seconds" } = options
    const defaults = { ...standardJobOptions, ...defaultJobOptions }
    const queues = yield* openQueues(options)
    const nameOf = typeof queue === "function" ? queue : (intent: Intent) => intent.options.queue ?? queue

    const add = (name: string, intents: ReadonlyArray<Intent>): Effect.Effect<ReadonlyArray<Executor.Outcome>> =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const jobs = intents.map((intent) => ({
          name: intent.task.name,
          data: jobOf(intent),
          opts: jobOptionsOf(intent, defaults, now)
        }))
        const bullQueue = queues.get(name)
        const added = yield* Effect.exit(Effect.tryPromise(() => bullQueue.addBulk(jobs)))
        if (Exit.isSuccess(added) || jobs.length === 1 || !(yield* isConnected(bullQueue))) {
          return intents.map((intent) => outcomeOf(intent, added))
        }
        // Redis has refused one of the jobs. Those that were added are not added again.
        return yield* Effect.forEach(jobs, ({ data, name, opts }, index) =>
          Effect.map(
            Effect.exit(Effect.tryPromise(() => bullQueue.add(name, data, opts))),
            (exit) => outcomeOf(intents[index]!, exit)
          ))
      }).pipe(
        Effect.timeoutFail({
          duration: timeout,
          onTimeout: () => new Error(`Redis did not answer within ${Duration.format(Duration.decode(timeout))}`)
        }),
        Effect.catchAllCause((cause) =>
          Effect.succeed(intents.map((intent) => outcomeOf(intent, Exit.failCause(cause))))
        )
      )

    return Executor.make({
      name: "bullmq",
      durable: true,
      capabilities: (intent) => hasPriority(intent) ? withPriority : capabilities,
      dispatch: (intents) =>
        Effect.gen(function*() {
          const outcomes = new Map<Intent, Executor.Outcome>()
          const shares = [...groupBy(intents, nameOf)]
          yield* Effect.forEach(shares, ([name, share]) =>
            Effect.map(add(name, share), (ofShare) => {
              share.forEach((intent, index) => outcomes.set(intent, ofShare[index]!))
            }), { concurrency: "unbounded", discard: true })
          return intents.map((intent) => outcomes.get(intent)!)
        })
    })
  })

const outcomeOf = ({ task }: Intent, exit: Exit.Exit<unknown, unknown>): Executor.Outcome =>
  Exit.isSuccess(exit) ? Exit.void : Exit.fail(new DispatchError({ task: task.name, cause: reasonOf(exit.cause) }))

const reasonOf = (cause: Cause.Cause<unknown>): unknown => {
  const error = Cause.squash(cause)
  return Cause.isUnknownException(error) ? error.cause : error
}

const jobOptionsOf = (intent: Intent, defaults: NativeOptions, now: number): JobsOptions => {
  const { dedupeKey, delay, maxAttempts, native, priority, runAt } = intent.options
  const attempts = maxAttempts ?? intent.task.retry?.maxAttempts
  const delayMillis = Math.ceil(Math.max(
    delay === undefined ? 0 : Duration.toMillis(delay),
    runAt === undefined ? 0 : runAt.getTime() - now
  ))
  return {
    ...defaults,
    ...(attempts !== undefined && { attempts }),
    ...(delayMillis > 0 && { delay: delayMillis }),
    // An outbox can have carried out a priority that BullMQ does not have.
    ...(priority !== undefined && { priority: Math.min(Math.max(Math.round(priority), 0), maxPriority) }),
    ...(dedupeKey !== undefined &&
      { deduplication: { id: `${intent.task.name}:${dedupeKey}`, keepLastIfActive: true } }),
    ...native,
    jobId: intent.id
  }
}

const isConnected = (queue: Queue): Effect.Effect<boolean> =>
  Effect.orElseSucceed(
    Effect.map(Effect.tryPromise(() => queue.client), ({ status }) => status === "ready"),
    () => false
  )

/** The BullMQ queues of an executor, each opened at its first use. */
const openQueues = ({ connection, prefix }: ConnectionSettings) =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime()
    const queues = new Map<string, Queue>()
    const open = (name: string): Queue => {
      const queue = new Queue(name, {
        connection: failingAtOnce(connection),
        ...(prefix !== undefined && { prefix })
      })
      queue.on("error", (error) =>
        Runtime.runFork(runtime)(Effect.logDebug(`The connection of the queue "${name}" to Redis failed`, error)))
      queues.set(name, queue)
      return queue
    }
    yield* Effect.addFinalizer(() =>
      Effect.forEach(queues.values(), (queue) =>
        closing(() =>
          queue.close()
        ), { concurrency: "unbounded" })
    )
    return { get: (name: string) => queues.get(name) ?? open(name) }
  })

/** Without a connection a batch fails at once, and does not wait in this process, from which it would leave later. */
const failingAtOnce = (connection: ConnectionOptions): ConnectionOptions =>
  "duplicate" in connection
    ? connection
    // It is no client, so these are its options.
    : { ...connection as RedisOptions, enableOfflineQueue: false, maxRetriesPerRequest: 0 }

/** BullMQ may wait for a Redis that is not there. */
const closing = (close: () => Promise<unknown>): Effect.Effect<void> =>
  Effect.ignore(Effect.timeout(Effect.interruptible(Effect.disconnect(Effect.tryPromise(close))), "5 seconds"))

/**
 * Provides an {@link executor} to `AirlockLive`. Intents that are enqueued in a transaction leave after its COMMIT, and are lost if
 * the process dies in between: `Outbox.relay` in front of the executor prevents that.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as BullMq from "effect-airlock/executors/BullMq"
 *
 * const AirlockOnBullMq = AirlockLive.pipe(
 *   Layer.provide(BullMq.layer({ connection: { url: "redis://127.0.0.1:6379" } }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: ExecutorOptions): Layer.Layer<Executor.CurrentExecutor> =>
  Layer.scoped(Executor.CurrentExecutor, executor(options))

/**
 * The options of {@link worker}.
 *
 * @since 0.1.0
 * @category options
 */
export interface WorkerOptions extends ConnectionSettings {
  /** The name of the BullMQ queue. Default: `airlock`. */
  readonly queue?: string
  /** How many jobs run at a time. Default: 10. */
  readonly concurrency?: number
  /** The time limit of a handler, unless its task has one of its own. Default: 15 minutes. */
  readonly timeout?: Duration.DurationInput
  /**
   * The time that running handlers have to end when the Layer closes. Then they are interrupted, and their jobs wait for another
   * worker. Default: 10 seconds.
   */
  readonly drainTimeout?: Duration.DurationInput
}

/**
 * Runs the jobs of a BullMQ queue with the handlers of the tasks. Each handler runs in a scope of its own: what it enqueues leaves
 * if it succeeds, and is discarded if it fails.
 *
 * A handler that fails fails its job, and BullMQ's attempts, backoff and failed jobs do the rest. So does a job whose task has no
 * handler here, or a newer version: serve a queue with workers that have all of its handlers. A payload that does not fit its
 * task fails the job for good (`UnrecoverableError`).
 *
 * When the Layer closes, it begins no further job and waits for the running ones. Provide the Layers of the handlers to it, so that
 * they close after it. A job runs at least once: if the process dies, BullMQ gives it to another worker.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Task } from "effect-airlock"
 * import * as BullMq from "effect-airlock/executors/BullMq"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Worker = BullMq.worker({ connection: { url: "redis://127.0.0.1:6379" }, concurrency: 20 }).pipe(
 *   Layer.provide(SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt of order ${orderId}`)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const worker = (
  { concurrency = 10, connection, drainTimeout = "10 seconds", prefix, queue = "airlock", timeout = "15 minutes" }:
    WorkerOptions
): Layer.Layer<never, never, Airlock> =>
  Layer.scopedDiscard(Effect.gen(function*() {
    const { handlers } = yield* Airlock
    // The span in which the Layer is built is not the parent of the jobs.
    const runtime = yield* Effect.mapInputContext(
      Effect.runtime(),
      (context: Context.Context<never>) => Context.omit(Tracer.ParentSpan)(context) as Context.Context<never>
    )
    const fork = Runtime.runFork(runtime)
    const running = new Set<Fiber.RuntimeFiber<void, unknown>>()
    const stopped = new WeakSet<Fiber.RuntimeFiber<void, unknown>>()

    const run = (job: Job<JobData>): Effect.Effect<void, unknown> =>
      Effect.gen(function*() {
        const intent = yield* intentOfJob({ id: job.id!, name: job.name, data: job.data }, handlers)
        const [outcome] = yield* handlers.run([intent], {
          attempt: job.attemptsMade + 1,
          timeout: intent.task.retry?.timeout ?? timeout
        })
        yield* outcome!
      })

    let isStopping = false

    /** No attempt is counted. */
    const giveBack = async (job: Job<JobData>, token: string | undefined): Promise<never> => {
      await job.moveToWait(token)
      throw new WaitingError()
    }

    const process = async (job: Job<JobData>, token?: string): Promise<void> => {
      if (isStopping) {
        // It was on its way to the worker when that was closed.
        return giveBack(job, token)
      }
      const fiber = fork(run(job))
      running.add(fiber)
      const exit = await Effect.runPromise(Fiber.await(fiber))
      running.delete(fiber)
      if (stopped.has(fiber) && Exit.isFailure(exit)) {
        return giveBack(job, token)
      }
      if (Exit.isFailure(exit)) {
        throw errorOf(exit.cause)
      }
    }

    const start = Effect.sync(() => {
      const bullWorker = new Worker<JobData, void>(queue, process, {
        connection,
        concurrency,
        ...(prefix !== undefined && { prefix })
      })
      bullWorker.on("error", (error) => fork(Effect.logWarning(`The worker of the queue "${queue}" failed`, error)))
      bullWorker.on("failed", (job, error) => fork(failed(queue, job, error)))
      return bullWorker
    })

    yield* Effect.acquireRelease(start, (bullWorker) =>
      Effect.gen(function*() {
        isStopping = true
        const closed = yield* Effect.forkDaemon(Effect.ignore(Effect.tryPromise(() => bullWorker.close())))
        const inTime = yield* Effect.timeoutOption(Effect.interruptible(Fiber.await(closed)), drainTimeout)
        if (Option.isNone(inTime)) {
          running.forEach((fiber) => stopped.add(fiber))
          yield* Effect.forkDaemon(Fiber.interruptAll(running))
          yield* Effect.ignore(Effect.timeout(Effect.interruptible(Fiber.await(closed)), "5 seconds"))
        }
      }))
  }))

/** What BullMQ stores of a failure. */
const errorOf = (cause: Cause.Cause<unknown>): Error => {
  const error = Cause.squash(cause)
  const failed = error instanceof Error ? error : new Error(String(error))
  return isForGood(failed) ? new UnrecoverableError(failed.message) : failed
}

const isForGood = (error: Error & { readonly _tag?: unknown }): boolean => error._tag === "StoredPayloadError"

const failed = (queue: string, job: Job<JobData> | undefined, error: Error): Effect.Effect<void> =>
  job === undefined
    ? Effect.logWarning(`A job of the queue "${queue}" failed, and is gone`, error)
    : Effect.annotateLogs(
      Effect.logWarning(
        `Attempt ${job.attemptsMade} of ${
          job.opts.attempts ?? 1
        } of intent ${job.id} of "${job.name}" failed: ${error.message}`
      ),
      { "airlock.task": job.name, "airlock.intent": job.id }
    )
