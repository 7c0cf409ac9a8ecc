/**
 * pg-boss, by `fetch` and `complete` in batches of 500 in two loops. Its own `work` sleeps for half a second between two batches,
 * which would limit the throughput. It keeps the completed jobs, where the others delete them.
 */
import { Effect } from "effect"
import PgBoss from "pg-boss"
import { count, execute } from "./database.js"
import { loops } from "./loops.js"
import { email, type Payload, type SqlPeer } from "./peer.js"

const queue = "count"
const batchSize = 500
const workers = 2

const connect = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(() => new PgBoss({ connectionString: url, supervise: false, schedule: false }).start()),
    (boss) => Effect.promise(() => boss.stop({ graceful: false, wait: true }))
  )

export const pgBoss = (url: string): SqlPeer => ({
  tables: ["pgboss.job"],
  setup: Effect.scoped(Effect.flatMap(connect(url), (boss) => Effect.promise(() => boss.createQueue(queue)))),
  fill: (jobs) =>
    execute(
      url,
      `INSERT INTO pgboss.job (name, data) SELECT '${queue}', '${JSON.stringify({ at: 0, email })}'
       FROM generate_series(1, ${jobs})`
    ),
  clear: Effect.zipRight(execute(url, "TRUNCATE pgboss.job"), execute(url, "VACUUM ANALYZE pgboss.job")),
  left: count(url, "pgboss.job WHERE state <> 'completed'"),
  work: (onJob) =>
    Effect.gen(function*() {
      const boss = yield* connect(url)
      yield* loops(workers, async () => {
        const jobs = await boss.fetch<Payload>(queue, { batchSize })
        for (const job of jobs) {
          onJob(job.data)
        }
        if (jobs.length > 0) {
          await boss.complete(queue, jobs.map(({ id }) => id))
        }
        return jobs.length > 0
      })
    })
})
