/**
 * A request is a scope: what its handlers enqueue leaves if the answer is a success, and is gone if it is not.
 *
 * This module has all of the platform's own `HttpMiddleware` too, so that one import serves.
 *
 * @since 0.1.0
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import { unchecked } from "./Airlock.js"
import type { FlushError } from "./AirlockError.js"
import type { AirlockScope, Exact, OptionsContext, ScopeOptions } from "./AirlockScope.js"
import type { Executor } from "./Executor.js"
import { Airlock } from "./internal/airlock.js"
import { bodyScope } from "./internal/body.js"
import { inRequestScope, type RequestOptions } from "./internal/request.js"
import type { Policy } from "./Policy.js"

export * from "@effect/platform/HttpMiddleware"

/**
 * @since 0.1.0
 * @category options
 */
export interface AirlockHttpOptions {
  /** For logs and errors. Default: the request's method and path. */
  readonly name?: string
  /** Holds beside all other policies in force. */
  readonly policy?: Policy<unknown>
  /** How the intents of requests leave. Default: as Airlock was built. */
  readonly executor?: Executor
  /**
   * Whether the intents of a request leave. `exit` is what the app below the middleware ended in; given to
   * `HttpServer.serve`, a middleware sees only the response of that, and `exit` is a success with it. One that throws
   * discards. Default: if the status of the response is below 400.
   */
  readonly shouldFlush?: (
    request: HttpServerRequest.HttpServerRequest,
    response: HttpServerResponse.HttpServerResponse,
    exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>
  ) => boolean
  /**
   * What the client gets instead of `response` when intents that should have left did not: `error` names each with its
   * reason. It is logged as an error in any case. Default: where the executor is durable a 500 with an empty body, because
   * an intent could not be made durable; else the response stands.
   */
  readonly onFlushError?: (
    error: FlushError,
    response: HttpServerResponse.HttpServerResponse
  ) => HttpServerResponse.HttpServerResponse
}

const requestOptions = (
  { onFlushError, shouldFlush, ...scope }: AirlockHttpOptions,
  place: RequestOptions["place"],
  context?: Context.Context<never>
): RequestOptions => ({ scope, shouldFlush, onFlushError, place, context })

/** For hosts that build a middleware by an Effect: what it needs is resolved there, and nothing is left to requests. */
const middlewareWith = <R>(options: AirlockHttpOptions, place: RequestOptions["place"]) =>
  Effect.map(
    Effect.context<Airlock | R>(),
    (context) => <E, R2>(app: HttpApp.Default<E, R2>) =>
      inRequestScope(app, requestOptions(options, place, context)) as HttpApp.Default<E, Exclude<R2, AirlockScope>>
  )

/**
 * {@link airlock}, changed.
 *
 * @since 0.1.0
 * @category middleware
 */
export const airlockWith = <const Options extends AirlockHttpOptions>(
  options: Options & Exact<Options, AirlockHttpOptions>
) => {
  const how = requestOptions(options, "anywhere")
  return <E, R>(
    app: HttpApp.Default<E, R>
  ): HttpApp.Default<E, Exclude<R, AirlockScope> | Airlock | OptionsContext<Options>> => inRequestScope(app, how)
}

/**
 * Makes each request a scope. It settles before the response is sent, wherever the middleware stands (given to
 * `HttpServer.serve`, to `HttpRouter.use`, or both), by the status of the response: 1xx to 3xx let the intents leave, 4xx
 * and 5xx discard them; a failure counts by the response that it becomes. Response and error pass through unchanged.
 *
 * An intent that could not leave is logged as an error, and the answer stands.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
 * import { Effect, Schema } from "effect"
 * import { Airlock, HttpMiddleware, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Server = HttpRouter.empty.pipe(
 *   HttpRouter.post("/orders", Effect.as(Airlock.enqueue(SendReceipt, { orderId: 1 }), HttpServerResponse.empty())),
 *   HttpServer.serve(HttpMiddleware.airlock)
 * )
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const airlock: <E, R>(
  app: HttpApp.Default<E, R>
) => HttpApp.Default<E, Exclude<R, AirlockScope> | Airlock> = airlockWith({})

/**
 * What {@link airlockRouterWith} gives: a middleware for some routes (its `layer` is given to those), or, with `global`, a
 * Layer that puts it around all of them.
 *
 * @since 0.1.0
 * @category utility types
 */
export type AirlockRouter<Options> = Options extends { readonly global: true } ? Layer.Layer<
    | HttpLayerRouter.Request.From<"Requires", AirlockScope>
    | HttpLayerRouter.Request.From<"GlobalRequires", AirlockScope>,
    never,
    HttpLayerRouter.HttpRouter | Airlock | OptionsContext<Options>
  >
  : HttpLayerRouter.Middleware<{
    provides: AirlockScope
    handles: never
    error: never
    requires: never
    layerError: never
    layerRequires: Airlock | OptionsContext<Options>
  }>

/**
 * {@link airlockRouter}, changed; with `global` for all routes, the router's own 404 included.
 *
 * @since 0.1.0
 * @category middleware
 */
export const airlockRouterWith = <const Options extends AirlockHttpOptions & { readonly global?: boolean }>(
  options: Options & Exact<Options, AirlockHttpOptions & { readonly global?: boolean }>
): AirlockRouter<Options> => {
  const { global = false, ...http }: AirlockHttpOptions & { readonly global?: boolean } = options
  // The cases of `AirlockRouter`; TypeScript does not narrow a generic's conditional type by a test of its value.
  return HttpLayerRouter.middleware<{ provides: AirlockScope }>()(middlewareWith(http, "router"), {
    global
  }) as AirlockRouter<Options>
}

/**
 * {@link airlock} for `HttpLayerRouter`: its `layer` makes each request of the routes that it is provided to a scope. With
 * `airlockRouterWith({ global: true })` all of them are.
 *
 * @example
 * ```ts
 * import { HttpLayerRouter, HttpServerResponse } from "@effect/platform"
 * import { Effect, Layer, Schema } from "effect"
 * import { Airlock, HttpMiddleware, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Orders = HttpLayerRouter.add(
 *   "POST",
 *   "/orders",
 *   Effect.as(Airlock.enqueue(SendReceipt, { orderId: 1 }), HttpServerResponse.empty())
 * ).pipe(Layer.provide(HttpMiddleware.airlockRouter.layer))
 *
 * const Server = HttpLayerRouter.serve(Orders)
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const airlockRouter: AirlockRouter<{}> = airlockRouterWith({})

/**
 * {@link airlockApi}, changed.
 *
 * @since 0.1.0
 * @category middleware
 */
export const airlockApiWith = <const Options extends AirlockHttpOptions>(
  options: Options & Exact<Options, AirlockHttpOptions>
): Layer.Layer<AirlockScope, never, Airlock | OptionsContext<Options>> =>
  Layer.merge(unchecked, HttpApiBuilder.middleware(middlewareWith<OptionsContext<Options>>(options, "api")))

/**
 * {@link airlock} for `HttpApiBuilder`: makes each request of an API a scope, and gives the groups' handlers the right to
 * enqueue. The status that a declared error is encoded to decides too.
 *
 * @example
 * ```ts
 * import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "@effect/platform"
 * import { Effect, Layer, Schema } from "effect"
 * import { Airlock, HttpMiddleware, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * class Shop extends HttpApi.make("shop").add(
 *   HttpApiGroup.make("orders").add(HttpApiEndpoint.post("create", "/orders"))
 * ) {}
 *
 * const Orders = HttpApiBuilder.group(Shop, "orders", (handlers) =>
 *   handlers.handle("create", () => Effect.asVoid(Airlock.enqueue(SendReceipt, { orderId: 1 }))))
 *
 * const Server = HttpApiBuilder.serve().pipe(
 *   Layer.provide(HttpApiBuilder.api(Shop)),
 *   Layer.provide(Orders),
 *   Layer.provide(HttpMiddleware.airlockApi)
 * )
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const airlockApi: Layer.Layer<AirlockScope, never, Airlock> = airlockApiWith({})

/**
 * Gives a streamed body a scope of its own. The scope of its request settles before the first byte, so a body cannot enqueue
 * into that: this one opens when the body starts, lets its intents out when the body has ended well, before its end is
 * sent, and discards them when the body broke off or the client left.
 *
 * Services, policies and executor are those that hold where it is made, in the request's scope; a transaction that is open
 * there is not. Intents that could not leave break the body off by a `FlushError`, unless it is caught.
 *
 * @example
 * ```ts
 * import { HttpServerResponse } from "@effect/platform"
 * import { Effect, Schema, Stream } from "effect"
 * import { Airlock, HttpMiddleware, Task } from "effect-airlock"
 *
 * const Exported = Task.make("Exported", { payload: { rows: Schema.Number } })
 *
 * const rows = Stream.range(1, 1000).pipe(
 *   Stream.map((n) => `row ${n}\n`),
 *   Stream.concat(Stream.execute(Airlock.enqueue(Exported, { rows: 1000 }))),
 *   Stream.encodeText
 * )
 *
 * const handler = Effect.map(HttpMiddleware.airlockStream(rows), (body) => HttpServerResponse.stream(body))
 * ```
 *
 * @since 0.1.0
 * @category streaming
 */
export const airlockStream = <A, E, R, const Options extends ScopeOptions = {}>(
  body: Stream.Stream<A, E, R>,
  options?: Options & Exact<Options, ScopeOptions>
): Effect.Effect<
  Stream.Stream<A, E | FlushError>,
  never,
  R | AirlockScope | OptionsContext<Options>
> => bodyScope(body, options ?? {})
