/**
 * `@effect/workflow` on a cluster of one runner, on PostgreSQL: `AIRLOCK_TEST_POSTGRES`, or the standard port. The engine has no bulk
 * call, so both sides start ten workflows at a time. Its own worker also runs an activity for each job, and ten of them at a time.
 */
import {
  ClusterWorkflowEngine,
  RunnerHealth,
  Runners,
  RunnerStorage,
  Sharding,
  ShardingConfig,
  SqlMessageStorage
} from "@effect/cluster"
import { PgClient } from "@effect/sql-pg"
import { Activity } from "@effect/workflow"
import { Effect, Layer, Option, Redacted } from "effect"
import * as Workflow from "effect-airlock/executors/Workflow"
import { randomUUID } from "node:crypto"
import { query } from "../relayPeers/database.js"
import { type BenchEngine, concurrency, email } from "./engine.js"

const url = process.env["AIRLOCK_TEST_POSTGRES"] ?? "postgres://postgres@127.0.0.1:5432/postgres"
const prefix = "airlock_bench_cluster"
const queue = "bench"

const engine = (config: Partial<ShardingConfig.ShardingConfig["Type"]>) =>
  Layer.fresh(ClusterWorkflowEngine.layer.pipe(
    Layer.provide(Sharding.layer),
    Layer.provide(Runners.layerNoop),
    Layer.provide([SqlMessageStorage.layerWith({ prefix }), RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
    Layer.provide(ShardingConfig.layer({ entityMessagePollInterval: "20 millis", ...config })),
    Layer.provide(PgClient.layer({ url: Redacted.make(url) }))
  )).pipe(Layer.orDie)

const client = engine({ runnerAddress: Option.none() })
const runner = engine({})

const definition = Workflow.definition(queue)

const job = () => ({ id: randomUUID(), task: "Mail", payload: { email }, version: 1, enqueuedAt: Date.now() })

const ownWorker = (onJob: () => void) =>
  Layer.unwrapEffect(Effect.sync(() => {
    const permits = Effect.unsafeMakeSemaphore(concurrency)
    return definition.toLayer(({ task }) =>
      permits.withPermits(1)(Activity.make({ name: task, execute: Effect.sync(onJob) }))
    )
  })).pipe(Layer.provide(runner))

export const workflow: BenchEngine = {
  jobs: 1000,
  setup: Effect.scoped(Effect.asVoid(Layer.build(client))),
  clear: Effect.asVoid(query(url, `TRUNCATE ${prefix}_messages, ${prefix}_replies`)),
  ours: {
    executor: Effect.flatMap(Layer.build(client), (engine) => Effect.provide(Workflow.executor({ queue }), engine)),
    worker: Layer.provide(Workflow.worker({ queue, concurrency }), runner)
  },
  own: {
    add: Effect.map(Layer.build(client), (engine) => (jobs: number) =>
      Effect.runPromise(
        Effect.forEach(Array.from({ length: jobs }, job), (payload) => definition.execute(payload, { discard: true }), {
          concurrency: 10,
          discard: true
        }).pipe(Effect.provide(engine))
      )),
    work: (onJob) => Effect.asVoid(Layer.build(ownWorker(onJob)))
  }
}
