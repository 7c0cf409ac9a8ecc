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
import { CurrentExecutor, make } from "./Executor.js"
import type { Intent } from "./Intent.js"
import { Airlock } from "./internal/contract/airlock.js"
import { allCapabilities } from "./internal/contract/executor.js"
import type { PayloadCodec } from "./internal/outbox/codec.js"
import { heldTimeoutOf, makeExecutor } from "./internal/outbox/executor.js"
import { intentOf, rowsOf } from "./internal/outbox/intentRow.js"
import { listen, notifier, notifyHere } from "./internal/outbox/notifier.js"
import * as changes from "./internal/outbox/operations/change.js"
import type { OutboxFilter } from "./internal/outbox/operations/filter.js"
import * as internalFind from "./internal/outbox/operations/find.js"
import * as internalGauges from "./internal/outbox/operations/gauges.js"
import { outboxTable } from "./internal/outbox/operations/outboxTable.js"
import * as internalPrune from "./internal/outbox/operations/prune.js"
import * as queues from "./internal/outbox/operations/queues.js"
import * as internalRequireRelay from "./internal/outbox/operations/requireRelay.js"
import type { OutboxSelection, OutboxSelectionError } from "./internal/outbox/operations/selection.js"
import * as internalStats from "./internal/outbox/operations/stats.js"
import { unroutable } from "./internal/outbox/operations/unroutable.js"
import { handOver } from "./internal/outbox/relay/handOver.js"
import { Outage } from "./internal/outbox/relay/outage.js"
import { startRelay } from "./internal/outbox/relay/relay.js"
import { checkExecutor, checkHandlers, type RelayOptions, settingsOf } from "./internal/outbox/relay/settings.js"
import { Discard, RetryAfter, Snooze } from "./internal/outbox/signal.js"
import type { InsertOptions } from "./internal/outbox/store/insert.js"
import * as migration from "./internal/outbox/store/migration.js"
import { relayStore } from "./internal/outbox/store/relayStore.js"
import * as schema from "./internal/outbox/store/schema.js"
import { makeStore } from "./internal/outbox/store/store.js"
import { registerOutbox } from "./internal/scope/wiring.js"
import { transaction } from "./SqlTransaction.js"

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

export type { PayloadCodec, PayloadContext } from "./internal/outbox/codec.js"

export { Discard, RetryAfter, Snooze } from "./internal/outbox/signal.js"

export type { RelayOptions } from "./internal/outbox/relay/settings.js"

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
   * its open scopes, so a scope may stay open for longer than this. The Layer dies with a `RangeError` if it is not a positive
   * and finite time. Default: 1 minute.
   */
  readonly heldTimeout?: Duration.DurationInput
  /**
   * What becomes of a held row that expires. `release`: it becomes ready, because its data was committed. `discard`: it is
   * deleted. If an approval was pending, the row is always discarded. Default: `release`.
   */
  readonly onExpiry?: "release" | "discard"
  /** Encrypts or compresses payloads. The {@link relay} needs the same one. Default: payloads are stored as JSON. */
  readonly codec?: PayloadCodec
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
  { codec, heldTimeout, onExpiry, table, ...options }: LiveOptions = {}
): Layer.Layer<Airlock, SqlError | schema.OutboxSchemaError, SqlClient> =>
  Core.layer(options).pipe(Layer.provide(layer({
    ...(codec !== undefined && { codec }),
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
  { codec, heldTimeout = "1 minute", onExpiry = "release", table = defaultTable }: OutboxOptions = {}
): Layer.Layer<CurrentExecutor, SqlError | schema.OutboxSchemaError, SqlClient> =>
  Layer.scoped(
    CurrentExecutor,
    Effect.gen(function*() {
      const client = yield* SqlClient
      yield* schema.checkSchema(client, table)
      const store = makeStore(client, table)
      const settings = {
        title: `The outbox "${table}"`,
        insert: (intents: ReadonlyArray<Intent>, options: InsertOptions) =>
          Effect.flatMap(rowsOf(intents, codec), (rows) => store.insert(rows, options)),
        store,
        client,
        heldTimeout: heldTimeoutOf(heldTimeout),
        onExpiry,
        notify: yield* notifier(client, table)
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
 * Runs the intents of the outbox: claims ready rows, runs their handlers, and acknowledges the rows. It claims only rows of
 * tasks that have a handler in this process, of the handler's version or an older one. Any number of processes can run a relay
 * on one table.
 *
 * A slot that is free is filled at once, while other handlers run. A row whose handler fails is retried: after one second, then
 * two, four and so on, up to one hour, each time reduced by a random part of up to half, unless its task has a `retry` of its
 * own. Each failed attempt is logged as a warning. After the last attempt the row is a dead letter, which stays in the table, and
 * an error is logged.
 *
 * When the Layer closes, the relay begins no further handler, waits for the running ones, and acknowledges their rows. Provide
 * the Layers of the handlers to it, so that they close after it.
 *
 * With the option `executor` it runs no handlers, and hands intents over to that executor: the outbox stands in front of an engine,
 * and needs no Layers of handlers. The engine gets the payloads as they are stored, and of the options those that still matter. A
 * row is acknowledged when the engine has taken its intent, so an intent reaches it at least once, and its id is what the engine
 * can recognise a duplicate by. If the engine takes nothing of a batch, no attempt is counted, and the relay pauses: half a second,
 * then twice as long each time, up to 30 seconds. An intent that it refuses, while it takes others, is retried with the backoff
 * above, up to 30 seconds.
 *
 * Errors, when it is built: an `OutboxSchemaError` if the tables are missing or have another version, and a `SqlError` if the
 * database does not answer. The Layer dies with a `RangeError` if an option is out of range, if no task that it can run has
 * a handler, and if its `executor` is not durable. Later errors of the database are logged as warnings, and the relay goes on.
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
  options: RelayOptions = {}
): Layer.Layer<never, SqlError | schema.OutboxSchemaError, SqlClient | Airlock> =>
  Layer.scopedDiscard(Effect.gen(function*() {
    const { codec, table = defaultTable } = options
    const settings = settingsOf(options)
    const client = yield* SqlClient
    const { executor, handlers } = yield* Airlock
    yield* schema.checkSchema(client, table)
    const engine = options.executor
    yield* engine === undefined ? checkHandlers(handlers.names, settings) : checkExecutor(engine)
    if (executor.transactional === undefined && !(engine !== undefined && executor.durable === true)) {
      yield* Effect.logWarning(
        `The relay of the outbox "${table}" runs with the executor "${executor.name}", which stores no intents in an outbox. ` +
          "Provide Outbox.live() in place of AirlockLive, unless only other processes store intents."
      )
    }
    const outbox = yield* outboxTable(table)
    const outage = new Outage()
    const { batchSize, timeout: limit } = settings
    yield* startRelay({
      store: yield* relayStore(client, table),
      acknowledge: makeStore(client, table).acknowledge,
      unroutable: (olderThanMillis) => unroutable(outbox, { olderThanMillis }),
      ...(engine === undefined
        ? { handlers, decode: (row) => intentOf(row, handlers, codec) }
        : {
          handlers: handOver({ executor: engine, handlers, outage, batchSize, limit }),
          decode: (row) => intentOf(row, { task: () => undefined }, codec),
          outage
        }),
      notified: yield* listen(client, table),
      transaction: (self) => Effect.provideService(transaction(self), SqlClient, client)
    }, settings)
  }))

/**
 * Fails the handler, and asks the relay for the next attempt after a time of the handler's own, such as that of a `Retry-After`
 * header. The attempt counts. After the last one the intent is a dead letter all the same.
 *
 * The result is an error that is also an Effect which fails with it. It reaches the relay as a failure or a defect of the
 * handler, by itself or as the `cause` of another error. `options.cause` is the error behind it, for the log and the row.
 * Executors in this process take it for an ordinary failure.
 *
 * @example
 * ```ts
 * import { Data, Effect, Schema } from "effect"
 * import { Task } from "effect-airlock"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * class Busy extends Data.TaggedError("Busy")<{ readonly seconds: number }> {}
 * class NoSuchAddress extends Data.TaggedError("NoSuchAddress")<{}> {}
 *
 * declare const send: (email: string) => Effect.Effect<void, Busy | NoSuchAddress>
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { email: Schema.String } })
 *
 * const SendReceiptLive = SendReceipt.toLayer(({ email }) =>
 *   send(email).pipe(Effect.catchTags({
 *     Busy: (cause) => Outbox.retryAfter(`${cause.seconds} seconds`, { cause }),
 *     NoSuchAddress: (cause) => Outbox.discard("no such address", { cause })
 *   }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category signals
 */
export const retryAfter = (
  duration: Duration.DurationInput,
  options?: { readonly cause?: unknown }
): RetryAfter => new RetryAfter({ duration: Duration.decode(duration), ...options })

/**
 * Fails the handler, and makes its intent a dead letter at once, with the reason: no attempt can succeed. The result is an error
 * that is also an Effect, as that of {@link retryAfter}.
 *
 * @since 0.1.0
 * @category signals
 */
export const discard = (reason: string, options?: { readonly cause?: unknown }): Discard =>
  new Discard({ reason, ...options })

/**
 * Fails the handler, and asks the relay to run the intent again after a time, as if this attempt had not been: it does not
 * count, is no failure in logs and metrics, and its `attempt` is that of the next run too. For a handler that cannot work yet.
 * What the handler has done until then stays done, and the intents that it has enqueued are discarded, as for each failure. The
 * result is an error that is also an Effect, as that of {@link retryAfter}.
 *
 * A handler that snoozes each time is never a dead letter.
 *
 * @since 0.1.0
 * @category signals
 */
export const snooze = (duration: Duration.DurationInput): Snooze => new Snooze({ duration: Duration.decode(duration) })

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
export const migrate = (table: string = defaultTable): Effect.Effect<void, SqlError, SqlClient> =>
  migration.migrate(table)

/**
 * A loader for the `Migrator` of `@effect/sql`, which creates the tables of the outbox. The Migrator must record these
 * migrations in a table of their own: `{ loader: Outbox.migrations(), table: "airlock_migrations" }`. `table` is the name of
 * the outbox's table. Default: `airlock_outbox`.
 *
 * @since 0.1.0
 * @category migrations
 */
export const migrations = (table: string = defaultTable): Loader => migration.migrations(table)

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

// ---------------------------------------------------------------- operations

export type { OutboxFilter } from "./internal/outbox/operations/filter.js"
export type { OutboxPage } from "./internal/outbox/operations/find.js"
export type { OutboxAttempt, OutboxRow, OutboxState } from "./internal/outbox/operations/outboxRow.js"
export type { PausedQueue } from "./internal/outbox/operations/queues.js"
export type { LiveRelay } from "./internal/outbox/operations/relays.js"
export type { OutboxSelection } from "./internal/outbox/operations/selection.js"
export {
  /**
   * A selection without a condition. Nothing was changed. Give it a condition, or say `{ all: true }`.
   *
   * @since 0.1.0
   * @category errors
   */
  OutboxSelectionError
} from "./internal/outbox/operations/selection.js"
export type { LaneStats, OutboxStats, RowCount } from "./internal/outbox/operations/stats.js"

/**
 * The option of all operations.
 *
 * @since 0.1.0
 * @category options
 */
export interface TableOptions {
  /** The name of the table. It may have a schema (`shop.outbox`). Default: `airlock_outbox`. */
  readonly table?: string
}

/**
 * The options of {@link stats}.
 *
 * @since 0.1.0
 * @category options
 */
export interface StatsOptions extends TableOptions {
  /** Counts all rows, which reads the whole table. Default: `false`. */
  readonly exact?: boolean
  /** If not `exact`: how many rows are counted of each lane that has ready rows, and of each other state. Default: 10 000. */
  readonly limit?: number
}

/**
 * How many rows there are in each state, task and queue, how long the oldest have waited, which relays live, and which queues are
 * paused.
 *
 * Without `exact` it reads a limited number of entries of indexes, so it can be called each minute however many rows there are.
 * A {@link RowCount} says whether it is exact.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const program = Effect.gen(function*() {
 *   const { ages, relays, states } = yield* Outbox.stats()
 *   if (relays.length === 0 || (ages.ready ?? 0) > 60_000) {
 *     yield* Effect.logWarning(`${states.ready.count} intents wait, and ${relays.length} relays live`)
 *   }
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const stats = (
  { exact = false, limit = internalGauges.defaultLimit, table = defaultTable }: StatsOptions = {}
): Effect.Effect<internalStats.OutboxStats, SqlError, SqlClient> => internalStats.stats({ exact, limit, table })

/**
 * The options of {@link find} and {@link deadLetters}.
 *
 * @since 0.1.0
 * @category options
 */
export interface FindOptions extends TableOptions {
  /** The maximum number of rows of a page. Default: 100. */
  readonly limit?: number
  /** The `cursor` of the page before. Default: none, for the first page. */
  readonly cursor?: string
}

/**
 * Finds rows, a page at a time, in the order of their ids: that is the order in which they were enqueued. Without a condition it
 * finds all rows.
 *
 * Payloads are as the task's Schema has encoded them, or as the text that the outbox's codec has made of that.
 *
 * @example
 * ```ts
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const receiptsOfOrder = (id: number) =>
 *   Outbox.find({ task: "SendReceipt", payload: { path: ["order", "id"], equals: id } }, { limit: 10 })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const find = (
  filter: OutboxFilter = {},
  { cursor, limit = 100, table = defaultTable }: FindOptions = {}
): Effect.Effect<internalFind.OutboxPage, SqlError, SqlClient> => internalFind.find(filter, { cursor, limit, table })

/**
 * Finds dead letters: {@link find} for the state `dead`.
 *
 * @since 0.1.0
 * @category operations
 */
export const deadLetters = (
  filter: Omit<OutboxFilter, "state"> = {},
  options?: FindOptions
): Effect.Effect<internalFind.OutboxPage, SqlError, SqlClient> => find({ ...filter, state: "dead" }, options)

/**
 * The options of the operations that change a selection of rows.
 *
 * @since 0.1.0
 * @category options
 */
export interface ChangeOptions extends TableOptions {
  /** How many rows one transaction changes. Default: 500. */
  readonly batch?: number
}

const changeOptions = ({ batch = 500, table = defaultTable }: ChangeOptions = {}) => ({ batch, table })

/**
 * Makes dead letters ready again. They have all their attempts again, and come after the rows that are ready now. Their history
 * stays. Rows in other states do not change.
 *
 * Like all operations that change a selection: it changes the rows in batches, each in a transaction of its own, or all in the
 * transaction that is open in the fiber. It skips rows that another transaction has locked. Returns how many rows have changed.
 * Fails with an `OutboxSelectionError` if the selection has no condition, and then changes nothing.
 *
 * @example
 * ```ts
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const some = Outbox.redrive({ task: "SendReceipt", enqueued: { from: new Date("2026-03-01") } })
 * const all = Outbox.redrive({ all: true })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const redrive = (
  selection: OutboxSelection,
  options?: ChangeOptions
): Effect.Effect<number, SqlError | OutboxSelectionError, SqlClient> =>
  andNotify(changes.redrive(selection, changeOptions(options)), options)

/**
 * Deletes rows that no relay has claimed: those that are ready, scheduled or blocked. It changes neither held rows, which belong
 * to a scope that is open, nor claimed rows, nor dead letters. See {@link redrive} for what holds for all such operations.
 *
 * @since 0.1.0
 * @category operations
 */
export const cancel = (
  selection: OutboxSelection,
  options?: ChangeOptions
): Effect.Effect<number, SqlError | OutboxSelectionError, SqlClient> =>
  andNotify(changes.cancel(selection, changeOptions(options)), options)

/**
 * Deletes dead letters. See {@link redrive} for what holds for all such operations, and {@link prune} for old dead letters.
 *
 * @since 0.1.0
 * @category operations
 */
export const discardDeadLetters = (
  selection: OutboxSelection,
  options?: ChangeOptions
): Effect.Effect<number, SqlError | OutboxSelectionError, SqlClient> =>
  changes.discardDeadLetters(selection, changeOptions(options))

/**
 * Makes scheduled rows ready at once: those that wait for a delay, a `runAt` or a backoff. See {@link redrive} for what holds for
 * all such operations.
 *
 * @since 0.1.0
 * @category operations
 */
export const runNow = (
  selection: OutboxSelection,
  options?: ChangeOptions
): Effect.Effect<number, SqlError | OutboxSelectionError, SqlClient> =>
  andNotify(changes.runNow(selection, changeOptions(options)), options)

/** Notifies the relays of this process. Those of others find the rows when they poll. */
const andNotify = <A, E, R>(self: Effect.Effect<A, E, R>, options: TableOptions | undefined): Effect.Effect<A, E, R> =>
  Effect.tap(self, () => Effect.sync(() => notifyHere(options?.table ?? defaultTable)))

/**
 * The options of {@link prune}.
 *
 * @since 0.1.0
 * @category options
 */
export interface PruneOptions extends ChangeOptions {
  /** For how long the rows have been done, or dead. */
  readonly olderThan: Duration.DurationInput
  /** Which rows. Default: `"done"`. */
  readonly state?: "done" | "dead" | ReadonlyArray<"done" | "dead">
}

/**
 * Deletes the rows that have been done, or dead letters, for longer than a time, in batches of a transaction each, until none is
 * left. Returns how many. A relay with `keepDone` prunes the rows that are done by itself.
 *
 * @example
 * ```ts
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const nightly = Outbox.prune({ olderThan: "30 days", state: "dead" })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const prune = (
  { olderThan, state = "done", ...options }: PruneOptions
): Effect.Effect<number, SqlError, SqlClient> =>
  internalPrune.prune({
    ...changeOptions(options),
    olderThan,
    states: typeof state === "string" ? [state] : state
  })

/**
 * Pauses a queue for all relays: they claim no further row of it. Handlers that run go on. Intents can still be enqueued. The
 * pause is kept in the database until {@link resume}. Returns `false` if the queue was paused before. A queue need not have rows.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const withoutMail = <A, E, R>(self: Effect.Effect<A, E, R>) =>
 *   Effect.acquireUseRelease(Outbox.pause("mail"), () => self, () => Effect.orDie(Outbox.resume("mail")))
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const pause = (
  queue: string,
  { table = defaultTable }: TableOptions = {}
): Effect.Effect<boolean, SqlError, SqlClient> => queues.pause(queue, table)

/**
 * Ends the pause of a queue. Returns `false` if it was not paused.
 *
 * @since 0.1.0
 * @category operations
 */
export const resume = (
  queue: string,
  { table = defaultTable }: TableOptions = {}
): Effect.Effect<boolean, SqlError, SqlClient> => andNotify(queues.resume(queue, table), { table })

/**
 * Updates the gauges `AirlockMetrics.outboxRows`, `outboxAge` and `outboxRelays`, as long as the Layer lives. One process per
 * table is enough. It reads {@link stats} without `exact`. If the database does not answer, that is logged as a warning.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const Gauges = Outbox.gauges({ every: "30 seconds" }).pipe(Layer.provide(PgClient.layer({ database: "shop" })))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const gauges = (
  { every = "1 minute", table = defaultTable }: TableOptions & {
    /** How long to wait between two updates. Default: 1 minute. */
    readonly every?: Duration.DurationInput
  } = {}
): Layer.Layer<never, never, SqlClient> => Layer.scopedDiscard(internalGauges.gauges(table, every))

/**
 * For processes that write intents: logs a warning when no relay has lived for a time, or when rows have waited for that time which
 * no live relay can run. Each outage is one warning, and its end is an info.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const Data = Layer.merge(Outbox.live(), Outbox.requireRelay({ within: "2 minutes" })).pipe(
 *   Layer.provideMerge(PgClient.layer({ database: "shop" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const requireRelay = (
  { table = defaultTable, within = "1 minute" }: TableOptions & {
    /** How long there may be no relay before it is a warning. Default: 1 minute. */
    readonly within?: Duration.DurationInput
  } = {}
): Layer.Layer<never, never, SqlClient> => Layer.scopedDiscard(internalRequireRelay.requireRelay(table, within))
