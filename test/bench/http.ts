/**
 * Compares a server with the middleware with the same server without it. Another process sends the requests over
 * sockets.
 */
import { HttpApp, HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Effect, FiberRef, Layer, Schema } from "effect"
import { Airlock, AirlockLive, HttpMiddleware, Task } from "effect-airlock"
import { fork } from "node:child_process"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import type { Load } from "./load.js"
import { median, report, rounds } from "./rounds.js"

const requests = 2_000
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

const scope = FiberRef.unsafeMake<object | undefined>(undefined)

/**
 * The least that such a middleware must do: set a FiberRef to the scope, and settle that scope before the response is
 * sent.
 */
const floor = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  FiberRef.set(scope, {}).pipe(
    Effect.zipRight(HttpApp.appendPreResponseHandler((_, response) => Effect.succeed(response))),
    Effect.zipRight(app)
  )

/** A handler that reads one row, as most handlers do at least. */
const reading = HttpRouter.empty.pipe(
  HttpRouter.get(
    "/",
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => Effect.as(sql`SELECT id, name FROM items WHERE id = 7`, HttpServerResponse.empty())
    )
  )
)

const items = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL)`
  yield* sql`INSERT INTO items VALUES (7, 'seven')`
})).pipe(Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })))

export const http: Effect.Effect<void> = Effect.gen(function*() {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(fileURLToPath(new URL("load.ts", import.meta.url)))),
    (child) => Effect.sync(() => child.kill())
  )
  const load = (port: number) =>
    Effect.async<Load>((resume) => {
      child.once("message", (load) => resume(Effect.succeed(load as Load)))
      child.send({ port, path: "/", requests, connections })
    })
  const loads = new Map<string, Array<Load>>()
  // Measures the CPU time of this process, the server. Time in which it waits for a core does not count.
  const contestant = (name: string, port: number) =>
    Effect.suspend(() => {
      const before = process.cpuUsage()
      return Effect.map(load(port), (load) => {
        loads.set(name, [...loads.get(name) ?? [], load])
        const { system, user } = process.cpuUsage(before)
        return (user + system) / 1000
      })
    })
  const medians = yield* rounds({
    without: contestant("without", yield* port(empty.pipe(HttpServer.serve()))),
    floor: contestant("floor", yield* port(empty.pipe(HttpServer.serve(floor)))),
    serve: contestant("serve", yield* port(empty.pipe(HttpServer.serve(HttpMiddleware.airlock)))),
    route: contestant("route", yield* port(empty.pipe(HttpRouter.use(HttpMiddleware.airlock), HttpServer.serve()))),
    enqueuing: contestant("enqueuing", yield* port(enqueuing.pipe(HttpServer.serve(HttpMiddleware.airlock)))),
    reading: contestant("reading", yield* port(reading.pipe(HttpServer.serve()))),
    readingServe: contestant("readingServe", yield* port(reading.pipe(HttpServer.serve(HttpMiddleware.airlock))))
  }, { rounds: 41, warmup: 4 })
  report(
    "HTTP throughput with the middleware at HttpServer.serve, of without",
    medians.without! / medians.serve!,
    "bar: at least 0.95"
  )
  report(
    "the same with one that does nothing but to set a FiberRef and a hook",
    medians.without! / medians.floor!,
    "no bar"
  )
  report(
    "HTTP throughput with the middleware at HttpRouter.use, of without",
    medians.without! / medians.route!,
    "bar: at least 0.95"
  )
  report(
    "the same at a handler that reads a row of SQLite, at HttpServer.serve",
    medians.reading! / medians.readingServe!,
    "bar: at least 0.97"
  )
  report("the same where each request enqueues and flushes an intent", medians.without! / medians.enqueuing!, "no bar")
  const of = (name: string, figure: keyof Load) => median(loads.get(name)!.map((load) => load[figure]))
  const p99 = (name: string) => of(name, "p99").toFixed(2)
  process.stdout.write(
    `  (by the clock, of without: ${(of("without", "millis") / of("serve", "millis")).toFixed(2)}; reading: ` +
      `${(of("reading", "millis") / of("readingServe", "millis")).toFixed(2)})\n` +
      `  (p99 in ms: empty ${p99("without")}, with the middleware ${p99("serve")}; ` +
      `reading ${p99("reading")}, with the middleware ${p99("readingServe")})\n`
  )
}).pipe(
  Effect.provide([Noop.toLayer(() => Effect.void).pipe(Layer.provideMerge(AirlockLive)), items]),
  Effect.scoped,
  Effect.orDie
)
