/**
 * What all hosts here serve: to place an order is to wish for a receipt by mail, which must not leave where the order turns
 * out to be impossible. It knows nothing of HTTP.
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

/** Where receipts go. */
export class Mailer extends Context.Tag("orders/Mailer")<Mailer, {
  readonly send: (text: string) => Effect.Effect<void>
}>() {}

export const Tasks = SendReceipt.toLayer(({ item }) =>
  Effect.flatMap(Mailer, (mailer) => mailer.send(`receipt for a ${item}`))
)

/** What each host needs: the tasks' handlers, and Airlock. */
export const Live = Tasks.pipe(Layer.provideMerge(AirlockLive))
