/**
 * The domain of the examples of Express and Fastify: Effects that enqueue their side effects, independent of any host.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"

export const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
export const NotifyWarehouse = Task.make("NotifyWarehouse", { payload: { orderId: Schema.Number } })

export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}

export class Stock extends Context.Tag("orders/Stock")<Stock, {
  readonly reserve: (item: string) => Effect.Effect<void, OutOfStock>
}>() {}

let lastOrder = 0

export const placeOrder = Effect.fn("placeOrder")(function*(item: string) {
  const orderId = ++lastOrder
  yield* Airlock.enqueue(SendReceipt, { orderId })
  const stock = yield* Stock
  yield* stock.reserve(item)
  return orderId
})

/** A function of a client library that does not use Effect. */
export type Pay = (orderId: number, item: string) => Promise<void>

export const StockLive = Layer.succeed(Stock, {
  reserve: (item) => item === "unicorn" ? new OutOfStock({ item }) : Effect.void
})

export const Tasks = Layer.mergeAll(
  SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt of order ${orderId}`)),
  NotifyWarehouse.toLayer(({ orderId }) => Effect.log(`pack order ${orderId}`))
)
