import { Effect } from "effect"
import * as BullMq from "effect-airlock/executors/BullMq"
import * as ExecutorSuite from "effect-airlock/testing/ExecutorSuite"
import { describeOnRedisProxy } from "../support/redisProxy.js"

describeOnRedisProxy("BullMQ", (redis) => {
  const { prefix } = redis
  ExecutorSuite.run(
    "BullMq",
    Effect.map(
      Effect.suspend(() =>
        BullMq.executor({
          connection: redis.throughProxy(),
          prefix,
          defaultJobOptions: { backoff: { type: "fixed", delay: 1 } }
        })
      ),
      (executor): ExecutorSuite.Engine => ({
        executor,
        worker: BullMq.worker({ connection: redis.connection, prefix, concurrency: 1 }),
        connection: {
          cut: Effect.sync(redis.cut),
          cutAt: (text) => Effect.sync(() => redis.cutAt(text)),
          restore: Effect.sync(redis.restore)
        }
      })
    )
  )
})
