/**
 * The jobs of graphile-worker, in its tables.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Logger, type SharedOptions, type TaskSpec } from "graphile-worker"
import type { Intent } from "../../Intent.js"
import type { JobTable, Query } from "./jobTable.js"
import { firstOfEachKey, postgresDataOf } from "./postgres.js"

/** The schema of graphile-worker, which it finds in this way too. @internal */
export const schemaOf = (
  { preset, schema = preset?.worker?.schema }: Pick<SharedOptions, "preset" | "schema"> = {}
): string => schema ?? process.env["GRAPHILE_WORKER_SCHEMA"] ?? "graphile_worker"

/** The flag of all jobs that come from intents. @internal */
export const ourFlag = "effect-airlock"

/** What the user can set of a job. @internal */
export type JobOptions = Omit<TaskSpec, "jobKey" | "jobKeyMode">

/** @internal */
export const quoted = (schema: string): string => `"${schema.replaceAll(`"`, `""`)}"`

/** @internal */
export const graphileTable = (query: Query, schema: string, defaults: JobOptions): JobTable => {
  const name = quoted(schema)
  const insertion = insertionInto(name)
  /** Held jobs that have not begun. */
  const held = `SELECT id FROM ${name}.jobs WHERE key = ANY($1::text[]) AND locked_at IS NULL AND attempts = 0`
  const keysOf = (ids: ReadonlyArray<string>) => ids.map((id) => heldKey + id)
  return {
    insert: (intents, heldMillis) =>
      Effect.suspend(() => {
        const jobs = intents.map((intent, position) =>
          jobOf(intent, { position, defaults, isHeld: heldMillis !== undefined })
        )
        const added = firstOfEachKey(jobs, ({ dedupeKey }) => dedupeKey)
        return Effect.asVoid(query({ text: insertion, values: [JSON.stringify(added), heldMillis ?? null] }))
      }),
    takeBack: (ids) =>
      Effect.map(
        query({ text: `SELECT key FROM ${name}.complete_jobs(ARRAY(${held}))`, values: [keysOf(ids)] }),
        ({ rows }) => rows.map(({ key }) => String(key).slice(heldKey.length))
      ),
    renew: (ids, heldMillis) =>
      Effect.asVoid(query({
        text: `SELECT count(*) FROM ${name}.reschedule_jobs(ARRAY(${held} AND run_at < 'infinity'), ` +
          `run_at => ${inMillis("$2")})`,
        values: [keysOf(ids), heldMillis]
      }))
  }
}

const heldKey = "held:"

/** From now on: in a transaction, now() is its begin. */
const inMillis = (millis: string) => `clock_timestamp() + ${millis}::float8 * interval '1 millisecond'`

interface NewJob {
  readonly identifier: string
  readonly payload: unknown
  /** The place in the batch. */
  readonly position: number
  readonly queue: string | undefined
  readonly runAt: Date | string | undefined
  readonly delay: number | undefined
  readonly maxAttempts: number | undefined
  readonly key: string
  readonly dedupeKey: string | undefined
  readonly priority: number | undefined
  readonly flags: ReadonlyArray<string>
}

const jobOf = (
  intent: Intent,
  { defaults, isHeld, position }: {
    readonly position: number
    readonly defaults: JobOptions
    readonly isHeld: boolean
  }
): NewJob => {
  const { dedupeKey, delay, maxAttempts, native, orderingKey, priority, runAt } = intent.options
  const attempts = maxAttempts ?? intent.task.retry?.maxAttempts
  const job: JobOptions = {
    ...defaults,
    ...(orderingKey !== undefined && { queueName: orderingKey }),
    ...(attempts !== undefined && { maxAttempts: attempts }),
    ...(priority !== undefined && { priority }),
    ...(runAt !== undefined && { runAt }),
    ...native
  }
  const key = dedupeKey === undefined || isHeld ? undefined : `${intent.task.name}:${dedupeKey}`
  return {
    identifier: intent.task.name,
    payload: postgresDataOf(intent),
    position,
    queue: job.queueName,
    runAt: job.runAt,
    delay: delay === undefined ? undefined : Duration.toMillis(delay),
    maxAttempts: job.maxAttempts,
    key: isHeld ? heldKey + intent.id : key ?? intent.id,
    dedupeKey: key,
    priority: job.priority,
    flags: [...job.flags ?? [], ourFlag]
  }
}

/**
 * Adds jobs by the function of graphile-worker, in one statement. That function would replace a waiting job by a new one with the
 * same key, so those are left out here. A job whose key is that of its intent is left out also while it runs, and if it has failed.
 *
 * Jobs are run by their `run_at`, so those of a batch begin a microsecond apart.
 */
const insertionInto = (schema: string): string => `
SELECT count(*) FROM ${schema}.add_jobs(ARRAY(
  SELECT ROW(
    job.identifier,
    job.payload,
    job.queue,
    CASE
      WHEN $2::float8 IS NULL THEN greatest(
        now() + job.position * interval '1 microsecond',
        job."runAt",
        now() + job.delay * interval '1 millisecond'
      )
      WHEN $2::float8 = 'infinity' THEN 'infinity'
      ELSE ${inMillis("$2")}
    END,
    job."maxAttempts",
    job.key,
    job.priority,
    job.flags
  )::${schema}.job_spec
  FROM json_to_recordset($1::json) AS job (
    identifier text, payload json, position int, queue text, "runAt" timestamptz, delay float8, "maxAttempts" smallint,
    key text, "dedupeKey" text, priority smallint, flags text[]
  )
  WHERE NOT EXISTS (
    SELECT FROM ${schema}.jobs AS present
    WHERE present.key = job.key
      AND (job."dedupeKey" IS NULL OR present.locked_at IS NULL AND present.attempts < present.max_attempts)
  )
))`

/** Logs the errors and warnings of graphile-worker. Failed jobs are logged by the worker. @internal */
export const loggerTo = (fork: (effect: Effect.Effect<void>) => void): Logger =>
  new Logger(() => (level, message, meta) => {
    const isProblem = String(level) === "error" || String(level) === "warning"
    if (isProblem && meta?.["failure"] !== true) {
      fork(Effect.logWarning(`graphile-worker: ${message}`))
    }
  })
