/**
 * Clusters that keep their messages in a PostgreSQL database, with the engine of `@effect/workflow`.
 */
import {
  ClusterWorkflowEngine,
  RunnerAddress,
  RunnerHealth,
  Runners,
  RunnerStorage,
  Sharding,
  ShardingConfig,
  SingleRunner,
  SqlMessageStorage
} from "@effect/cluster"
import { NodeClusterSocket } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Layer, Option, Redacted } from "effect"

/** Intervals that are short enough for tests. */
const quick = {
  entityMessagePollInterval: "20 millis",
  entityReplyPollInterval: "20 millis",
  sendRetryInterval: "20 millis",
  refreshAssignmentsInterval: "100 millis",
  runnerHealthCheckInterval: "200 millis",
  shardLockExpiration: "10 seconds"
} satisfies Partial<ShardingConfig.ShardingConfig["Type"]>

export const databaseAt = (url: string) => PgClient.layer({ url: Redacted.make(url), maxConnections: 5 })

/** An engine that starts workflows, and runs none. Runners find them when they look into the database. */
export const clientAt = (url: string) =>
  Layer.fresh(ClusterWorkflowEngine.layer.pipe(
    Layer.provide(Sharding.layer),
    Layer.provide(Runners.layerNoop),
    Layer.provideMerge(SqlMessageStorage.layer),
    Layer.provide([RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
    Layer.provide(ShardingConfig.layer({ ...quick, runnerAddress: Option.none() })),
    Layer.provideMerge(databaseAt(url))
  ))

/** An engine that starts workflows, and is the only one that runs them. It is apart from a client in the same test. */
export const singleRunnerAt = (url: string, config: Partial<ShardingConfig.ShardingConfig["Type"]> = {}) =>
  Layer.fresh(ClusterWorkflowEngine.layer.pipe(
    Layer.provide(SingleRunner.layer({
      shardingConfig: { ...quick, entityTerminationTimeout: "300 millis", ...config },
      runnerStorage: "memory"
    })),
    Layer.provide(databaseAt(url))
  ))

/** One of several runners, which know of each other by the database. */
export const runnerAt = (url: string, port: number) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provide(NodeClusterSocket.layer({
      storage: "sql",
      shardingConfig: {
        ...quick,
        entityTerminationTimeout: "1 second",
        runnerAddress: Option.some(RunnerAddress.make("127.0.0.1", port))
      }
    })),
    Layer.provideMerge(databaseAt(url))
  )

/** An engine that starts workflows, and tells the runners of them. */
export const socketClientAt = (url: string) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provide(
      NodeClusterSocket.layer({
        clientOnly: true,
        storage: "sql",
        shardingConfig: { ...quick, runnerAddress: Option.none() }
      })
    ),
    Layer.provideMerge(databaseAt(url))
  )

/** Removes all workflows. */
export const clearWorkflows = Effect.flatMap(
  SqlClient,
  (sql) => sql`TRUNCATE cluster_messages, cluster_replies`
)

/** The workflows that the storage of the cluster has, in the order of their start, and the exits of those that have ended. */
export const storedWorkflows = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql<
      { readonly type: string, readonly id: string, readonly payload: string, readonly reply: string | null }
    >`SELECT m.entity_type AS type, m.entity_id AS id, m.payload, r.payload AS reply
      FROM cluster_messages m LEFT JOIN cluster_replies r ON r.request_id = m.id
      WHERE m.tag = 'run' AND m.entity_type LIKE 'Workflow/Airlock/%' ORDER BY m.rowid`,
    (rows) =>
      rows.map(({ id, payload, reply, type }) => ({
        type,
        executionId: id,
        payload: JSON.parse(payload),
        /** The exit of a workflow that has no result, because it could not run. */
        exit: reply === null ? undefined : JSON.parse(reply),
        result: reply === null ? undefined : JSON.parse(reply).value
      }))
  ))
