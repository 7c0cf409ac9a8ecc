/**
 * The databases of the tests, each with a table of orders. Where the database defers checks to COMMIT, a second table
 * refers to it.
 */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { MysqlClient } from "@effect/sql-mysql2"
import { PgClient } from "@effect/sql-pg"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Effect, Layer, Redacted } from "effect"
import type { Airlock } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { describe } from "vitest"
import { layer as recorder } from "./recorder.js"
import { describeOn, mysql, ownDatabase, postgres, type Server } from "./servers.js"

export interface ClientOptions {
  readonly transformResultNames?: (name: string) => string
  readonly maxConnections?: number
  /** The address of a proxy to the database. Default: the address of the server. */
  readonly host?: string
  readonly port?: number
}

export interface Database {
  readonly name: "SQLite" | "PostgreSQL" | "MySQL"
  /** Gives the client under the tag of its driver. */
  readonly own: (context: Context.Context<never>) => unknown
  /** Whether the database refuses the statements after a failed one. */
  readonly refuses: boolean
  /** Whether the database can defer the check of a constraint to COMMIT. */
  readonly defers: boolean
  readonly client: (options?: ClientOptions) => Layer.Layer<SqlClient.SqlClient, unknown>
}

const client = <Options>(
  layer: (options: Options) => Layer.Layer<SqlClient.SqlClient, unknown>,
  options: (given: ClientOptions) => Options
) =>
(given: ClientOptions = {}) => Layer.unwrapEffect(Effect.sync(() => layer(options(given))))

const onServer = (server: Server) => {
  const url = ownDatabase(server)
  return ({ host, port, ...options }: ClientOptions) => {
    const address = new URL(url())
    address.hostname = host ?? address.hostname
    address.port = String(port ?? address.port)
    return { ...options, url: Redacted.make(address.href) }
  }
}

/** The timeout that `better-sqlite3` has by default, and its stand-in has not (`sqliteDriver.ts`). */
const busyTimeout = Layer.effectDiscard(
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`PRAGMA busy_timeout = 5000`)
)

export const sqlite: Database = {
  name: "SQLite",
  own: Context.unsafeGet(SqliteClient.SqliteClient),
  refuses: false,
  defers: true,
  client: (options) =>
    Layer.unwrapScoped(Effect.gen(function*() {
      const directory = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped({ prefix: "airlock-" })
      return busyTimeout.pipe(
        Layer.provideMerge(SqliteClient.layer({ ...options, filename: (yield* Path.Path).join(directory, "test.db") }))
      )
    })).pipe(Layer.provide(NodeContext.layer))
}

/** Defines tests for PostgreSQL. */
export const onPostgres = (define: (database: Database) => void): void =>
  describeOn(postgres, "PostgreSQL", () =>
    define({
      name: "PostgreSQL",
      own: Context.unsafeGet(PgClient.PgClient),
      refuses: true,
      defers: true,
      client: client(PgClient.layer, onServer(postgres))
    }))

/** Defines tests for each database that is a server. */
export const onEachServer = (define: (database: Database, server: Server) => void): void => {
  onPostgres((database) => define(database, postgres))
  describeOn(mysql, "MySQL", () =>
    define({
      name: "MySQL",
      own: Context.unsafeGet(MysqlClient.MysqlClient),
      refuses: false,
      defers: false,
      client: client(MysqlClient.layer, onServer(mysql))
    }, mysql))
}

/** Defines tests for each database. */
export const onEachDatabase = (define: (database: Database) => void): void => {
  describe("SQLite", () => define(sqlite))
  onEachServer(define)
}

const schema = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql.onDialectOrElse({ sqlite: () => sql`PRAGMA foreign_keys = ON`, orElse: () => Effect.void })
  yield* sql`DROP TABLE IF EXISTS order_lines`
  yield* sql`DROP TABLE IF EXISTS orders`
  yield* sql`CREATE TABLE orders (name VARCHAR(100) PRIMARY KEY)`
  yield* sql.onDialectOrElse({
    mysql: () => Effect.void,
    orElse: () =>
      sql`CREATE TABLE order_lines (name VARCHAR(100) PRIMARY KEY,
        order_name VARCHAR(100) REFERENCES orders (name) DEFERRABLE INITIALLY DEFERRED)`
  })
}))

/** The driver's own client, with fresh tables. */
export const undecorated = (database: Database, options?: ClientOptions) =>
  schema.pipe(Layer.provideMerge(database.client(options)), Layer.orDie)

/** The same client with `SqlTransaction.layer`, and the task that records what left. */
export const decorated = (
  database: Database,
  options?: ClientOptions,
  recording?: Airlock.AirlockOptions
) =>
  SqlTransaction.layer.pipe(
    Layer.provideMerge(recorder(recording)),
    Layer.provideMerge(undecorated(database, options))
  )

export const insertOrder = (name: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO orders (name) VALUES (${name})`)

/** Inserts a line for an order that may not exist: the database checks that at COMMIT. */
export const insertLine = (name: string, order: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`INSERT INTO order_lines (name, order_name) VALUES (${name}, ${order})`
  )

export const orders = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) =>
    Effect.map(sql<{ name: string }>`SELECT name FROM orders ORDER BY name`, (rows) => rows.map(({ name }) => name))
)

export const transaction = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(self))
