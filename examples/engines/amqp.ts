/**
 * `npx tsx examples/engines/amqp.ts` hands an effect over to RabbitMQ, and a worker runs it. It needs RabbitMQ at
 * 127.0.0.1:5672, or at AMQP_URL.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Deferred, Effect, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as Amqp from "effect-airlock/executors/Amqp"

const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })

const settings = {
  connection: process.env["AMQP_URL"] ?? "amqp://guest:guest@127.0.0.1:5672",
  queue: "airlock-example"
}

/** The application: what it enqueues is a message of RabbitMQ when the scope has succeeded. */
const checkout = Effect.gen(function*() {
  yield* Airlock.enqueue(SendReceipt, { orderId: 7 })
  yield* Console.log("the receipt of order 7 is enqueued, and nothing has left")
}).pipe(Airlock.scoped, Effect.provide(AirlockLive.pipe(Layer.provide(Amqp.layer(settings)))))

const program = Effect.gen(function*() {
  yield* checkout
  yield* Console.log("the scope has succeeded: the receipt is a message")
  const sent = yield* Deferred.make<void>()
  const handler = SendReceipt.toLayer(({ orderId }, { attempt }) =>
    Effect.zipRight(
      Console.log(`the worker sends the receipt of order ${orderId}, attempt ${attempt}`),
      Deferred.succeed(sent, undefined)
    )
  )
  // A process of its own, in life.
  const worker = Amqp.worker(settings).pipe(Layer.provide(handler), Layer.provide(AirlockLive))
  yield* Effect.provide(Deferred.await(sent), worker)
})

NodeRuntime.runMain(program)
