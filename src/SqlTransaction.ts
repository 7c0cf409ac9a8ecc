/**
 * A SQL transaction is a scope: what is enqueued in it leaves after its COMMIT, and is gone with its ROLLBACK. A
 * savepoint is a scope inside it.
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
import type { AirlockScope } from "./AirlockScope.js"
import { Airlock } from "./internal/airlock.js"
import { withCallersStack } from "./internal/callSite.js"
import { enqueueEffect } from "./internal/enqueue.js"
import { type Dialect, dialects } from "./internal/sql/dialect.js"
import { type Database, foreign, type How, inFrame, sqlFrameOf, type TransactionError } from "./internal/sql/frame.js"
import { type Parts, partsOf } from "./internal/sql/parts.js"
import { rollbackHook } from "./internal/sql/rollbackHooks.js"
import { transactionIn } from "./internal/transactionConnection.js"

/**
 * Decorates the `SqlClient` that it is given, and the driver's own tag beside it, so that `withTransaction` is a scope
 * for all code that uses either, however little it knows of Airlock. The client itself is not changed.
 *
 * What a transaction enqueues is handed to the scope around it when it has committed, and leaves at once where there is
 * none. A savepoint that is rolled back takes exactly its own intents with it, even if the code around recovers. A
 * refused COMMIT is a `SqlError` in the error channel; a COMMIT of which nobody knows what came is a defect
 * (`CommitUnknownError`). An intent that could not leave after the COMMIT is logged: the commit stands.
 *
 * Knows PostgreSQL by `@effect/sql-pg`, MySQL and MariaDB by `@effect/sql-mysql2`, SQLite by `@effect/sql-sqlite-node`. For
 * another client the Layer dies, and says so.
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
    const dialect = dialects.find(({ typeId }) => typeId in client)
    if (dialect === undefined) {
      const known = dialects.map(({ driver }) => driver).join(", ")
      return yield* Effect.dieMessage(
        `SqlTransaction.layer does not know the driver of this SqlClient, and decorated nothing. It knows ${known}.`
      )
    }
    const decorated = decorate(client, dialect, Context.get(context, Airlock))
    // A driver's Layer gives one client under its own tag too: whoever asks for that one must get the same.
    const entries = [...context.unsafeMap].filter(([, service]) => service === client)
    return Context.unsafeMake<SqlClient.SqlClient>(new Map(entries.map(([key]) => [key, decorated])))
  })
)

/**
 * Runs an Effect in a transaction, or in a savepoint where there is one already, and is its scope. As the `withTransaction`
 * of a client that {@link layer} decorates, but with errors for what a caller can act on: a `FlushError` where the
 * transaction was committed and some of its intents did not leave (its rows stay; that of a savepoint rolls the savepoint
 * back), and a `CommitUnknownError` where nobody knows what came of the COMMIT.
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
 * // Effect<void, SqlError | FlushError | CommitUnknownError, SqlClient>
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
  E | SqlError | FlushError | CommitUnknownError,
  Exclude<R, AirlockScope> | SqlClient.SqlClient
> => openWith("SqlTransaction.transaction", self, { typed: true })

/**
 * Runs an Effect after the COMMIT of the transaction around; after the settlement of the scope around, where there is no
 * transaction. It is an intent without a task: with the transaction, a savepoint or a scope around it that fails it is
 * gone, policies have their say (by the name `afterCommit`), and its failure is one of a `FlushError` and holds no other
 * back. It runs without the transaction, in order with the other intents.
 *
 * A durable executor cannot keep it: there it is a `NotSerializableError`.
 *
 * @since 0.1.0
 * @category transactions
 */
export const afterCommit = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<void, never, AirlockScope | Exclude<R, AirlockScope | EffectScope.Scope>> =>
  Effect.asVoid(enqueueEffect("afterCommit", effect))

/**
 * Runs an Effect if the transaction or savepoint around is rolled back, or one around that: for what is outside of the
 * database and must be undone. It runs in the process, in a scope of its own, when the outermost transaction has ended and
 * its connection is free; in order, and one that fails is logged and holds no other back.
 *
 * Where there is no transaction nothing can be rolled back, and it never runs. Nor does it where nobody knows what came
 * of a COMMIT.
 *
 * @since 0.1.0
 * @category transactions
 */
export const afterRollback = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<void, never, Exclude<R, AirlockScope | EffectScope.Scope>> =>
  Effect.withFiberRuntime((fiber) => {
    const around = transactionIn(fiber.currentContext)
    const frame = sqlFrameOf(around)
    if (around !== undefined && frame === undefined) {
      return Effect.die(withCallersStack(new UndecoratedClientError({ what: "SqlTransaction.afterRollback" })))
    }
    frame?.rollbackHooks.push(rollbackHook(frame, effect, fiber))
    return Effect.void
  })

/**
 * For tests: runs an Effect in a transaction that is rolled back in any case, and gives what the Effect gave. Each
 * transaction and scope inside it that succeeds lets its intents leave all the same, as it would without, so that
 * `AirlockTest` shows what would have left at each commit.
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
    { typed: false, options: { name: "rolledBack", beforeDescendantFlushes: (intents) => intents } }
  ).pipe(
    Effect.catchAll((error): Effect.Effect<A, E | SqlError> =>
      // Untyped, a transaction fails with nothing of its own but a `SqlError`.
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
  how: How
): Effect.Effect<A, E | TransactionError, Exclude<R, AirlockScope> | SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (client) =>
    DatabaseKey in client
      ? inFrame((client as Decorated)[DatabaseKey], self, how)
      : Effect.die(withCallersStack(new UndecoratedClientError({ what }))))

const decorate = (client: SqlClient.SqlClient, dialect: Dialect, airlock: Airlock["Type"]): Decorated => {
  const { acquirer, compiler, spanAttributes, transformRows } = partsOf(client)
  const database: Database = { client, dialect, airlock, spanAttributes }
  const statements = Statement.make(ownConnection(client, acquirer), compiler, spanAttributes, transformRows)
  // A client is what makes statements, with properties: so is this one, and where it has both, those of its own.
  const decorated: Decorated = Object.assign(statements, client, { ...statements }, {
    [DatabaseKey]: database,
    withTransaction: <R, E, A>(self: Effect.Effect<A, E, R>) =>
      // Untyped, it fails with nothing but a `SqlError`, and the marker of a scope stays in the type that Effect gave it.
      inFrame(database, self, { typed: false }) as Effect.Effect<A, E | SqlError, R>,
    withoutTransforms: () => {
      const without = client.withoutTransforms()
      return without === client ? decorated : decorate(without, dialect, airlock)
    }
  })
  return Object.assign(decorated, { safe: decorated })
}

/** In the transaction of another database a statement would run there. */
const ownConnection = (client: SqlClient.SqlClient, acquirer: Parts[0]): Parts[0] =>
  Effect.withFiberRuntime((fiber) => {
    const frame = sqlFrameOf(transactionIn(fiber.currentContext))
    return frame === undefined || frame.connection.database === client.reserve ? acquirer : foreign
  })
