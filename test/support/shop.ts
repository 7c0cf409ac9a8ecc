/**
 * A repository as users have them. It uses a `SqlClient`, and does not use Airlock.
 */
import { Model, SqlClient, SqlResolver } from "@effect/sql"
import { Effect, Schema } from "effect"

export class Order extends Model.Class<Order>("Order")({ name: Schema.String }) {}

export class ShopError extends Schema.TaggedError<ShopError>()("ShopError", { name: Schema.String }) {}

export class Shop extends Effect.Service<Shop>()("test/Shop", {
  effect: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const repository = yield* Model.makeRepository(Order, {
      tableName: "orders",
      spanPrefix: "Order",
      idColumn: "name"
    })
    const inserting = yield* SqlResolver.void("InsertOrder", {
      Request: Schema.String,
      execute: (names) => sql`INSERT INTO orders ${sql.insert(names.map((name) => ({ name })))}`
    })
    return {
      /** Inserts all orders in one transaction. An empty name fails it, so that no order is inserted. */
      place: <R>(names: ReadonlyArray<string>, placed: (name: string) => Effect.Effect<unknown, never, R>) =>
        sql.withTransaction(Effect.forEach(names, (name) =>
          Effect.gen(function*() {
            yield* repository.insertVoid({ name })
            yield* placed(name)
            if (name === "") {
              return yield* new ShopError({ name })
            }
          }), { discard: true })),
      placeBatched: (names: ReadonlyArray<string>) =>
        sql.withTransaction(Effect.forEach(names, inserting.execute, { batching: true, discard: true }))
    }
  })
}) {}
