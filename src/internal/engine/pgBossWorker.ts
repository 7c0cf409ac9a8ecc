/**
 * Fetches jobs of pg-boss for free slots, runs them, and completes or fails them.
 *
 * It does not use `boss.work`, which fetches a batch only when the whole batch before has ended, fails all of its jobs if one fails,
 * and does not notice when the end of a job could not be stored.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type Boss from "pg-boss"
import { Wakeup } from "../support/wakeup.js"
import { jobOfPostgres, storableText } from "./postgres.js"
import { attemptFailed, isForGood, type JobRunner } from "./worker.js"

/** @internal */
export interface BossWorkerOptions {
  readonly boss: () => Promise<Boss>
  readonly queue: string
  readonly schema: string
  readonly pollInterval: Duration.DurationInput
}

/** @internal */
export interface BossWorker {
  /** Fetches no further job, and waits until those that run have ended and pg-boss knows it. */
  readonly stop: Effect.Effect<void>
  /** Does not tell pg-boss any more what became of jobs. */
  readonly giveUp: Effect.Effect<void>
}

/** Runs the jobs of a queue. @internal */
export const startBossWorker = (
  { boss, pollInterval, queue, schema }: BossWorkerOptions,
  { concurrency, fork, process }: JobRunner
): Effect.Effect<BossWorker> =>
  Effect.gen(function*() {
    /** A slot is free, or all jobs have ended. */
    const ended = new Wakeup()
    const endings = new Wakeup()
    let running = 0
    let unsettled = 0
    let completed: Array<string> = []
    let isDown = false
    let hasGivenUp = false

    const on = <A>(use: (boss: Boss) => Promise<A>): Effect.Effect<A, unknown> =>
      Effect.tryPromise({ try: async () => use(await boss()), catch: (error) => error })

    const isUp = Effect.suspend(() => {
      const wasDown = isDown
      isDown = false
      return wasDown ? Effect.logInfo(`The worker of the queue "${queue}" has its database again`) : Effect.void
    })

    const failed = (error: unknown) =>
      Effect.suspend(() => {
        const wasDown = isDown
        isDown = true
        return wasDown
          ? Effect.void
          : Effect.logWarning(`The worker of the queue "${queue}" failed, and tries again`, error)
      })

    /** Until it succeeds: else the job would run again when it expires. */
    const insist = <A>(self: Effect.Effect<A, unknown>): Effect.Effect<void> =>
      Effect.retry(Effect.tapError(self, failed), {
        schedule: Schedule.spaced("1 second"),
        while: () => !hasGivenUp
      }).pipe(
        Effect.zipRight(isUp),
        Effect.ignore
      )

    const fetch = (batchSize: number) =>
      on(async (boss) => {
        let reason: unknown
        const db: Boss.Db = {
          executeSql: async (text, values) => {
            try {
              return await boss.getDb().executeSql(text, values)
            } catch (error) {
              reason = error
              throw error
            }
          }
        }
        // It returns no job if its statement fails.
        const jobs = await boss.fetch<object>(queue, { batchSize, includeMetadata: true, db })
        if (reason !== undefined && !isTaken(reason)) {
          throw reason
        }
        return jobs
      }).pipe(
        Effect.zipLeft(isUp),
        Effect.catchAll((error) => Effect.as(failed(error), []))
      )

    /**
     * Changes a job while this run has it, and says whether it does. When the job has expired, or when the answer to the last try
     * was lost, another run may have it. The time when a run began tells them apart.
     */
    const update = (set: string, { id, startedOn }: Boss.JobWithMetadata): Effect.Effect<boolean, unknown> =>
      on(async (boss) => {
        const { rows } = await boss.getDb().executeSql(
          `UPDATE ${schema}.job SET ${set} WHERE name = $1 AND id = $2 AND state = 'active' ` +
            // A driver may give milliseconds.
            `AND date_trunc('milliseconds', started_on) = date_trunc('milliseconds', $3::timestamptz) RETURNING id`,
          [queue, id, startedOn]
        )
        return rows.length > 0
      })

    const fail = (job: Boss.JobWithMetadata, error: Error) =>
      Effect.flatMap(
        update(isForGood(error) ? "retry_limit = retry_count" : "state = state", job),
        (isMine) => isMine ? on((boss) => boss.fail(queue, job.id, outputOf(error))) : Effect.void
      )

    const settle = (self: Effect.Effect<unknown, unknown>) =>
      fork(Effect.map(insist(self), () => {
        unsettled--
        ended.wake()
      }))

    const run = async (job: Boss.JobWithMetadata): Promise<void> => {
      const attempt = job.retryCount + 1
      const stored = jobOfPostgres(job.data, { id: job.id, name: queue })
      const free = () => {
        running--
        ended.wake()
      }
      return process({ ...stored, attempt }).then(
        (outcome) => {
          free()
          if (outcome === "stopped") {
            // A job that has not started has no attempt to count.
            return settle(update("state = 'retry', started_on = NULL", job))
          }
          completed.push(job.id)
          return endings.wake()
        },
        (error: Error) => {
          free()
          fork(attemptFailed({ ...stored, attempt, maxAttempts: job.retryLimit + 1 }, error))
          return settle(fail(job, error))
        }
      )
    }

    /** Completes all jobs that have ended meanwhile in one call. */
    const completing = Effect.forever(
      Effect.zipRight(
        endings.wait,
        Effect.suspend(() => {
          const ids = completed
          completed = []
          return ids.length === 0 ? Effect.void : Effect.map(insist(on((boss) => boss.complete(queue, ids))), () => {
            unsettled -= ids.length
            ended.wake()
          })
        })
      )
    )

    const fetching = Effect.forever(Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const free = concurrency - running
        const jobs = free === 0 ? [] : yield* fetch(free)
        running += jobs.length
        unsettled += jobs.length
        jobs.forEach(run)
        // Slots that become free in one turn of the event loop are filled by one fetch.
        yield* restore(jobs.length < free ? Effect.sleep(pollInterval) : Effect.zipRight(ended.wait, turn))
      })
    ))

    const completer = yield* Effect.forkDaemon(Effect.interruptible(completing))
    const fetcher = yield* Effect.forkDaemon(Effect.interruptible(fetching))
    const settled: Effect.Effect<void> = Effect.suspend(() =>
      unsettled === 0 ? Effect.void : Effect.zipRight(ended.wait, settled)
    )
    return {
      stop: Fiber.interrupt(fetcher).pipe(Effect.zipRight(settled), Effect.zipRight(Fiber.interrupt(completer))),
      giveUp: Effect.sync(() => {
        hasGivenUp = true
      })
    }
  })

/** Whether a fetch failed because another worker has a job of the same key. */
const isTaken = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "code" in error && error.code === "23505"

const outputOf = ({ message, name, stack = "" }: Error) => ({
  name: storableText(name),
  message: storableText(message),
  stack: storableText(stack)
})

const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
