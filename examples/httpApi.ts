/**
 * An `HttpApi` on SQLite. Each request is a scope and each order a transaction. The receipt of an order leaves if its
 * request succeeds. The report of a wrong token leaves although its request fails.
 *
 * `npx tsx examples/httpApi.ts` serves it:
 *
 *     curl -i -H 'authorization: Bearer ada' -H 'content-type: application/json' -d '{"item":"book"}' localhost:3000/orders
 */
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSchema,
  HttpApiSecurity,
  HttpServer
} from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { Airlock, AirlockLive, HttpMiddleware, Task } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"

// ---------------------------------------------------------------- the API, which server and client share

export class OutOfStock extends Schema.TaggedError<OutOfStock>()(
  "OutOfStock",
  { item: Schema.String },
  HttpApiSchema.annotations({ status: 409 })
) {}

export class Unauthorized extends Schema.TaggedError<Unauthorized>()(
  "Unauthorized",
  {},
  HttpApiSchema.annotations({ status: 401 })
) {}

class User extends Context.Tag("httpApi/User")<User, { readonly email: string }>() {}

class Authorization extends HttpApiMiddleware.Tag<Authorization>()("httpApi/Authorization", {
  failure: Unauthorized,
  provides: User,
  security: { bearer: HttpApiSecurity.bearer }
}) {}

const Order = Schema.Struct({ id: Schema.Number, item: Schema.String })

export class Shop extends HttpApi.make("shop").add(
  HttpApiGroup.make("orders")
    .add(
      HttpApiEndpoint.post("place", "/orders")
        .setPayload(Schema.Struct({ item: Schema.NonEmptyString }))
        .addSuccess(Order, { status: 201 })
        .addError(OutOfStock)
    )
    .add(HttpApiEndpoint.get("list", "/orders").addSuccess(Schema.Array(Order)))
    .middleware(Authorization)
) {}

// ---------------------------------------------------------------- side effects

export const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number, email: Schema.String } })
export const ReportIntruder = Task.make("ReportIntruder", { payload: { token: Schema.String } })

const Tasks = Layer.mergeAll(
  SendReceipt.toLayer(({ email, orderId }) => Effect.log(`mail to ${email}: receipt of order ${orderId}`)),
  ReportIntruder.toLayer(({ token }) => Effect.log(`somebody tried the token ${token.slice(0, 3)}...`))
)

// ---------------------------------------------------------------- domain: nothing here uses HTTP

const place = Effect.fn("place")(function*(item: string, email: string) {
  const sql = yield* SqlClient.SqlClient
  const [order] = yield* sql<typeof Order.Type>`INSERT INTO orders (item) VALUES (${item}) RETURNING id, item`
  yield* Airlock.enqueue(SendReceipt, { orderId: order!.id, email })
  if (item === "unicorn") {
    return yield* new OutOfStock({ item })
  }
  return order!
}, (effect) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(effect)))

// ---------------------------------------------------------------- handlers

const Orders = HttpApiBuilder.group(
  Shop,
  "orders",
  (handlers) =>
    handlers
      .handle("place", ({ payload }) =>
        Effect.flatMap(User, ({ email }) =>
          place(payload.item, email)).pipe(Effect.catchTag("SqlError", Effect.die)))
      .handle("list", () =>
        Effect.flatMap(SqlClient.SqlClient, (sql) =>
          sql<typeof Order.Type>`SELECT id, item FROM orders`).pipe(
            Effect.orDie
          ))
)

// The API's own middleware runs in the scope of the request, which fails with the 401. So the report has an independent scope.
const AuthorizationLive = Layer.effect(
  Authorization,
  Effect.map(Airlock.Airlock, (airlock) => ({
    bearer: (token) =>
      Redacted.value(token) === "ada"
        ? Effect.succeed({ email: "ada@example.com" })
        : Airlock.enqueue(ReportIntruder, { token: Redacted.value(token) }).pipe(
          Airlock.scoped({ independent: true }),
          Effect.orDie,
          Effect.provideService(Airlock.Airlock, airlock),
          Effect.zipRight(new Unauthorized())
        )
  }))
)

// ---------------------------------------------------------------- the server: one Layer makes each request a scope

const Tables = Layer.effectDiscard(
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)`
  )
)

/** The database, whose transactions are scopes. */
export const data = (filename: string) =>
  Tables.pipe(Layer.provideMerge(SqlTransaction.layer), Layer.provideMerge(SqliteClient.layer({ filename })))

export const Server = HttpApiBuilder.serve().pipe(
  HttpServer.withLogAddress,
  Layer.provide(HttpApiBuilder.api(Shop)),
  Layer.provide(Orders),
  Layer.provide(AuthorizationLive),
  Layer.provide(HttpMiddleware.airlockApi)
)

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const Main = Server.pipe(
    Layer.provide(Tasks),
    Layer.provide(data("shop.db")),
    Layer.provide(AirlockLive),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 }))
  )
  NodeRuntime.runMain(Layer.launch(Main))
}
