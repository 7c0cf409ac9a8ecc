/**
 * The jobs of pg-boss: its statement that inserts them, its queues, and how it is started.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type * as EffectScope from "effect/Scope"
import Boss from "pg-boss"
import type { Intent } from "../../Intent.js"
import { JobRefusedError, JobRefusedForNowError, type JobTable, type Query, type Statement } from "./jobTable.js"
import { firstOfEachKey, postgresDataOf, type PostgresJobData } from "./postgres.js"

/** The schema of pg-boss, unless the user names another one. @internal */
export const defaultSchema = "pgboss"

/** Starts a boss at its first use, and again if that failed. It stops with the Scope. @internal */
export const openBoss = (
  options: Boss.ConstructorOptions
): Effect.Effect<() => Promise<Boss>, never, EffectScope.Scope> =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime()
    let opened: Promise<Boss> | undefined
    let isClosed = false
    const start = async () => {
      const boss = new Boss(options)
      boss.on("error", (error) => Runtime.runFork(runtime)(Effect.logDebug("pg-boss reports an error", error)))
      try {
        return await boss.start()
      } catch (error) {
        opened = undefined
        if (options.db === undefined) {
          // It does not stop what has not started, and its own Db can close.
          await (boss.getDb() as Boss.Db & { readonly close: () => Promise<void> }).close()
        }
        throw error
      }
    }
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        isClosed = true
        const boss = await opened?.catch(() => undefined)
        await boss?.stop({ graceful: false })
      }).pipe(
        Effect.interruptible,
        Effect.disconnect,
        Effect.timeout("5 seconds"),
        Effect.ignore
      )
    )
    return () => isClosed ? Promise.reject(new Error("pg-boss is closed")) : opened ??= start()
  })

/** Runs statements on the connections of a boss. @internal */
export const runBy = (boss: Boss): Query => ({ text, values }) =>
  Effect.tryPromise({ try: () => boss.getDb().executeSql(text, [...values]), catch: (error) => error })

/** @internal */
export interface BossTableOptions {
  readonly schema: string
  readonly queueOf: (intent: Intent) => string
  readonly defaults: Omit<Boss.JobInsert, "id" | "name" | "data">
}

/** @internal */
export interface BossTable extends JobTable {
  readonly createQueue: (name: string) => Effect.Effect<void, unknown>
}

/** @internal */
export const bossTable = (boss: Boss, query: Query, { defaults, queueOf, schema }: BossTableOptions): BossTable => {
  /** The policies of the queues that are there. */
  const policies = new Map<string, string>()

  const createQueue = (name: string) =>
    Effect.tryPromise({
      try: async () => {
        await boss.createQueue(name, { name, policy: "short" })
        policies.set(name, (await boss.getQueue(name))?.policy ?? "standard")
      },
      // So pg-boss refuses a name.
      catch: (error) =>
        error instanceof Error && error.name === "AssertionError" ? new JobRefusedError(error.message) : error
    })

  /** pg-boss inserts no job whose queue is not there, and says nothing. */
  const checkQueues = (names: ReadonlyArray<string>) =>
    Effect.flatMap(
      query({ text: `SELECT name FROM ${schema}.queue WHERE name = ANY($1::text[])`, values: [names] }),
      ({ rows }) => {
        const missing = names.filter((name) => !rows.some((row) => row["name"] === name))
        missing.forEach((name) => policies.delete(name))
        return missing.length === 0
          ? Effect.void
          : Effect.fail(new JobRefusedForNowError(`pg-boss has no queue "${missing.join(`", "`)}" any more`))
      }
    )

  /** Only held jobs have such keys, which are unique. */
  const isHeld = (...keys: ReadonlyArray<string>) =>
    `name = ANY($1::text[]) AND id = ANY($2::uuid[]) AND state = 'created' AND ` +
    `singleton_key IN (${keys.map((key) => `'${key}' || id`).join(", ")})`

  const renew: JobTable["renew"] = (ids, heldMillis) =>
    Effect.asVoid(query({
      // In a transaction, now() is its begin.
      text: `UPDATE ${schema}.job SET start_after = clock_timestamp() + $3::float8 * interval '1 millisecond' ` +
        `WHERE ${isHeld(heldKey)}`,
      values: [[...policies.keys()], ids, heldMillis]
    }))

  return {
    createQueue,
    renew,
    takeBack: (ids) =>
      Effect.map(
        query({
          text: `DELETE FROM ${schema}.job WHERE ${isHeld(heldKey, undecidedKey)} RETURNING id`,
          values: [[...policies.keys()], ids]
        }),
        ({ rows }) => rows.map(({ id }) => String(id))
      ),
    insert: (intents, heldMillis) =>
      Effect.gen(function*() {
        const names = [...new Set(intents.map(queueOf))]
        const deadLetters = intents.flatMap(({ options }) => {
          const name = options.native?.["deadLetter"] ?? defaults.deadLetter
          return typeof name === "string" ? [name] : []
        })
        const needed = new Set([...names, ...deadLetters])
        yield* Effect.forEach([...needed].filter((name) => !policies.has(name)), createQueue)
        const jobs = yield* Effect.try({
          try: () =>
            (heldMillis === undefined ? firstOfEachKey(intents, dedupeKeyOf) : intents).map((intent) => {
              const name = queueOf(intent)
              return jobOf(intent, { name, policy: policies.get(name)!, defaults, heldMillis })
            }),
          catch: (error) => error
        })
        const { rowCount } = yield* query(yield* insertionOf(boss, jobs))
        if (rowCount !== jobs.length) {
          yield* checkQueues(names)
        }
        if (heldMillis !== undefined && heldMillis !== Infinity) {
          yield* renew(intents.map(({ id }) => id), heldMillis)
        }
      })
  }
}

/** The statement by which pg-boss inserts jobs. It asks for a Db to run it on. */
const insertionOf = (boss: Boss, jobs: ReadonlyArray<Boss.JobInsert>): Effect.Effect<Statement, unknown> =>
  Effect.async((resume) => {
    const db: Boss.Db = {
      executeSql: async (text, values) => {
        resume(Effect.succeed({ text, values }))
        return { rows: [] }
      }
    }
    boss.insert([...jobs], { db }).catch((error) => resume(Effect.fail(error)))
  })

/** The keys of held jobs. */
const heldKey = "held:"
const undecidedKey = "undecided:"

/** A job that is inserted to be held starts never, and is then renewed. */
const never = "9999-12-31T00:00:00Z"

/** Queues with these policies ignore a job if one with the same key waits. Jobs without a key would have the same one. */
const deduplicates = (policy: string): boolean => policy === "short" || policy === "stately"

/** The key of an intent that may be ignored. */
const dedupeKeyOf = ({ options, task }: Intent): string | undefined =>
  options.dedupeKey === undefined ? undefined : `${task.name}:${options.dedupeKey}`

const jobOf = (
  intent: Intent,
  { defaults, heldMillis, name, policy }: Pick<BossTableOptions, "defaults"> & {
    readonly name: string
    readonly policy: string
    readonly heldMillis: number | undefined
  }
): Boss.JobInsert<PostgresJobData> => {
  const { delay, maxAttempts, native, priority, runAt } = intent.options
  const dedupeKey = dedupeKeyOf(intent)
  if (dedupeKey !== undefined && !deduplicates(policy)) {
    throw new JobRefusedError(
      `The queue "${name}" of pg-boss has the policy "${policy}", and a dedupeKey needs the policy "short"`
    )
  }
  const attempts = maxAttempts ?? intent.task.retry?.maxAttempts
  const delayMillis = Math.max(
    delay === undefined ? 0 : Duration.toMillis(delay),
    runAt === undefined ? 0 : runAt.getTime() - Date.now()
  )
  const key = dedupeKey ?? (deduplicates(policy) ? intent.id : undefined)
  const data = postgresDataOf(intent)
  // V8 takes 3 us more for an object that begins with a spread.
  const job: Boss.JobInsert<PostgresJobData> = Object.assign({ id: intent.id, name, data }, defaults)
  if (attempts !== undefined) {
    job.retryLimit = attempts - 1
  }
  if (delayMillis > 0) {
    job.startAfter = `${delayMillis / 1000}`
  }
  if (priority !== undefined) {
    // In pg-boss, the job with the higher number comes first.
    job.priority = -priority
  }
  if (key !== undefined) {
    job.singletonKey = key
  }
  if (native !== undefined) {
    Object.assign(job, native, { id: intent.id, name, data })
  }
  if (heldMillis === undefined) {
    return job
  }
  const { singletonSeconds: _, ...held } = job
  return {
    ...held,
    startAfter: never,
    ...(heldMillis === Infinity
      ? { singletonKey: undecidedKey + intent.id, keepUntil: new Date(Date.now() + dayMillis) }
      : { singletonKey: heldKey + intent.id })
  }
}

const dayMillis = 24 * 3600 * 1000
