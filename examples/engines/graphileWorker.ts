/**
 * `npx tsx examples/engines/graphileWorker.ts` inserts a job of graphile-worker in the transaction of an order, and a worker runs it.
 * It needs PostgreSQL at 127.0.0.1:5432 (user postgres), or at DATABASE_URL.
 */
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient, SqlError } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Console, Deferred, Effect, Layer, Redacted, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as GraphileWorker from "effect-airlock/executors/GraphileWorker"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { runMigrations } from "graphile-worker"

const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })

const connectionString = process.env["DATABASE_URL"] ?? "postgres://postgres@127.0.0.1:5432/postgres"

const Data = SqlTransaction.layer.pipe(
  Layer.provideMerge(AirlockLive),
  Layer.provide(GraphileWorker.layerSql()),
  Layer.provideMerge(PgClient.layer({ url: Redacted.make(connectionString) }))
)

/** The application: what a transaction enqueues is a job of graphile-worker if it commits. */
const checkout = (orderId: number, isPaid: boolean) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(Effect.gen(function*() {
      yield* sql`SELECT ${orderId}::int AS order_id`
      yield* Airlock.enqueue(SendReceipt, { orderId })
      return yield* isPaid ? Effect.void : Effect.fail("the card was refused")
    })))

const shop = Effect.gen(function*() {
  yield* checkout(7, true)
  yield* Console.log("the transaction of order 7 has committed: its receipt is a job")
  yield* Effect.ignore(checkout(8, false))
  yield* Console.log("the transaction of order 8 was rolled back, and so was its job")
}).pipe(Effect.provide(Airlock.unchecked), Effect.provide(Data))

/** Creates the tables of graphile-worker, as a worker does when it starts. */
const migrate = Effect.tryPromise({
  try: () => runMigrations({ connectionString }),
  catch: (cause) => new SqlError.SqlError({ message: "graphile-worker could not create its tables", cause })
})

const program = Effect.gen(function*() {
  yield* migrate
  yield* shop
  const sent = yield* Deferred.make<void>()
  const handler = SendReceipt.toLayer(({ orderId }, { attempt }) =>
    Effect.zipRight(
      Console.log(`the worker sends the receipt of order ${orderId}, attempt ${attempt}`),
      Deferred.succeed(sent, undefined)
    )
  )
  // A process of its own, in life.
  const worker = GraphileWorker.worker({ connectionString }).pipe(Layer.provide(handler), Layer.provide(AirlockLive))
  yield* Effect.provide(Deferred.await(sent), worker)
}).pipe(
  Effect.tapErrorTag("SqlError", () => Console.error("This example needs PostgreSQL. DATABASE_URL says where it is."))
)

NodeRuntime.runMain(program)
