/**
 * The outbox keeps intents in the user's own database: what was committed is kept, what was rolled back was never there. With
 * it a program forgets nothing when its process dies between the commit and the dispatch.
 *
 * An intent enqueued in a transaction is written in that transaction, last before its COMMIT; others are written when their
 * scope settles. {@link relay} carries them to their handlers, at least once.
 *
 * @since 0.1.0
 */
import type { Loader } from "@effect/sql/Migrator"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CurrentExecutor, make, type RunOptions } from "./Executor.js"
import type { Intent } from "./Intent.js"
import { Airlock } from "./internal/airlock.js"
import { makeExecutor } from "./internal/outbox/executor.js"
import { intentOf } from "./internal/outbox/intentRow.js"
import * as internalRelay from "./internal/outbox/relay.js"
import * as schema from "./internal/outbox/schema.js"
import { makeStore } from "./internal/outbox/store.js"
import { sleeper, wake } from "./internal/outbox/wake.js"

export {
  /**
   * The tables of the outbox are missing, or of a version that this package does not know.
   *
   * @since 0.1.0
   * @category failures
   */
  OutboxSchemaError
} from "./internal/outbox/schema.js"

const defaultTable = "airlock_outbox"

/**
 * @since 0.1.0
 * @category options
 */
export interface OutboxOptions {
  /** May have a schema before it (`shop.outbox`). Default: `airlock_outbox`. */
  readonly table?: string
  /**
   * How long what an open scope holds stays held when its process is gone. A process renews what its scopes hold, so a scope
   * may be open for longer. Default: 1 minute.
   */
  readonly heldTimeout?: Duration.DurationInput
  /**
   * What becomes of it then: its data was committed, so it comes out; or it goes, which is always so where somebody was still
   * to approve of it. Default: `release`.
   */
  readonly onExpiry?: "release" | "discard"
}

/**
 * The durable executor, for `AirlockLive`. Give it the client that the application's own, decorated by
 * `SqlTransaction.layer`, is made of.
 *
 * Fails where the tables are not there: see {@link migrate}.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as Outbox from "effect-airlock/Outbox"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 *
 * const Data = SqlTransaction.layer.pipe(
 *   Layer.provideMerge(AirlockLive.pipe(Layer.provide(Outbox.layer()))),
 *   Layer.provideMerge(PgClient.layer({ database: "shop" }))
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
      const holding = { heldTimeout: Duration.decode(heldTimeout), onExpiry }
      const executor = yield* makeExecutor(makeStore(client, table), client, holding, wake(table))
      return {
        ...make({ name: "outbox", dispatch: executor.dispatch }),
        ...executor,
        options: { table, heldTimeout: Duration.format(holding.heldTimeout), onExpiry }
      }
    })
  )

/**
 * @since 0.1.0
 * @category options
 */
export interface RelayOptions {
  /** Default: `airlock_outbox`. */
  readonly table?: string
  /** How many rows are claimed at once. Default: 100. */
  readonly batchSize?: number
  /** How many handlers run at a time. Default: 10. */
  readonly concurrency?: number
  /** How long others leave a claimed row alone; it is extended while the handler runs. Default: 30 seconds. */
  readonly lease?: Duration.DurationInput
  /** How long it waits where nothing wakes it: what this process writes does. Default: 1 second. */
  readonly pollInterval?: Duration.DurationInput
  /** How often an intent is tried that does not say so itself. Then it is a dead letter. Default: 25. */
  readonly maxAttempts?: number
  /** How long a run of a handler may take: one that hangs holds up what comes after it. Default: 15 minutes. */
  readonly timeout?: RunOptions["timeout"]
  /** How long handlers that run may take when the Layer closes. Default: 10 seconds. */
  readonly drainTimeout?: Duration.DurationInput
}

/**
 * Carries what the outbox keeps to the handlers of this process, for the tasks that have one here. In as many processes as
 * wanted. Provide the Layers of the handlers to it, so that they close after it.
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
        `The relay of the outbox "${table}" runs beside the executor "${executor.name}", which writes nothing into it. ` +
          "Provide Outbox.layer to AirlockLive, unless another process writes."
      )
    }
    const carried: internalRelay.RelayHandlers<Intent> = {
      get names() {
        return handlers.names
      },
      run: (intents, { attempt }) => handlers.run(intents, { attempt, timeout })
    }
    const carry = internalRelay.relay(makeStore(client, table), carried, {
      ...options,
      wake: yield* sleeper(table),
      decode: (row) => intentOf(row, handlers)
    })
    yield* Effect.forkScoped(carry)
  }))

/**
 * Makes the tables where they are not there yet; several processes may do so at once.
 *
 * @since 0.1.0
 * @category tables
 */
export const migrate = (table: string = defaultTable): Effect.Effect<void, SqlError, SqlClient> => schema.migrate(table)

/**
 * For the `Migrator` of `@effect/sql`, in a table of its own (`{ loader: Outbox.migrations(), table: "airlock_migrations" }`).
 *
 * @since 0.1.0
 * @category tables
 */
export const migrations = (table: string = defaultTable): Loader => schema.migrations(table)

/**
 * The statements that make the tables, for those who run their own migrations.
 *
 * @since 0.1.0
 * @category tables
 */
export const ddl = (dialect: "pg" | "mysql" | "sqlite", table: string = defaultTable): string =>
  schema.ddl(dialect, table)
