/** pg-boss on PostgreSQL: `AIRLOCK_TEST_POSTGRES`, or the standard port. */
import { Effect } from "effect"
import * as PgBoss from "effect-airlock/executors/PgBoss"
import { randomUUID } from "node:crypto"
import Boss from "pg-boss"
import { type BenchEngine, concurrency, email } from "./engine.js"

const connectionString = process.env["AIRLOCK_TEST_POSTGRES"] ?? "postgres://postgres@127.0.0.1:5432/postgres"
const schema = "airlock_bench_pgboss"
const name = "airlock"

const boss = Effect.acquireRelease(
  Effect.promise(() => new Boss({ connectionString, schema, schedule: false }).start()),
  (boss) => Effect.promise(() => boss.stop({ graceful: false }))
)

const options = { retryLimit: 9, retryDelay: 1, retryBackoff: true, expireInSeconds: 960 }

/** Inserts jobs by one call. */
const adding = (dataOf: (id: string) => object) =>
  Effect.map(boss, (boss) => (jobs: number) =>
    boss.insert(Array.from({ length: jobs }, () => {
      const id = randomUUID()
      return { id, name, data: dataOf(id), singletonKey: id, ...options }
    })))

export const pgboss: BenchEngine = {
  jobs: 3000,
  setup: Effect.scoped(
    Effect.flatMap(boss, (boss) => Effect.promise(() => boss.createQueue(name, { name, policy: "short" })))
  ),
  clear: Effect.scoped(Effect.flatMap(boss, (boss) => Effect.promise(() => boss.clearStorage()))),
  ours: {
    executor: PgBoss.executor({ connectionString, schema }),
    worker: PgBoss.worker({ connectionString, schema, concurrency })
  },
  own: {
    add: adding(() => ({ email })),
    addWithOurData: adding((id) => ({ id, task: "Mail", payload: { email }, version: 1, enqueuedAt: Date.now() })),
    work: (onJob) =>
      Effect.flatMap(boss, (boss) =>
        Effect.promise(async () => {
          let worker = ""
          // Otherwise it waits half a second after each batch.
          worker = await boss.work(name, { batchSize: concurrency, includeMetadata: true }, async (jobs) => {
            jobs.forEach(onJob)
            boss.notifyWorker(worker)
          })
        }))
  }
}
