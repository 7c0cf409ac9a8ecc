/**
 * Code that does not use Airlock, over the decorated client: a repository, resolvers, drizzle, kysely and streams.
 */
import { SqlClient } from "@effect/sql"
import * as MysqlDrizzle from "@effect/sql-drizzle/Mysql"
import * as PgDrizzle from "@effect/sql-drizzle/Pg"
import * as SqliteDrizzle from "@effect/sql-drizzle/Sqlite"
import * as MysqlKysely from "@effect/sql-kysely/Mysql"
import * as PgKysely from "@effect/sql-kysely/Pg"
import * as SqliteKysely from "@effect/sql-kysely/Sqlite"
import { describe, expect, it } from "@effect/vitest"
import * as mysqlCore from "drizzle-orm/mysql-core"
import * as pgCore from "drizzle-orm/pg-core"
import * as sqliteCore from "drizzle-orm/sqlite-core"
import { Effect, Layer, Stream } from "effect"
import { Airlock } from "effect-airlock"
import { batched, get } from "../support/batching.js"
import { decorated, insertOrder, onEachDatabase, orders, transaction, undecorated } from "../support/databases.js"
import { left, note } from "../support/recorder.js"
import { Shop } from "../support/shop.js"

const outcome = Effect.all({ rows: orders, left })

const unscoped = Effect.provide(Airlock.unchecked)

interface Tables {
  readonly orders: { readonly name: string }
}

// Drizzle has types for ESM and for CommonJS. sql-drizzle uses those that this file does not get, hence the casts.
const drizzle = {
  SQLite: Effect.map(SqliteDrizzle.make(), (db) => {
    const table = sqliteCore.sqliteTable("orders", { name: sqliteCore.text("name") })
    return (name: string) => Effect.asVoid(db.insert(table as never).values({ name } as never))
  }),
  PostgreSQL: Effect.map(PgDrizzle.make(), (db) => {
    const table = pgCore.pgTable("orders", { name: pgCore.text("name") })
    return (name: string) => Effect.asVoid(db.insert(table as never).values({ name } as never))
  }),
  MySQL: Effect.map(MysqlDrizzle.make(), (db) => {
    const table = mysqlCore.mysqlTable("orders", { name: mysqlCore.varchar("name", { length: 100 }) })
    return (name: string) => Effect.asVoid(db.insert(table as never).values({ name } as never))
  })
}

const kysely = {
  SQLite: SqliteKysely.make<Tables>(),
  PostgreSQL: PgKysely.make<Tables>(),
  MySQL: MysqlKysely.make<Tables>()
}

onEachDatabase((database) => {
  const layer = decorated(database)

  describe("a transaction that Effect continues in another fiber to batch its requests", () => {
    it.scoped("ends in that other fiber, and later transactions are separate", () =>
      Effect.gen(function*() {
        const order = (name: string) => Effect.zipRight(insertOrder(name), note(name))
        // SQLite has one connection: a second transaction would wait for the first.
        const ids = database.name === "SQLite" ? [1] : [1, 2]
        yield* batched(ids, (id) =>
          Effect.zipRight(
            transaction(Effect.zipRight(get(id), order(`in ${id}`))),
            Effect.zipRight(orders, transaction(order(`after ${id}`)))
          ))
        yield* transaction(Effect.zipRight(transaction(Effect.zipRight(get(3), order("savepoint"))), order("end")))
        const names = [...ids.flatMap((id) => [`after ${id}`, `in ${id}`]), "end", "savepoint"].sort()
        expect([(yield* orders).sort(), (yield* left).sort()]).toEqual([names, names])
      }).pipe(unscoped, Effect.provide(layer)))
  })

  /** Checks for a way to insert rows that rows and intents are committed or discarded together. */
  const rowsAndIntentsAgree = <E, R>(insert: (name: string) => Effect.Effect<unknown, E, R>) =>
    Effect.gen(function*() {
      const order = (name: string) => Effect.zipRight(insert(name), note(name))
      yield* Effect.ignore(transaction(Effect.zipRight(order("a"), Effect.fail("no"))))
      yield* transaction(Effect.gen(function*() {
        yield* order("b")
        yield* Effect.ignore(transaction(Effect.zipRight(order("c"), Effect.fail("no"))))
        yield* transaction(order("d"))
        expect(yield* left).toEqual([])
      }))
      expect(yield* outcome).toEqual({ rows: ["b", "d"], left: ["b", "d"] })
    })

  describe("an unmodified repository", () => {
    const story = (client: typeof layer | ReturnType<typeof undecorated>) =>
      Effect.gen(function*() {
        const shop = yield* Shop
        yield* shop.place(["a", "b"], () => Effect.void)
        yield* Effect.ignore(shop.place(["c", ""], () => Effect.void))
        yield* shop.placeBatched(["d", "e"])
        return yield* orders
      }).pipe(Effect.provide(Shop.Default.pipe(Layer.provideMerge(client as typeof layer))))

    it.effect("behaves the same with SqlTransaction.layer as without it", () =>
      Effect.gen(function*() {
        expect(yield* story(undecorated(database))).toEqual(["a", "b", "d", "e"])
        expect(yield* story(layer)).toEqual(["a", "b", "d", "e"])
      }))

    it.scoped("dispatches what its callers enqueue in its transactions only if these commit", () =>
      Effect.gen(function*() {
        const shop = yield* Shop
        yield* Effect.ignore(shop.place(["a", ""], note))
        yield* shop.place(["b", "c"], note)
        yield* transaction(Effect.gen(function*() {
          yield* Effect.ignore(shop.place(["d", ""], note))
          yield* shop.place(["e"], note)
        }))
        expect(yield* outcome).toEqual({ rows: ["b", "c", "e"], left: ["b", "c", "e"] })
      }).pipe(unscoped, Effect.provide(Shop.Default), Effect.provide(layer)))
  })

  it.scoped("resolvers batch their requests inside a transaction", () =>
    Effect.gen(function*() {
      const shop = yield* Shop
      yield* Effect.ignore(
        transaction(Effect.all([shop.placeBatched(["a", "b"]), note("a"), Effect.fail("no")]))
      )
      yield* transaction(Effect.all([shop.placeBatched(["c", "d"]), note("c")]))
      expect(yield* outcome).toEqual({ rows: ["c", "d"], left: ["c"] })
    }).pipe(unscoped, Effect.provide(Shop.Default), Effect.provide(layer)))

  it.scoped("drizzle runs on the transaction", () =>
    Effect.flatMap(drizzle[database.name], rowsAndIntentsAgree).pipe(unscoped, Effect.provide(layer)))

  it.scoped("kysely runs on the transaction, and its withTransaction is a scope", () =>
    Effect.gen(function*() {
      const db = yield* kysely[database.name]
      yield* rowsAndIntentsAgree((name) => db.insertInto("orders").values({ name }))
      const order = Effect.zipRight(db.insertInto("orders").values({ name: "e" }), note("e"))
      yield* Effect.ignore(db.withTransaction(Effect.zipRight(order, Effect.fail("no"))))
      yield* db.withTransaction(order)
      expect(yield* outcome).toEqual({ rows: ["b", "d", "e"], left: ["b", "d", "e"] })
    }).pipe(unscoped, Effect.provide(layer)))

  if (database.name !== "SQLite") {
    it.scoped("streams run on the transaction", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const names = yield* transaction(Effect.gen(function*() {
          yield* sql`INSERT INTO orders (name) VALUES ('a')`
          yield* note("a")
          return yield* Stream.runCollect(sql<{ name: string }>`SELECT name FROM orders`.stream)
        }))
        expect([...names]).toEqual([{ name: "a" }])
        expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
        const failing = Stream.runCollect(sql`SELECT no_such_column FROM orders`.stream)
        const spoilt = transaction(Effect.zipRight(note("b"), Effect.ignore(failing)))
        expect((yield* Effect.exit(spoilt))._tag).toBe(database.refuses ? "Failure" : "Success")
      }).pipe(unscoped, Effect.provide(layer)))
  }
})
