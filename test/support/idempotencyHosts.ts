/**
 * A server with the middleware, on Node over a socket and as a web handler, and a client of it.
 */
import { HttpApp, HttpRouter, HttpServer, type HttpServerResponse } from "@effect/platform"
import { Effect, Layer, type Scope } from "effect"
import { HttpMiddleware } from "effect-airlock"
import { serving } from "./http.js"

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array
  readonly text: string
  /** The member `code` of problem details. */
  readonly code: string | undefined
}

/** Sends a request as a client. */
export type Ask = (path: string, init?: RequestInit) => Effect.Effect<Answer>

export type App = HttpApp.Default<any, any>

export interface Host {
  readonly name: "Node" | "toWebHandler"
  readonly serve: (
    app: App,
    middleware: (app: App) => App,
    services: Layer.Layer<any>
  ) => Effect.Effect<Ask, never, Scope.Scope>
}

const answerOf = async (response: Response): Promise<Answer> => {
  const body = new Uint8Array(await response.arrayBuffer())
  const text = new TextDecoder().decode(body)
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json") === true
  return {
    status: response.status,
    headers: response.headers,
    body,
    text,
    code: isProblem ? (JSON.parse(text) as { readonly code: string }).code : undefined
  }
}

export const node: Host = {
  name: "Node",
  serve: (app, middleware, services) =>
    Effect.map(
      Effect.orDie(serving(
        app.pipe(HttpServer.serve(middleware as never), Layer.provide(services)) as Layer.Layer<
          never,
          never,
          HttpServer.HttpServer
        >
      )),
      (base): Ask => (path, init) =>
        Effect.orDie(
          Effect.tryPromise((signal) => fetch(`${base}${path}`, { redirect: "manual", signal, ...init }).then(answerOf))
        )
    )
}

export const web: Host = {
  name: "toWebHandler",
  serve: (app, middleware, services) =>
    Effect.gen(function*() {
      const { dispose, handler } = HttpApp.toWebHandlerLayer(app, services, { middleware: middleware as never })
      yield* Effect.addFinalizer(() => Effect.promise(dispose))
      return ((path, init) =>
        Effect.orDie(Effect.tryPromise((signal) =>
          handler(new Request(`http://localhost${path}`, { signal, ...init })).then(answerOf)
        ))) satisfies Ask
    })
}

export const hosts = [node, web]

/** A router with one handler for POST, at any path. */
export const posting = (handler: Effect.Effect<HttpServerResponse.HttpServerResponse, any, any>): App =>
  HttpRouter.empty.pipe(HttpRouter.all("*", handler)) as App

/** Sends a POST with a key. */
export const post = (key?: string, init: RequestInit = {}): RequestInit => ({
  method: "POST",
  ...init,
  headers: { ...(key !== undefined && { "idempotency-key": key }), ...init.headers as Record<string, string> }
})

export const airlocked = (keys: (app: App) => App) => (app: App): App => keys(HttpMiddleware.airlock(app) as App)
