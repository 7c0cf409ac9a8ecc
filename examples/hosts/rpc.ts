/** RPC: each call is a scope, over HTTP, a web socket or a worker. Client and server share the group. */
import { HttpRouter, HttpServer } from "@effect/platform"
import { Rpc, RpcGroup, RpcSerialization, RpcServer } from "@effect/rpc"
import { Layer, Schema } from "effect"
import * as RpcMiddleware from "effect-airlock/RpcMiddleware"
import { OutOfStock, place } from "./orders.js"

export class Orders extends RpcGroup.make(
  Rpc.make("Place", {
    payload: { item: Schema.String },
    success: Schema.Struct({ ordered: Schema.String }),
    error: OutOfStock
  })
).middleware(RpcMiddleware.AirlockCall) {}

const Calls = RpcServer.layer(Orders).pipe(
  Layer.provide([Orders.toLayer({ Place: ({ item }) => place(item) }), RpcMiddleware.airlockCall]),
  Layer.provideMerge(RpcServer.layerProtocolHttp({ path: "/rpc" })),
  Layer.provide(RpcSerialization.layerNdjson)
)

export const Server = HttpRouter.Default.unwrap(HttpServer.serve()).pipe(Layer.provide(Calls))
