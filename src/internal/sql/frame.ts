/**
 * The bracket around a transaction or a savepoint: what the database did with it is the exit by which its scope settles.
 *
 * Effect's own, `SqlClient.makeWithTransaction`, gives the connection back before anyone could roll a refused COMMIT back,
 * and makes a defect of what a caller could act on. The statements, the spans and the names of savepoints are the same.
 *
 * @internal
 */
import { type SqlClient, TransactionConnection } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as EffectScope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { type CommitUnknownError, type FlushError, ForeignTransactionError } from "../../AirlockError.js"
import type { AirlockScope, ScopeOptions } from "../../AirlockScope.js"
import type { AirlockService } from "../airlock.js"
import { withCallersStack } from "../callSite.js"
import { type AnyFiber, change } from "../fiberRefs.js"
import { flatMapExit } from "../flatMapExit.js"
import { openScope } from "../open.js"
import { park, unpark } from "../park.js"
import { exitWithin, positionOf } from "../position.js"
import type { Scope } from "../scope.js"
import { failureOf, giveBack, settle, settleEmpty } from "../settle.js"
import { type Frame, FrameKey, isAround, transactionIn } from "../transactionConnection.js"
import { type Dialect, run } from "./dialect.js"
import { type RollbackHook, runRollbackHooks } from "./rollbackHooks.js"
import { Turns } from "./turns.js"
import { WatchedConnection } from "./watchedConnection.js"

/** @internal */
export interface Database {
  readonly client: SqlClient
  readonly dialect: Dialect
  readonly airlock: AirlockService
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
}

/**
 * How a transaction is opened. In the type of `withTransaction` there is a place for a `SqlError` only: what else its
 * caller could act on is typed where the transaction is asked for by our own name.
 *
 * @internal
 */
export interface How {
  readonly typed: boolean
  readonly options?: ScopeOptions
}

/** @internal */
export type TransactionError = SqlError | FlushError | CommitUnknownError

/** @internal */
export class SqlFrame implements Frame {
  /** What Effect's tag holds inside it: the connection, the depth, and by a key of ours the frame. */
  readonly transaction: readonly [connection: Connection, depth: number] & { readonly [FrameKey]: SqlFrame }
  readonly turns = new Turns()
  savepoint: SqlFrame | undefined = undefined
  rolledBack = false
  /** For a transaction: what was asked for in case that it, or a savepoint in it, is rolled back. */
  readonly rollbackHooks: Array<RollbackHook>

  readonly depth: number

  constructor(
    readonly scope: Scope,
    readonly connection: WatchedConnection,
    readonly parent: SqlFrame | undefined = undefined,
    readonly seen = true
  ) {
    this.depth = parent === undefined ? 0 : parent.depth + 1
    this.rollbackHooks = parent === undefined ? [] : parent.rollbackHooks
    this.transaction = Object.assign([connection, this.depth] as const, { [FrameKey]: this })
  }
}

/**
 * Runs an Effect in a transaction, or in a savepoint where there is one already.
 *
 * @internal
 */
export const inFrame = <A, E, R>(
  database: Database,
  self: Effect.Effect<A, E, R>,
  how: How
): Effect.Effect<A, E | TransactionError, Exclude<R, AirlockScope>> =>
  Effect.withFiberRuntime((fiber) => {
    const around = transactionIn(fiber.currentContext)
    if (around === undefined) {
      return inTransaction(database, self, how)
    }
    const parent = sqlFrameOf(around)
    if (parent === undefined) {
      // Nobody saw the transaction around begin: its savepoints stay unseen with it, and refuse every enqueue.
      return database.client.withTransaction(self) as Effect.Effect<A, E | SqlError, Exclude<R, AirlockScope>>
    }
    return parent.connection.database === database.client.reserve
      ? inSavepoint(database, self, how, parent)
      : foreign
  })

/** @internal */
export const sqlFrameOf = (transaction: unknown): SqlFrame | undefined =>
  // Only frames of ours stand under the key.
  (transaction as { readonly [FrameKey]?: SqlFrame } | undefined)?.[FrameKey]

/** @internal */
export const foreign: Effect.Effect<never> = Effect.suspend(() =>
  Effect.die(withCallersStack(new ForeignTransactionError()))
)

const inTransaction = <A, E, R>(
  database: Database,
  self: Effect.Effect<A, E, R>,
  { options, typed }: How
): Effect.Effect<A, E | TransactionError, Exclude<R, AirlockScope>> =>
  Effect.uninterruptibleMask((restore) => {
    let frame: SqlFrame | undefined
    const begun = (fiber: Fiber.RuntimeFiber<unknown, unknown>, span: Tracer.Span, driver: Connection) => {
      const connection = new WatchedConnection(driver, database.dialect, database.client.reserve)
      const opened = new SqlFrame(openScope(fiber, database.airlock, { name: "transaction", ...options }), connection)
      frame = opened
      return Effect.flatMap(exitOf(restore(self), fiber, span, opened), (exit) => {
        connection.ended = true
        event(span, fiber, Exit.isSuccess(exit) ? "commit" : "rollback")
        return Effect.zipRight(Exit.isSuccess(exit) ? commit(opened, typed) : rollback(opened), exit)
      })
    }
    const transaction = withSpan(database, (fiber, span) =>
      withReserved(database.client, fiber, (driver) =>
        Effect.flatMap(run(driver, "BEGIN"), () =>
          begun(fiber, span, driver))))
    return flatMapExit(transaction, (exit) =>
      frame === undefined
        ? exit
        : Effect.flatMap(settleCommitted(frame, exit, typed), (given) =>
          frame!.rollbackHooks.length === 0
            ? given
            : Effect.zipRight(runRollbackHooks(frame!.rollbackHooks, database.airlock), given)))
  })

/** As `Effect.scoped` does, but for the scope in the context, which is none of the body's. */
const withReserved = <A, E, R>(
  client: SqlClient,
  fiber: AnyFiber,
  use: (driver: Connection) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.flatMap(EffectScope.make(), (reservation) => {
    const context = Context.add(fiber.currentContext, EffectScope.Scope, reservation)
    const back = change(fiber, [[FiberRef.currentContext, context]])
    // What it needs is in that context, which its type does not show.
    const reserved = flatMapExit(client.reserve as Effect.Effect<Connection, SqlError>, (exit) => {
      back()
      return exit
    })
    return flatMapExit(Effect.flatMap(reserved, use), (exit) =>
      Effect.zipRight(EffectScope.close(reservation, exit), exit))
  })

const commit = (frame: SqlFrame, typed: boolean): Effect.Effect<void, SqlError | CommitUnknownError> => {
  const { connection } = frame
  if (connection.lost !== undefined) {
    return Effect.zipRight(rollback(frame), Effect.fail(connection.lost))
  }
  const committed = connection.dialect.commit(connection.driver, connection.firstFailure)
  return Effect.catchAll(committed, (error): Effect.Effect<never, SqlError | CommitUnknownError> => {
    if (error._tag === "CommitUnknownError") {
      connection.dialect.discard(connection.driver)
      return typed ? Effect.fail(error) : Effect.die(error)
    }
    frame.rolledBack = true
    return Effect.fail(error)
  })
}

/** What was not committed is not, whether its ROLLBACK arrives or not: the body's own exit is what the caller is to see. */
const rollback = (frame: SqlFrame): Effect.Effect<void> => {
  const { dialect, driver } = frame.connection
  frame.rolledBack = true
  return Effect.catchAll(dialect.rollback(driver), (error) => {
    dialect.discard(driver)
    return Effect.logWarning("Airlock gives up a connection on which a transaction could not be rolled back", error)
  })
}

/** Settles by what the database did; an interruption that came after the COMMIT no longer changes that. */
const settleCommitted = <A, E>(
  { scope }: SqlFrame,
  exit: Exit.Exit<A, E>,
  typed: boolean
): Effect.Effect<Exit.Exit<A, E | FlushError>> => {
  if (settleEmpty(scope, Exit.isSuccess(exit)) !== undefined) {
    return Effect.succeed(exit)
  }
  const settled = settle(scope, exit, { byExitAlone: true })
  return Effect.flatMap(Exit.isSuccess(exit) ? settled : Effect.zipRight(unpark(scope), settled), (settlement) => {
    const flush = failureOf(scope, exit, settlement)
    return typed || Exit.isSuccess(flush)
      ? Effect.succeed(giveBack(scope, exit, settlement))
      : Effect.as(Effect.logError("A transaction has ended, but not all of its intents left", flush.cause), exit)
  })
}

const inSavepoint = <A, E, R>(
  database: Database,
  self: Effect.Effect<A, E, R>,
  { options, typed }: How,
  parent: SqlFrame
): Effect.Effect<A, E | TransactionError, Exclude<R, AirlockScope>> =>
  Effect.uninterruptibleMask((restore) => {
    const { connection } = parent
    // Effect names them by their depth, so two of one depth must not overlap.
    const name = `effect_sql_${parent.depth + 1}`
    const begun = (fiber: Fiber.RuntimeFiber<unknown, unknown>, span: Tracer.Span) => {
      const seen = parent.seen && isAround(parent.scope, positionOf(fiber))
      const scope = openScope(fiber, database.airlock, { name: "savepoint", ...options })
      const frame = new SqlFrame(scope, connection, parent, seen)
      parent.savepoint = frame
      return Effect.flatMap(exitOf(restore(self), fiber, span, frame), (exit) => {
        event(span, fiber, Exit.isSuccess(exit) ? "savepoint" : "rollback")
        return Effect.flatMap(
          Exit.isSuccess(exit) ? Effect.exit(Effect.zipRight(connection.doubt, exit)) : Effect.succeed(exit),
          (exit) => settleSavepoint(frame, name, exit, typed)
        )
      })
    }
    const savepoint = withSpan(database, (fiber, span) =>
      Effect.flatMap(connection.executeUnprepared(`SAVEPOINT ${name}`, [], undefined), () =>
        begun(fiber, span)))
    const leave = Effect.sync(() => {
      parent.savepoint = undefined
      parent.turns.give()
    })
    return Effect.flatMap(parent.turns.take(restore), () =>
      Effect.ensuring(savepoint, leave))
  })

/**
 * A savepoint that succeeds hands over while it can still be rolled back: its rows are better not there than without the
 * intents that the transaction could not take.
 */
const settleSavepoint = <A, E>(
  frame: SqlFrame,
  name: string,
  exit: Exit.Exit<A, E>,
  typed: boolean
): Effect.Effect<A, E | FlushError> =>
  Effect.flatMap(settle(frame.scope, exit, { byExitAlone: true }), (settlement) => {
    const flush = failureOf(frame.scope, exit, settlement)
    const given = typed || Exit.isSuccess(flush)
      ? giveBack(frame.scope, exit, settlement)
      : Exit.die(Cause.squash(flush.cause))
    if (Exit.isSuccess(given)) {
      return given
    }
    frame.rolledBack = true
    return Effect.zipRight(frame.connection.rollbackTo(name), given)
  })

/** The exit of a body that runs in a frame: on its connection, and in its scope. */
const exitOf = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  span: Tracer.Span,
  frame: SqlFrame
): Effect.Effect<Exit.Exit<A, E | SqlError>, never, Exclude<R, AirlockScope>> => {
  // The fiber's context is that of `R`; its type does not say so.
  const around = fiber.currentContext as Context.Context<R>
  const context = Context.add(Context.add(around, TransactionConnection, frame.transaction), Tracer.ParentSpan, span)
  const body = frame.parent === undefined && frame.scope.executor.transactional !== undefined
    ? Effect.zipLeft(self, parkIn(frame, fiber))
    : self
  return exitWithin(body, fiber, frame.scope, [FiberRef.currentContext, context])
}

const parkIn = (frame: SqlFrame, fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void, SqlError> =>
  Effect.mapError(
    Effect.suspend(() => park(frame.scope, frame.connection.database, fiber)),
    (error) =>
      error instanceof SqlError
        ? error
        : new SqlError({ message: "The intents of a transaction could not be written", cause: error })
  )

const withSpan = <A, E, R>(
  { spanAttributes }: Database,
  use: (fiber: Fiber.RuntimeFiber<unknown, unknown>, span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.useSpan("sql.transaction", { kind: "client", captureStackTrace: false }, (span) => {
    for (const [key, value] of spanAttributes) {
      span.attribute(key, value)
    }
    return Effect.withFiberRuntime((fiber) => use(fiber, span))
  })

const event = (span: Tracer.Span, fiber: Fiber.RuntimeFiber<unknown, unknown>, name: string): void =>
  span.event(
    `db.transaction.${name}`,
    Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeNanos()
  )
