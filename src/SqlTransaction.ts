/**
 * A SQL transaction is a scope: what is enqueued in it leaves after its COMMIT, and is gone with its ROLLBACK. A
 * savepoint is a scope inside it.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { TransactionEndedError } from "./AirlockError.js"
import { Airlock, type AirlockService } from "./internal/airlock.js"
import { withCallersStack } from "./internal/callSite.js"
import { openScope } from "./internal/open.js"
import { exitWithin, positionOf } from "./internal/position.js"
import type { Scope as Frame } from "./internal/scope.js"
import { failureOf, settle } from "./internal/settle.js"
import { frameOf, transactionIn } from "./internal/transactionConnection.js"

/**
 * Decorates the `SqlClient` that it is given, and the driver's own tag beside it, so that `withTransaction` is a scope
 * for all code that uses either, however little it knows of Airlock. The client itself is not changed.
 *
 * What a transaction enqueues is handed to the scope around it when it has committed, and leaves at once where there is
 * none. A savepoint that is rolled back takes exactly its own intents with it, even if the code around recovers. A
 * refused COMMIT is a `SqlError` in the error channel, after which the connection is clean.
 *
 * Supports SQLite by `@effect/sql-sqlite-node`; for another client the Layer dies, and says so.
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
    if (!(sqliteNode in client)) {
      return yield* Effect.dieMessage(
        "SqlTransaction.layer supports the client of @effect/sql-sqlite-node only, so far: nothing was decorated."
      )
    }
    const decorated = decorate(client, Context.get(context, Airlock))
    // A driver's Layer gives one client under its own tag too: whoever asks for that one must get the same.
    const entries = [...context.unsafeMap].filter(([, service]) => service === client)
    return Context.unsafeMake<SqlClient.SqlClient>(new Map(entries.map(([key]) => [key, decorated])))
  })
)

/** The type id of the one driver whose transactions are known here. Others of its dialect begin and end theirs in other ways. */
const sqliteNode = Symbol.for("@effect/sql-sqlite-node/SqliteClient")

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
      return parent.turns.withPermits(1)(Effect.suspend(() =>
        parent.state === "open" ? savepoint : Effect.die(withCallersStack(new TransactionEndedError()))
      ))
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
      const parent = around === undefined ? undefined : frameOf(around, positionOf(fiber))
      const frame = openScope(fiber, airlock, { name })
      const commit: Commit = { refused: undefined }
      const body = Effect.withFiberRuntime<A, E, R>((fiber) => {
        if (around === undefined || parent !== undefined) {
          frame.transaction = transactionIn(fiber.currentContext)
        }
        // Else nobody saw the transaction around begin: its savepoints stay unseen with it, and refuse every enqueue.
        if (parent !== undefined) {
          parent.savepoint = frame
        }
        return restore(self)
      })
      return Effect.flatMap(exitWithin(transact(client, commit, parent)(body), fiber, frame), (exit) => {
        if (parent !== undefined) {
          parent.savepoint = undefined
        }
        return close(frame, parent, commit.refused === undefined ? exit : Exit.fail(commit.refused))
      })
    })
  )

/** Settles a frame by what the database did; an interruption that came after the COMMIT no longer changes that. */
const close = <A, E>(frame: Frame, parent: Frame | undefined, exit: Exit.Exit<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(settle(frame, exit, { byExitAlone: true }), (settlement) => {
    const flush = failureOf(frame, exit, settlement)
    if (Exit.isSuccess(flush)) {
      return exit
    }
    // While the transaction is open, rows whose intents it cannot take are better not written.
    return parent?.state === "open" ? Effect.zipRight(Effect.orDie(flush), exit) : Effect.zipRight(
      Effect.logError("A transaction has ended, but not all of its intents left", flush.cause),
      exit
    )
  })

interface Commit {
  /** Why the database did not commit, though the body succeeded. */
  refused: SqlError | undefined
}

/**
 * What Effect's own `withTransaction` does, by the same building block, but for what a COMMIT can mean.
 *
 * Where SQLite refuses one, it leaves the transaction open, and Effect would give the connection back as it is. And SQLite
 * may roll a transaction back by itself (`OR ROLLBACK`, a full disk); what follows would then be committed alone. The
 * savepoint around all of it is gone in that case, which its release finds out.
 */
const transact = (client: SqlClient.SqlClient, commit: Commit, parent: Frame | undefined) => {
  const run = (connection: Connection, sql: string) => connection.executeUnprepared(sql, [], undefined)
  return SqlClient.makeWithTransaction({
    transactionTag: SqlClient.TransactionConnection,
    spanAttributes: Object.entries({ ...spanAttributesOf(client), "db.system.name": "sqlite" }),
    acquireConnection: Effect.flatMap(
      Scope.make(),
      (scope) => Effect.map(Scope.extend(client.reserve, scope), (connection) => [scope, connection] as const)
    ),
    begin: (connection) => Effect.zipRight(run(connection, "BEGIN"), run(connection, "SAVEPOINT airlock")),
    savepoint: (connection, id) => run(connection, `SAVEPOINT effect_sql_${id}`),
    commit: (connection) =>
      run(connection, "RELEASE airlock").pipe(
        Effect.matchEffect({
          onFailure: (error) => Effect.as(Effect.ignore(run(connection, "ROLLBACK")), error),
          onSuccess: () =>
            Effect.matchEffect(run(connection, "COMMIT"), {
              onFailure: (error) =>
                // Where the ROLLBACK is not accepted either nobody knows what holds, and Effect makes a defect of that.
                Effect.mapBoth(run(connection, "ROLLBACK"), { onFailure: () => error, onSuccess: () => error }),
              onSuccess: () => Effect.succeed(undefined)
            })
        }),
        Effect.map((refused) => {
          commit.refused = refused
        })
      ),
    rollback: (connection) => run(connection, "ROLLBACK"),
    rollbackSavepoint: (connection, id) =>
      // A savepoint that outlived its transaction is gone: one of its name may be another transaction's by now.
      parent === undefined || parent.state === "open"
        ? run(connection, `ROLLBACK TO SAVEPOINT effect_sql_${id}`)
        : Effect.void
  })
}

const spanAttributesOf = (client: SqlClient.SqlClient): Record<string, unknown> | undefined =>
  (client as SqlClient.SqlClient & { readonly config?: { readonly spanAttributes?: Record<string, unknown> } }).config
    ?.spanAttributes
