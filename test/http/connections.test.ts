/**
 * Requests and their connections: keep-alive, pipelining, HEAD and OPTIONS, web sockets, and a server that closes.
 */
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse, Socket } from "@effect/platform"
import { NodeSocket } from "@effect/platform-node"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Logger, Scope, Stream } from "effect"
import type { AirlockScope } from "effect-airlock"
import { Airlock, Executor, HttpMiddleware } from "effect-airlock"
import { connect } from "node:net"
import { serving, status } from "../support/http.js"
import { layer, left, note } from "../support/recorder.js"

type Router = HttpRouter.HttpRouter<unknown, Airlock.Airlock | AirlockScope>

const quiet = Logger.remove(Logger.defaultLogger)

/** Sends requests over one connection, and gives the status of each response. */
const exchange = (base: string, text: ReadonlyArray<string>, atOnce: boolean) =>
  Effect.async<ReadonlyArray<string>, Error>((resume) => {
    const { hostname, port } = new URL(base)
    const socket = connect(Number(port), hostname)
    const waiting = [...text]
    let got = ""
    const statuses = () => [...got.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status!)
    const next = () => {
      const line = waiting.shift()
      if (line !== undefined) {
        socket.write(line)
      }
    }
    socket.on("connect", () => atOnce ? socket.write(text.join("")) : next())
    socket.on("error", (error) => resume(Effect.fail(error)))
    socket.on("data", (data) => {
      got += data
      if (statuses().length === text.length) {
        socket.end()
      } else if (!atOnce) {
        next()
      }
    })
    socket.on("close", () => resume(Effect.succeed(statuses())))
  })

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

it.scopedLive("requests on one connection each settle once and get one response", () =>
  Effect.gen(function*() {
    const router: Router = HttpRouter.empty.pipe(
      HttpRouter.get(
        "/fine/:n",
        Effect.flatMap(HttpRouter.params, ({ n }) => Effect.zipRight(note(n!), HttpServerResponse.empty()))
      ),
      HttpRouter.get("/lost", Effect.zipRight(note("fail"), HttpServerResponse.empty()))
    )
    const telling = HttpMiddleware.airlockWith({ onFlushError: () => HttpServerResponse.empty({ status: 500 }) })
    const base = yield* serving(HttpServer.serve(router, telling))
    const answers = yield* exchange(base, [get("/fine/1"), get("/lost"), get("/none"), get("/fine/2")], false)
    expect(answers).toEqual(["204", "500", "404", "204"])
    expect(yield* left).toEqual(["1", "2"])
  }).pipe(Effect.provide([layer(), quiet])))

it.scopedLive("a pipelined request settles while an earlier one still runs", () =>
  Effect.gen(function*() {
    const second = yield* Deferred.make<void>()
    const router: Router = HttpRouter.empty.pipe(
      HttpRouter.get(
        "/first",
        Effect.zipRight(
          note("first"),
          Effect.zipRight(Deferred.await(second), HttpServerResponse.empty({ status: 409 }))
        )
      ),
      HttpRouter.get(
        "/second",
        Effect.zipRight(note("second"), Effect.as(Deferred.succeed(second, void 0), HttpServerResponse.empty()))
      )
    )
    const base = yield* serving(HttpServer.serve(router, HttpMiddleware.airlock))
    expect(yield* exchange(base, [get("/first"), get("/second")], true)).toEqual(["409", "204"])
    expect(yield* left).toEqual(["second"])
  }).pipe(Effect.provide([layer(), quiet])))

it.scopedLive("a HEAD request settles as the GET does, and runs no streamed body", () =>
  Effect.gen(function*() {
    const router: Router = HttpRouter.empty.pipe(
      HttpRouter.get(
        "/",
        note("head").pipe(
          Effect.zipRight(HttpMiddleware.airlockStream(Stream.encodeText(Stream.concat(
            Stream.execute(note("body")),
            Stream.make("body")
          )))),
          Effect.map((body) => HttpServerResponse.stream(body))
        )
      )
    )
    const base = yield* serving(HttpServer.serve(router, HttpMiddleware.airlock))
    expect(yield* status(base, "/", { method: "HEAD" })).toBe(200)
    expect(yield* left).toEqual(["head"])
  }).pipe(Effect.provide([layer(), quiet])))

it.scopedLive("an OPTIONS request that cors answers enqueues nothing, with cors outside or inside the middleware", () =>
  Effect.gen(function*() {
    const cors = HttpMiddleware.cors({ allowedOrigins: ["http://a"] })
    const router: Router = HttpRouter.empty.pipe(
      HttpRouter.get("/", Effect.zipRight(note("get"), HttpServerResponse.empty()))
    )
    for (
      const serve of [
        HttpServer.serve(router, (app) => cors(HttpMiddleware.airlock(app))),
        HttpServer.serve(router, (app) => HttpMiddleware.airlock(cors(app)))
      ]
    ) {
      const base = yield* serving(serve)
      for (const method of ["OPTIONS", "GET"]) {
        const response = yield* Effect.promise(() => fetch(base, { method, headers: { origin: "http://a" } }))
        expect([response.status, response.headers.get("access-control-allow-origin")]).toEqual([204, "http://a"])
      }
    }
    expect(yield* left).toEqual(["get", "get"])
  }).pipe(Effect.provide([layer(), quiet])))

it.scopedLive("a web socket's scope settles when the socket closes, and an independent scope settles for each message", () =>
  Effect.gen(function*() {
    const heard = yield* Deferred.make<void>()
    const closed = yield* Deferred.make<void>()
    const router: Router = HttpRouter.empty.pipe(
      HttpRouter.get(
        "/",
        Effect.gen(function*() {
          // The request's scope settles before the finalizers of its Effect Scope run.
          yield* Effect.addFinalizer(() => Deferred.succeed(closed, void 0))
          yield* note("connection")
          const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)
          yield* socket.run((message) =>
            note(new TextDecoder().decode(message)).pipe(
              Airlock.scoped({ independent: true }),
              Effect.zipRight(Deferred.succeed(heard, void 0)),
              Effect.orDie
            )
          ).pipe(Effect.catchIf(Socket.SocketCloseError.is, () => Effect.void))
          return HttpServerResponse.empty()
        })
      )
    )
    const base = yield* serving(HttpServer.serve(router, HttpMiddleware.airlock))
    yield* Effect.scoped(Effect.gen(function*() {
      const client = yield* Socket.makeWebSocket(base.replace("http", "ws"))
      const run = yield* Effect.fork(client.run(() => Effect.void))
      const write = yield* client.writer
      yield* write("message")
      yield* Deferred.await(heard)
      expect(yield* left).toEqual(["message"])
      yield* write(new Socket.CloseEvent(1000))
      yield* Fiber.await(run)
    })).pipe(Effect.provide(NodeSocket.layerWebSocketConstructor))
    yield* Deferred.await(closed)
    expect(yield* left).toEqual(["message", "connection"])
  }).pipe(Effect.provide([layer(), quiet])))

it.scopedLive("a server that closes lets running requests end, and their intents leave", () =>
  Effect.gen(function*() {
    const [begun, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
    const router: Router = HttpRouter.empty.pipe(
      HttpRouter.get(
        "/",
        Effect.zipRight(Deferred.succeed(begun, void 0), Deferred.await(go)).pipe(
          Effect.zipRight(note("late")),
          Effect.zipRight(HttpServerResponse.empty({ headers: { connection: "close" } }))
        )
      )
    )
    const server = yield* Scope.make()
    const base = yield* serving(HttpServer.serve(router, HttpMiddleware.airlock)).pipe(Scope.extend(server))
    const request = yield* Effect.fork(status(base, "/"))
    yield* Deferred.await(begun)
    const closing = yield* Effect.fork(Scope.close(server, Exit.void))
    yield* Effect.yieldNow()
    yield* Deferred.succeed(go, void 0)
    expect(yield* Fiber.join(request)).toBe(204)
    yield* Fiber.join(closing)
    expect(yield* left).toEqual(["late"])
  }).pipe(Effect.provide([layer(), quiet])))

it.scopedLive("a client that closes the connection during the dispatch does not stop it", () =>
  Effect.gen(function*() {
    const [dispatching, go, done] = yield* Effect.all([
      Deferred.make<void>(),
      Deferred.make<void>(),
      Deferred.make<number>()
    ])
    const slow = Executor.make({
      name: "slow",
      dispatch: (intents) =>
        Deferred.succeed(dispatching, void 0).pipe(
          Effect.zipRight(Deferred.await(go)),
          Effect.zipRight(Deferred.succeed(done, intents.length)),
          Effect.as(intents.map(() => Exit.void))
        )
    })
    const router: Router = HttpRouter.empty.pipe(
      HttpRouter.get("/", Effect.zipRight(note("a"), HttpServerResponse.empty()))
    )
    const base = yield* serving(HttpServer.serve(router, HttpMiddleware.airlockWith({ executor: slow })))
    const request = yield* Effect.fork(status(base, "/"))
    yield* Deferred.await(dispatching)
    yield* Fiber.interrupt(request)
    yield* Deferred.succeed(go, void 0)
    expect(yield* Deferred.await(done)).toBe(1)
  }).pipe(Effect.provide([layer(), quiet])))
