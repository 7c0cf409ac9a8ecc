/**
 * Every position of the middleware, on Node over a socket and as a web handler.
 */
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSchema,
  HttpApp,
  HttpLayerRouter,
  HttpRouter,
  HttpServer,
  type HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "@effect/platform"
import { Effect, Layer, Schema, type Scope } from "effect"
import type { AirlockScope } from "effect-airlock"
import { type Airlock, HttpMiddleware } from "effect-airlock"
import { serving } from "./http.js"

/** An error that an API declares with its status. Elsewhere the error gives its own response. */
export class Missing extends Schema.TaggedError<Missing>()("Missing", {}, HttpApiSchema.annotations({ status: 404 })) {
  [HttpServerRespondable.symbol]() {
    return HttpServerResponse.empty({ status: 404 })
  }
}

export class Moved extends Schema.TaggedError<Moved>()("Moved", {}, HttpApiSchema.annotations({ status: 303 })) {
  [HttpServerRespondable.symbol]() {
    return HttpServerResponse.empty({ status: 303 })
  }
}

/** The handler of `/:ending`. */
export type Handler = (ending: string) => Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  unknown,
  AirlockScope | Airlock.Airlock | HttpServerRequest.HttpServerRequest | Scope.Scope
>

/** Requests a path as a client, and gives the response. On Node it goes through a socket. */
export type Ask = (path: string, init?: RequestInit) => Promise<Response>

type Host = (handler: Handler) => Effect.Effect<Ask, never, Scope.Scope | Airlock.Airlock>

export interface Position {
  readonly node: Host
  readonly web: Host
}

type App = HttpApp.Default<unknown, any>

const onNode = (serve: Layer.Layer<never, never, any>): ReturnType<Host> =>
  Effect.map(
    Effect.orDie(serving(serve as Layer.Layer<never, never, HttpServer.HttpServer>)),
    (base): Ask => (path, init) => fetch(`${base}${path}`, { redirect: "manual", ...init })
  )

const asWeb = (
  make: (services: Layer.Layer<any>) => {
    readonly handler: (request: Request) => Promise<Response>
    readonly dispose: () => Promise<void>
  }
): ReturnType<Host> =>
  Effect.flatMap(Effect.context<Airlock.Airlock>(), (context) => {
    const { dispose, handler } = make(Layer.succeedContext(context))
    return Effect.as(
      Effect.addFinalizer(() => Effect.promise(dispose)),
      ((path, init) => handler(new Request(`http://localhost${path}`, init))) satisfies Ask
    )
  })

const routerOf = (handler: Handler, around: (app: App) => App = (app) => app): HttpRouter.HttpRouter<any, any> =>
  HttpRouter.empty.pipe(
    HttpRouter.get("/:ending", around(Effect.flatMap(HttpRouter.params, ({ ending }) => handler(ending!))))
  )

class Api extends HttpApi.make("api").add(
  HttpApiGroup.make("all").add(
    HttpApiEndpoint.get("ending")`/${HttpApiSchema.param("ending", Schema.String)}`
      .addSuccess(Schema.Void).addError(Missing).addError(Moved)
  )
) {}

const groupOf = (handler: Handler) =>
  HttpApiBuilder.group(Api, "all", (handlers) =>
    // The API declares two errors. The test ends its handler in other ways too, hence the cast.
    handlers.handle("ending", ({ path }) => handler(path.ending) as Effect.Effect<never, never, AirlockScope>))

export const positions = (options?: HttpMiddleware.AirlockHttpOptions<never>): Record<string, Position> => {
  const placed: (self: App) => App = options === undefined
    ? HttpMiddleware.airlock
    : HttpMiddleware.airlockWith(options)
  const ofApp = (appOf: (handler: Handler) => App, middleware: (app: App) => App): Position => ({
    node: (handler) => onNode(HttpServer.serve(appOf(handler), middleware)),
    web: (handler) =>
      asWeb((services) => HttpApp.toWebHandlerLayer(appOf(handler), services, { middleware: middleware as never }))
  })
  const same = (app: App): App => app
  const ofRouter = (routes: (handler: Handler) => Layer.Layer<never, never, any>): Position => ({
    node: (handler) => onNode(HttpLayerRouter.serve(routes(handler), { disableLogger: true, disableListenLog: true })),
    web: (handler) =>
      asWeb((services) =>
        HttpLayerRouter.toWebHandler(Layer.provide(routes(handler), services), { disableLogger: true }) as never
      )
  })
  const layered = (handler: Handler) =>
    HttpLayerRouter.add("GET", "/:ending", Effect.flatMap(HttpRouter.params, ({ ending }) => handler(ending!)))
  const router = options === undefined ? HttpMiddleware.airlockRouter : HttpMiddleware.airlockRouterWith(options)
  const global = HttpMiddleware.airlockRouterWith({ ...options, global: true })
  const api = options === undefined ? HttpMiddleware.airlockApi : HttpMiddleware.airlockApiWith(options)
  return {
    "HttpServer.serve": ofApp(routerOf, placed),
    "HttpRouter.use": ofApp((handler) => HttpRouter.use(routerOf(handler), placed), same),
    "one route": ofApp((handler) => routerOf(handler, placed), same),
    both: ofApp((handler) => HttpRouter.use(routerOf(handler), placed), placed),
    "toWebHandler(airlock(app))": ofApp((handler) => placed(routerOf(handler)), same),
    airlockRouter: ofRouter((handler) => Layer.provide(layered(handler), router.layer)),
    "airlockRouter, global": ofRouter((handler) => Layer.provide(layered(handler), global)),
    airlockApi: {
      node: (handler) =>
        onNode(
          HttpApiBuilder.serve().pipe(
            Layer.provide(HttpApiBuilder.api(Api)),
            Layer.provide(groupOf(handler)),
            Layer.provide(api)
          )
        ),
      web: (handler) =>
        asWeb((services) =>
          HttpApiBuilder.toWebHandler(
            Layer.mergeAll(
              HttpApiBuilder.api(Api).pipe(Layer.provide(groupOf(handler)), Layer.provide(api)),
              HttpServer.layerContext
            ).pipe(Layer.provide(services))
          )
        )
    }
  }
}
