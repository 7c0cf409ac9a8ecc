/** `HttpLayerRouter`: a route can enqueue if the middleware's layer is provided to it. */
import { HttpLayerRouter, HttpServerResponse } from "@effect/platform"
import { Effect, Layer } from "effect"
import { HttpMiddleware } from "effect-airlock"
import { place } from "./orders.js"

const Orders = HttpLayerRouter.add(
  "POST",
  "/orders/:item",
  HttpLayerRouter.params.pipe(
    Effect.flatMap(({ item = "" }) => place(item)),
    Effect.flatMap((order) => HttpServerResponse.json(order, { status: 201 })),
    Effect.catchTag("OutOfStock", ({ item }) => HttpServerResponse.json({ outOfStock: item }, { status: 409 }))
  )
).pipe(Layer.provide(HttpMiddleware.airlockRouter.layer))

const Health = HttpLayerRouter.add("GET", "/health", HttpServerResponse.text("well"))

export const Server = HttpLayerRouter.serve(Layer.merge(Orders, Health), {
  disableLogger: true,
  disableListenLog: true
})
