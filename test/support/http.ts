/**
 * A real server on a real port, for tests that ask it with a real client.
 */
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer } from "effect"
import { createServer } from "node:http"

/** Serves an app as `serve` says, and gives its address. */
export const serving = <E, R>(serve: Layer.Layer<never, E, R | HttpServer.HttpServer>) =>
  Effect.map(
    Layer.build(Layer.provideMerge(serve, NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))),
    (context) => {
      const { address } = Context.get(context, HttpServer.HttpServer)
      return address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    }
  )

/** What a client gets of a path: the status, without following a redirect. */
export const status = (base: string, path: string, init?: RequestInit) =>
  Effect.tryPromise((signal) => fetch(`${base}${path}`, { redirect: "manual", signal, ...init })).pipe(
    Effect.tap((response) => Effect.promise(() => response.arrayBuffer())),
    Effect.map((response) => response.status)
  )
