/** The engines that `examples/engines/shop.ts` can use. */
import { ClusterWorkflowEngine, RunnerAddress } from "@effect/cluster"
import { PersistedQueue } from "@effect/experimental"
import { NodeClusterSocket } from "@effect/platform-node"
import { SqlPersistedQueue } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Option, Redacted, type Scope } from "effect"
import type { Airlock, Executor } from "effect-airlock"
import * as Amqp from "effect-airlock/executors/Amqp"
import * as BullMq from "effect-airlock/executors/BullMq"
import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
import * as PersistedQueueExecutor from "effect-airlock/executors/PersistedQueue"
import * as PgBoss from "effect-airlock/executors/PgBoss"
import * as Workflow from "effect-airlock/executors/Workflow"

export interface Choice {
  /** What the shop's relay hands the effects over to. */
  readonly executor: Effect.Effect<Executor.Executor, unknown, Scope.Scope>
  /** What each of the worker processes runs. */
  readonly worker: Layer.Layer<never, unknown, Airlock.Airlock>
}

const redis = { connection: { url: process.env["REDIS_URL"] ?? "redis://127.0.0.1:6379" } }
const databaseUrl = process.env["DATABASE_URL"] ?? "postgres://postgres@127.0.0.1:5432/postgres"
const postgres = { connectionString: databaseUrl }

/** A client of the cluster, or a runner at a port of its own. */
const clusterEngine = (port: Option.Option<number>) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provide(NodeClusterSocket.layer({
      clientOnly: Option.isNone(port),
      storage: "sql",
      shardingConfig: {
        runnerAddress: Option.map(port, (port) => RunnerAddress.make("127.0.0.1", port)),
        entityMessagePollInterval: "500 millis",
        refreshAssignmentsInterval: "500 millis"
      }
    })),
    Layer.provide(PgClient.layer({ url: Redacted.make(databaseUrl) }))
  )

/** `name` belongs to this run of the example: a queue, or a part of its name. */
export const choices: Readonly<Record<string, (name: string) => Choice>> = {
  bullMq: (name) => {
    const settings = { ...redis, queue: name }
    return { executor: BullMq.executor(settings), worker: BullMq.worker({ ...settings, concurrency: 1 }) }
  },
  amqp: (queue) => {
    const settings = { connection: process.env["AMQP_URL"] ?? "amqp://guest:guest@127.0.0.1:5672", queue }
    return { executor: Amqp.executor(settings), worker: Amqp.worker({ ...settings, concurrency: 1 }) }
  },
  persistedQueue: (queue) => {
    const queues = PersistedQueue.layer.pipe(
      Layer.provide(SqlPersistedQueue.layerStore({ tableName: "airlock_example_queue", pollInterval: "100 millis" })),
      Layer.provide(PgClient.layer({ url: Redacted.make(databaseUrl) }))
    )
    return {
      executor: Effect.flatMap(
        Layer.build(queues),
        (context) => Effect.provide(PersistedQueueExecutor.executor({ queue }), context)
      ),
      worker: PersistedQueueExecutor.worker({ queue, concurrency: 1 }).pipe(Layer.provide(queues))
    }
  },
  workflow: (queue) => ({
    executor: Effect.flatMap(
      Layer.build(clusterEngine(Option.none())),
      (engine) => Effect.provide(Workflow.executor({ queue: () => queue }), engine)
    ),
    worker: Workflow.worker({ queue, concurrency: 1 }).pipe(
      Layer.provide(clusterEngine(Option.some(30_000 + process.pid % 10_000)))
    )
  }),
  graphileWorker: () => ({
    executor: GraphileWorker.executor(postgres),
    worker: GraphileWorker.worker({ ...postgres, concurrency: 1 })
  }),
  pgBoss: (name) => {
    const settings = { ...postgres, queue: name }
    return { executor: PgBoss.executor(settings), worker: PgBoss.worker({ ...settings, concurrency: 1 }) }
  }
}

export const choiceOf = (engine: string, name: string): Choice => {
  const choice = choices[engine]
  if (choice === undefined) {
    throw new Error(`There is no engine "${engine}". Choose one of ${Object.keys(choices).join(", ")}`)
  }
  return choice(name)
}
