/**
 * graphile-worker. `best` is what its documentation recommends for throughput: a local queue that fetches jobs in batches, and
 * completions in batches. A local queue of 2000 was faster than one of 500, and more jobs at a time were not.
 */
import { Effect } from "effect"
import { Logger, run, runMigrations } from "graphile-worker"
import { count, execute, payload, transaction } from "./database.js"
import { type Channel, email, now, type Payload, type SqlPeer } from "./peer.js"

/** As many jobs at a time as the relay runs by default. By its own default graphile-worker runs one. */
export const ten: GraphileConfig.WorkerOptions = { concurrentJobs: 10 }

export const best: GraphileConfig.WorkerOptions = {
  concurrentJobs: 24,
  localQueue: { size: 2000 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0
}

const silent = new Logger(() => () => {})

const jobs = "graphile_worker._private_jobs"

export const graphileWorker = (url: string, options: GraphileConfig.WorkerOptions): SqlPeer & Channel => {
  const preset = { worker: { ...options, connectionString: url, logger: silent } }
  return {
    tables: [jobs],
    setup: Effect.promise(() => runMigrations({ preset })),
    fill: (count) =>
      execute(
        url,
        `SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
           SELECT json_populate_record(NULL::graphile_worker.job_spec,
             json_build_object('identifier', 'count', 'payload', '${payload}'::json))
           FROM generate_series(1, ${count})))`
      ),
    clear: Effect.zipRight(execute(url, `TRUNCATE ${jobs}`), execute(url, `VACUUM ANALYZE ${jobs}`)),
    left: count(url, jobs),
    work: (onJob) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.promise(() =>
          run({ preset, noHandleSignals: true, taskList: { count: (payload) => onJob(payload as Payload) } })
        ),
        (runner) => Effect.promise(() => runner.stop())
      )),
    writer: transaction(
      url,
      "SELECT graphile_worker.add_job('count', $1::json)",
      () => [JSON.stringify({ at: now(), email })]
    )
  }
}
