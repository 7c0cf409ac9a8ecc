/**
 * Hands intents over to pg-boss, which keeps them in PostgreSQL, and runs its jobs with the application's handlers. Needs the
 * package `pg-boss`.
 *
 * The {@link executor} inserts a job for each intent on a connection of its own. The {@link executorSql} inserts it by the
 * application's `SqlClient`: what a transaction enqueues is in pg-boss if it commits, and no crash can come in between. The
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
import Boss from "pg-boss"
import { scoped } from "../Airlock.js"
import type { ScopedOptions } from "../AirlockScope.js"
import * as Executor from "../Executor.js"
import type { Intent } from "../Intent.js"
import type { Airlock } from "../internal/contract/airlock.js"
import {
  directly,
  intercept as interceptCalls,
  type Interception,
  type InterceptOptions
} from "../internal/engine/direct/intercept.js"
import { pgBossEngine } from "../internal/engine/direct/pgBoss.js"
import { wrapInScope } from "../internal/engine/direct/plainCode.js"
import {
  addJobs,
  type JobTable,
  postgresClient,
  type Query,
  queryOf,
  transactionalExecutor
} from "../internal/engine/jobTable.js"
import { bossTable, type BossTableOptions, defaultSchema, openBoss, runBy } from "../internal/engine/pgBoss.js"
import { startBossWorker } from "../internal/engine/pgBossWorker.js"
import { settingsUnder } from "../internal/engine/settings.js"
import { jobRunner, type WorkerSettings } from "../internal/engine/worker.js"
import { heldTimeoutOf } from "../internal/outbox/executor.js"

/**
 * The options of {@link executor} and {@link worker}: those with which pg-boss connects, such as `connectionString` or `host`, and
 * `schema`. Without an address, the variables `PGHOST`, `PGDATABASE` and so on name it. To use a pool of your own, give a `db` with
 * `executeSql`; it is not closed.
 *
 * @since 0.1.0
 * @category options
 */
export interface ConnectionSettings extends Boss.DatabaseOptions {}

/**
 * The options of {@link executor} and {@link executorSql} about jobs.
 *
 * @since 0.1.0
 * @category options
 */
export interface JobSettings {
  /**
   * The pg-boss queue of an intent without the option `queue`, which otherwise names it; or a function that names the queue of each
   * intent. A queue that is not there is created, with the policy `short`. Default: `airlock`.
   */
  readonly queue?: string | ((intent: Intent) => string)
  /**
   * pg-boss's options of each job, unless the intent says otherwise. Default: 10 attempts (`retryLimit: 9`), with an exponential
   * backoff that begins with 1 second, and 16 minutes for each attempt (`expireInSeconds`). The time must be longer than that of
   * the worker's handlers.
   */
  readonly defaultJobOptions?: NativeOptions
}

/**
 * The options of {@link executor}.
 *
 * @since 0.1.0
 * @category options
 */
export interface ExecutorOptions extends ConnectionSettings, JobSettings {
  /** The time limit of a batch. Default: 10 seconds. */
  readonly timeout?: Duration.DurationInput
}

/**
 * The options of {@link executorSql}.
 *
 * @since 0.1.0
 * @category options
 */
export interface SqlExecutorOptions extends JobSettings {
  /** The schema of pg-boss. Default: `pgboss`. */
  readonly schema?: string
  /**
   * The time after which a held job runs that its process no longer renews, because it died. A process renews the jobs of its open
   * scopes, so a scope may stay open for longer than this. It is a defect if it is not a positive and finite time. Default: 1 minute.
   */
  readonly heldTimeout?: Duration.DurationInput
}

/**
 * pg-boss's own options of a job, for the option `native` of an enqueue: see {@link native}. The id of a job is that of its intent.
 *
 * @since 0.1.0
 * @category options
 */
export interface NativeOptions extends Omit<Boss.JobInsert, "id" | "name" | "data"> {}

/**
 * Options of pg-boss for one intent, with their types. They come before what other options of the enqueue say.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Airlock, Task } from "effect-airlock"
 * import * as PgBoss from "effect-airlock/executors/PgBoss"
 *
 * const Resize = Task.make("Resize", { payload: { file: Schema.String } })
 *
 * const program = Airlock.enqueue(Resize, { file: "a.png" }, {
 *   native: PgBoss.native({ deadLetter: "broken-images" })
 * })
 * ```
 *
 * @since 0.1.0
 * @category options
 */
export const native = (options: NativeOptions): Readonly<Record<string, unknown>> => ({ ...options })

const standardJobOptions: NativeOptions = {
  retryLimit: 9,
  retryDelay: 1,
  retryBackoff: true,
  // A handler has 15 minutes, and the worker a minute to say what became of it.
  expireInSeconds: 16 * 60
}

const withoutPriority: ReadonlyArray<Executor.Capability> = [
  "delay",
  "runAt",
  "queue",
  "dedupeKey",
  "maxAttempts",
  "native"
]

const withPriority: ReadonlyArray<Executor.Capability> = [...withoutPriority, "priority"]

/** A priority is a 32-bit integer, of which pg-boss gets the negative. */
const capabilities = ({ options: { priority = 0 } }: Intent): ReadonlyArray<Executor.Capability> =>
  Number.isInteger(priority) && Math.abs(priority) < 2 ** 31 ? withPriority : withoutPriority

const tableOptions = (
  { defaultJobOptions, queue = "airlock", schema = defaultSchema }: JobSettings & { readonly schema?: string }
): BossTableOptions => ({
  schema,
  queueOf: typeof queue === "function" ? queue : ({ options }) => options.queue ?? queue,
  defaults: { ...standardJobOptions, ...defaultJobOptions }
})

/**
 * Makes an executor that inserts a job into pg-boss for each intent, all intents of a batch in one call (`insert`), on connections
 * of its own. The id of a job is that of its intent, and its data has the name of the task (`task`) and the encoded payload
 * (`payload`).
 *
 * It carries out `delay`, `runAt`, `queue`, `dedupeKey`, `maxAttempts` (the job's `retryLimit`, and 1 more), `native`, and a
 * `priority` that is a 32-bit integer. It refuses an `orderingKey`, because pg-boss runs the jobs of a queue in no order by key. A
 * `dedupeKey` is a `singletonKey`: a job is ignored while one of the same task, queue and key waits for its first attempt. That
 * needs a queue with the policy `short` or `stately`; queues that this executor creates are `short`. Of a task's `retry` it takes
 * `maxAttempts`, and the worker takes `timeout`; the delays are those of pg-boss.
 *
 * At its first batch, pg-boss creates or migrates its schema. While PostgreSQL cannot be reached, a batch fails. A batch is
 * inserted as a whole or not at all. If its answer is lost, it can be inserted again: pg-boss ignores ids that it has.
 *
 * The connections close with the Scope.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as Outbox from "effect-airlock/Outbox"
 * import * as PgBoss from "effect-airlock/executors/PgBoss"
 *
 * const Relay = Layer.unwrapScoped(Effect.map(
 *   PgBoss.executor({ connectionString: "postgres://jobs.internal/jobs" }),
 *   (executor) => Outbox.relay({ executor })
 * ))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executor = (options: ExecutorOptions): Effect.Effect<Executor.Executor, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { defaultJobOptions: _, queue: __, timeout = "10 seconds", ...connection } = options
    const open = yield* openBoss({ supervise: false, schedule: false, ...connection })
    const settings = tableOptions(options)
    let table: JobTable | undefined
    const insert: JobTable["insert"] = (intents) =>
      Effect.flatMap(Effect.tryPromise(open), (boss) => {
        table ??= bossTable(boss, runBy(boss), settings)
        return table.insert(intents)
      })
    return Executor.make({
      name: "pg-boss",
      durable: true,
      capabilities,
      dispatch: (intents) => addJobs(insert, intents, timeout)
    })
  })

/**
 * Makes an executor that inserts jobs into pg-boss by the application's `SqlClient`, for a pg-boss in the application's own
 * database. An intent that is enqueued in a transaction is inserted in that transaction, right before its COMMIT, and is gone if
 * it is rolled back: no outbox and no relay is needed. Other intents are inserted when their scope settles. Jobs and options are
 * those of {@link executor}.
 *
 * While an outer scope, such as a request, can still refuse the intents of a transaction that has committed, their jobs are held:
 * they are in the table, with a `start_after` that this process renews. When the outer scope succeeds they are replaced by jobs that
 * start, and when it fails they are deleted. If the process dies before, they start after `heldTimeout`, without their `delay` or `runAt`, because their data was
 * committed; if an approval was pending, they never start, and pg-boss archives them after a day.
 *
 * Give it the `SqlClient` that `SqlTransaction.layer` decorates for the application. It creates or migrates pg-boss's schema when
 * it is built. Fails with a `SqlError` if the database does not answer. With a client of a database other than PostgreSQL it dies.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 * import * as PgBoss from "effect-airlock/executors/PgBoss"
 *
 * const Data = SqlTransaction.layer.pipe(
 *   Layer.provideMerge(AirlockLive),
 *   Layer.provide(PgBoss.layerSql()),
 *   Layer.provideMerge(PgClient.layer({ database: "shop" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executorSql = (
  options: SqlExecutorOptions = {}
): Effect.Effect<Executor.Executor, SqlError, SqlClient | Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* postgresClient
    const { heldTimeout = "1 minute", queue = "airlock", schema = defaultSchema } = options
    const run = Runtime.runPromise(yield* Effect.runtime<never>())
    const bossOn = (query: Query) =>
      new Boss({
        // The driver gives what pg-boss expects of its own.
        db: { executeSql: (text, values = []) => run(query({ text, values })) as Promise<{ rows: Array<unknown> }> },
        schema,
        supervise: false,
        schedule: false
      })
    // A migration has no time limit.
    const migrating = bossOn(({ text, values }) => client.unsafe(text, values as ReadonlyArray<never>).raw as never)
    // These statements are in no transaction of the application, because the runtime is in none.
    const query = queryOf(client)
    const table = bossTable(bossOn(query), query, tableOptions(options))
    yield* Effect.mapError(
      Effect.zipRight(
        Effect.tryPromise({ try: () => migrating.start(), catch: (error) => error }),
        // Inside of a transaction, a queue that is not there needs another connection.
        typeof queue === "string" ? table.createQueue(queue) : Effect.void
      ),
      (cause) => new SqlError({ message: "pg-boss could not create or check its schema", cause })
    )
    const parts = yield* transactionalExecutor({
      client,
      heldTimeout: heldTimeoutOf(heldTimeout),
      table,
      title: `pg-boss in the schema "${schema}"`
    })
    return {
      ...Executor.make({ name: "pg-boss", durable: true, capabilities, dispatch: parts.dispatch }),
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
 * import * as PgBoss from "effect-airlock/executors/PgBoss"
 *
 * const AirlockOnPgBoss = AirlockLive.pipe(
 *   Layer.provide(PgBoss.layer({ connectionString: "postgres://jobs.internal/jobs" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: ExecutorOptions): Layer.Layer<Executor.CurrentExecutor> =>
  Layer.scoped(Executor.CurrentExecutor, executor(options))

/**
 * Provides an {@link executorSql} to `AirlockLive`, which then inserts jobs in the transactions of the application. Errors: see
 * there.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSql = (
  options: SqlExecutorOptions = {}
): Layer.Layer<Executor.CurrentExecutor, SqlError, SqlClient> =>
  Layer.scoped(Executor.CurrentExecutor, executorSql(options))

/**
 * Makes an {@link executor} from Effect's `Config`, for `Airlock.layerConfig`: `PGBOSS_URL` (default: what `PGHOST`, `PGDATABASE`
 * and so on name), `PGBOSS_SCHEMA`, `PGBOSS_QUEUE` and `PGBOSS_TIMEOUT`. Options given here come before the configuration. Fails with
 * a `ConfigError` if a value cannot be read.
 *
 * @example
 * ```ts
 * import { Airlock } from "effect-airlock"
 * import * as PgBoss from "effect-airlock/executors/PgBoss"
 *
 * // AIRLOCK_EXECUTOR=pg-boss PGBOSS_URL=postgres://jobs.internal/jobs node server.js
 * const AirlockConfigured = Airlock.layerConfig({ executors: { "pg-boss": PgBoss.executorConfig() } })
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

const settings = settingsUnder("PGBOSS", {
  // It can contain a password.
  url: Config.redacted("URL"),
  schema: Config.nonEmptyString("SCHEMA"),
  queue: Config.nonEmptyString("QUEUE"),
  timeout: Config.duration("TIMEOUT")
})

/**
 * The options of {@link worker}: also those with which pg-boss maintains its tables.
 *
 * @since 0.1.0
 * @category options
 */
export interface WorkerOptions extends ConnectionSettings, Boss.MaintenanceOptions, WorkerSettings {
  /** The name of the pg-boss queue. Default: `airlock`. */
  readonly queue?: string
  /** How often it looks for jobs when there was none. Default: 2 seconds. */
  readonly pollInterval?: Duration.DurationInput
}

/**
 * Runs the jobs of a pg-boss queue with the handlers of the tasks. Each handler runs in a scope of its own: what it enqueues leaves
 * if it succeeds, and is discarded if it fails. A slot that is free is filled at once, while other handlers run.
 *
 * A handler that fails fails its job, and pg-boss's retries and dead letter queues do the rest. So does a job whose task has no
 * handler here, or a newer version: serve a queue with workers that have all of its handlers. A payload that does not fit its
 * task fails the job for good.
 *
 * When the Layer closes, it begins no further job and waits for the running ones. Provide the Layers of the handlers to it, so that
 * they close after it. A job runs at least once. If the process dies, pg-boss gives its jobs to another worker when they expire
 * (`expireInSeconds`), and counts an attempt. A handler whose time is longer than that runs twice.
 *
 * The worker also maintains the tables of pg-boss, as each `PgBoss` does, and creates its schema. While PostgreSQL cannot be
 * reached, that is logged as a warning, and the worker tries again.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Task } from "effect-airlock"
 * import * as PgBoss from "effect-airlock/executors/PgBoss"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Worker = PgBoss.worker({ connectionString: "postgres://jobs.internal/jobs", concurrency: 20 }).pipe(
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
      queue = "airlock",
      tasks: ___,
      timeout: ____,
      ...connection
    } = options
    const runner = yield* jobRunner(options)
    const boss = yield* openBoss({ schedule: false, ...connection })
    yield* Effect.acquireRelease(
      startBossWorker({ boss, pollInterval, queue, schema: options.schema ?? defaultSchema }, runner),
      ({ giveUp, stop }) => Effect.zipRight(runner.drain(() => Effect.runPromise(stop)), giveUp)
    )
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
 * Sends the direct calls of a pg-boss instance through Airlock: `send`, `sendAfter`, `sendThrottled`, `sendDebounced`, `publish` and
 * `insert`. For a code base that moves to Airlock one call at a time: its producers and its handlers stay as they are.
 *
 * A call inside a scope adds an intent of the task `pg-boss/QUEUE` (`pg-boss/publish:EVENT` for `publish`), and pg-boss gets the job
 * when the intent leaves, with the same data and options. A call outside of a scope goes to pg-boss at once, or fails: see
 * `outside`. Each place that calls is logged once, as a warning. Promise code finds its scope by the fiber that called it, as in
 * `Effect.promise(() => checkout(order))`, after any `await`. For that, the fiber has to run below this Layer or Scope.
 *
 * A call in a scope returns the id that pg-boss will know, which is that of the intent, or the `id` of the options: also if pg-boss
 * later ignores the job because of its `singletonKey`. A call with a `db` of its own goes directly: it is in a transaction of the
 * caller.
 *
 * It is a defect to intercept an instance twice. Close the Scope when nothing uses the instance any more.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Airlock, AirlockLive } from "effect-airlock"
 * import * as PgBoss from "effect-airlock/executors/PgBoss"
 * import Boss from "pg-boss"
 *
 * declare const boss: Boss
 * const checkout = async (order: number) => {
 *   await boss.send("receipt", { order })
 * }
 *
 * const program = Effect.gen(function*() {
 *   yield* PgBoss.intercept(boss)
 *   yield* Effect.promise(() => checkout(7)).pipe(Airlock.scoped)
 * }).pipe(Effect.scoped, Effect.provide(AirlockLive))
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const intercept = (
  boss: Boss,
  options?: InterceptOptions
): Effect.Effect<Interception, never, Airlock | Scope.Scope> => interceptCalls(boss, pgBossEngine, options)

/**
 * The Layer of {@link intercept}. Provide it to the Layers of servers and workers, so that their fibers run below it.
 *
 * @since 0.1.0
 * @category direct calls
 */
export const layerIntercept = (boss: Boss, options?: InterceptOptions): Layer.Layer<never, never, Airlock> =>
  Layer.scopedDiscard(intercept(boss, options))

/**
 * The names of the methods that {@link intercept} replaces.
 *
 * @since 0.1.0
 * @category models
 */
export type DirectMethod = "send" | "sendAfter" | "sendThrottled" | "sendDebounced" | "publish" | "insert"

const directMethods: ReadonlyArray<DirectMethod> = [
  "send",
  "sendAfter",
  "sendThrottled",
  "sendDebounced",
  "publish",
  "insert"
]

/**
 * pg-boss's own methods, for a call that goes to pg-boss at once, whether the instance is intercepted or not.
 *
 * @example
 * ```ts
 * import * as PgBoss from "effect-airlock/executors/PgBoss"
 * import Boss from "pg-boss"
 *
 * declare const boss: Boss
 *
 * // leaves also if the scope around fails
 * const audit = (user: number) => PgBoss.direct(boss).send("audit", { user })
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const direct = (boss: Boss): Pick<Boss, DirectMethod> =>
  // They are the methods of the instance.
  directly(boss, directMethods) as unknown as Pick<Boss, DirectMethod>

/**
 * Wraps a handler of `boss.work`, so that each call runs in a scope of its own: what it sends by an {@link intercept}ed instance
 * leaves if it succeeds, and is discarded if it fails. pg-boss gets the very error with which the handler failed, or the
 * `FlushError`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as PgBoss from "effect-airlock/executors/PgBoss"
 * import Boss from "pg-boss"
 *
 * declare const boss: Boss
 *
 * const worker = Effect.flatMap(
 *   PgBoss.wrapHandler(async ([job]: Array<Boss.Job<{ order: number }>>) => boss.send("receipt", job!.data)),
 *   (wrapped) => Effect.promise(() => boss.work("checkout", wrapped))
 * )
 * ```
 *
 * @since 0.1.0
 * @category direct calls
 */
export const wrapHandler = <Jobs extends ReadonlyArray<object>, Result>(
  handler: (jobs: Jobs) => Promise<Result>,
  options: ScopedOptions<never> = {}
): Effect.Effect<(jobs: Jobs) => Promise<Result>, never, Airlock> => wrapInScope(handler, scoped(options))
