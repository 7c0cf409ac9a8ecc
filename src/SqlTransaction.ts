/**
 * Makes SQL transactions scopes: intents leave after the COMMIT of their transaction, and are discarded with its ROLLBACK. A
 * savepoint is a scope inside the scope of its transaction.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as EffectScope from "effect/Scope"
import { type CommitUnknownError, type FlushError, UndecoratedClientError } from "./AirlockError.js"
import type { AirlockScope, ScopeOptions } from "./AirlockScope.js"
import { Airlock } from "./internal/contract/airlock.js"
import { enqueueEffect } from "./internal/scope/enqueue.js"
import { journalIn } from "./internal/scope/journal.js"
import { transactionIn } from "./internal/scope/transactionTag.js"
import { withCallersStack } from "./internal/support/callSite.js"
import { type Driver, drivers } from "./internal/transaction/driver.js"
import {
  type Database,
  dieForeign,
  type FrameOptions,
  inFrame,
  sqlFrameOf,
  type TransactionError
} from "./internal/transaction/frame.js"
import { notedConnection } from "./internal/transaction/notedConnection.js"
import { rollbackHook } from "./internal/transaction/rollbackHooks.js"
import { type StatementParts, statementPartsOf } from "./internal/transaction/statementParts.js"

/**
 * Decorates the `SqlClient` and the driver's own tag, so that `withTransaction` opens a scope for all code that uses either of
 * them, even for code that does not know Airlock. The Layer does not change the client that it gets.
 *
 * When a transaction has committed, its intents go to the outer scope, or leave at once if there is none. A savepoint that is
 * rolled back discards exactly its own intents, even if the code around it recovers.
 *
 * Errors of `withTransaction`: if the database refuses the COMMIT, it fails with a `SqlError`. If the outcome of the COMMIT is
 * unknown, it dies with a `CommitUnknownError`. If an intent could not leave after the COMMIT, an error is logged, and the
 * transaction stays committed. {@link transaction} has all of these in its error channel.
 *
 * Supports PostgreSQL with `@effect/sql-pg`, MySQL and MariaDB with `@effect/sql-mysql2`, and SQLite with
 * `@effect/sql-sqlite-node`. With a client of another driver, the Layer dies.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 *
 * const Data = SqlTransaction.layer.pipe(
 *   Layer.provideMerge(AirlockLive),
 *   Layer.provideMerge(PgClient.layer({ database: "shop" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<SqlClient.SqlClient, never, SqlClient.SqlClient | Airlock> = Layer.effectContext(
  Effect.gen(function*() {
    const context = yield* Effect.context<SqlClient.SqlClient | Airlock>()
    const client = Context.get(context, SqlClient.SqlClient)
    const driver = drivers.find(({ typeId }) => typeId in client)
    if (driver === undefined) {
      const supported = drivers.map(({ name }) => name).join(", ")
      return yield* Effect.dieMessage(
        `SqlTransaction.layer does not support the driver of this SqlClient. Use a client of one of these: ${supported}.`
      )
    }
    const decorated = decorate(client, driver, Context.get(context, Airlock))
    // The Layer of a driver provides the client under the driver's tag too, which must get the decorated client as well.
    const entries = [...context.unsafeMap].filter(([, service]) => service === client)
    return Context.unsafeMake<SqlClient.SqlClient>(new Map(entries.map(([key]) => [key, decorated])))
  })
)

/**
 * Runs an Effect in a transaction and its scope, or in a savepoint of the current transaction. It is `withTransaction` of the
 * client that {@link layer} decorates, with all errors in the error channel.
 *
 * Errors: a `SqlError` if the transaction cannot begin, or if the database refuses the COMMIT. A `CommitUnknownError` if the
 * outcome of the COMMIT is unknown. A `FlushError` if the transaction was committed, but some of its intents did not leave: its
 * rows stay. (A savepoint that fails with a `FlushError` is rolled back.) Without the decorated client it dies with an
 * `UndecoratedClientError`.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Schema } from "effect"
 * import { Airlock, Task } from "effect-airlock"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * // Effect<void, SqlError | FlushError<void> | CommitUnknownError, SqlClient>
 * const checkout = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const [order] = yield* sql<{ id: number }>`INSERT INTO orders (email) VALUES (${"a@b.c"}) RETURNING id`
 *   yield* Airlock.enqueue(SendReceipt, { orderId: order!.id })
 * }).pipe(SqlTransaction.transaction)
 * ```
 *
 * @since 0.1.0
 * @category transactions
 */
export const transaction = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<
  A,
  E | SqlError | FlushError<A> | CommitUnknownError,
  Exclude<R, AirlockScope> | SqlClient.SqlClient
> => transactionWith(self, undefined)

/** {@link transaction}, with options for its scope. @internal */
export const transactionWith = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  scope: ScopeOptions | undefined
): Effect.Effect<
  A,
  E | SqlError | FlushError<A> | CommitUnknownError,
  Exclude<R, AirlockScope> | SqlClient.SqlClient
> => openWith("SqlTransaction.transaction", self, { typed: true, ...(scope && { scope }) })

/**
 * Runs an Effect after the COMMIT of the current transaction, or, without a transaction, when the current scope has succeeded.
 *
 * The Effect is an intent without a task. It is discarded with its transaction, savepoint or scope. Policies can drop it by the
 * name `afterCommit`. It runs in order with the other intents, outside of the transaction. If it fails, its error is part of
 * the `FlushError`, and the other intents leave all the same.
 *
 * With a durable executor it dies with a `NotSerializableError`, because an Effect cannot be stored.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 *
 * declare const invalidateCache: (orderId: number) => Effect.Effect<void>
 *
 * const cancel = (orderId: number) =>
 *   Effect.gen(function*() {
 *     const sql = yield* SqlClient.SqlClient
 *     yield* sql`DELETE FROM orders WHERE id = ${orderId}`
 *     yield* SqlTransaction.afterCommit(invalidateCache(orderId))
 *   }).pipe(SqlTransaction.transaction)
 * ```
 *
 * @since 0.1.0
 * @category transactions
 */
export const afterCommit = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<void, never, AirlockScope | Exclude<R, AirlockScope | EffectScope.Scope>> =>
  Effect.asVoid(enqueueEffect("afterCommit", effect))

/**
 * Runs an Effect if the current transaction or savepoint is rolled back, or one that contains it. Use it to undo changes that
 * were made outside of the database.
 *
 * The Effect runs in this process, in a scope of its own, when the transaction has ended and has released its connection.
 * Several Effects run in order. If one fails, an error is logged, and the others run all the same. Together they have the
 * `dispatchTimeout` of Airlock.
 *
 * The Effect does not run if there is no transaction, or if the outcome of the COMMIT is unknown. In a transaction of an
 * undecorated client, `afterRollback` dies with an `UndecoratedClientError`.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 *
 * declare const upload: (file: string) => Effect.Effect<void>
 * declare const remove: (file: string) => Effect.Effect<void>
 *
 * const attach = (file: string) =>
 *   Effect.gen(function*() {
 *     const sql = yield* SqlClient.SqlClient
 *     yield* upload(file)
 *     yield* SqlTransaction.afterRollback(remove(file))
 *     yield* sql`INSERT INTO files (name) VALUES (${file})`
 *   }).pipe(SqlTransaction.transaction)
 * ```
 *
 * @since 0.1.0
 * @category transactions
 */
export const afterRollback = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<void, never, Exclude<R, AirlockScope | EffectScope.Scope>> =>
  Effect.withFiberRuntime((fiber) => {
    const transaction = transactionIn(fiber.currentContext)
    const frame = sqlFrameOf(transaction)
    if (transaction !== undefined && frame === undefined) {
      return Effect.die(withCallersStack(new UndecoratedClientError({ what: "SqlTransaction.afterRollback" })))
    }
    frame?.rollbackHooks.push(rollbackHook(frame, effect, fiber))
    return Effect.void
  })

/**
 * Runs a test in a transaction that is always rolled back, and returns the result of the test. Inside it, a transaction or
 * scope that succeeds lets its intents leave, so that `AirlockTest` shows which intents leave at each COMMIT.
 *
 * Do not use it with an outbox: intents would leave although their transaction is rolled back. Errors: those of the test, and
 * a `SqlError` if the transaction could not begin.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, AirlockTest, Task } from "effect-airlock"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 * const checkout = SqlTransaction.transaction(Airlock.enqueue(SendReceipt, { orderId: 1 }))
 *
 * const test = SqlTransaction.rolledBack(Effect.gen(function*() {
 *   yield* checkout
 *   yield* AirlockTest.expectEnqueued(SendReceipt, { orderId: 1 })
 * }))
 * ```
 *
 * @since 0.1.0
 * @category testing
 */
export const rolledBack = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, Exclude<R, AirlockScope> | SqlClient.SqlClient> =>
  openWith<A, E | Ended<A, E>, R>(
    "SqlTransaction.rolledBack",
    Effect.flatMap(Effect.exit(self), (exit) => Effect.fail(new Ended(exit))),
    { typed: false, scope: { name: "rolledBack", beforeDescendantFlushes: (intents) => intents } }
  ).pipe(
    Effect.catchAll((error): Effect.Effect<A, E | SqlError> =>
      // With `typed: false`, the only error of the transaction itself is a `SqlError`.
      error instanceof Ended ? error.exit : Effect.fail(error as SqlError)
    )
  )

class Ended<A, E> {
  constructor(readonly exit: Exit.Exit<A, E>) {}
}

interface Decorated extends SqlClient.SqlClient {
  readonly [DatabaseKey]: Database
}

const DatabaseKey: unique symbol = Symbol.for("effect-airlock/Database")

const openWith = <A, E, R>(
  what: string,
  self: Effect.Effect<A, E, R>,
  options: FrameOptions
): Effect.Effect<A, E | TransactionError<A>, Exclude<R, AirlockScope> | SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (client) =>
    DatabaseKey in client
      ? inFrame((client as Decorated)[DatabaseKey], self, options)
      : Effect.die(withCallersStack(new UndecoratedClientError({ what }))))

const decorate = (client: SqlClient.SqlClient, driver: Driver, airlock: Airlock["Type"]): Decorated => {
  const { acquirer, compiler, spanAttributes, transformRows } = statementPartsOf(client)
  const database: Database = { client, driver, airlock, spanAttributes }
  const statements = Statement.make(ownConnection(client, acquirer), compiler, spanAttributes, transformRows)
  // A client is a function that makes statements, with properties. The decorated one makes its own statements.
  const decorated: Decorated = Object.assign(statements, client, { ...statements }, {
    [DatabaseKey]: database,
    withTransaction: <R, E, A>(self: Effect.Effect<A, E, R>) =>
      // With `typed: false`, its own error is only a `SqlError`. Effect's type of `withTransaction` keeps `AirlockScope` in `R`.
      inFrame(database, self, { typed: false }) as Effect.Effect<A, E | SqlError, R>,
    withoutTransforms: () => {
      const without = client.withoutTransforms()
      return without === client ? decorated : decorate(without, driver, airlock)
    }
  })
  return Object.assign(decorated, { safe: decorated })
}

/**
 * Refuses statements inside a transaction of another database, because they would run on that database. Outside of a transaction
 * the journal of the request notes what they write.
 */
const ownConnection = (client: SqlClient.SqlClient, acquirer: StatementParts[0]): StatementParts[0] =>
  Effect.withFiberRuntime((fiber) => {
    const transaction = transactionIn(fiber.currentContext)
    const frame = sqlFrameOf(transaction)
    if (frame !== undefined && frame.connection.database !== client.reserve) {
      return dieForeign
    }
    const journal = transaction === undefined ? journalIn(fiber.currentContext) : undefined
    return journal === undefined ? acquirer : Effect.map(acquirer, (connection) => notedConnection(connection, journal))
  })
