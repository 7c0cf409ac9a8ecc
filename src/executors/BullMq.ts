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
  DelayedError,
  type Job,
  type JobsOptions,
  type Processor,
  type Queue,
  type RedisOptions,
  UnrecoverableError,
  WaitingChildrenError,
  WaitingError
} from "bullmq"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { scoped } from "../Airlock.js"
import { DispatchError } from "../AirlockError.js"
import type { ScopedOptions } from "../AirlockScope.js"
import * as Executor from "../Executor.js"
import type { Intent } from "../Intent.js"
import type { Airlock } from "../internal/contract/airlock.js"
import { ClosableQueue, ClosableWorker, withoutCommands } from "../internal/engine/bullMqConnections.js"
import { bullMqEngine } from "../internal/engine/direct/bullMq.js"
import {
  directly,
  intercept as interceptCalls,
  type Interception,
  type InterceptOptions
} from "../internal/engine/direct/intercept.js"
import { wrapInScope } from "../internal/engine/direct/plainCode.js"
import { type JobData, jobOf } from "../internal/engine/job.js"
import { settingsUnder } from "../internal/engine/settings.js"
import { attemptFailed, isForGood, jobRunner, type WorkerSettings } from "../internal/engine/worker.js"
import { Discard } from "../internal/outbox/signal.js"
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

    const addPart = (name: string, intents: ReadonlyArray<Intent>): Effect.Effect<ReadonlyArray<Executor.Outcome>> =>
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
      })

    const add = (name: string, intents: ReadonlyArray<Intent>): Effect.Effect<ReadonlyArray<Executor.Outcome>> =>
      Effect.suspend(() => {
        if (!isQueueName(name)) {
          return Effect.succeed(intents.map((intent) => outcomeOf(intent, noQueue(name))))
        }
        const outcomes: Array<Executor.Outcome> = []
        const added = Effect.forEach(
          partsOf(intents),
          (part) => Effect.map(addPart(name, part), (ofPart) => outcomes.push(...ofPart)),
          { discard: true }
        )
        return added.pipe(
          Effect.timeoutFail({
            duration: timeout,
            onTimeout: () => new Error(`Redis did not answer within ${Duration.format(Duration.decode(timeout))}`)
          }),
          Effect.matchCause({
            // What was added before stays added.
            onFailure: (cause) => [
              ...outcomes,
              ...intents.slice(outcomes.length).map((intent) => outcomeOf(intent, Exit.failCause(cause)))
            ],
            onSuccess: () => outcomes
          })
        )
      })

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

/** The number of characters of payloads that go to Redis in one call. */
const partSize = 4 * 1024 * 1024

/** A batch of large payloads in one call would stop the event loop for seconds, and would leave as a whole or not at all. */
const partsOf = (intents: ReadonlyArray<Intent>): ReadonlyArray<ReadonlyArray<Intent>> => {
  const parts: Array<Array<Intent>> = []
  let size = Infinity
  for (const intent of intents) {
    const own = intent.encoded?.length ?? 0
    size += own
    if (size > partSize) {
      parts.push([])
      size = own
    }
    parts[parts.length - 1]!.push(intent)
  }
  return parts
}

const isQueueName = (name: string): boolean => name !== "" && !name.includes(":")

/** It is there, and no later attempt can succeed. */
const noQueue = (name: string): Exit.Exit<never, Discard> =>
  Exit.fail(new Discard({ reason: `BullMQ has no queue "${name}": a name may not be empty, or contain a colon` }))

const outcomeOf = ({ task }: Intent, exit: Exit.Exit<unknown, unknown>): Executor.Outcome =>
  Exit.isSuccess(exit) ? Exit.void : Exit.fail(new DispatchError({ task: task.name, cause: reasonOf(exit.cause) }))

const reasonOf = (cause: Cause.Cause<unknown>): unknown => {
  const error = Cause.squash(cause)
  return withoutCommands(Cause.isUnknownException(error) ? error.cause : error)
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
      { deduplication: { id: dedupeIdOf(intent.task.name, dedupeKey), keepLastIfActive: true } }),
    ...native,
    jobId: intent.id
  }
}

/** A name with a colon may not make the id of another task and key. */
const dedupeIdOf = (task: string, key: string): string => `${task.replaceAll("%", "%25").replaceAll(":", "%3A")}:${key}`

const isConnected = (queue: Queue): Effect.Effect<boolean> =>
  Effect.orElseSucceed(
    Effect.map(Effect.tryPromise(() => queue.client), ({ status }) => status === "ready"),
    () => false
  )

/** The BullMQ queues of an executor, each opened at its first use. */
const openQueues = ({ connection, prefix }: ConnectionSettings) =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime()
    const queues = new Map<string, ClosableQueue>()
    const open = (name: string): ClosableQueue => {
      const queue = new ClosableQueue(name, {
        connection: failingAtOnce(connection),
        ...(prefix !== undefined && { prefix })
      })
      queue.on("error", (error) =>
        Runtime.runFork(runtime)(
          Effect.logDebug(`The connection of the queue "${name}" to Redis failed`, withoutCommands(error))
        ))
      queues.set(name, queue)
      return queue
    }
    yield* Effect.addFinalizer(() =>
      Effect.forEach(
        queues.values(),
        (queue) => Effect.ensuring(closing(() => queue.close()), Effect.sync(() => queue.abandon())),
        { concurrency: "unbounded" }
      )
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
 * Makes an {@link executor} from Effect's `Config`, for `Airlock.layerConfig`: `BULLMQ_URL` (default: `redis://127.0.0.1:6379`),
 * `BULLMQ_PREFIX`, `BULLMQ_QUEUE` and `BULLMQ_TIMEOUT`. Options given here come before the configuration. Fails with a `ConfigError`
 * if a value cannot be read.
 *
 * @example
 * ```ts
 * import { Airlock } from "effect-airlock"
 * import * as BullMq from "effect-airlock/executors/BullMq"
 *
 * // AIRLOCK_EXECUTOR=bullmq BULLMQ_URL=redis://10.0.0.5:6379 node server.js
 * const AirlockConfigured = Airlock.layerConfig({ executors: { bullmq: BullMq.executorConfig() } })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executorConfig = (
  options: Partial<ExecutorOptions> = {}
): Effect.Effect<Executor.Executor, ConfigError.ConfigError, Scope.Scope> =>
  Effect.flatMap(settings, ({ url, ...configured }) =>
    executor({
      connection: { url: url === undefined ? "redis://127.0.0.1:6379" : Redacted.value(url) },
      ...configured,
      ...options
    }))

const settings = settingsUnder("BULLMQ", {
  // It can contain a password.
  url: Config.redacted("URL"),
  prefix: Config.nonEmptyString("PREFIX"),
  queue: Config.nonEmptyString("QUEUE"),
  timeout: Config.duration("TIMEOUT")
})

/**
 * The options of {@link worker}.
 *
 * @since 0.1.0
 * @category options
 */
export interface WorkerOptions extends ConnectionSettings, WorkerSettings {
  /** The name of the BullMQ queue. Default: `airlock`. */
  readonly queue?: string
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
export const worker = (options: WorkerOptions): Layer.Layer<never, never, Airlock> =>
  Layer.scopedDiscard(Effect.gen(function*() {
    const { connection, prefix, queue = "airlock" } = options
    const { concurrency, drain, fork, process } = yield* jobRunner(options)

    const run = async (job: Job<JobData>, token?: string): Promise<void> => {
      const { attemptsMade, data, id, name } = job
      const ended = await process({ id: id!, name, data, attempt: attemptsMade + 1 }).catch((error: Error) => {
        throw isForGood(error) ? new UnrecoverableError(error.message) : error
      })
      if (ended === "stopped") {
        // No attempt is counted.
        await job.moveToWait(token)
        throw new WaitingError()
      }
    }

    const start = Effect.sync(() => {
      const bullWorker = new ClosableWorker<JobData>(queue, run, {
        connection,
        concurrency,
        ...(prefix !== undefined && { prefix })
      })
      bullWorker.on(
        "error",
        (error) => fork(Effect.logWarning(`The worker of the queue "${queue}" failed`, withoutCommands(error)))
      )
      bullWorker.on("failed", (job, error) => fork(failed(queue, job, error)))
      return bullWorker
    })

    yield* Effect.acquireRelease(
      start,
      (bullWorker) => Effect.ensuring(drain(() => bullWorker.close()), Effect.sync(() => bullWorker.abandon()))
    )
  }))

const failed = (queue: string, job: Job<JobData> | undefined, error: Error): Effect.Effect<void> =>
  job === undefined
    ? Effect.logWarning(`A job of the queue "${queue}" failed, and is gone`, withoutCommands(error))
    : attemptFailed(
      { id: job.id!, name: job.name, attempt: job.attemptsMade, maxAttempts: job.opts.attempts ?? 1 },
      error
    )

export type {
  /**
   * The methods of an engine that are intercepted.
   *
   * @since 0.1.0
   * @category models
   */
  Interception,
  /**
   * The options of {@link intercept}.
   *
   * @since 0.1.0
   * @category options
   */
  InterceptOptions
} from "../internal/engine/direct/intercept.js"

/**
 * Sends the direct calls of a queue, `queue.add` and `queue.addBulk`, through Airlock. For a code base that moves to Airlock one call
 * at a time: its producers and its processors stay as they are.
 *
 * A call inside a scope adds an intent of the task `QUEUE/JOB`, and BullMQ gets the job when the intent leaves, with the same name,
 * data and options. A call outside of a scope goes to BullMQ at once, or fails: see `outside`. Each place that calls is logged once,
 * as a warning. Promise code finds its scope by the fiber that called it, as in `Effect.promise(() => checkout(order))`, after any
 * `await`. For that, the fiber has to run below this Layer or Scope.
 *
 * A call in a scope returns a `Job` with the id that BullMQ will know, which is that of the intent, or the `jobId` of the options.
 * The job is in BullMQ only when the intent has left: until then `job.getState()` is `unknown`, and `job.waitUntilFinished` fails.
 * A child (the option `parent`) goes directly, because its parent waits for it.
 *
 * It is a defect to intercept a queue twice. Close the Scope when nothing uses the queue any more.
 *
 * @example
 * ```ts
 * import { Queue } from "bullmq"
 * import { Effect } from "effect"
 * import { Airlock, AirlockLive } from "effect-airlock"
 * import * as BullMq from "effect-airlock/executors/BullMq"
 *
 * declare const queue: Queue
 * const checkout = async (order: number) => {
 *   await queue.add("receipt", { order })
 * }
 *
 * const program = Effect.gen(function*() {
 *   yield* BullMq.intercept(queue)
 *   yield* Effect.promise(() => checkout(7)).pipe(Airlock.scoped)
 * }).pipe(Effect.scoped, Effect.provide(AirlockLive))
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const intercept = (
  queue: Queue,
  options?: InterceptOptions
): Effect.Effect<Interception, never, Airlock | Scope.Scope> => interceptCalls(queue, bullMqEngine(queue), options)

/**
 * The Layer of {@link intercept}. Provide it to the Layers of servers and workers, so that their fibers run below it.
 *
 * @example
 * ```ts
 * import { Queue } from "bullmq"
 * import { Layer } from "effect"
 * import { type Airlock, AirlockLive } from "effect-airlock"
 * import * as BullMq from "effect-airlock/executors/BullMq"
 *
 * declare const queue: Queue
 * declare const Server: Layer.Layer<never, never, Airlock.Airlock>
 *
 * const Main = Server.pipe(
 *   Layer.provide(BullMq.layerIntercept(queue)),
 *   Layer.provide(AirlockLive)
 * )
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const layerIntercept = (queue: Queue, options?: InterceptOptions): Layer.Layer<never, never, Airlock> =>
  Layer.scopedDiscard(intercept(queue, options))

/**
 * The queue's own `add` and `addBulk`, for a call that goes to BullMQ at once, whether the queue is intercepted or not.
 *
 * @example
 * ```ts
 * import { Queue } from "bullmq"
 * import * as BullMq from "effect-airlock/executors/BullMq"
 *
 * declare const queue: Queue
 *
 * // leaves also if the scope around fails
 * const audit = (user: number) => BullMq.direct(queue).add("audit", { user })
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const direct = <Q extends Queue>(queue: Q): Pick<Q, "add" | "addBulk"> =>
  // They are the methods of the queue.
  directly(queue, ["add", "addBulk"]) as Pick<Q, "add" | "addBulk">

/**
 * Wraps a processor, so that each job runs in a scope of its own: what it adds to an {@link intercept}ed queue leaves if it succeeds,
 * and is discarded if it fails. BullMQ gets the very error with which the processor failed, or the `FlushError`. A `DelayedError`, a
 * `WaitingError` and a `WaitingChildrenError` are no failures: the job has moved itself, and goes on later.
 *
 * @example
 * ```ts
 * import { type Processor, Worker } from "bullmq"
 * import { Effect } from "effect"
 * import * as BullMq from "effect-airlock/executors/BullMq"
 *
 * declare const processor: Processor
 *
 * const worker = Effect.map(
 *   BullMq.wrapProcessor(processor),
 *   (wrapped) => new Worker("mail", wrapped, { connection: { url: "redis://127.0.0.1:6379" } })
 * )
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const wrapProcessor = <Data, Result, Name extends string>(
  processor: Processor<Data, Result, Name>,
  options: ScopedOptions<never> = {}
): Effect.Effect<Processor<Data, Result, Name>, never, Airlock> =>
  wrapInScope(processor, scoped(options), isControlFlow)

/** The job has moved itself, and waits or is delayed. It runs again, and goes on where it was. BullMQ looks at both as well. */
const isControlFlow = (error: unknown): boolean =>
  error instanceof DelayedError || error instanceof WaitingError || error instanceof WaitingChildrenError ||
  (error instanceof Error && ["DelayedError", "WaitingError", "WaitingChildrenError"].includes(error.name))
