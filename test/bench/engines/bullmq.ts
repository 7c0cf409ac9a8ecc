/** BullMQ on Redis: `AIRLOCK_BENCH_REDIS`, or the standard port. */
import { Queue, Worker } from "bullmq"
import { Effect } from "effect"
import * as BullMq from "effect-airlock/executors/BullMq"
import { randomUUID } from "node:crypto"
import { type BenchEngine, concurrency, email } from "./engine.js"

const connection = { url: process.env["AIRLOCK_BENCH_REDIS"] ?? "redis://127.0.0.1:6379", maxRetriesPerRequest: null }
const name = `airlock-bench-${process.pid}`

const queue = Effect.acquireRelease(
  Effect.promise(async () => {
    const queue = new Queue(name, { connection })
    await queue.waitUntilReady()
    return queue
  }),
  (queue) => Effect.promise(() => queue.close())
)

const opts = {
  attempts: 10,
  backoff: { type: "exponential", delay: 1000 },
  removeOnComplete: { age: 3600, count: 10_000 }
}

export const bullmq: BenchEngine = {
  jobs: 5000,
  setup: Effect.void,
  clear: Effect.scoped(Effect.flatMap(queue, (queue) => Effect.promise(() => queue.obliterate({ force: true })))),
  ours: {
    executor: BullMq.executor({ connection, queue: name }),
    worker: BullMq.worker({ connection, queue: name, concurrency })
  },
  own: {
    add: Effect.map(queue, (queue) => (jobs: number) =>
      queue.addBulk(
        Array.from({ length: jobs }, () => ({ name: "Mail", data: { email }, opts: { ...opts, jobId: randomUUID() } }))
      )),
    work: (onJob) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.promise(async () => {
          const worker = new Worker<unknown>(name, async () => onJob(), { connection, concurrency })
          await worker.waitUntilReady()
          return worker
        }),
        (worker) => Effect.promise(() => worker.close())
      ))
  }
}
