/**
 * Every store on every host: tests of the middleware run on each of these places.
 */
import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, Logger, type Scope } from "effect"
import { HttpMiddleware, type Idempotency } from "effect-airlock"
import { describe } from "vitest"
import { type App, type Ask, type Host, hosts, posting } from "./idempotencyHosts.js"
import { onEachStore, type StoreLayer } from "./idempotencyStores.js"

export type Options = HttpMiddleware.IdempotencyMiddlewareOptions

export type Handler = Effect.Effect<HttpServerResponse.HttpServerResponse, any, any>

export const quiet = Logger.remove(Logger.defaultLogger)

export const keysOf = (options?: Options): (app: App) => App => HttpMiddleware.idempotency(options) as never

/** A handler that answers with the number of its runs, unless `response` says more, and counts them. */
export const countingHandler = (
  response: (
    run: number,
    request: HttpServerRequest.HttpServerRequest
  ) => HttpServerResponse.HttpServerResponse = (run) => HttpServerResponse.text(`run ${run}`)
) => {
  const counter = { runs: 0 }
  return {
    counter,
    handler: Effect.map(HttpServerRequest.HttpServerRequest, (request) => response(++counter.runs, request))
  }
}

export interface Place {
  readonly host: Host
  readonly store: StoreLayer
  /** Serves a handler with the middleware, for all methods and paths. */
  readonly serve: (
    handler: Handler,
    options?: Options,
    store?: Layer.Layer<Idempotency.IdempotencyStore>
  ) => Effect.Effect<Ask, never, Scope.Scope>
  /** Serves a {@link countingHandler}. */
  readonly counting: (
    options?: Options,
    response?: Parameters<typeof countingHandler>[0]
  ) => Effect.Effect<{ readonly ask: Ask, readonly counter: { readonly runs: number } }, never, Scope.Scope>
}

const placeOf = (host: Host, store: StoreLayer): Place => {
  const serve: Place["serve"] = (handler, options, layer = store()) =>
    host.serve(
      posting(handler),
      keysOf(options),
      layer.pipe(Layer.provideMerge(NodeContext.layer), Layer.provideMerge(quiet))
    )
  return {
    host,
    store,
    serve,
    counting: (options, response) => {
      const { counter, handler } = countingHandler(response)
      return Effect.map(serve(handler, options), (ask) => ({ ask, counter }))
    }
  }
}

/** Defines tests for each store on each host. */
export const onEachPlace = (define: (place: Place) => void): void =>
  onEachStore((store) => {
    for (const host of hosts) {
      describe(`on ${host.name}`, () => define(placeOf(host, store)))
    }
  })
