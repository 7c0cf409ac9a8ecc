/**
 * A process that serves orders under idempotency keys, and tells what it does on its standard output. An order is a row and a mail,
 * which an outbox stores in the transaction of the row.
 */
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { MysqlClient } from "@effect/sql-mysql2"
import { PgClient } from "@effect/sql-pg"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { SqlClient } from "@effect/sql/SqlClient"
import { type Duration, Effect, Layer, Redacted, Schema } from "effect"
import { Airlock, HttpMiddleware, Task } from "effect-airlock"
import * as HttpTransaction from "effect-airlock/HttpTransaction"
import * as IdempotencyRedis from "effect-airlock/IdempotencyRedis"
import * as IdempotencySql from "effect-airlock/IdempotencySql"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { Redis } from "ioredis"
import { createServer } from "node:http"

export interface IdempotencyProgram {
  readonly dialect: "pg" | "mysql" | "sqlite"
  readonly database: string
  /** The address and the prefix of keys in Redis. Default: keys are in the database. */
  readonly redis?: { readonly url: string, readonly prefix: string }
  /** Where a handler stops for ever. */
  readonly stopAt?: "before the commit" | "after the commit"
  /** Whether the transaction is one per request. */
  readonly perRequest?: boolean
  readonly wait?: boolean
  /** Default: 500 milliseconds. */
  readonly lease?: Duration.DurationInput
}

export type IdempotencyEvent =
  | { readonly is: "listening", readonly port: number }
  | { readonly is: "run" }
  | { readonly is: "stopped" }

export const OrderMail = Task.make("OrderMail", { payload: { name: Schema.String } })

const run = (program: IdempotencyProgram): void => {
  const tell = (event: IdempotencyEvent): void => {
    process.stdout.write(`${JSON.stringify(event)}\n`)
  }

  const stop = (at: IdempotencyProgram["stopAt"]) =>
    program.stopAt === at
      ? Effect.zipRight(Effect.sync(() => tell({ is: "stopped" })), Effect.never)
      : Effect.void

  const insert = Effect.gen(function*() {
    tell({ is: "run" })
    const sql = yield* SqlClient
    const { text } = yield* HttpServerRequest.HttpServerRequest
    const name = yield* text
    yield* sql`INSERT INTO orders (name) VALUES (${name})`
    yield* Airlock.enqueue(OrderMail, { name })
    yield* stop("before the commit")
    return HttpServerResponse.text(`ordered ${name}`, { status: 201 })
  })

  const handler =
    (program.perRequest === true ? HttpTransaction.perRequest(insert) : SqlTransaction.transaction(insert))
      .pipe(Effect.tap(() => stop("after the commit")))

  const client = (): Layer.Layer<SqlClient, unknown> => {
    switch (program.dialect) {
      case "pg":
        return PgClient.layer({ url: Redacted.make(program.database), maxConnections: 4 })
      case "mysql":
        return MysqlClient.layer({ url: Redacted.make(program.database), maxConnections: 4 })
      case "sqlite":
        return SqliteClient.layer({ filename: program.database })
    }
  }

  const keys = program.redis === undefined
    ? IdempotencySql.layer()
    : IdempotencyRedis.layer({ client: new Redis(program.redis.url), prefix: program.redis.prefix })

  const middleware = HttpMiddleware.idempotency({
    lease: program.lease ?? "500 millis",
    ...(program.wait === true && { inFlight: { wait: "20 seconds" } })
  })

  HttpRouter.empty.pipe(
    HttpRouter.post("/orders", handler),
    HttpServer.serve((app) => middleware(HttpMiddleware.airlock(app))),
    Layer.provideMerge(
      Layer.effectDiscard(
        Effect.map(
          HttpServer.HttpServer,
          ({ address }) => tell({ is: "listening", port: address._tag === "TcpAddress" ? address.port : 0 })
        )
      )
    ),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.provide(keys),
    Layer.provide(SqlTransaction.layer),
    Layer.provide(Outbox.live({ heldTimeout: "500 millis" })),
    Layer.provide(client()),
    Layer.launch,
    NodeRuntime.runMain({ disablePrettyLogger: true })
  )
}

// Tests import the types and the task.
if (process.argv[2]?.startsWith("{")) {
  run(JSON.parse(process.argv[2]) as IdempotencyProgram)
}
