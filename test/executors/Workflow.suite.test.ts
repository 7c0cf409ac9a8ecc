import { Effect, Layer } from "effect"
import * as Workflow from "effect-airlock/executors/Workflow"
import * as ExecutorSuite from "effect-airlock/testing/ExecutorSuite"
import { clearWorkflows, clientAt, singleRunnerAt } from "../support/cluster.js"
import { pgProxy } from "../support/pgProxy.js"
import { describeOn, ownDatabase, postgres } from "../support/servers.js"

describeOn(postgres, "@effect/workflow", () => {
  const url = ownDatabase(postgres)
  const { cut, cutAt, restore, throughProxy } = pgProxy(url)

  ExecutorSuite.run(
    "Workflow",
    Effect.gen(function*() {
      const client = yield* Layer.build(clientAt(throughProxy()))
      yield* Effect.provide(clearWorkflows, client)
      // Workflows of a batch that are started side by side are stored in any order.
      const executor = yield* Effect.provide(Workflow.executor({ concurrency: 1 }), client)
      return {
        executor,
        worker: Layer.provide(Workflow.worker({ concurrency: 1 }), singleRunnerAt(url().href)),
        connection: {
          cut: Effect.sync(cut),
          cutAt: (text) => Effect.sync(() => cutAt(text)),
          restore: Effect.sync(restore)
        }
      } satisfies ExecutorSuite.Engine
    })
  )
})
