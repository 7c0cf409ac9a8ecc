import { Effect, Layer } from "effect"
import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
import * as ExecutorSuite from "effect-airlock/testing/ExecutorSuite"
import { makeWorkerUtils } from "graphile-worker"
import { randomBytes } from "node:crypto"
import { letOthersRun } from "../support/letOthersRun.js"
import { describeOnPostgresProxy } from "../support/postgresProxy.js"

describeOnPostgresProxy("graphile-worker", ({ cut, cutAt, restore, throughProxy, url }) => {
  /** Lets failed jobs run again at once: graphile-worker's backoff begins with 2.7 seconds, and cannot be set. */
  const withoutBackoff = (schema: string) =>
    Layer.scopedDiscard(Effect.gen(function*() {
      const { withPgClient } = yield* Effect.acquireRelease(
        Effect.promise(() => makeWorkerUtils({ connectionString: url(), schema })),
        ({ release }) => Effect.promise(async () => release())
      )
      const statement = `
        SELECT ${schema}.reschedule_jobs(ARRAY(SELECT id FROM ${schema}.jobs WHERE attempts > 0), run_at => now())`
      yield* Effect.forkScoped(Effect.forever(
        Effect.zipRight(Effect.promise(() => withPgClient((client) => client.query(statement))), letOthersRun)
      ))
    }))

  ExecutorSuite.run(
    "GraphileWorker",
    Effect.suspend(() => {
      const schema = `graphile_${randomBytes(4).toString("hex")}`
      return Effect.map(
        GraphileWorker.executor({ connectionString: throughProxy(), schema }),
        (executor): ExecutorSuite.Engine => ({
          executor,
          worker: Layer.mergeAll(
            GraphileWorker.worker({ connectionString: url(), schema, concurrency: 1, pollInterval: "10 millis" }),
            withoutBackoff(schema)
          ),
          connection: {
            cut: Effect.sync(cut),
            cutAt: (text) => Effect.sync(() => cutAt(text)),
            restore: Effect.sync(restore)
          }
        })
      )
    })
  )
})
