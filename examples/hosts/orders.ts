/**
 * The domain that all hosts here serve, independent of HTTP. An order enqueues a receipt by mail, which must not leave
 * if the order fails.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Task } from "effect-airlock"

export const SendReceipt = Task.make("SendReceipt", { payload: { item: Schema.String } })

export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}

export const place = Effect.fn("place")(function*(item: string) {
  yield* Airlock.enqueue(SendReceipt, { item })
  if (item === "unicorn") {
    return yield* new OutOfStock({ item })
  }
  return { ordered: item }
})

/** Sends receipts. */
export class Mailer extends Context.Tag("orders/Mailer")<Mailer, {
  readonly send: (text: string) => Effect.Effect<void>
}>() {}

export const Tasks = SendReceipt.toLayer(({ item }) =>
  Effect.flatMap(Mailer, (mailer) => mailer.send(`receipt for a ${item}`))
)

/** The handlers of the tasks, and Airlock. Each host needs both. */
export const Live = Tasks.pipe(Layer.provideMerge(AirlockLive))
