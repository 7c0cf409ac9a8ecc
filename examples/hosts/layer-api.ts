/** An `HttpApi` in a `HttpLayerRouter`: the router's middleware gives the handlers of the API their scope. */
import { HttpLayerRouter } from "@effect/platform"
import { Layer } from "effect"
import { Airlock, HttpMiddleware } from "effect-airlock"
import { Orders, Shop } from "./api.js"

const Routes = HttpLayerRouter.addHttpApi(Shop).pipe(
  Layer.provide(Orders.pipe(Layer.provide(Airlock.unchecked))),
  Layer.provide(HttpMiddleware.airlockRouter.layer)
)

export const Server = HttpLayerRouter.serve(Routes, { disableLogger: true, disableListenLog: true })
