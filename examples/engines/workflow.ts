/**
 * `npx tsx examples/engines/workflow.ts` hands an effect over to a cluster, and a runner of it runs the workflow. It needs PostgreSQL
 * at 127.0.0.1:5432, or at DATABASE_URL, and creates the tables of the cluster there (`cluster_messages` and others).
 */
import { ClusterWorkflowEngine, RunnerAddress } from "@effect/cluster"
import { NodeClusterSocket, NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Console, Deferred, Effect, Layer, Option, Redacted, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as Workflow from "effect-airlock/executors/Workflow"

const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })

const queue = `example-${process.pid}`

const Database = PgClient.layer({
  url: Redacted.make(process.env["DATABASE_URL"] ?? "postgres://postgres@127.0.0.1:5432/postgres")
})

/** A client of the cluster, which runs nothing. */
const Client = ClusterWorkflowEngine.layer.pipe(
  Layer.provide(NodeClusterSocket.layer({
    clientOnly: true,
    storage: "sql",
    shardingConfig: { runnerAddress: Option.none() }
  })),
  Layer.provide(Database)
)

/** A runner of the cluster. Other runners reach it at this address. */
const Runner = ClusterWorkflowEngine.layer.pipe(
  Layer.provide(NodeClusterSocket.layer({
    storage: "sql",
    shardingConfig: { runnerAddress: Option.some(RunnerAddress.make("127.0.0.1", 34_431)) }
  })),
  Layer.provide(Database)
)

/** The application: what it enqueues is a workflow of the cluster when the scope has succeeded. */
const checkout = Effect.gen(function*() {
  yield* Airlock.enqueue(SendReceipt, { orderId: 7 })
  yield* Console.log("the receipt of order 7 is enqueued, and nothing has left")
}).pipe(
  Airlock.scoped,
  Effect.provide(AirlockLive.pipe(Layer.provide(Workflow.layer({ queue })), Layer.provide(Client)))
)

const program = Effect.gen(function*() {
  yield* checkout
  yield* Console.log("the scope has succeeded: the receipt is a workflow")
  const sent = yield* Deferred.make<void>()
  const handler = SendReceipt.toLayer(({ orderId }, { attempt }) =>
    Effect.zipRight(
      Console.log(`the worker sends the receipt of order ${orderId}, attempt ${attempt}`),
      Deferred.succeed(sent, undefined)
    )
  )
  // A process of its own, in life.
  const worker = Workflow.worker({ queue }).pipe(
    Layer.provide(handler),
    Layer.provide(AirlockLive),
    Layer.provide(Runner)
  )
  yield* Effect.provide(Deferred.await(sent), worker)
})

NodeRuntime.runMain(program)
