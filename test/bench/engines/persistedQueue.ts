/** PersistedQueue on Redis: `AIRLOCK_BENCH_REDIS`, or the standard port. */
import { PersistedQueue } from "@effect/experimental"
import * as RedisStore from "@effect/experimental/PersistedQueue/Redis"
import { Effect, Layer, Schema } from "effect"
import * as PersistedQueueExecutor from "effect-airlock/executors/PersistedQueue"
import { Redis } from "ioredis"
import { randomUUID } from "node:crypto"
import { type BenchEngine, concurrency, email } from "./engine.js"

const url = new URL(process.env["AIRLOCK_BENCH_REDIS"] ?? "redis://127.0.0.1:6379")
const address = { host: url.hostname, port: Number(url.port || 6379) }
const prefix = `airlock-bench-${process.pid}:`
const queue = "mail"

const factory = PersistedQueue.layer.pipe(
  Layer.provide(RedisStore.layerStore({ ...address, prefix, pollInterval: 10 }))
)

const queueOf = Effect.flatMap(
  Layer.build(factory),
  (context) => Effect.provide(PersistedQueue.make({ name: queue, schema: Schema.Unknown }), context)
)

export const persistedQueue: BenchEngine = {
  jobs: 5000,
  setup: Effect.void,
  clear: Effect.promise(async () => {
    const redis = new Redis(address)
    const keys = await redis.keys(`${prefix}*`)
    if (keys.length > 0) {
      await redis.del(...keys)
    }
    await redis.quit()
  }),
  ours: {
    executor: Effect.flatMap(
      Layer.build(factory),
      (context) => Effect.provide(PersistedQueueExecutor.executor({ queue }), context)
    ),
    worker: PersistedQueueExecutor.worker({ queue, concurrency }).pipe(Layer.provide(factory))
  },
  own: {
    // It has no call for many elements. These are as many at a time as our executor offers.
    add: Effect.map(queueOf, (queue) => (jobs: number) =>
      Effect.runPromise(Effect.forEach(
        Array.from({ length: jobs }, () => randomUUID()),
        (id) => queue.offer({ email }, { id }),
        { concurrency: 50, discard: true }
      ))),
    work: (onJob) =>
      Effect.flatMap(queueOf, (queue) =>
        queue.take(() => Effect.sync(onJob)).pipe(
          Effect.forever,
          Effect.replicateEffect(concurrency, { concurrency: "unbounded", discard: true }),
          Effect.forkScoped,
          Effect.asVoid
        ))
  }
}
