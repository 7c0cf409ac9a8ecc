/**
 * A small shop. It takes orders over HTTP, stores them in SQLite, sends a receipt by mail and a note to the warehouse.
 * The domain code enqueues these side effects deep in a transaction. They leave when the transaction has committed and
 * the request has succeeded.
 */
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Effect, Layer, Schema } from "effect"
import { Airlock, AirlockLive, HttpMiddleware, Task } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"

// ---------------------------------------------------------------- side effects

export const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number, email: Schema.String } })
export const NotifyWarehouse = Task.make("NotifyWarehouse", { payload: { orderId: Schema.Number } })
export const SendGiftCard = Task.make("SendGiftCard", { payload: { orderId: Schema.Number } })

/** The mail server and the webhook that the side effects call. */
export class World extends Context.Tag("shop/World")<World, {
  readonly mail: (to: string, text: string) => Effect.Effect<void>
  readonly webhook: (text: string) => Effect.Effect<void>
}>() {}

export const Tasks = Layer.mergeAll(
  SendReceipt.toLayer(({ email, orderId }) =>
    Effect.flatMap(World, (_) => _.mail(email, `receipt of order ${orderId}`))
  ),
  NotifyWarehouse.toLayer(({ orderId }) => Effect.flatMap(World, (_) => _.webhook(`pack order ${orderId}`))),
  SendGiftCard.toLayer(({ orderId }) => Effect.flatMap(World, (_) => _.webhook(`gift card for order ${orderId}`)))
)

// ---------------------------------------------------------------- domain: nothing here uses HTTP or scopes

export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}

class NoCardsLeft extends Schema.TaggedError<NoCardsLeft>()("NoCardsLeft", {}) {}

const Order = Schema.Struct({ item: Schema.String, email: Schema.String, gift: Schema.optional(Schema.Boolean) })

const checkout = Effect.fn("checkout")(function*({ email, gift, item }: typeof Order.Type) {
  const sql = yield* SqlClient.SqlClient
  const [order] = yield* sql<{ id: number }>`INSERT INTO orders (item, email) VALUES (${item}, ${email}) RETURNING id`
  const orderId = order!.id
  yield* Airlock.enqueue(SendReceipt, { orderId, email })
  yield* Airlock.enqueue(NotifyWarehouse, { orderId })
  yield* Effect.log(`inserted order ${orderId}, enqueued its receipt and the note to the warehouse`)
  if (gift === true) {
    // A gift that fails must not fail the order. Only the gift's own row and intent are undone.
    yield* addGift(orderId).pipe(Effect.catchTag("NoCardsLeft", () => Effect.void))
  }
  const [stock] = yield* sql<{ left: number }>`UPDATE stock SET left = left - 1 WHERE item = ${item} RETURNING left`
  if (stock === undefined || stock.left < 0) {
    return yield* new OutOfStock({ item })
  }
  return { orderId }
}, (effect) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(effect)))

const addGift = Effect.fn("addGift")(function*(orderId: number) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO gifts (order_id) VALUES (${orderId})`
  yield* Airlock.enqueue(SendGiftCard, { orderId })
  return yield* new NoCardsLeft()
}, (effect) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(effect)))

// ---------------------------------------------------------------- HTTP: one line makes each request a scope

const router = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/orders",
    HttpServerRequest.schemaBodyJson(Order).pipe(
      Effect.flatMap(checkout),
      Effect.flatMap((order) => HttpServerResponse.json(order, { status: 201 })),
      Effect.catchTag("OutOfStock", ({ item }) => HttpServerResponse.json({ outOfStock: item }, { status: 409 }))
    )
  ),
  HttpRouter.get(
    "/orders",
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT id, item, email FROM orders`).pipe(
      Effect.flatMap((orders) => HttpServerResponse.json(orders))
    )
  )
)

export const Server = router.pipe(HttpServer.serve(HttpMiddleware.airlock))

/** The same server, with an Effect that runs after a request's handler and before its scope settles. */
export const serverWith = (before: Effect.Effect<void>) =>
  router.pipe(HttpRouter.use(Effect.tap(before)), HttpServer.serve(HttpMiddleware.airlock))

// ---------------------------------------------------------------- data: transactions are scopes

const schema = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  // The stand-in of better-sqlite3 in this repository does not wait for another process otherwise.
  yield* sql`PRAGMA busy_timeout = 5000`
  yield* sql`CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL, email TEXT NOT NULL)`
  yield* sql`CREATE TABLE IF NOT EXISTS gifts (order_id INTEGER NOT NULL REFERENCES orders (id))`
  yield* sql`CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, left INTEGER NOT NULL)`
  yield* sql`INSERT OR IGNORE INTO stock (item, left) VALUES ('book', 1000), ('unicorn', 0)`
}))

export const data = <E = never>(
  filename: string,
  airlock: Layer.Layer<Airlock.Airlock, E, SqlClient.SqlClient> = AirlockLive
) =>
  schema.pipe(
    Layer.provideMerge(SqlTransaction.layer),
    Layer.provideMerge(airlock),
    Layer.provideMerge(SqliteClient.layer({ filename }))
  )
