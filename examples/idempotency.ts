/**
 * `npx tsx examples/idempotency.ts` sends an order three times with one idempotency key, and once with another body. The shop stores
 * one order and sends one receipt. Orders, keys and intents are in one SQLite database.
 */
import { HttpApp, HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Console, Effect, Layer, Schema } from "effect"
import { Airlock, AirlockLive, HttpMiddleware, Task } from "effect-airlock"
import * as HttpTransaction from "effect-airlock/HttpTransaction"
import * as IdempotencySql from "effect-airlock/IdempotencySql"
import * as SqlTransaction from "effect-airlock/SqlTransaction"

const SendReceipt = Task.make("SendReceipt", { payload: { item: Schema.String } })

const SendReceiptLive = SendReceipt.toLayer(({ item }) => Console.log(`  sent the receipt for a ${item}`))

const order = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const { item } = yield* HttpServerRequest.schemaBodyJson(Schema.Struct({ item: Schema.String }))
  const [row] = yield* sql<{ id: number }>`INSERT INTO orders (item) VALUES (${item}) RETURNING id`
  yield* Airlock.enqueue(SendReceipt, { item })
  return yield* HttpServerResponse.json({ id: row!.id, item }, { status: 201 })
})

const app = HttpRouter.empty.pipe(HttpRouter.post("/orders", HttpTransaction.perRequest(order)))

const Tables = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL)`
  yield* IdempotencySql.migrate()
}))

const Shop = Layer.mergeAll(SendReceiptLive, IdempotencySql.layer()).pipe(
  Layer.provideMerge(SqlTransaction.layer),
  Layer.provideMerge(AirlockLive),
  Layer.provideMerge(Layer.orDie(Tables)),
  Layer.provideMerge(Layer.orDie(SqliteClient.layer({ filename: ":memory:" }))),
  Layer.orDie
)

const keys = HttpMiddleware.idempotency()

const { dispose, handler } = HttpApp.toWebHandlerLayer(keys(HttpMiddleware.airlock(app)), Shop)

const send = async (key: string, item: string) => {
  const response = await handler(
    new Request("http://shop/orders", {
      method: "POST",
      headers: { "idempotency-key": key, "content-type": "application/json" },
      body: JSON.stringify({ item })
    })
  )
  const replayed = response.headers.has("idempotency-replayed") ? ", replayed" : ""
  const body = await response.json() as { readonly code?: string }
  console.log(`${key}, ${item}: ${response.status}${replayed} ${body.code ?? JSON.stringify(body)}`)
}

await send("a-1", "book")
await send("a-1", "book")
await send("a-1", "pen")
await send("a-2", "pen")
await dispose()
