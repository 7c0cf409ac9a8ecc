/** `HttpServer.serve`: the middleware is its argument, and gets the final response of every request. */
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"
import { HttpMiddleware } from "effect-airlock"
import { place } from "./orders.js"

export const Server = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/orders/:item",
    HttpRouter.params.pipe(
      Effect.flatMap(({ item = "" }) => place(item)),
      Effect.flatMap((order) => HttpServerResponse.json(order, { status: 201 })),
      Effect.catchTag("OutOfStock", ({ item }) => HttpServerResponse.json({ outOfStock: item }, { status: 409 }))
    )
  ),
  HttpServer.serve(HttpMiddleware.airlock)
)
