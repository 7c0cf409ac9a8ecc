/**
 * HTTP middleware that makes each request a scope. The intents of a request leave if the status of its response is below
 * 400, and are discarded otherwise.
 *
 * This module also exports all of the platform's own `HttpMiddleware`, so that one import is enough.
 *
 * @since 0.1.0
 */
import type * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as EffectScope from "effect/Scope"
import * as Stream from "effect/Stream"
import { unchecked } from "./Airlock.js"
import type { FlushError } from "./AirlockError.js"
import type { AirlockScope, Exact, OptionsContext, ScopeOptions } from "./AirlockScope.js"
import type { Executor } from "./Executor.js"
import { Airlock } from "./internal/contract/airlock.js"
import { bodyScope } from "./internal/http/body.js"
import { inRequestScope, type RequestOptions } from "./internal/http/request.js"
import { settingsIn } from "./internal/idempotency/defaults.js"
import { idempotent } from "./internal/idempotency/middleware.js"
import type { IdempotencyOptions, IdempotencyRoute } from "./internal/idempotency/options.js"
import type { IdempotencyStore } from "./internal/idempotency/store.js"
import type { Policy } from "./Policy.js"

export * from "@effect/platform/HttpMiddleware"

/**
 * The options of the middleware. `R` is what its policy and its approval need.
 *
 * @since 0.1.0
 * @category options
 */
export interface AirlockHttpOptions<R = unknown> {
  /** The name of the scope in logs and errors. Default: the method and the path of the request. */
  readonly name?: string
  /** A policy for the requests, added to all other policies in force. Default: none. */
  readonly policy?: Policy<R>
  /**
   * The executor for the intents of requests. Ignored if the request already has an outer scope. Default: the executor of
   * the context, else that of Airlock.
   */
  readonly executor?: Executor
  /**
   * Decides whether the intents of a request leave, and is obeyed. `exit` is the exit of the app inside the middleware. Given
   * to `HttpServer.serve`, the middleware sees only the response, and `exit` is a success with that response. If the client
   * has disconnected, the interruption is part of `exit`. If the function throws, the intents are discarded. Default: the
   * intents leave if the status of the response is below 400 and the client has not disconnected.
   */
  readonly shouldFlush?: (
    request: HttpServerRequest.HttpServerRequest,
    response: HttpServerResponse.HttpServerResponse,
    exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>
  ) => boolean
  /** Approves the plan before any intent is dispatched, as the option of a scope does. Default: that of Airlock. */
  readonly approve?: NonNullable<ScopeOptions<R>["approve"]>
  /** Which intents of a scope inside the request its scope does not capture. Default: that of Airlock. */
  readonly beforeDescendantFlushes?: NonNullable<ScopeOptions["beforeDescendantFlushes"]>
  /**
   * Returns the response to send if some intents should have left and did not. `error` names each of them with its reason;
   * it is logged as an error in any case. If the function throws, the client gets a 500. Default: a 500 with an empty body
   * if a durable executor should have stored one of them, else `response`.
   */
  readonly onFlushError?: (
    error: FlushError<HttpServerResponse.HttpServerResponse>,
    response: HttpServerResponse.HttpServerResponse
  ) => HttpServerResponse.HttpServerResponse
}

const requestOptions = (
  { onFlushError, shouldFlush, ...scope }: AirlockHttpOptions,
  place: RequestOptions["place"],
  context?: Context.Context<never>
): RequestOptions => ({ scope, shouldFlush, onFlushError, place, context })

/** For hosts that build a middleware with an Effect. The services are resolved in that Effect, once for all requests. */
const middlewareWith = <R>(options: AirlockHttpOptions, place: RequestOptions["place"]) =>
  Effect.map(
    Effect.context<Airlock | R>(),
    (context) => <E, R2>(app: HttpApp.Default<E, R2>) =>
      inRequestScope(app, requestOptions(options, place, context)) as HttpApp.Default<E, Exclude<R2, AirlockScope>>
  )

/**
 * {@link airlock} with options.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer } from "@effect/platform"
 * import { HttpMiddleware, Policy } from "effect-airlock"
 *
 * const Server = HttpRouter.empty.pipe(
 *   HttpServer.serve(HttpMiddleware.airlockWith({
 *     policy: Policy.blockTasks(["SendNewsletter"]),
 *     shouldFlush: (_request, response) => response.status < 400 || response.status === 404
 *   }))
 * )
 * ```
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
 * Makes each request a scope, which settles before the response is sent. Use it with `HttpServer.serve`, `HttpRouter.use`,
 * one route, or several of them.
 *
 * The status of the response decides: the intents leave after 1xx to 3xx, and are discarded after 4xx and 5xx. A failure
 * counts as the response that it becomes. Response and error pass through unchanged.
 *
 * If an intent could not leave, this is logged as an error. If it is an intent that a durable executor should have stored,
 * the client gets a 500; otherwise it gets the response. The option `onFlushError` changes that.
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
 * The services of the options that the Layer of a middleware requires: all but those that each request has.
 *
 * @since 0.1.0
 * @category utility types
 */
export type LayerContext<Options> = Exclude<OptionsContext<Options>, RequestServices>

/** The services that each request has. */
type RequestServices =
  | HttpServerRequest.HttpServerRequest
  | HttpServerRequest.ParsedSearchParams
  | HttpRouter.RouteContext
  | EffectScope.Scope

/**
 * The result of {@link airlockRouterWith}: a middleware whose `layer` is provided to some routes, or, with `global: true`,
 * a Layer that applies it to all routes.
 *
 * @since 0.1.0
 * @category utility types
 */
export type AirlockRouter<Options> = Options extends { readonly global: true } ? Layer.Layer<
    | HttpLayerRouter.Request.From<"Requires", AirlockScope>
    | HttpLayerRouter.Request.From<"GlobalRequires", AirlockScope>,
    never,
    HttpLayerRouter.HttpRouter | Airlock | LayerContext<Options>
  >
  : HttpLayerRouter.Middleware<{
    provides: AirlockScope
    handles: never
    error: never
    requires: never
    layerError: never
    layerRequires: Airlock | LayerContext<Options>
  }>

/**
 * {@link airlockRouter} with options. With `global: true` (default: `false`) it applies to all routes, and to the 404 of
 * the router.
 *
 * @example
 * ```ts
 * import { HttpLayerRouter, HttpServerResponse } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpMiddleware } from "effect-airlock"
 *
 * const Orders = HttpLayerRouter.add("POST", "/orders", HttpServerResponse.empty())
 *
 * const Server = HttpLayerRouter.serve(
 *   Layer.merge(Orders, HttpMiddleware.airlockRouterWith({ global: true, name: "shop" }))
 * )
 * ```
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
 * {@link airlock} for `HttpLayerRouter`. Provide its `layer` to the routes whose requests are to be scopes. To apply it to
 * all routes, use `airlockRouterWith({ global: true })`.
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
 * {@link airlockApi} with options.
 *
 * @example
 * ```ts
 * import { HttpMiddleware, Policy } from "effect-airlock"
 *
 * const Middleware = HttpMiddleware.airlockApiWith({ policy: Policy.limit(10) })
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const airlockApiWith = <const Options extends AirlockHttpOptions>(
  options: Options & Exact<Options, AirlockHttpOptions>
): Layer.Layer<AirlockScope, never, Airlock | LayerContext<Options>> =>
  Layer.merge(unchecked, HttpApiBuilder.middleware(middlewareWith<LayerContext<Options>>(options, "api")))

/**
 * {@link airlock} for `HttpApiBuilder`. It makes each request of an API a scope, and provides `AirlockScope` to the
 * handlers of the groups. A declared error counts as the status that it is encoded to.
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
 * The options of {@link idempotency}.
 *
 * @since 0.1.0
 * @category options
 */
export interface IdempotencyMiddlewareOptions extends IdempotencyOptions {
  /** Options for the requests of some paths. Default: none. */
  readonly routes?: ReadonlyArray<IdempotencyRoute>
  /** An API whose endpoints and groups are annotated with `Idempotency.Endpoint`. Default: none. */
  readonly api?: HttpApi.HttpApi.Any
}

type StoreContext<Options> = Options extends { readonly store: Effect.Effect<any, any, infer R> } ? R : never
type FunctionContext<F> = F extends (...args: never) => infer T ? T extends Effect.Effect<any, any, infer R> ? R : never
  : never
type OwnContext<Options> =
  | StoreContext<Options>
  | (Options extends { readonly caller: infer F } ? FunctionContext<F> : never)
  | (Options extends { readonly fingerprint: infer F } ? FunctionContext<F> : never)
type RoutesContext<Options> = Options extends { readonly routes: ReadonlyArray<infer Route> }
  ? Route extends unknown ? OwnContext<Route> : never
  : never

/**
 * The services that the options of {@link idempotency} need: their stores, and what their functions use.
 *
 * @since 0.1.0
 * @category utility types
 */
export type IdempotencyContext<Options> =
  | OwnContext<Options>
  | RoutesContext<Options>
  | (Options extends { readonly store: Effect.Effect<any, any, any> } ? never : IdempotencyStore)

/**
 * Checks idempotency keys: a request that is sent twice acts once. The first request runs, and its response is stored. A retry
 * with the same key gets that response. Use it with `HttpServer.serve`, `HttpRouter.use`, one route, or several of them, **outside**
 * of {@link airlock} and of transactions; where it stands inside of `airlock`, the response is stored after its scope has settled.
 *
 * Without options, each request with a method other than GET, HEAD, OPTIONS and TRACE needs a key. The responses of the middleware
 * itself are `application/problem+json`, with a stable `code`.
 *
 * Throws an `IdempotencyOptionsError` if the options contradict each other.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpMiddleware, Idempotency } from "effect-airlock"
 *
 * declare const router: HttpRouter.HttpRouter
 *
 * const keys = HttpMiddleware.idempotency({
 *   ttl: "2 days",
 *   routes: [{ method: "POST", path: "/webhooks/:name", mode: "exempt" }]
 * })
 *
 * const Server = router.pipe(
 *   HttpServer.serve((app) => keys(HttpMiddleware.airlock(app))),
 *   Layer.provide(Idempotency.layerMemory())
 * )
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const idempotency = <const Options extends IdempotencyMiddlewareOptions = {}>(
  options?: Options & Exact<Options, IdempotencyMiddlewareOptions>
) => {
  const settings = settingsIn(options ?? {})
  return <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R | IdempotencyContext<Options>> =>
    idempotent(app, settings)
}

/** The same for hosts that build a middleware with an Effect. */
const idempotencyWith = <R>(options: IdempotencyMiddlewareOptions) => {
  const settings = settingsIn(options)
  return Effect.map(
    Effect.context<R>(),
    (context) => <E, R2>(app: HttpApp.Default<E, R2>) => idempotent(app, settings, context as Context.Context<never>)
  )
}

/**
 * The result of {@link idempotencyRouter}: a middleware whose `layer` is provided to some routes, or, with `global: true`, a Layer
 * that applies it to all routes.
 *
 * @since 0.1.0
 * @category utility types
 */
export type IdempotencyRouter<Options> = Options extends { readonly global: true } ? Layer.Layer<
    never,
    never,
    HttpLayerRouter.HttpRouter | Exclude<IdempotencyContext<Options>, RequestServices>
  >
  : HttpLayerRouter.Middleware<{
    provides: never
    handles: never
    error: never
    requires: never
    layerError: never
    layerRequires: Exclude<IdempotencyContext<Options>, RequestServices>
  }>

/**
 * {@link idempotency} for `HttpLayerRouter`. Provide its `layer` to the routes that need keys. With `global: true` (default:
 * `false`) it applies to all routes. It serves `HttpLayerRouter.addHttpApi` too, with the option `api`.
 *
 * @example
 * ```ts
 * import { HttpLayerRouter, HttpServerResponse } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpMiddleware, Idempotency } from "effect-airlock"
 *
 * const Orders = HttpLayerRouter.add("POST", "/orders", HttpServerResponse.text("ordered", { status: 201 })).pipe(
 *   Layer.provide(HttpMiddleware.idempotencyRouter().layer)
 * )
 *
 * const Server = HttpLayerRouter.serve(Orders).pipe(Layer.provide(Idempotency.layerMemory()))
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const idempotencyRouter = <
  const Options extends IdempotencyMiddlewareOptions & { readonly global?: boolean } = {}
>(
  options?: Options & Exact<Options, IdempotencyMiddlewareOptions & { readonly global?: boolean }>
): IdempotencyRouter<Options> => {
  const { global = false, ...http }: IdempotencyMiddlewareOptions & { readonly global?: boolean } = options ?? {}
  // The cases of `IdempotencyRouter`, as with `airlockRouterWith`.
  return HttpLayerRouter.middleware(idempotencyWith<Exclude<IdempotencyContext<Options>, RequestServices>>(http), {
    global
  }) as unknown as IdempotencyRouter<Options>
}

/**
 * {@link idempotency} for `HttpApiBuilder`, with the API whose endpoints and groups may be annotated with
 * `Idempotency.Endpoint`.
 *
 * @example
 * ```ts
 * import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "@effect/platform"
 * import { Layer } from "effect"
 * import { HttpMiddleware, Idempotency } from "effect-airlock"
 *
 * class Shop extends HttpApi.make("shop").add(
 *   HttpApiGroup.make("orders")
 *     .add(HttpApiEndpoint.post("create", "/orders"))
 *     .add(HttpApiEndpoint.post("search", "/orders/search").annotate(Idempotency.Endpoint, { mode: "exempt" }))
 * ) {}
 *
 * const Keys = HttpMiddleware.idempotencyApi(Shop).pipe(Layer.provide(Idempotency.layerMemory()))
 *
 * const Server = HttpApiBuilder.serve().pipe(Layer.provide(Keys))
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const idempotencyApi = <const Options extends Omit<IdempotencyMiddlewareOptions, "api"> = {}>(
  api: HttpApi.HttpApi.Any,
  options?: Options & Exact<Options, Omit<IdempotencyMiddlewareOptions, "api">>
): Layer.Layer<never, never, Exclude<IdempotencyContext<Options>, RequestServices>> =>
  HttpApiBuilder.middleware(
    idempotencyWith<Exclude<IdempotencyContext<Options>, RequestServices>>({ ...options, api })
  )

/**
 * Gives a streamed body a scope of its own. A body cannot enqueue into the scope of its request, which settles before the
 * first byte is sent.
 *
 * The scope opens when the body starts. If the body ends successfully, its intents leave before its end is sent. If it
 * breaks off, or the client disconnects, they are discarded. If an intent could not leave, the body fails with a
 * `FlushError`, which is also logged.
 *
 * The body has the services, the policies and the executor of the place where `airlockStream` is called. It is not part of
 * a SQL transaction that is open there.
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
> => Effect.map(bodyScope(body, options ?? {}), Stream.tapErrorCause(logFlushError))

/** On Node the platform ends a body that fails like a complete one, and logs the failure at debug level. */
const logFlushError = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Chunk.some(Cause.failures(cause), Predicate.isTagged("FlushError"))
    ? Effect.logError("Airlock: not all intents of the body left", cause)
    : Effect.void
