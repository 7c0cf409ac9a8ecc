/**
 * Runs jobs by graphile-worker's own runner, and starts that again when it ends.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import {
  type JobHelpers,
  makeWorkerUtils,
  run,
  type Runner,
  type SharedOptions,
  type TaskList,
  type WorkerUtils
} from "graphile-worker"
import { loggerTo, ourFlag, quoted } from "./graphile.js"
import { jobOfPostgres, storableText } from "./postgres.js"
import { attemptFailed, isForGood, type JobRunner } from "./worker.js"

/** @internal */
export interface GraphileOptions {
  readonly connection: SharedOptions
  readonly schema: string
  readonly pollMillis: number
  /** Whether it also runs jobs of tasks that have no handler, which then fail. */
  readonly runsUnknown: boolean
}

/** @internal */
export interface GraphileWorker {
  /** Begins no further job, and waits for those that run. */
  readonly stop: () => Promise<void>
  /** Closes its connections. */
  readonly release: () => Promise<void>
}

/** @internal */
export const startGraphileWorker = (
  { connection, pollMillis, runsUnknown, schema }: GraphileOptions,
  runner: JobRunner
): Effect.Effect<GraphileWorker> =>
  Effect.gen(function*() {
    const { concurrency, fork, process } = runner
    const name = quoted(schema)
    const shared: SharedOptions = { ...connection, schema, logger: loggerTo(fork) }
    let unknown: ReadonlyArray<string> = []
    /** The pools of the runners that jobs have come from. */
    const pools = new Set<string>()
    /** Who locks the jobs that are given back while the runner stops: it may still look for jobs, and fails those of its own pool. */
    const returning = `airlock-returning-${crypto.randomUUID()}`
    let hasReturned = false
    let utils: Promise<WorkerUtils> | undefined
    let current: Runner | undefined

    const work = async (payload: unknown, { job, query }: JobHelpers): Promise<void> => {
      const { attempts: attempt, id, locked_by: pool, max_attempts: maxAttempts, task_identifier: task } = job
      if (pool !== null) {
        pools.add(pool)
      }
      const stored = { ...jobOfPostgres(payload, { id, name: task }), name: task }
      const ended = await process({ ...stored, attempt }).catch(async (error: Error) => {
        fork(attemptFailed({ ...stored, attempt, maxAttempts }, error))
        if (isForGood(error)) {
          await query(`UPDATE ${name}._private_jobs SET attempts = max_attempts WHERE id = $1`, [id])
        }
        throw new Error(storableText(error.message))
      })
      if (ended === "stopped") {
        hasReturned = true
        const give = () => query(giveBack(name), [id, pool, returning])
        // Once more, on another connection: graphile-worker would count a failure as one of the handler.
        await give().catch(give)
        throw new Error("The worker stops, and has given the job back")
      }
    }

    // graphile-worker looks at its names before each fetch.
    const taskList: TaskList = new Proxy({}, {
      ownKeys: () => [...new Set([...runner.tasks, ...unknown])],
      getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: work }),
      get: () => work
    })

    const openUtils = () =>
      utils ??= makeWorkerUtils({ ...shared, ...(connection.pgPool === undefined && { maxPoolSize: 1 }) })
        .catch((error) => {
          utils = undefined
          throw error
        })

    const lookForUnknown = async (): Promise<void> => {
      const { withPgClient } = await openUtils()
      const { rows } = await withPgClient((client) =>
        client.query<{ task: string }>(unknownTasks(name), [ourFlag, runner.tasks])
      )
      unknown = rows.map(({ task }) => task)
    }

    const start = async (): Promise<void> => {
      const { forceUnlockWorkers } = await openUtils()
      // Jobs of a runner that has ended, whose end it could not store.
      await forceUnlockWorkers([...pools])
      pools.clear()
      if (runsUnknown) {
        await lookForUnknown()
      }
      current = await run(
        {
          ...shared,
          concurrency,
          pollInterval: pollMillis,
          noHandleSignals: true,
          preset: { extends: [storedInBatches, ...(connection.preset === undefined ? [] : [connection.preset])] }
        },
        taskList,
        []
      )
    }

    const running = Effect.uninterruptible(Effect.tryPromise(start)).pipe(
      Effect.zipRight(Effect.tryPromise(() => current!.promise)),
      Effect.catchAll(({ error }) => Effect.logWarning("graphile-worker failed, and is started again", error)),
      Effect.zipRight(Effect.sleep("1 second")),
      Effect.forever
    )
    const looking = Effect.ignore(Effect.tryPromise(lookForUnknown)).pipe(Effect.delay("1 minute"), Effect.forever)

    const fibers = yield* Effect.forEach(
      runsUnknown ? [running, looking] : [running],
      (self) => Effect.forkDaemon(Effect.interruptible(self))
    )
    return {
      stop: async () => {
        await Effect.runPromise(Fiber.interruptAll(fibers))
        // A runner that ends by itself after an error does not wait for its jobs in `stop`.
        await Promise.allSettled([current?.stop(), current?.promise])
      },
      release: async () => {
        if (utils !== undefined) {
          const { forceUnlockWorkers, release } = await utils
          // Also jobs whose end it could not store.
          await forceUnlockWorkers([...(hasReturned ? [returning] : []), ...pools]).finally(release)
        }
      }
    }
  })

/**
 * Otherwise it stores the end of each job in a Promise that nobody awaits, so that a lost connection is an unhandled rejection,
 * which ends the process.
 */
const storedInBatches = { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } }

/** Takes the attempt back that a job has begun, and locks it and its queue under another name. */
const giveBack = (schema: string): string => `
  WITH job AS (
    UPDATE ${schema}._private_jobs SET attempts = attempts - 1, locked_by = $3
    WHERE id = $1 AND locked_by = $2
    RETURNING job_queue_id
  )
  UPDATE ${schema}._private_job_queues SET locked_by = $3
  FROM job WHERE id = job.job_queue_id AND locked_by = $2`

/** The tasks of jobs that come from intents, are due, and are none of these. */
const unknownTasks = (schema: string): string => `
  SELECT DISTINCT task_identifier AS task FROM ${schema}.jobs
  WHERE flags ? $1 AND task_identifier <> ALL($2::text[]) AND run_at <= now()
    AND locked_at IS NULL AND attempts < max_attempts`
