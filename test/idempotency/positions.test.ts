/**
 * Every place where the middleware can stand.
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
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Schema, type Scope } from "effect"
import { Airlock, HttpMiddleware, Idempotency } from "effect-airlock"
import { serving } from "../support/http.js"
import { type App, post } from "../support/idempotencyHosts.js"
import { quiet } from "../support/idempotencyPlaces.js"
import { onEachStore, type StoreLayer } from "../support/idempotencyStores.js"
import { layer as recorder, type Left, left, note } from "../support/recorder.js"

interface Sent {
  readonly status: number
  readonly text: string
  readonly replayed: boolean
}

type Send = (path: string, init: RequestInit) => Effect.Effect<Sent>

const sentBy = (fetching: (path: string, init: RequestInit) => Promise<Response>): Send => (path, init) =>
  Effect.promise(async () => {
    const response = await fetching(path, init)
    return {
      status: response.status,
      text: await response.text(),
      replayed: response.headers.get("idempotency-replayed") === "true"
    }
  })

type Handler = Effect.Effect<HttpServerResponse.HttpServerResponse, any, any>
type Services = Airlock.Airlock | Left | Idempotency.IdempotencyStore
type Host = (handler: Handler) => Effect.Effect<Send, never, Scope.Scope | Services>

const onNode = (serve: Layer.Layer<never, never, any>): ReturnType<Host> =>
  Effect.flatMap(Effect.context<Services>(), (context) =>
    Effect.map(
      Effect.orDie(serving(
        serve.pipe(
          Layer.provide(Layer.succeedContext(context)),
          Layer.provide(Airlock.unchecked)
        ) as Layer.Layer<never, never, HttpServer.HttpServer>
      )),
      (base) => sentBy((path, init) => fetch(`${base}${path}`, init))
    ))

const asWeb = (
  make: (services: Layer.Layer<any>) => {
    readonly handler: (request: Request) => Promise<Response>
    readonly dispose: () => Promise<void>
  }
): ReturnType<Host> =>
  Effect.flatMap(Effect.context<Services>(), (context) => {
    const { dispose, handler } = make(Layer.merge(Layer.succeedContext(context), Airlock.unchecked))
    return Effect.as(
      Effect.addFinalizer(() => Effect.promise(dispose)),
      sentBy((path, init) => handler(new Request(`http://localhost${path}`, init)))
    )
  })

class Missing extends Schema.TaggedError<Missing>()("Missing", {}, HttpApiSchema.annotations({ status: 404 })) {}

class Api extends HttpApi.make("api").add(
  HttpApiGroup.make("orders")
    .add(
      HttpApiEndpoint.post("create", "/orders").addSuccess(Schema.String).addError(Missing)
        .setPayload(Schema.Struct({ name: Schema.String }))
    )
    .add(
      HttpApiEndpoint.post("search", "/search").addSuccess(Schema.String).annotate(Idempotency.Endpoint, {
        mode: "exempt"
      })
    )
).add(
  HttpApiGroup.make("open").add(HttpApiEndpoint.post("ping", "/ping").addSuccess(Schema.String))
    .annotate(Idempotency.Endpoint, { mode: "exempt" })
) {}

const keys = HttpMiddleware.idempotency()

const routes = (handler: Handler): App =>
  HttpRouter.empty.pipe(
    HttpRouter.mountApp("/v1", HttpRouter.empty.pipe(HttpRouter.post("/orders", handler)) as never),
    HttpRouter.mountApp("/v2", HttpRouter.empty.pipe(HttpRouter.post("/orders", handler)) as never),
    HttpRouter.post("/orders", handler)
  ) as App

const ofApp = (app: (handler: Handler) => App, middleware: (app: App) => App) => ({
  Node: (handler: Handler) => onNode(HttpServer.serve(app(handler), middleware as never) as never),
  toWebHandler: (handler: Handler) =>
    asWeb((services) => HttpApp.toWebHandlerLayer(app(handler), services, { middleware: middleware as never }))
})

const ofRouter = (layer: (handler: Handler) => Layer.Layer<never, never, any>) => ({
  Node: (handler: Handler) =>
    onNode(HttpLayerRouter.serve(layer(handler), { disableLogger: true, disableListenLog: true })),
  toWebHandler: (handler: Handler) =>
    asWeb((services) =>
      HttpLayerRouter.toWebHandler(Layer.provide(layer(handler), services), { disableLogger: true }) as never
    )
})

const added = (handler: Handler) => HttpLayerRouter.add("POST", "/orders", handler)

const { airlock, airlockApi, airlockRouter, airlockRouterWith, idempotencyApi, idempotencyRouter } = HttpMiddleware

const airlockGlobal = airlockRouterWith({ global: true })

const positions: Record<string, Record<"Node" | "toWebHandler", Host>> = {
  "HttpServer.serve, outside of airlock": ofApp(routes, (app) => keys(airlock(app)) as App),
  "HttpServer.serve, inside of airlock": ofApp(routes, (app) => airlock(keys(app)) as App),
  "HttpServer.serve, with airlock at the router": ofApp(
    (handler) => HttpRouter.use(routes(handler) as never, airlock as never) as never,
    (app) => keys(app)
  ),
  "HttpRouter.use, with airlock at the server": ofApp(
    (handler) => HttpRouter.use(routes(handler) as never, keys as never) as never,
    (app) => airlock(app) as App
  ),
  "one route, with airlock around the router": ofApp(
    (handler) => HttpRouter.use(routes(keys(handler)) as never, airlock as never) as never,
    (app) => app
  ),
  "one route, with airlock inside": ofApp((handler) => routes(keys(airlock(handler as App))), (app) => app),
  "around the app": ofApp((handler) => keys(airlock(routes(handler))) as App, (app) => app),
  "idempotencyRouter around airlockRouter": ofRouter((handler) =>
    added(handler).pipe(Layer.provide(airlockRouter.layer), Layer.provide(idempotencyRouter().layer)) as never
  ),
  "idempotencyRouter in a global airlockRouter": ofRouter((handler) =>
    added(handler).pipe(Layer.provide(idempotencyRouter().layer), Layer.provide(airlockGlobal)) as never
  ),
  "a global idempotencyRouter": ofRouter((handler) =>
    added(handler).pipe(
      Layer.provide(airlockRouter.layer),
      Layer.provide(idempotencyRouter({ global: true }))
    ) as never
  )
}

const testPositions = (store: StoreLayer) => {
  for (const [position, hosts] of Object.entries(positions)) {
    for (const [name, host] of Object.entries(hosts)) {
      describe(`the middleware at ${position}, on ${name}`, () => {
        it.scopedLive("replays a response whose effects have left, and frees the key of a failure", () =>
          Effect.gen(function*() {
            let runs = 0
            const handler = Effect.gen(function*() {
              const { text } = yield* HttpServerRequest.HttpServerRequest
              const body = yield* text
              yield* note(`run ${++runs}`)
              return body === "fail" && runs === 1
                ? yield* Effect.fail("oops")
                : HttpServerResponse.text(`run ${runs}`, { status: 201 })
            })
            const send = yield* host(handler)
            const of = (key: string, body: string) => post(key, { body })
            expect((yield* send("/orders", post())).status).toBe(400)
            expect((yield* send("/orders", of("a", "fail"))).status).toBe(500)
            expect(yield* left).toEqual([])
            expect(yield* send("/orders", of("a", "fail"))).toEqual({ status: 201, text: "run 2", replayed: false })
            expect(yield* send("/orders", of("a", "fail"))).toEqual({ status: 201, text: "run 2", replayed: true })
            expect(yield* left).toEqual(["run 2"])
            expect((yield* send("/orders", of("a", "other"))).status).toBe(422)
            if (!position.includes("Router")) {
              expect((yield* send("/v1/orders", of("a", "x"))).text).toBe("run 3")
              expect((yield* send("/v2/orders", of("a", "x"))).text).toBe("run 4")
              expect((yield* send("/v1/orders", of("a", "x"))).text).toBe("run 3")
            }
          }).pipe(Effect.provide([recorder(), quiet, store()])))
      })
    }
  }
}

const group = (handler: Effect.Effect<string, any, any>) =>
  Layer.mergeAll(
    HttpApiBuilder.group(Api, "orders", (handlers) =>
      handlers.handle("create", () =>
        handler as Effect.Effect<string, Missing>).handle(
          "search",
          () =>
            handler as Effect.Effect<string>
        )),
    HttpApiBuilder.group(Api, "open", (handlers) =>
      handlers.handle("ping", () => handler as Effect.Effect<string>))
  )

const apis: Record<string, (handler: Effect.Effect<string, any, any>) => ReturnType<Host>> = {
  "HttpApiBuilder.serve": (handler) =>
    onNode(
      HttpApiBuilder.serve().pipe(
        Layer.provide(HttpApiBuilder.api(Api)),
        Layer.provide(group(handler)),
        Layer.provide(airlockApi),
        Layer.provide(idempotencyApi(Api))
      ) as never
    ),
  "HttpApiBuilder.serve, in the other order": (handler) =>
    onNode(
      HttpApiBuilder.serve().pipe(
        Layer.provide(HttpApiBuilder.api(Api)),
        Layer.provide(group(handler)),
        Layer.provide(idempotencyApi(Api)),
        Layer.provide(airlockApi)
      ) as never
    ),
  "HttpApiBuilder.toWebHandler": (handler) =>
    asWeb((services) =>
      HttpApiBuilder.toWebHandler(
        Layer.mergeAll(
          HttpApiBuilder.api(Api).pipe(
            Layer.provide(group(handler)),
            Layer.provide(airlockApi),
            Layer.provide(idempotencyApi(Api))
          ),
          HttpServer.layerContext
        ).pipe(Layer.provide(services)) as never
      )
    ),
  "HttpLayerRouter.addHttpApi": (handler) =>
    onNode(
      HttpLayerRouter.serve(
        HttpLayerRouter.addHttpApi(Api).pipe(
          Layer.provide(group(handler)),
          Layer.provide(airlockRouter.layer),
          Layer.provide(idempotencyRouter({ api: Api }).layer),
          Layer.provide(HttpServer.layerContext)
        ),
        { disableLogger: true, disableListenLog: true }
      ) as never
    )
}

const testApis = (store: StoreLayer) => {
  for (const [name, api] of Object.entries(apis)) {
    describe(`an HttpApi on ${name}`, () => {
      it.scopedLive("has keys by the annotations of its endpoints and groups", () =>
        Effect.gen(function*() {
          let runs = 0
          const send = yield* api(
            Effect.suspend(() =>
              ++runs === 3 ? Effect.fail(new Missing()) : Effect.as(note(`run ${runs}`), `run ${runs}`)
            )
          )
          const json = (key?: string) =>
            post(key, { body: `{"name":"a"}`, headers: { "content-type": "application/json" } })
          expect((yield* send("/orders", json())).status).toBe(400)
          expect(yield* send("/orders", json("a"))).toEqual({ status: 200, text: `"run 1"`, replayed: false })
          expect(yield* send("/orders", json("a"))).toEqual({ status: 200, text: `"run 1"`, replayed: true })
          expect((yield* send("/search", json())).text).toBe(`"run 2"`)
          // A declared error is stored as the response that it becomes.
          const missing = yield* send("/orders", json("b"))
          expect(missing.status).toBe(404)
          expect(yield* send("/orders", json("b"))).toEqual({ ...missing, replayed: true })
          expect((yield* send("/ping", json("c"))).text).toBe(`"run 4"`)
          expect((yield* send("/ping", json("c"))).text).toBe(`"run 5"`)
          expect(yield* left).toEqual(["run 1", "run 2", "run 4", "run 5"])
        }).pipe(Effect.provide([recorder(), quiet, store()])))
    })
  }
}

onEachStore((store) => {
  testPositions(store)
  testApis(store)
})

describe("annotations of an HttpApi", () => {
  it("may not contradict the routes of the middleware", () => {
    expect(() => idempotencyApi(Api, { routes: [{ method: "POST", path: "/search", mode: "required" }] })).toThrow(
      "POST /search is required by routes[0], and exempt by the annotation of the endpoint \"search\""
    )
    expect(() => idempotencyRouter({ api: Api, routes: [{ path: "/ping", mode: "optional" }] })).toThrow(
      "Declare it once"
    )
  })
})
