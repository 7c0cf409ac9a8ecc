/**
 * Hands intents over to `@effect/workflow`, and runs its workflows with the application's handlers. The engine of
 * `@effect/cluster` keeps workflows in a SQL database, and runs them on the runners of a cluster. Needs the packages
 * `@effect/workflow` and `@effect/cluster`.
 *
 * The {@link executor} starts a workflow for each intent, and the {@link worker} runs the handlers of workflows. Both need a
 * `WorkflowEngine`: `ClusterWorkflowEngine.layer`, on a client and on a runner of the cluster. Put `Outbox.relay` in front of
 * the executor, so that a commit followed by a database of the cluster that is down loses nothing.
 *
 * @since 0.1.0
 */
import * as Activity from "@effect/workflow/Activity"
import * as DurableClock from "@effect/workflow/DurableClock"
import * as Workflow from "@effect/workflow/Workflow"
import { WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { DispatchError } from "../AirlockError.js"
import * as Executor from "../Executor.js"
import type { Intent } from "../Intent.js"
import { Airlock } from "../internal/contract/airlock.js"
import { intentOfJob, jobOf } from "../internal/engine/job.js"
import { settingsUnder } from "../internal/engine/settings.js"
import { attemptFailed, checkConcurrency, isForGood, servedOf, type WorkerSettings } from "../internal/engine/worker.js"
import { delayAfter, toDelayMillis } from "../internal/outbox/retry.js"
import { dispatchError } from "../internal/scope/dispatch.js"
import { withoutTransaction } from "../internal/scope/transactionTag.js"
import { printCause, shortenBytes } from "../internal/support/printError.js"

const defaultQueue = "default"

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

/** What a workflow stores of an intent: the data of a job, and the options that the worker carries out. */
const payloadFields = {
  /** The id of the intent. */
  id: Schema.String,
  /** The name of its task. */
  task: Schema.String,
  /** The payload, encoded by the task's Schema. */
  payload: Schema.Unknown,
  /** The version of the task that has encoded the payload. */
  version: Schema.Number,
  /** When the intent was enqueued, in milliseconds since the epoch. */
  enqueuedAt: Schema.Number,
  origin: optional(Schema.String),
  /** The span of the enqueue. */
  trace: optional(Schema.Struct({ traceId: Schema.String, spanId: Schema.String, sampled: Schema.Boolean })),
  /** The tasks of the intent's cascade, the last one first. */
  cascade: optional(Schema.Array(Schema.String)),
  /** The earliest time of the first attempt, in milliseconds since the epoch. */
  runAt: optional(Schema.Number),
  maxAttempts: optional(Schema.Number)
}

type Stored = Schema.Struct.Type<typeof payloadFields>

/**
 * An attempt of a handler has failed. The failure of the last attempt is that of the workflow.
 *
 * @since 0.1.0
 * @category errors
 */
export class AttemptError extends Schema.TaggedError<AttemptError>("effect-airlock/executors/Workflow/AttemptError")(
  "AttemptError",
  {
    /** The name of the task. */
    task: Schema.String,
    /** The id of the intent. */
    intentId: Schema.String,
    /** The number of the attempt, from 1. */
    attempt: Schema.Number,
    /** The error of the handler, with its causes, as text. */
    error: Schema.String,
    /** The delay before the next attempt, in milliseconds. Absent if this was the last one. */
    retryMillis: optional(Schema.Number)
  }
) {
  override get message(): string {
    return `Attempt ${this.attempt} of intent ${this.intentId} of "${this.task}" failed: ${this.error}`
  }
}

/**
 * Returns the workflow of a queue: `Airlock/default`, unless another queue is named. With it you look at the workflow of an
 * intent (`poll`), and stop it (`interrupt`), by the id of its execution, which is the `entity_id` in the storage of the
 * cluster.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Workflow from "effect-airlock/executors/Workflow"
 *
 * const stop = (executionId: string) => Workflow.definition("mail").interrupt(executionId)
 *
 * const look = (executionId: string) => Effect.flatMap(Workflow.definition("mail").poll(executionId), Effect.log)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const definition = (
  queue: string = defaultQueue
): Workflow.Workflow<
  `Airlock/${string}`,
  Schema.Struct<typeof payloadFields>,
  typeof Schema.Void,
  typeof AttemptError
> =>
  Workflow.make({
    name: `Airlock/${queue}`,
    payload: payloadFields,
    error: AttemptError,
    idempotencyKey: ({ id }) => id
  })

/**
 * The options of {@link executor}.
 *
 * @since 0.1.0
 * @category options
 */
export interface ExecutorOptions {
  /**
   * The queue of an intent without the option `queue`, which otherwise names it; or a function that names the queue of each
   * intent. A queue is a workflow of its own, with workers of its own. Default: `default`.
   */
  readonly queue?: string | ((intent: Intent) => string)
  /** How many workflows of a batch are started at a time. Default: 10. */
  readonly concurrency?: number
  /** The time limit of a batch. Default: 10 seconds. */
  readonly timeout?: Duration.DurationInput
}

const capabilities: ReadonlyArray<Executor.Capability> = ["delay", "runAt", "queue", "maxAttempts"]

/**
 * Makes an executor that starts a workflow for each intent, and does not wait for its end. The engine has no call for many
 * workflows, so each is a statement of its own. The id of the execution is made of the queue and the id of the intent: an intent
 * that is handed over twice starts one workflow.
 *
 * It carries out `delay`, `runAt`, `queue` and `maxAttempts`. It refuses `priority`, `dedupeKey` and `orderingKey`, because a
 * cluster starts all workflows that it has, and `native`, because a workflow has no options.
 *
 * While the engine's database cannot be reached, a batch fails, at the latest at the time limit. Of a batch that breaks off,
 * the intents that have left count as dispatched.
 *
 * @example
 * ```ts
 * import { ClusterWorkflowEngine } from "@effect/cluster"
 * import { NodeClusterSocket } from "@effect/platform-node"
 * import { PgClient } from "@effect/sql-pg"
 * import { Effect, Layer } from "effect"
 * import * as Outbox from "effect-airlock/Outbox"
 * import * as Workflow from "effect-airlock/executors/Workflow"
 *
 * // A client of the cluster: it starts workflows, and runs none.
 * const Engine = ClusterWorkflowEngine.layer.pipe(
 *   Layer.provide(NodeClusterSocket.layer({ clientOnly: true, storage: "sql" })),
 *   Layer.provide(PgClient.layer({ database: "cluster" }))
 * )
 *
 * const Relay = Layer.unwrapEffect(
 *   Effect.map(Workflow.executor(), (executor) => Outbox.relay({ executor }))
 * ).pipe(Layer.provide(Engine))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executor = (
  { concurrency = 10, queue = defaultQueue, timeout = "10 seconds" }: ExecutorOptions = {}
): Effect.Effect<Executor.Executor, never, WorkflowEngine> =>
  Effect.map(WorkflowEngine, (engine) => {
    const nameOf = typeof queue === "function" ? queue : (intent: Intent) => intent.options.queue ?? queue
    const workflows = new Map<string, ReturnType<typeof definition>>()
    const workflowOf = (name: string) => {
      const workflow = workflows.get(name) ?? definition(name)
      workflows.set(name, workflow)
      return workflow
    }
    const start = (intent: Intent, now: number) =>
      Effect.asVoid(workflowOf(nameOf(intent)).execute(storedOf(intent, now), { discard: true }))
    const tooLate = new Error(`The workflow engine did not answer within ${Duration.format(Duration.decode(timeout))}`)

    return Executor.make({
      name: "workflow",
      durable: true,
      capabilities,
      dispatch: (intents) =>
        Effect.gen(function*() {
          const now = yield* Clock.currentTimeMillis
          const outcomes = new Map<Intent, Executor.Outcome>()
          yield* Effect.forEach(intents, (intent) =>
            Effect.map(Effect.exit(start(intent, now)), (exit) => {
              outcomes.set(intent, outcomeOf(intent, exit))
            }), { concurrency, discard: true }).pipe(
              Effect.mapInputContext((context: Context.Context<never>) => apartFrom(context, engine)),
              Effect.disconnect,
              Effect.timeoutOption(timeout)
            )
          return intents.map((intent) => outcomes.get(intent) ?? outcomeOf(intent, Exit.fail(tooLate)))
        })
    })
  })

/** Neither a workflow nor a transaction in which intents are enqueued is that of the workflows that are started. */
const apartFrom = (
  context: Context.Context<never>,
  engine: WorkflowEngine["Type"]
): Context.Context<WorkflowEngine> =>
  Context.omit(WorkflowInstance)(
    Context.add(withoutTransaction(context), WorkflowEngine, engine) as Context.Context<
      WorkflowEngine | WorkflowInstance
    >
  )

const storedOf = (intent: Intent, now: number): Stored => {
  const { id, options: { delay, maxAttempts, runAt }, task } = intent
  const time = Math.ceil(Math.max(
    delay === undefined ? 0 : now + toDelayMillis(Duration.decode(delay)),
    runAt === undefined ? 0 : runAt.getTime()
  ))
  return {
    id,
    task: task.name,
    ...jobOf(intent),
    ...(time > now && { runAt: time }),
    ...(maxAttempts !== undefined && { maxAttempts })
  }
}

const outcomeOf = ({ task }: Intent, exit: Exit.Exit<void, unknown>): Executor.Outcome =>
  Exit.isSuccess(exit)
    ? Exit.void
    : Exit.fail(new DispatchError({ task: task.name, cause: Cause.squash(exit.cause) }))

/**
 * Provides an {@link executor} to `AirlockLive`. Intents that are enqueued in a transaction leave after its COMMIT, and are lost if
 * the process dies in between: `Outbox.relay` in front of the executor prevents that.
 *
 * @example
 * ```ts
 * import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as Workflow from "effect-airlock/executors/Workflow"
 *
 * declare const Engine: Layer.Layer<WorkflowEngine>
 *
 * const AirlockOnCluster = AirlockLive.pipe(Layer.provide(Workflow.layer()), Layer.provide(Engine))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: ExecutorOptions): Layer.Layer<Executor.CurrentExecutor, never, WorkflowEngine> =>
  Layer.effect(Executor.CurrentExecutor, executor(options))

/**
 * Makes an {@link executor} from Effect's `Config`, for `Airlock.layerConfig`: `WORKFLOW_QUEUE`, `WORKFLOW_CONCURRENCY` and
 * `WORKFLOW_TIMEOUT`. Options given here come before the configuration. The addresses are those of the engine. Fails with a
 * `ConfigError` if a value cannot be read.
 *
 * @example
 * ```ts
 * import { Airlock } from "effect-airlock"
 * import * as Workflow from "effect-airlock/executors/Workflow"
 *
 * // AIRLOCK_EXECUTOR=workflow WORKFLOW_QUEUE=mail node server.js
 * const AirlockConfigured = Airlock.layerConfig({ executors: { workflow: Workflow.executorConfig() } })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executorConfig = (
  options?: ExecutorOptions
): Effect.Effect<Executor.Executor, ConfigError.ConfigError, WorkflowEngine> =>
  Effect.flatMap(settings, (configured) => executor({ ...configured, ...options }))

const settings = settingsUnder("WORKFLOW", {
  queue: Config.nonEmptyString("QUEUE"),
  concurrency: Config.integer("CONCURRENCY"),
  timeout: Config.duration("TIMEOUT")
})

/**
 * The options of {@link worker}. The time that running handlers have to end when the Layer closes is the cluster's own:
 * `entityTerminationTimeout` of its `ShardingConfig`.
 *
 * @since 0.1.0
 * @category options
 */
export interface WorkerOptions extends Omit<WorkerSettings, "drainTimeout"> {
  /** The name of the queue. Default: `default`. */
  readonly queue?: string
  /** How many attempts an intent has, unless its enqueue or its task says otherwise. Default: 10. */
  readonly maxAttempts?: number
}

/**
 * Runs the workflows of a queue with the handlers of the tasks, on this runner of the cluster. Each handler runs in a scope of its
 * own: what it enqueues leaves if it succeeds, and is discarded if it fails.
 *
 * Each attempt is an activity of the workflow, whose outcome the engine stores. A failed attempt is followed by the next one, after
 * the delay of the task's `retry`, or of one second, doubled after each attempt, at most one hour. The failure of the last attempt
 * is that of the workflow ({@link AttemptError}). A job whose task has no handler here, or a newer version, fails too: serve a
 * queue with workers that have all of its handlers. A payload that does not fit its task fails the workflow at once.
 *
 * All runners of a cluster serve the same queues, for the cluster divides the workflows among them. An intent of a queue that its
 * runner does not serve fails after the cluster's `entityRegistrationTimeout`.
 *
 * When the Layer closes, it begins no further handler. Provide the Layers of the handlers to it, so that they close after it.
 * A handler that is interrupted then, or whose process dies, runs again on another runner, as the same attempt.
 *
 * @example
 * ```ts
 * import { ClusterWorkflowEngine } from "@effect/cluster"
 * import { NodeClusterSocket } from "@effect/platform-node"
 * import { PgClient } from "@effect/sql-pg"
 * import { Effect, Layer, Schema } from "effect"
 * import { AirlockLive, Task } from "effect-airlock"
 * import * as Workflow from "effect-airlock/executors/Workflow"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Runner = ClusterWorkflowEngine.layer.pipe(
 *   Layer.provide(NodeClusterSocket.layer({ storage: "sql" })),
 *   Layer.provide(PgClient.layer({ database: "cluster" }))
 * )
 *
 * const Worker = Workflow.worker({ concurrency: 20 }).pipe(
 *   Layer.provide(SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt of order ${orderId}`))),
 *   Layer.provide(AirlockLive),
 *   Layer.provide(Runner)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const worker = (options: WorkerOptions = {}): Layer.Layer<never, never, Airlock | WorkflowEngine> =>
  Layer.scopedDiscard(Effect.gen(function*() {
    const { concurrency = 10, queue = defaultQueue, tasks } = options
    yield* checkConcurrency(concurrency)
    const { handlers } = yield* Airlock
    const attempts = attemptsWith(handlers, yield* servedOf(handlers, tasks), options)
    const permits = Effect.unsafeMakeSemaphore(concurrency)

    const run = (stored: Stored) =>
      Effect.gen(function*() {
        if (stored.runAt !== undefined) {
          const now = yield* Clock.currentTimeMillis
          yield* DurableClock.sleep({ name: "delay", duration: Math.max(stored.runAt - now, 0) })
        }
        for (let attempt = 1;; attempt++) {
          const ended = yield* Effect.either(permits.withPermits(1)(attempts(stored, attempt)))
          if (Either.isRight(ended)) {
            return
          }
          if (ended.left.retryMillis === undefined) {
            return yield* ended.left
          }
          yield* DurableClock.sleep({ name: `retry/${attempt}`, duration: ended.left.retryMillis })
        }
      })

    const engine = yield* WorkflowEngine
    const served = queuesOf.get(engine) ?? new Set()
    if (served.has(queue)) {
      // The engine would keep the first one, and say nothing.
      return yield* Effect.dieMessage(
        `This engine has a worker of the queue "${queue}" already. One worker serves all tasks of its queue`
      )
    }
    queuesOf.set(engine, served.add(queue))
    // Where a process has two engines, the other one can be in the context of the runner's fibers.
    yield* engine.register(definition(queue), (stored) => Effect.provideService(run(stored), WorkflowEngine, engine))
  }))

/** The queues that have a worker, by the engine. An engine forgets none, so neither does this. */
const queuesOf = new WeakMap<WorkflowEngine["Type"], Set<string>>()

/** The maximum size of a stored error, in bytes of UTF-8. */
const maxErrorBytes = 16_384

/** One attempt as an activity: the engine stores its outcome, and does not run it again once it has that. */
const attemptsWith = (
  handlers: Executor.Handlers,
  served: Pick<Executor.Handlers, "names" | "task">,
  { maxAttempts: standard = 10, timeout = "15 minutes" }: WorkerOptions
) => {
  const run = (stored: Stored, attempt: number) =>
    Effect.gen(function*() {
      const intent = yield* intentOfJob({ id: stored.id, name: stored.task, data: stored }, served)
      const [outcome] = yield* handlers.run([intent], { attempt, timeout: intent.task.retry?.timeout ?? timeout })
      yield* outcome!
    })

  type Reason = Effect.Effect.Error<ReturnType<typeof run>>

  const failed = (stored: Stored, attempt: number, cause: Cause.Cause<Reason>) =>
    Effect.gen(function*() {
      const { id, task } = stored
      const retry = served.task(task)?.retry
      const maxAttempts = stored.maxAttempts ?? retry?.maxAttempts ?? standard
      const reason = Option.getOrElse(Cause.failureOption(cause), () => dispatchError(task, cause))
      yield* attemptFailed({ id, name: task, attempt, maxAttempts }, reason)
      const isOfStorage = reason._tag === "NewerVersionError" || reason._tag === "StoredPayloadError"
      const delay = attempt >= maxAttempts || isForGood(reason)
        ? Option.none()
        : yield* delayAfter(retry?.schedule, attempt, isOfStorage ? dispatchError(task, cause) : reason)
      return yield* new AttemptError({
        task,
        intentId: id,
        attempt,
        error: shortenBytes(printCause(cause), maxErrorBytes),
        ...(Option.isSome(delay) && { retryMillis: toDelayMillis(delay.value) })
      })
    })

  return (stored: Stored, attempt: number) =>
    Effect.provideService(
      Activity.make({
        name: stored.task,
        error: AttemptError,
        execute: Effect.catchAllCause(run(stored, attempt), (cause) => failed(stored, attempt, cause))
      }),
      Activity.CurrentAttempt,
      attempt
    )
}
