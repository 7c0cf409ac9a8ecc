/**
 * BullMQ on Redis: `AIRLOCK_BENCH_REDIS`, or the standard port. Redis answers from memory, and by default it writes a job to
 * disk later, so a commit of PostgreSQL promises more.
 */
import { Queue, Worker } from "bullmq"
import { Effect } from "effect"
import { email, type Payload, type Peer } from "./peer.js"

const url = process.env["AIRLOCK_BENCH_REDIS"] ?? "redis://127.0.0.1:6379"

export const bullmq = (concurrency: number): Peer => {
  const name = `airlock-bench-${process.pid}`
  const connection = { url, maxRetriesPerRequest: null }
  const onQueue = <A>(use: (queue: Queue) => Promise<A>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => new Queue(name, { connection })),
      (queue) => Effect.promise(() => use(queue)),
      (queue) => Effect.promise(() => queue.close())
    )
  return {
    setup: Effect.void,
    fill: (jobs) =>
      onQueue(async (queue) => {
        for (let added = 0; added < jobs; added += 1000) {
          await queue.addBulk(
            Array.from({ length: Math.min(1000, jobs - added) }, () => ({ name: "count", data: { at: 0, email } }))
          )
        }
      }),
    clear: onQueue((queue) => queue.obliterate({ force: true })),
    left: onQueue((queue) => queue.getJobCountByTypes("waiting", "active", "delayed", "failed")),
    work: (onJob) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.promise(async () => {
          const worker = new Worker<Payload>(name, async ({ data }) => onJob(data), {
            connection,
            concurrency,
            removeOnComplete: { count: 0 }
          })
          await worker.waitUntilReady()
          return worker
        }),
        (worker) => Effect.promise(() => worker.close())
      ))
  }
}
