/**
 * `npx tsx examples/engines/persistedQueue.ts` hands an effect over to a `PersistedQueue` in PostgreSQL, and a worker runs it. It
 * needs PostgreSQL at 127.0.0.1:5432, or at DATABASE_URL. The table is `airlock_example_queue`.
 */
import { PersistedQueue } from "@effect/experimental"
import { NodeRuntime } from "@effect/platform-node"
import { SqlPersistedQueue } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Console, Deferred, Effect, Layer, Redacted, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as PersistedQueueExecutor from "effect-airlock/executors/PersistedQueue"

const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })

const Queues = PersistedQueue.layer.pipe(
  Layer.provide(SqlPersistedQueue.layerStore({ tableName: "airlock_example_queue" })),
  Layer.provide(PgClient.layer({
    url: Redacted.make(process.env["DATABASE_URL"] ?? "postgres://postgres@127.0.0.1:5432/postgres")
  }))
)

/** The application: what it enqueues is an element of the queue when the scope has succeeded. */
const checkout = Effect.gen(function*() {
  yield* Airlock.enqueue(SendReceipt, { orderId: 7 })
  yield* Console.log("the receipt of order 7 is enqueued, and nothing has left")
}).pipe(
  Airlock.scoped,
  Effect.provide(AirlockLive.pipe(Layer.provide(PersistedQueueExecutor.layer()), Layer.provide(Queues)))
)

const program = Effect.gen(function*() {
  yield* checkout
  yield* Console.log("the scope has succeeded: the receipt is an element")
  const sent = yield* Deferred.make<void>()
  const handler = SendReceipt.toLayer(({ orderId }, { attempt }) =>
    Effect.zipRight(
      Console.log(`the worker sends the receipt of order ${orderId}, attempt ${attempt}`),
      Deferred.succeed(sent, undefined)
    )
  )
  // A process of its own, in life.
  const worker = PersistedQueueExecutor.worker().pipe(
    Layer.provide(handler),
    Layer.provide(AirlockLive),
    Layer.provide(Queues)
  )
  yield* Effect.provide(Deferred.await(sent), worker)
})

NodeRuntime.runMain(program)
