/** A server with the middleware beside the same one without it, asked over sockets from another process. */
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer, Schema } from "effect"
import { Airlock, AirlockLive, HttpMiddleware, Task } from "effect-airlock"
import { fork } from "node:child_process"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { report, rounds } from "./rounds.js"

const requests = 8_000
const connections = 32

const Noop = Task.make("Noop", { payload: { n: Schema.Number } })

const empty = HttpRouter.empty.pipe(HttpRouter.get("/", HttpServerResponse.empty()))

const enqueuing = HttpRouter.empty.pipe(
  HttpRouter.get("/", Effect.zipRight(Airlock.enqueue(Noop, { n: 1 }), HttpServerResponse.empty()))
)

const port = <E, R>(server: Layer.Layer<never, E, R>) =>
  Effect.map(Layer.build(Layer.provideMerge(server, NodeHttpServer.layer(createServer, { port: 0 }))), (context) => {
    const { address } = Context.get(context as Context.Context<HttpServer.HttpServer>, HttpServer.HttpServer)
    return address._tag === "TcpAddress" ? address.port : 0
  })

export const http: Effect.Effect<void> = Effect.gen(function*() {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(fileURLToPath(new URL("load.ts", import.meta.url)))),
    (child) => Effect.sync(() => child.kill())
  )
  const load = (port: number) =>
    Effect.async<number>((resume) => {
      child.once("message", (millis) => resume(Effect.succeed(Number(millis))))
      child.send({ port, path: "/", requests, connections })
    })
  const medians = yield* rounds({
    without: load(yield* port(empty.pipe(HttpServer.serve()))),
    serve: load(yield* port(empty.pipe(HttpServer.serve(HttpMiddleware.airlock)))),
    route: load(yield* port(empty.pipe(HttpRouter.use(HttpMiddleware.airlock), HttpServer.serve()))),
    enqueuing: load(yield* port(enqueuing.pipe(HttpServer.serve(HttpMiddleware.airlock))))
  }, { rounds: 21, warmup: 4 })
  report(
    "HTTP throughput with the middleware at HttpServer.serve, of without",
    medians.without! / medians.serve!,
    "bar: at least 0.93"
  )
  report(
    "HTTP throughput with the middleware at HttpRouter.use, of without",
    medians.without! / medians.route!,
    "bar: at least 0.93"
  )
  report("the same where each request enqueues and flushes an intent", medians.without! / medians.enqueuing!, "no bar")
}).pipe(
  Effect.provide(Noop.toLayer(() => Effect.void).pipe(Layer.provideMerge(AirlockLive))),
  Effect.scoped,
  Effect.orDie
)
