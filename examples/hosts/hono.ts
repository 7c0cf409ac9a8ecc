/** A host with web `Request` and `Response`: Hono mounts an Effect app beside its own routes. */
import { HttpApp, HttpRouter, HttpServerResponse } from "@effect/platform"
import { Effect, type Layer } from "effect"
import { type Airlock, HttpMiddleware } from "effect-airlock"
import { Hono } from "hono"
import { place } from "./orders.js"

const orders = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/:item",
    HttpRouter.params.pipe(
      Effect.flatMap(({ item = "" }) => place(item)),
      Effect.flatMap((order) => HttpServerResponse.json(order, { status: 201 })),
      Effect.catchTag("OutOfStock", ({ item }) => HttpServerResponse.json({ outOfStock: item }, { status: 409 }))
    )
  )
)

export const make = (live: Layer.Layer<Airlock.Airlock>) => {
  const { dispose, handler } = HttpApp.toWebHandlerLayer(HttpMiddleware.airlock(orders), live)
  const app = new Hono()
  app.get("/health", (context) => context.text("well"))
  app.mount("/orders", (request) => handler(request))
  return { app, dispose }
}
