/**
 * A SQLite database in a file of its own, with one table of orders and one that refers to it, checked at COMMIT.
 */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer } from "effect"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { layer as recorder } from "./recorder.js"

const file = (options?: Omit<SqliteClient.SqliteClientConfig, "filename">) =>
  Layer.unwrapScoped(Effect.gen(function*() {
    const directory = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped({ prefix: "airlock-" })
    return SqliteClient.layer({ ...options, filename: (yield* Path.Path).join(directory, "test.db") })
  })).pipe(Layer.provide(NodeContext.layer))

const schema = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`PRAGMA foreign_keys = ON`
  yield* sql`CREATE TABLE orders (name TEXT PRIMARY KEY)`
  yield* sql`CREATE TABLE lines (
    name TEXT PRIMARY KEY, order_name TEXT REFERENCES orders (name) DEFERRABLE INITIALLY DEFERRED)`
}))

/** The client as its driver gives it. */
export const undecorated = schema.pipe(Layer.provideMerge(file()), Layer.orDie)

/** The same where transactions are scopes, with the recording task. */
export const layer = SqlTransaction.layer.pipe(Layer.provideMerge(recorder()), Layer.provideMerge(undecorated))

/** Where a scope holds few intents. */
export const limited = (maxIntents: number) =>
  SqlTransaction.layer.pipe(Layer.provideMerge(recorder({ maxIntents })), Layer.provideMerge(undecorated))

/** Where the client transforms names. */
export const transforming = SqlTransaction.layer.pipe(
  Layer.provideMerge(recorder()),
  Layer.provideMerge(
    schema.pipe(Layer.provideMerge(file({ transformResultNames: (name) => name.toLowerCase() })), Layer.orDie)
  )
)

export const insertOrder = (name: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO orders (name) VALUES (${name})`)

/** A line of an order that may not exist: the database finds out when it commits. */
export const insertLine = (name: string, order: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO lines (name, order_name) VALUES (${name}, ${order})`)

export const orders = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) =>
    Effect.map(sql<{ name: string }>`SELECT name FROM orders ORDER BY name`, (rows) => rows.map(({ name }) => name))
)

export const transaction = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(self))
