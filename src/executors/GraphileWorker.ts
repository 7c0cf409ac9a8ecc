/**
 * Hands intents over to graphile-worker, which keeps them in PostgreSQL, and runs its jobs with the application's handlers. Needs the
 * package `graphile-worker`.
 *
 * The {@link executor} inserts a job for each intent on a connection of its own. The {@link executorSql} inserts it by the
 * application's `SqlClient`: what a transaction enqueues is in graphile-worker if it commits, and no crash can come in between. The
 * {@link worker} runs the handlers of jobs.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import {
  type JobHelpers,
  makeWorkerUtils,
  type SharedOptions,
  type Task,
  type TaskSpec,
  type WorkerUtils
} from "graphile-worker"
import { scoped } from "../Airlock.js"
import type { ScopedOptions } from "../AirlockScope.js"
import * as Executor from "../Executor.js"
import type { Intent } from "../Intent.js"
import type { Airlock } from "../internal/contract/airlock.js"
import { graphileEngine } from "../internal/engine/direct/graphileWorker.js"
import {
  directly,
  intercept as interceptCalls,
  type Interception,
  type InterceptOptions
} from "../internal/engine/direct/intercept.js"
import { wrapInScope } from "../internal/engine/direct/plainCode.js"
import { graphileTable, loggerTo, quoted, schemaOf } from "../internal/engine/graphile.js"
import { startGraphileWorker } from "../internal/engine/graphileWorker.js"
import { addJobs, postgresClient, type Query, queryOf, transactionalExecutor } from "../internal/engine/jobTable.js"
import { settingsUnder } from "../internal/engine/settings.js"
import { jobRunner, type WorkerSettings } from "../internal/engine/worker.js"
import { heldTimeoutOf } from "../internal/outbox/executor.js"

/**
 * The options of {@link executor} and {@link worker}, as graphile-worker takes them: a `connectionString`, or a `pgPool` of your own,
 * which is not closed; `schema`, `maxPoolSize`, `noPreparedStatements` and a `preset`. The schema is `schema`, else that of the
 * preset, else `GRAPHILE_WORKER_SCHEMA` of the environment, else `graphile_worker`. Without an address, the variables
 * `DATABASE_URL`, or `PGHOST`, `PGDATABASE` and so on name it.
 *
 * @since 0.1.0
 * @category options
 */
export interface ConnectionSettings extends
  Readonly<
    Pick<SharedOptions, "connectionString" | "pgPool" | "schema" | "maxPoolSize" | "noPreparedStatements" | "preset">
  >
{}

/**
 * The options of {@link executor}.
 *
 * @since 0.1.0
 * @category options
 */
export interface ExecutorOptions extends ConnectionSettings {
  /** graphile-worker's options of each job, unless the intent says otherwise. Default: its own, with 25 attempts. */
  readonly defaultJobOptions?: NativeOptions
  /** The time limit of a batch. Default: 10 seconds. */
  readonly timeout?: Duration.DurationInput
}

/**
 * The options of {@link executorSql}.
 *
 * @since 0.1.0
 * @category options
 */
export interface SqlExecutorOptions {
  /** The schema of graphile-worker. Default: `GRAPHILE_WORKER_SCHEMA` of the environment, or `graphile_worker`. */
  readonly schema?: string
  /** graphile-worker's options of each job, unless the intent says otherwise. Default: its own, with 25 attempts. */
  readonly defaultJobOptions?: NativeOptions
  /**
   * The time after which a held job runs that its process no longer renews, because it died. A process renews the jobs of its open
   * scopes, so a scope may stay open for longer than this. It is a defect if it is not a positive and finite time. Default: 1 minute.
   */
  readonly heldTimeout?: Duration.DurationInput
}

/**
 * graphile-worker's own options of a job, for the option `native` of an enqueue: see {@link native}.
 *
 * @since 0.1.0
 * @category options
 */
export interface NativeOptions extends Readonly<Omit<TaskSpec, "jobKey" | "jobKeyMode">> {}

/**
 * Options of graphile-worker for one intent, with their types. They come before what other options of the enqueue say.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Airlock, Task } from "effect-airlock"
 * import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
 *
 * const Resize = Task.make("Resize", { payload: { file: Schema.String } })
 *
 * const program = Airlock.enqueue(Resize, { file: "a.png" }, {
 *   native: GraphileWorker.native({ flags: ["heavy"] })
 * })
 * ```
 *
 * @since 0.1.0
 * @category options
 */
export const native = (options: NativeOptions): Readonly<Record<string, unknown>> => ({ ...options })

/** Priorities and attempts are of the type `smallint`, the names of queues have up to 128 characters, and keys up to 512. */
const capabilities = ({ options, task }: Intent): ReadonlyArray<Executor.Capability> => {
  const { dedupeKey = "", maxAttempts = 1, orderingKey = "", priority = 0 } = options
  return [
    "delay",
    "runAt",
    "native",
    ...(maxAttempts < 2 ** 15 ? ["maxAttempts" as const] : []),
    ...(Number.isInteger(priority) && priority >= -(2 ** 15) && priority < 2 ** 15 ? ["priority" as const] : []),
    ...(orderingKey.length <= 128 ? ["orderingKey" as const] : []),
    ...(task.name.length + 1 + dedupeKey.length <= 512 ? ["dedupeKey" as const] : [])
  ]
}

/**
 * Makes an executor that adds a job to graphile-worker for each intent, all intents of a batch in one statement (`add_jobs`), on
 * connections of its own. The identifier of a job is the name of the task, and its payload has the id of the intent (`id`) and the
 * encoded payload (`payload`). All jobs have the flag `effect-airlock`.
 *
 * It carries out `delay`, `runAt`, `maxAttempts`, `native`, a `priority` that is a 16-bit integer, an `orderingKey` of up to 128
 * characters and a `dedupeKey`. It refuses the option `queue`: graphile-worker has one queue for each schema. An `orderingKey` is
 * the name of a serial queue (`queue_name`), whose jobs run one after the other; a failed job waits for its next attempt, and the
 * others overtake it. Of jobs with a `dedupeKey`, those are ignored that are added while one of the same task waits, also for a
 * next attempt; if one runs, a new one is added, and the running one is not tried again if it fails. Of a task's `retry` it takes
 * `maxAttempts`, and the worker takes `timeout`; the delays are those of graphile-worker.
 *
 * At its first batch, graphile-worker creates or migrates its schema. While PostgreSQL cannot be reached, a batch fails. A batch is
 * inserted as a whole or not at all. If its answer is lost, it can be inserted again: a job without a `dedupeKey` has the id of its
 * intent as its key, and is ignored until the first one has succeeded, as graphile-worker then deletes it.
 *
 * The connections close with the Scope.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as Outbox from "effect-airlock/Outbox"
 * import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
 *
 * const Relay = Layer.unwrapScoped(Effect.map(
 *   GraphileWorker.executor({ connectionString: "postgres://jobs.internal/jobs" }),
 *   (executor) => Outbox.relay({ executor })
 * ))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executor = (options: ExecutorOptions): Effect.Effect<Executor.Executor, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { defaultJobOptions = {}, timeout = "10 seconds", ...connection } = options
    const schema = schemaOf(options)
    const query = yield* openQuery({ ...connection, schema })
    const { insert } = graphileTable(query, schema, defaultJobOptions)
    return Executor.make({
      name: "graphile-worker",
      durable: true,
      capabilities,
      dispatch: (intents) => addJobs(insert, intents, timeout)
    })
  })

/** Runs statements on connections that it opens at the first one, until the Scope closes. */
const openQuery = (options: SharedOptions): Effect.Effect<Query, never, Scope.Scope> =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime()
    const logger = loggerTo((effect) => void Runtime.runFork(runtime)(effect))
    let opened: Promise<WorkerUtils> | undefined
    const open = () =>
      opened ??= makeWorkerUtils({ ...options, logger }).catch((error) => {
        opened = undefined
        throw error
      })
    yield* Effect.addFinalizer(() =>
      Effect.ignore(
        Effect.timeout(
          Effect.interruptible(Effect.tryPromise(async () => (await opened)?.release())),
          "5 seconds"
        )
      )
    )
    return ({ text, values }) =>
      Effect.tryPromise({
        try: async () => (await open()).withPgClient((client) => client.query(text, [...values])),
        catch: (error) => error
      })
  })

/**
 * Makes an executor that adds jobs to graphile-worker by the application's `SqlClient`, for a graphile-worker in the application's own
 * database. An intent that is enqueued in a transaction is inserted in that transaction, right before its COMMIT, and is gone if
 * it is rolled back: no outbox and no relay is needed. Other intents are inserted when their scope settles. Jobs and options are
 * those of {@link executor}.
 *
 * While an outer scope, such as a request, can still refuse the intents of a transaction that has committed, their jobs are held:
 * they are in the table, with a `run_at` that this process renews. When the outer scope succeeds they are replaced by jobs that
 * run, and when it fails they are deleted. If the process dies before, they run after `heldTimeout`, without their `delay` or `runAt`, because their data was
 * committed; if an approval was pending, they stay in the table with `run_at = 'infinity'`, and never run.
 *
 * Give it the `SqlClient` that `SqlTransaction.layer` decorates for the application. The schema has to be there: a {@link worker}
 * creates it when it starts, and so does graphile-worker's `runMigrations`. Fails with a `SqlError` if it is not, or if the database
 * does not answer. With a client of a database other than PostgreSQL it dies.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 * import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
 *
 * const Data = SqlTransaction.layer.pipe(
 *   Layer.provideMerge(AirlockLive),
 *   Layer.provide(GraphileWorker.layerSql()),
 *   Layer.provideMerge(PgClient.layer({ database: "shop" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executorSql = (
  { defaultJobOptions = {}, heldTimeout = "1 minute", schema = schemaOf() }: SqlExecutorOptions = {}
): Effect.Effect<Executor.Executor, SqlError, SqlClient | Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* postgresClient
    yield* Effect.mapError(
      client.unsafe(`SELECT FROM ${quoted(schema)}.jobs LIMIT 0`),
      ({ cause }) =>
        new SqlError({
          message: `The schema "${schema}" of graphile-worker is not there. Start a worker, or call runMigrations`,
          cause
        })
    )
    const parts = yield* transactionalExecutor({
      client,
      heldTimeout: heldTimeoutOf(heldTimeout),
      table: graphileTable(queryOf(client), schema, defaultJobOptions),
      title: `graphile-worker in the schema "${schema}"`
    })
    return {
      ...Executor.make({ name: "graphile-worker", durable: true, capabilities, dispatch: parts.dispatch }),
      ...parts,
      options: { schema, heldTimeout: Duration.format(Duration.decode(heldTimeout)) }
    }
  })

/**
 * Provides an {@link executor} to `AirlockLive`. Intents that are enqueued in a transaction leave after its COMMIT, and are lost if
 * the process dies in between: {@link layerSql} prevents that, and so does `Outbox.relay` in front of the executor.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
 *
 * const AirlockOnGraphileWorker = AirlockLive.pipe(
 *   Layer.provide(GraphileWorker.layer({ connectionString: "postgres://jobs.internal/jobs" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: ExecutorOptions): Layer.Layer<Executor.CurrentExecutor> =>
  Layer.scoped(Executor.CurrentExecutor, executor(options))

/**
 * Provides an {@link executorSql} to `AirlockLive`, which then adds jobs in the transactions of the application. Errors: see there.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSql = (
  options: SqlExecutorOptions = {}
): Layer.Layer<Executor.CurrentExecutor, SqlError, SqlClient> =>
  Layer.scoped(Executor.CurrentExecutor, executorSql(options))

/**
 * Makes an {@link executor} from Effect's `Config`, for `Airlock.layerConfig`: `GRAPHILE_WORKER_URL` (default: what `DATABASE_URL`, or
 * `PGHOST`, `PGDATABASE` and so on name), `GRAPHILE_WORKER_SCHEMA` and `GRAPHILE_WORKER_TIMEOUT`. Options given here come before the
 * configuration. Fails with a `ConfigError` if a value cannot be read.
 *
 * @example
 * ```ts
 * import { Airlock } from "effect-airlock"
 * import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
 *
 * // AIRLOCK_EXECUTOR=graphile-worker GRAPHILE_WORKER_URL=postgres://jobs.internal/jobs node server.js
 * const AirlockConfigured = Airlock.layerConfig({
 *   executors: { "graphile-worker": GraphileWorker.executorConfig() }
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executorConfig = (
  options: ExecutorOptions = {}
): Effect.Effect<Executor.Executor, ConfigError.ConfigError, Scope.Scope> =>
  Effect.flatMap(settings, ({ url, ...configured }) =>
    executor({
      ...(url !== undefined && { connectionString: Redacted.value(url) }),
      ...configured,
      ...options
    }))

const settings = settingsUnder("GRAPHILE_WORKER", {
  // It can contain a password.
  url: Config.redacted("URL"),
  schema: Config.nonEmptyString("SCHEMA"),
  timeout: Config.duration("TIMEOUT")
})

/**
 * The options of {@link worker}.
 *
 * @since 0.1.0
 * @category options
 */
export interface WorkerOptions extends ConnectionSettings, WorkerSettings {
  /**
   * The names of the tasks whose jobs the worker runs. It leaves other jobs to other workers. Default: all tasks that have a handler
   * in this process; jobs of other tasks fail.
   */
  readonly tasks?: ReadonlyArray<string>
  /** How often it looks for jobs of which it was not notified, such as those whose time has come. Default: 2 seconds. */
  readonly pollInterval?: Duration.DurationInput
}

/**
 * Runs the jobs of graphile-worker with the handlers of the tasks. Each handler runs in a scope of its own: what it enqueues leaves
 * if it succeeds, and is discarded if it fails.
 *
 * A handler that fails fails its job, and graphile-worker's attempts and backoff do the rest. So does a job with a newer version of
 * its task. A payload that does not fit its task fails the job for good, as after its last attempt.
 *
 * graphile-worker leaves a job whose task it does not know in its table, in silence. So the worker looks for jobs of such tasks when it
 * starts and once a minute, and fails them, attempt by attempt. It does so only with jobs of this package, by their flag, and only
 * without the option `tasks`.
 *
 * When the Layer closes, it begins no further job and waits for the running ones. Provide the Layers of the handlers to it, so that
 * they close after it. A job runs at least once. If the process dies, its jobs stay locked for 4 hours: then graphile-worker gives them
 * to another worker. Its function `force_unlock_workers` does that at once.
 *
 * The worker creates or migrates the schema of graphile-worker when it starts. If it cannot reach PostgreSQL, or cannot store that a
 * job has ended, that is logged as a warning, and it starts anew when its handlers have ended.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Task } from "effect-airlock"
 * import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Worker = GraphileWorker.worker({ connectionString: "postgres://jobs.internal/jobs", concurrency: 20 }).pipe(
 *   Layer.provide(SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt of order ${orderId}`)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const worker = (options: WorkerOptions): Layer.Layer<never, never, Airlock> =>
  Layer.scopedDiscard(Effect.gen(function*() {
    const {
      concurrency: _,
      drainTimeout: __,
      pollInterval = "2 seconds",
      tasks,
      timeout: ___,
      ...connection
    } = options
    const schema = schemaOf(options)
    const runner = yield* jobRunner(options)
    const start = startGraphileWorker(
      { connection, schema, pollMillis: Duration.toMillis(pollInterval), runsUnknown: tasks === undefined },
      runner
    )
    yield* Effect.acquireRelease(start, ({ release, stop }) =>
      Effect.zipRight(
        runner.drain(stop),
        Effect.ignore(Effect.timeout(Effect.interruptible(Effect.tryPromise(release)), "5 seconds"))
      ))
  }))

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
 * Sends the direct calls of graphile-worker's utilities, `utils.addJob` and `utils.addJobs`, through Airlock. For a code base that
 * moves to Airlock one call at a time: its producers and its tasks stay as they are.
 *
 * A call inside a scope adds an intent of the task `graphile-worker/IDENTIFIER`, and graphile-worker gets the job when the intent
 * leaves, with the same payload and options. A call outside of a scope goes to graphile-worker at once, or fails: see `outside`. Each
 * place that calls is logged once, as a warning. Promise code finds its scope by the fiber that called it, as in
 * `Effect.promise(() => checkout(order))`, after any `await`. For that, the fiber has to run below this Layer or Scope.
 *
 * A call in a scope returns a `Job` whose `id` is that of the intent. The database gives the job a number of its own later, so this
 * id is no argument for `completeJobs` and its siblings. It is the `key` of the job, unless the options have a `jobKey`.
 *
 * `quickAddJob` and the SQL function `add_job` cannot be intercepted. The `addJob` of a task's helpers can: see {@link wrapTask}.
 *
 * It is a defect to intercept utilities twice. Close the Scope when nothing uses them any more.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Airlock, AirlockLive } from "effect-airlock"
 * import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
 * import type { WorkerUtils } from "graphile-worker"
 *
 * declare const utils: WorkerUtils
 * const checkout = async (order: number) => {
 *   await utils.addJob("receipt", { order })
 * }
 *
 * const program = Effect.gen(function*() {
 *   yield* GraphileWorker.intercept(utils)
 *   yield* Effect.promise(() => checkout(7)).pipe(Airlock.scoped)
 * }).pipe(Effect.scoped, Effect.provide(AirlockLive))
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const intercept = (
  utils: WorkerUtils,
  options?: InterceptOptions
): Effect.Effect<Interception, never, Airlock | Scope.Scope> => interceptCalls(utils, graphileEngine, options)

/**
 * The Layer of {@link intercept}. Provide it to the Layers of servers and workers, so that their fibers run below it.
 *
 * @since 0.1.0
 * @category direct calls
 */
export const layerIntercept = (utils: WorkerUtils, options?: InterceptOptions): Layer.Layer<never, never, Airlock> =>
  Layer.scopedDiscard(intercept(utils, options))

/**
 * The utilities' own `addJob` and `addJobs`, for a call that goes to graphile-worker at once, whether they are intercepted or not.
 *
 * @example
 * ```ts
 * import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
 * import type { WorkerUtils } from "graphile-worker"
 *
 * declare const utils: WorkerUtils
 *
 * // leaves also if the scope around fails
 * const audit = (user: number) => GraphileWorker.direct(utils).addJob("audit", { user })
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const direct = (utils: WorkerUtils): Pick<WorkerUtils, "addJob" | "addJobs"> =>
  // They are the methods of the utilities.
  directly(utils, ["addJob", "addJobs"]) as unknown as Pick<WorkerUtils, "addJob" | "addJobs">

/**
 * Wraps a task, so that each job runs in a scope of its own: what it adds leaves if it succeeds, and is discarded if it fails. The
 * `addJob` and `addJobs` of its helpers are those of the utilities, which may be {@link intercept}ed. graphile-worker gets the
 * very error with which the task failed, or the `FlushError`.
 *
 * The scope of a batch job settles when all of its Promises have ended, and flushes also if some of them failed.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
 * import { run, type WorkerUtils } from "graphile-worker"
 *
 * declare const utils: WorkerUtils
 *
 * const worker = Effect.flatMap(
 *   GraphileWorker.wrapTask(utils, async (payload, { addJob }) => {
 *     await addJob("receipt", payload)
 *   }),
 *   (checkout) => Effect.promise(() => run({ taskList: { checkout } }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const wrapTask = (
  utils: WorkerUtils,
  task: Task,
  options: ScopedOptions<never> = {}
): Effect.Effect<Task, never, Airlock> =>
  wrapInScope(async (payload: unknown, helpers: JobHelpers) => {
    const { addJob, addJobs } = utils
    const result = await task(payload, Object.assign(Object.create(helpers), { addJob, addJobs }))
    if (Array.isArray(result)) {
      await Promise.allSettled(result)
    }
    return result
  }, scoped(options))
