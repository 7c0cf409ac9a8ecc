/**
 * PostgreSQL with a database for each test file, and a proxy in front of it that can cut the connection.
 */
import type { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Redacted } from "effect"
import type { ClientOptions, Database } from "./databases.js"
import { type PgProxy, pgProxy } from "./pgProxy.js"
import { describeOn, ownDatabase, postgres } from "./servers.js"

export interface TestPostgres extends PgProxy {
  /** The address of the database, once the tests run. */
  readonly url: () => string
  readonly client: Layer.Layer<PgClient.PgClient | SqlClient.SqlClient>
  /** The same database for `undecorated`. */
  readonly database: Database
}

/** Defines tests that need PostgreSQL. */
export const describeOnPostgresProxy = (name: string, define: (postgres: TestPostgres) => void): void =>
  describeOn(postgres, name, () => {
    const url = ownDatabase(postgres)
    const clientWith = (options: ClientOptions) =>
      Layer.unwrapEffect(Effect.sync(() => PgClient.layer({ ...options, url: Redacted.make(url().href) }))).pipe(
        Layer.orDie
      )
    define({
      ...pgProxy(url),
      url: () => url().href,
      client: clientWith({}),
      database: {
        name: "PostgreSQL",
        own: Context.unsafeGet(PgClient.PgClient),
        refuses: true,
        defers: true,
        client: (options = {}) => clientWith(options)
      }
    })
  })
