import { Effect, Layer } from "effect"
import * as PersistedQueueExecutor from "effect-airlock/executors/PersistedQueue"
import * as ExecutorSuite from "effect-airlock/testing/ExecutorSuite"
import { onEachStore } from "../support/persistedQueues.js"

onEachStore(({ cut, cutAt, make, name, restore }) => {
  ExecutorSuite.run(
    `PersistedQueue on ${name}`,
    Effect.gen(function*() {
      const { factory, throughProxy } = make()
      const executor = yield* Effect.provide(
        PersistedQueueExecutor.executor({ timeout: "1 second" }),
        yield* Layer.build(throughProxy)
      )
      const engine: ExecutorSuite.Engine = {
        executor,
        worker: PersistedQueueExecutor.worker({ concurrency: 1, retryDelay: 0 }).pipe(
          // Each worker has a store of its own, as in a process of its own.
          Layer.provide(Layer.fresh(factory))
        ),
        connection: {
          cut: Effect.sync(cut),
          cutAt: (text) => Effect.sync(() => cutAt(text)),
          restore: Effect.sync(restore)
        }
      }
      return engine
    })
  )
})
