import { Effect } from "effect"
import * as PgBoss from "effect-airlock/executors/PgBoss"
import * as ExecutorSuite from "effect-airlock/testing/ExecutorSuite"
import { randomBytes } from "node:crypto"
import { describeOnPostgresProxy } from "../support/postgresProxy.js"

describeOnPostgresProxy("pg-boss", ({ cut, cutAt, restore, throughProxy, url }) => {
  ExecutorSuite.run(
    "PgBoss",
    Effect.suspend(() => {
      const schema = `pgboss_${randomBytes(4).toString("hex")}`
      return Effect.map(
        PgBoss.executor({
          connectionString: throughProxy(),
          schema,
          defaultJobOptions: { retryDelay: 0, retryBackoff: false }
        }),
        (executor): ExecutorSuite.Engine => ({
          executor,
          worker: PgBoss.worker({ connectionString: url(), schema, concurrency: 1, pollInterval: "10 millis" }),
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
