/**
 * A SQL transaction is a scope: what is enqueued in it leaves after its COMMIT, and is gone with its ROLLBACK. A
 * savepoint is a scope inside it.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { Airlock, type AirlockService } from "./internal/airlock.js"
import { openScope } from "./internal/open.js"
import { exitWithin, positionOf } from "./internal/position.js"
import type { Scope as Frame } from "./internal/scope.js"
import { giveBack, settle } from "./internal/settle.js"
import { frameOf, transactionIn } from "./internal/transactionConnection.js"

/**
 * Decorates the `SqlClient` that it is given, and the driver's own tag beside it, so that `withTransaction` is a scope
 * for all code that uses either, however little it knows of Airlock. The client itself is not changed.
 *
 * What a transaction enqueues is handed to the scope around it when it has committed, and leaves at once where there is
 * none. A savepoint that is rolled back takes exactly its own intents with it, even if the code around recovers. A
 * refused COMMIT is a `SqlError` in the error channel, after which the connection is clean.
 *
 * Supports SQLite; for another dialect the Layer dies, and says so.
 *
 * @example
 * ```ts
 * import { SqliteClient } from "@effect/sql-sqlite-node"
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as SqlTransaction from "effect-airlock/SqlTransaction"
 *
 * const Data = SqlTransaction.layer.pipe(
 *   Layer.provideMerge(AirlockLive),
 *   Layer.provideMerge(SqliteClient.layer({ filename: "shop.db" }))
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
    yield* client.onDialectOrElse({
      sqlite: () => Effect.void,
      orElse: () => Effect.dieMessage("SqlTransaction.layer supports SQLite only, so far: nothing was decorated.")
    })
    const decorated = decorate(client, Context.get(context, Airlock))
    // A driver's Layer gives one client under its own tag too: whoever asks for that one must get the same.
    const entries = [...context.unsafeMap].filter(([, service]) => service === client)
    return Context.unsafeMake<SqlClient.SqlClient>(new Map(entries.map(([key]) => [key, decorated])))
  })
)

const decorate = (client: SqlClient.SqlClient, airlock: AirlockService): SqlClient.SqlClient => {
  // A client is a function with properties: one that calls it, with the same properties, is a client too.
  const constructor = (...args: Array<never>) => (client as (...args: Array<never>) => unknown)(...args)
  const decorated = Object.assign(constructor, client, {
    withTransaction: withTransaction(client, airlock),
    withoutTransforms: () => {
      const without = client.withoutTransforms()
      return without === client ? decorated : decorate(without, airlock)
    }
  }) as SqlClient.SqlClient
  return Object.assign(decorated, { safe: decorated })
}

const withTransaction =
  (client: SqlClient.SqlClient, airlock: AirlockService): SqlClient.SqlClient["withTransaction"] =>
  <R, E, A>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    Effect.withFiberRuntime((fiber) => {
      const around = transactionIn(fiber.currentContext)
      if (around === undefined) {
        return inFrame(client, airlock, "transaction", self)
      }
      const parent = frameOf(around, positionOf(fiber))
      const savepoint = inFrame(client, airlock, "savepoint", self)
      if (parent === undefined) {
        return savepoint
      }
      // Effect names savepoints by their depth: two of one depth, side by side, would undo each other's work.
      parent.turns ??= Effect.unsafeMakeSemaphore(1)
      return parent.turns.withPermits(1)(savepoint)
    })

const inFrame = <A, E, R>(
  client: SqlClient.SqlClient,
  airlock: AirlockService,
  name: string,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((fiber) => {
      const around = transactionIn(fiber.currentContext)
      const isSeen = around === undefined || frameOf(around, positionOf(fiber)) !== undefined
      const frame = openScope(fiber, airlock, { name })
      const commit: Commit = { refused: undefined }
      const body = Effect.withFiberRuntime<A, E, R>((fiber) => {
        // A savepoint of a transaction that nobody saw begin stays unseen with it, and so refuses every enqueue.
        frame.transaction = isSeen ? transactionIn(fiber.currentContext) : undefined
        return restore(self)
      })
      return Effect.flatMap(
        exitWithin(transact(client, commit)(body), fiber, frame),
        (exit) => close(frame, commit.refused === undefined ? exit : Exit.fail(commit.refused))
      )
    })
  )

/** Settles a frame by what the database did; an interruption that came after the COMMIT no longer changes that. */
const close = <A, E>(frame: Frame, exit: Exit.Exit<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(settle(frame, exit, { committed: true }), (settlement) => {
    const flush = giveBack(frame, Exit.void, settlement)
    return Exit.isSuccess(flush) ? exit : Effect.zipRight(
      Effect.logError("A transaction committed, but not all of its intents left", flush.cause),
      exit
    )
  })

interface Commit {
  /** Why the database did not commit, though the body succeeded. */
  refused: SqlError | undefined
}

/**
 * What Effect's own `withTransaction` does, by the same building block, but for a COMMIT that fails: SQLite leaves the
 * transaction open then, and Effect would give the connection back as it is.
 */
const transact = (client: SqlClient.SqlClient, commit: Commit) =>
  SqlClient.makeWithTransaction({
    transactionTag: SqlClient.TransactionConnection,
    spanAttributes: [["db.system.name", "sqlite"]],
    acquireConnection: Effect.flatMap(
      Scope.make(),
      (scope) => Effect.map(Scope.extend(client.reserve, scope), (connection) => [scope, connection] as const)
    ),
    begin: (connection) => connection.executeUnprepared("BEGIN", [], undefined),
    savepoint: (connection, id) => connection.executeUnprepared(`SAVEPOINT effect_sql_${id}`, [], undefined),
    commit: (connection) =>
      Effect.catchAll(connection.executeUnprepared("COMMIT", [], undefined), (error) =>
        Effect.matchEffect(connection.executeUnprepared("ROLLBACK", [], undefined), {
          // Neither of the two was accepted: nobody knows what holds, and Effect makes a defect of that.
          onFailure: () =>
            Effect.fail(error),
          onSuccess: () => Effect.sync(() => commit.refused = error)
        })),
    rollback: (connection) =>
      connection.executeUnprepared("ROLLBACK", [], undefined),
    rollbackSavepoint: (connection, id) =>
      connection.executeUnprepared(`ROLLBACK TO SAVEPOINT effect_sql_${id}`, [], undefined)
  })
