/** graphile-worker on PostgreSQL: `AIRLOCK_TEST_POSTGRES`, or the standard port. */
import { Effect } from "effect"
import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
import { Logger, makeWorkerUtils, run } from "graphile-worker"
import { randomUUID } from "node:crypto"
import { type BenchEngine, concurrency, email } from "./engine.js"

const connectionString = process.env["AIRLOCK_TEST_POSTGRES"] ?? "postgres://postgres@127.0.0.1:5432/postgres"
const schema = "airlock_bench_graphile"
const shared = { connectionString, schema, logger: new Logger(() => () => {}) }

const utils = Effect.acquireRelease(
  Effect.promise(() => makeWorkerUtils(shared)),
  ({ release }) => Effect.promise(async () => release())
)

export const graphileWorker: BenchEngine = {
  jobs: 5000,
  setup: Effect.scoped(Effect.asVoid(utils)),
  clear: Effect.scoped(Effect.flatMap(utils, ({ withPgClient }) =>
    Effect.promise(async () => {
      await withPgClient((client) => client.query(`TRUNCATE ${schema}._private_jobs`))
    }))),
  ours: {
    executor: GraphileWorker.executor({ connectionString, schema }),
    worker: GraphileWorker.worker({ connectionString, schema, concurrency })
  },
  own: {
    add: Effect.map(utils, ({ addJobs }) => (jobs: number) =>
      addJobs(Array.from({ length: jobs }, () => ({
        identifier: "Mail",
        payload: { email },
        jobKey: randomUUID(),
        flags: ["effect-airlock"]
      })))),
    work: (onJob) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.promise(() =>
          run(
            {
              ...shared,
              concurrency,
              noHandleSignals: true,
              preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } }
            },
            { Mail: () => onJob() },
            []
          )
        ),
        (runner) => Effect.promise(() => runner.stop())
      ))
  }
}
