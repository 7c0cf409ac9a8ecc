/**
 * Stores intents in the application's own database, so that no intent is lost if the process dies between the COMMIT and the
 * dispatch.
 *
 * An intent that is enqueued in a transaction is inserted in that transaction, right before its COMMIT, and is gone if the
 * transaction is rolled back. Other intents are inserted when their scope settles. The {@link relay} runs their handlers, at
 * least once.
 *
 * @since 0.1.0
 */
import type { Loader } from "@effect/sql/Migrator"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Core from "./Airlock.js"
import { CurrentExecutor, make, type RunOptions } from "./Executor.js"
import type { Intent } from "./Intent.js"
import { Airlock } from "./internal/contract/airlock.js"
import { allCapabilities } from "./internal/contract/executor.js"
import { makeExecutor } from "./internal/outbox/executor.js"
import { intentOf } from "./internal/outbox/intentRow.js"
import { listen, notify } from "./internal/outbox/notifier.js"
import * as internalRelay from "./internal/outbox/relay.js"
import * as schema from "./internal/outbox/store/schema.js"
import { makeStore } from "./internal/outbox/store/store.js"
import { registerOutbox } from "./internal/scope/wiring.js"

export {
  /**
   * The tables of the outbox are missing in the database, or have another version than this package expects. Run
   * {@link migrate} or your own migration, or update the package if the tables are newer.
   *
   * @since 0.1.0
   * @category errors
   */
  OutboxSchemaError
} from "./internal/outbox/store/schema.js"

const defaultTable = "airlock_outbox"

/**
 * The options of {@link layer}.
 *
 * @since 0.1.0
 * @category options
 */
export interface OutboxOptions {
  /** The name of the table. It may have a schema (`shop.outbox`). Default: `airlock_outbox`. */
  readonly table?: string
  /**
   * The time after which a held row expires that its process no longer renews, because it died. A process renews the rows of
   * its open scopes, so a scope may stay open for longer than this. Default: 1 minute.
   */
  readonly heldTimeout?: Duration.DurationInput
  /**
   * What becomes of a held row that expires. `release`: it becomes ready, because its data was committed. `discard`: it is
   * deleted. If an approval was pending, the row is always discarded. Default: `release`.
   */
  readonly onExpiry?: "release" | "discard"
}

/**
 * The options of {@link live}: those of the outbox, and those of `Airlock.layer` without its executor.
 *
 * @since 0.1.0
 * @category options
 */
export interface LiveOptions extends OutboxOptions, Omit<Core.AirlockOptions, "executor"> {}

/**
 * An `Airlock` with its outbox: the durable counterpart of `AirlockLive`. Give it the `SqlClient` that
 * `SqlTransaction.layer` decorates for the application: only then does it know which transactions are of the same database.
 *
 * Each call returns a new Layer. So no other Airlock can be taken for it, as happens to `AirlockLive`, which is built once
 * for all places that name it. Keep the result in one constant, and provide that everywhere: to the server, to the handlers
 * and to the {@link relay}, which runs the stored intents.
 *
 * It checks the tables when it is built: see {@link migrate}. Errors: an `OutboxSchemaError` if the tables are missing or
 * have another version, and a `SqlError` if the database does not answer. With a client of a database other than PostgreSQL,
 * MySQL, MariaDB and SQLite, the Layer dies.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import * as Outbox from "effect-airlock/Outbox"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 *
 * const Data = SqlTransaction.layer.pipe(
 *   Layer.provideMerge(Outbox.live()),
 *   Layer.provideMerge(PgClient.layer({ database: "shop" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const live = (
  { heldTimeout, onExpiry, table, ...options }: LiveOptions = {}
): Layer.Layer<Airlock, SqlError | schema.OutboxSchemaError, SqlClient> =>
  Core.layer(options).pipe(Layer.provide(layer({
    ...(heldTimeout !== undefined && { heldTimeout }),
    ...(onExpiry !== undefined && { onExpiry }),
    ...(table !== undefined && { table })
  })))

/**
 * The outbox as an executor, for an Airlock of your own: one that routes some intents elsewhere, or that `Airlock.layerConfig`
 * builds. Otherwise use {@link live}, which has the same client, tables and errors.
 *
 * It inserts rows and renews the held ones; the {@link relay} runs their handlers. If no Airlock uses it, that is logged as a
 * warning at the first enqueue.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import { Airlock } from "effect-airlock"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const AirlockConfigured = Airlock.layerConfig().pipe(
 *   Layer.provide(Outbox.layer()),
 *   Layer.provide(PgClient.layer({ database: "shop" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  { heldTimeout = "1 minute", onExpiry = "release", table = defaultTable }: OutboxOptions = {}
): Layer.Layer<CurrentExecutor, SqlError | schema.OutboxSchemaError, SqlClient> =>
  Layer.scoped(
    CurrentExecutor,
    Effect.gen(function*() {
      const client = yield* SqlClient
      yield* schema.checkSchema(client, table)
      const settings = {
        table,
        store: makeStore(client, table),
        client,
        heldTimeout: Duration.decode(heldTimeout),
        onExpiry,
        notify: notify(table)
      }
      const executor = yield* makeExecutor(settings)
      yield* registerOutbox({ table, isDurable: executor.isDurable })
      return {
        ...make({ name: "outbox", durable: true, capabilities: allCapabilities, dispatch: executor.dispatch }),
        ...executor,
        options: { table, heldTimeout: Duration.format(settings.heldTimeout), onExpiry }
      }
    })
  )

/**
 * The options of {@link relay}.
 *
 * @since 0.1.0
 * @category options
 */
export interface RelayOptions {
  /** The name of the table. It may have a schema (`shop.outbox`). Default: `airlock_outbox`. */
  readonly table?: string
  /** The maximum number of rows of one claim. Default: 100. */
  readonly batchSize?: number
  /** How many handlers run at a time. Default: 10. */
  readonly concurrency?: number
  /**
   * The lease of a claim: the time for which no other relay claims the row. The relay extends it while the handler runs. If the
   * process dies, another relay claims the row when the lease has expired. Default: 30 seconds.
   */
  readonly lease?: Duration.DurationInput
  /** How often the relay looks for ready rows while it finds none. Rows of the same process notify it. Default: 1 second. */
  readonly pollInterval?: Duration.DurationInput
  /** After how many failed attempts an intent without `maxAttempts` of its own is a dead letter. Default: 25. */
  readonly maxAttempts?: number
  /**
   * The time limit of one run of a handler. The next claim waits until all handlers of the last one have ended, so a handler
   * that hangs delays other rows. Default: 15 minutes.
   */
  readonly timeout?: RunOptions["timeout"]
  /** The time that running handlers have to end when the Layer closes. Then they are interrupted. Default: 10 seconds. */
  readonly drainTimeout?: Duration.DurationInput
}

/**
 * Runs the intents of the outbox: claims ready rows, runs their handlers, and acknowledges the rows. It claims only rows of
 * tasks that have a handler in this process. Any number of processes can run a relay on one table.
 *
 * A row whose handler fails is retried: after one second, then two, four and so on, up to one hour, each time reduced by a
 * random part of up to half. After its last attempt it is a dead letter, which stays in the table, and an error is logged.
 *
 * When the Layer closes, the relay begins no further handler, waits for the running ones, and acknowledges their rows. Provide
 * the Layers of the handlers to it, so that they close after it.
 *
 * Errors, when it is built: an `OutboxSchemaError` if the tables are missing or have another version, and a `SqlError` if the
 * database does not answer. Later errors of the database are logged as warnings, and the relay goes on.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Effect, Layer, Schema } from "effect"
 * import { Task } from "effect-airlock"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Worker = Outbox.relay({ concurrency: 20, maxAttempts: 10 }).pipe(
 *   Layer.provide(SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt of order ${orderId}`))),
 *   Layer.provide(Outbox.live()),
 *   Layer.provide(PgClient.layer({ database: "shop" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const relay = (
  { table = defaultTable, timeout = "15 minutes", ...options }: RelayOptions = {}
): Layer.Layer<never, SqlError | schema.OutboxSchemaError, SqlClient | Airlock> =>
  Layer.scopedDiscard(Effect.gen(function*() {
    const client = yield* SqlClient
    const { executor, handlers } = yield* Airlock
    yield* schema.checkSchema(client, table)
    if (executor.transactional === undefined) {
      yield* Effect.logWarning(
        `The relay of the outbox "${table}" runs with the executor "${executor.name}", which stores no intents in an outbox. ` +
          "Provide Outbox.live() in place of AirlockLive, unless only other processes store intents."
      )
    }
    const relayHandlers: internalRelay.RelayHandlers<Intent> = {
      get names() {
        return handlers.names
      },
      run: (intents, { attempt }) => handlers.run(intents, { attempt, timeout })
    }
    const running = internalRelay.relay(makeStore(client, table), relayHandlers, {
      ...options,
      notified: yield* listen(table),
      decode: (row) => intentOf(row, handlers)
    })
    yield* Effect.forkScoped(running)
  }))

/**
 * Creates the tables of the outbox if they are missing. Several processes can run it at once. `table` is the name of the
 * outbox's table, which may have a schema (`shop.outbox`). Default: `airlock_outbox`.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const Tables = Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provide(PgClient.layer({ database: "shop" })))
 * ```
 *
 * @since 0.1.0
 * @category migrations
 */
export const migrate = (table: string = defaultTable): Effect.Effect<void, SqlError, SqlClient> => schema.migrate(table)

/**
 * A loader for the `Migrator` of `@effect/sql`, which creates the tables of the outbox. The Migrator must record these
 * migrations in a table of their own: `{ loader: Outbox.migrations(), table: "airlock_migrations" }`. `table` is the name of
 * the outbox's table. Default: `airlock_outbox`.
 *
 * @since 0.1.0
 * @category migrations
 */
export const migrations = (table: string = defaultTable): Loader => schema.migrations(table)

/**
 * The statements that create the tables of the outbox, as text, for your own migrations. They can run more than once. `table`
 * is the name of the outbox's table. Default: `airlock_outbox`.
 *
 * @example
 * ```ts
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * console.log(Outbox.ddl("pg", "shop.outbox"))
 * ```
 *
 * @since 0.1.0
 * @category migrations
 */
export const ddl = (dialect: "pg" | "mysql" | "sqlite", table: string = defaultTable): string =>
  schema.ddl(dialect, table)
