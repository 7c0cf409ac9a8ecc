/**
 * `HttpApi`: the handlers of a group enqueue. A declared error discards the intents if its declared status is 400 or
 * above.
 */
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "@effect/platform"
import { Layer, Schema } from "effect"
import { HttpMiddleware } from "effect-airlock"
import { OutOfStock, place } from "./orders.js"

export class Shop extends HttpApi.make("shop").add(
  HttpApiGroup.make("orders").add(
    HttpApiEndpoint.post("place")`/orders/${HttpApiSchema.param("item", Schema.String)}`
      .addSuccess(Schema.Struct({ ordered: Schema.String }), { status: 201 })
      .addError(OutOfStock, { status: 409 })
  )
) {}

export const Orders = HttpApiBuilder.group(
  Shop,
  "orders",
  (handlers) => handlers.handle("place", ({ path }) => place(path.item))
)

export const Server = HttpApiBuilder.serve().pipe(
  Layer.provide(HttpApiBuilder.api(Shop)),
  Layer.provide(Orders),
  Layer.provide(HttpMiddleware.airlockApi)
)
