/**
 * Compares a route that writes one row of SQLite with the same route under idempotency keys. Each request has a key of its own, so
 * each one runs, and its response is stored.
 */
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Effect, Layer, Schema } from "effect"
import { AirlockLive, HttpMiddleware, Idempotency } from "effect-airlock"
import * as IdempotencySql from "effect-airlock/IdempotencySql"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { fork } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Load } from "./load.js"
import { report, rounds } from "./rounds.js"

const requests = 2_000
const connections = 32

const Item = Schema.Struct({ name: Schema.String, count: Schema.Number })

const router = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { count, name } = yield* HttpServerRequest.schemaBodyJson(Item)
      yield* sql`INSERT INTO items (name, count) VALUES (${name}, ${count})`
      return HttpServerResponse.empty()
    })
  )
)

const port = <E, R>(server: Layer.Layer<never, E, R>) =>
  Effect.map(Layer.build(Layer.provideMerge(server, NodeHttpServer.layer(createServer, { port: 0 }))), (context) => {
    const { address } = Context.get(context as Context.Context<HttpServer.HttpServer>, HttpServer.HttpServer)
    return address._tag === "TcpAddress" ? address.port : 0
  })

const directory = mkdtempSync(join(tmpdir(), "airlock-bench-"))

const data = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, count INTEGER NOT NULL)`
  yield* IdempotencySql.migrate()
})).pipe(
  Layer.provideMerge(SqlTransaction.layer),
  Layer.provideMerge(AirlockLive),
  Layer.provideMerge(SqliteClient.layer({ filename: join(directory, "bench.db") }))
)

export const idempotency: Effect.Effect<void> = Effect.gen(function*() {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(fileURLToPath(new URL("load.ts", import.meta.url)))),
    (child) => Effect.sync(() => child.kill())
  )
  const load = (port: number) =>
    Effect.async<Load>((resume) => {
      child.once("message", (load) => resume(Effect.succeed(load as Load)))
      child.send({ port, path: "/", requests, connections, posts: true })
    })
  // Measures the CPU time of this process, the server. Time in which it waits for a core does not count.
  const contestant = (port: number) =>
    Effect.suspend(() => {
      const before = process.cpuUsage()
      return Effect.map(load(port), () => {
        const { system, user } = process.cpuUsage(before)
        return (user + system) / 1000
      })
    })
  const keys = HttpMiddleware.idempotency()
  const medians = yield* rounds({
    without: contestant(yield* port(router.pipe(HttpServer.serve()))),
    memory: contestant(
      yield* port(router.pipe(HttpServer.serve(keys), Layer.provide(Idempotency.layerMemory({ maxRecords: 5_000 }))))
    ),
    sql: contestant(yield* port(router.pipe(HttpServer.serve(keys), Layer.provide(IdempotencySql.layer()))))
  }, { rounds: 31, warmup: 4 })
  report(
    "HTTP throughput of a route that writes a row of SQLite, with keys in memory",
    medians.without! / medians.memory!,
    "bar: at least 0.90"
  )
  report("the same with keys in the same database", medians.without! / medians.sql!, "no bar")
  process.stdout.write(
    `  (CPU time of a request: ${
      ["without", "memory", "sql"].map((name) => `${name} ${(medians[name]! / requests * 1000).toFixed(0)} us`).join(
        ", "
      )
    })\n`
  )
}).pipe(
  Effect.provide(data),
  Effect.scoped,
  Effect.ensuring(Effect.sync(() => rmSync(directory, { recursive: true, force: true }))),
  Effect.orDie
)
