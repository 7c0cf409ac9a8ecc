/**
 * Keeps idempotency keys in PostgreSQL, MySQL, MariaDB or SQLite.
 *
 * With the client that `SqlTransaction.layer` decorates, each transaction of a request records in itself that the request has
 * committed. So a process that dies after the COMMIT leaves a key that no retry can run again, and a request whose lease has ended
 * cannot commit.
 *
 * @since 0.1.0
 */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as EffectScope from "effect/Scope"
import { makeService } from "./internal/idempotency/keeper.js"
import * as migration from "./internal/idempotency/sql/migration.js"
import { sqlOperations } from "./internal/idempotency/sql/operations.js"
import { createTable } from "./internal/idempotency/sql/statements.js"
import { IdempotencyStore, IdempotencyStoreError, type IdempotencyStoreService } from "./internal/idempotency/store.js"

const defaultTable = "airlock_idempotency"

/**
 * The options of {@link layer}.
 *
 * @since 0.1.0
 * @category options
 */
export interface IdempotencySqlOptions {
  /** The name of the table. It may have a schema (`shop.idempotency`). Default: `airlock_idempotency`. */
  readonly table?: string
  /** How often expired records are deleted, in batches of 500. Default: 1 minute. */
  readonly pruneEvery?: Duration.DurationInput
}

/**
 * Makes the service of a store in a database, for a tag of your own. Errors: see {@link layer}.
 *
 * @since 0.1.0
 * @category stores
 */
export const make = (
  { pruneEvery = "1 minute", table = defaultTable }: IdempotencySqlOptions = {}
): Effect.Effect<IdempotencyStoreService, IdempotencyStoreError, SqlClient | EffectScope.Scope> =>
  Effect.flatMap(SqlClient, (client) => {
    const operations = sqlOperations(client, table)
    const owner = { id: "", token: "" }
    return operations.release(owner).pipe(
      Effect.mapError(({ cause }) => new IdempotencyStoreError({ operation: "open", cause })),
      Effect.zipRight(makeService(operations, { pruneMillis: Duration.toMillis(pruneEvery) }))
    )
  })

/**
 * The store of idempotency keys in the database of the `SqlClient`. Its table must exist: see {@link migrate}. It must not be
 * used inside of a transaction that is open around the middleware.
 *
 * Errors: an `IdempotencyStoreError` with the operation `open` if the database does not answer, or has no such table.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as IdempotencySql from "effect-airlock/IdempotencySql"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 *
 * const Data = IdempotencySql.layer().pipe(
 *   Layer.provideMerge(SqlTransaction.layer),
 *   Layer.provideMerge(AirlockLive),
 *   Layer.provideMerge(PgClient.layer({ database: "shop" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: IdempotencySqlOptions
): Layer.Layer<IdempotencyStore, IdempotencyStoreError, SqlClient> => Layer.scoped(IdempotencyStore, make(options))

/**
 * Creates the table, if it does not exist. Several processes may do so at once.
 *
 * @since 0.1.0
 * @category migrations
 */
export const migrate = (table: string = defaultTable): Effect.Effect<void, SqlError, SqlClient> =>
  migration.migrate(table)

/**
 * The statements that {@link migrate} executes, for migrations of your own.
 *
 * @since 0.1.0
 * @category migrations
 */
export const ddl = (dialect: "pg" | "mysql" | "sqlite", table: string = defaultTable): ReadonlyArray<string> =>
  createTable(dialect, table)
