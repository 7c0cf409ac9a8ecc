/** A tagged router: its type says that its routes may enqueue, and the server's middleware gives them their scope. */
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { Effect, Layer } from "effect"
import { type AirlockScope, HttpMiddleware } from "effect-airlock"
import { place } from "./orders.js"

class Routes extends HttpRouter.Tag("Routes")<Routes, AirlockScope>() {}

const Orders = Routes.use((router) =>
  router.post(
    "/orders/:item",
    HttpRouter.params.pipe(
      Effect.flatMap(({ item = "" }) => place(item)),
      Effect.flatMap((order) => HttpServerResponse.json(order, { status: 201 })),
      Effect.catchTag("OutOfStock", ({ item }) => HttpServerResponse.json({ outOfStock: item }, { status: 409 }))
    )
  )
)

export const Server = Routes.unwrap(HttpServer.serve(HttpMiddleware.airlock)).pipe(Layer.provide(Orders))
