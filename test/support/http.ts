/**
 * A real server on a real port, and a real client.
 */
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer } from "effect"
import { createServer } from "node:http"

/** Starts a server with this Layer, and gives its address. */
export const serving = <E, R>(serve: Layer.Layer<never, E, R | HttpServer.HttpServer>) =>
  Effect.map(
    Layer.build(Layer.provideMerge(serve, NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))),
    (context) => {
      const { address } = Context.get(context, HttpServer.HttpServer)
      return address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    }
  )

/** Requests a path, and gives the status of the response. It follows no redirect. */
export const status = (base: string, path: string, init?: RequestInit) =>
  Effect.tryPromise((signal) => fetch(`${base}${path}`, { redirect: "manual", signal, ...init })).pipe(
    Effect.tap((response) => Effect.promise(() => response.arrayBuffer())),
    Effect.map((response) => response.status)
  )
