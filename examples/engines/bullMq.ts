/**
 * `npx tsx examples/engines/bullMq.ts` hands an effect over to BullMQ, and a worker runs it. It needs Redis at 127.0.0.1:6379, or
 * at REDIS_URL.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Deferred, Effect, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"
import * as BullMq from "effect-airlock/executors/BullMq"

const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })

const settings = {
  connection: { url: process.env["REDIS_URL"] ?? "redis://127.0.0.1:6379" },
  queue: `example-${process.pid}`
}

/** The application: what it enqueues is a job of BullMQ when the scope has succeeded. */
const checkout = Effect.gen(function*() {
  yield* Airlock.enqueue(SendReceipt, { orderId: 7 })
  yield* Console.log("the receipt of order 7 is enqueued, and nothing has left")
}).pipe(Airlock.scoped, Effect.provide(AirlockLive.pipe(Layer.provide(BullMq.layer(settings)))))

const program = Effect.gen(function*() {
  yield* checkout
  yield* Console.log("the scope has succeeded: the receipt is a job")
  const sent = yield* Deferred.make<void>()
  const handler = SendReceipt.toLayer(({ orderId }, { attempt }) =>
    Effect.zipRight(
      Console.log(`the worker sends the receipt of order ${orderId}, attempt ${attempt}`),
      Deferred.succeed(sent, undefined)
    )
  )
  // A process of its own, in life.
  const worker = BullMq.worker(settings).pipe(Layer.provide(handler), Layer.provide(AirlockLive))
  yield* Effect.provide(Deferred.await(sent), worker)
})

NodeRuntime.runMain(program)
