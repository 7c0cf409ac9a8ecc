/**
 * Runs an Effect in a transaction or a savepoint, whose scope settles by what the database did.
 *
 * `SqlClient.makeWithTransaction` does not suffice: it releases the connection before a refused COMMIT can be rolled back, and
 * turns errors that a caller can handle into defects. The statements, the spans and the names of savepoints are the same.
 *
 * @internal
 */
import { type SqlClient, TransactionConnection } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as EffectScope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import {
  type CommitUnknownError,
  type FlushError,
  ForeignTransactionError,
  SavepointTimeoutError
} from "../../AirlockError.js"
import { type AirlockScope, withoutMarker } from "../../AirlockScope.js"
import type { AirlockService } from "../contract/airlock.js"
import type { ScopeBehavior, ScopeOptions } from "../contract/scope.js"
import { currentOf, exitInside } from "../scope/currentScope.js"
import { type Frame, FrameKey } from "../scope/frame.js"
import type { Journal } from "../scope/journal.js"
import { openScope } from "../scope/open.js"
import { forgetRows, insertRows } from "../scope/outboxRows.js"
import { isInside, type Scope } from "../scope/scope.js"
import { exitOf, failureOf, settle, settleEmpty } from "../scope/settle.js"
import { transactionIn } from "../scope/transactionTag.js"
import { withCallersStack } from "../support/callSite.js"
import { type AnyFiber, updateRefs } from "../support/effectInternals.js"
import { flatMapExit } from "../support/flatMapExit.js"
import { Semaphore } from "../support/semaphore.js"
import { now } from "../telemetry/spans.js"
import { type Driver, execute, isRefusedAfterFailure, rolledBackBy } from "./driver.js"
import { type RollbackHook, runRollbackHooks } from "./rollbackHooks.js"
import { WatchedConnection } from "./watchedConnection.js"

/** @internal */
export interface Database {
  readonly client: SqlClient
  readonly driver: Driver
  readonly airlock: AirlockService
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
}

/** @internal */
export interface FrameOptions {
  /**
   * Whether all errors are in the error channel. The type of `withTransaction` allows only `SqlError`. So there, a failed
   * flush is logged, and a COMMIT with an unknown outcome is a defect.
   */
  readonly typed: boolean
  readonly scope?: ScopeOptions
}

/** @internal */
export type TransactionError<A> = SqlError | FlushError<A> | CommitUnknownError

/**
 * Concurrent savepoints of one transaction run one after the other, because two that overlap would undo each other's work. A
 * savepoint that waits for longer than this is most likely in a deadlock.
 */
const savepointLimit = Duration.seconds(30)

/** @internal */
export class SqlFrame implements Frame {
  /** The value of Effect's transaction tag inside the frame: the connection, the depth, and the frame under its key. */
  readonly transaction: readonly [connection: Connection, depth: number] & { readonly [FrameKey]: SqlFrame }
  /** Its one permit belongs to the savepoint that is open in the frame. */
  readonly semaphore = new Semaphore(1)
  savepoint: SqlFrame | undefined = undefined
  rolledBack = false
  /** Shared by a transaction and its savepoints. */
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

/** Runs an Effect in a transaction, or in a savepoint of the current transaction. @internal */
export const inFrame = <A, E, R>(
  database: Database,
  self: Effect.Effect<A, E, R>,
  options: FrameOptions
): Effect.Effect<A, E | TransactionError<A>, Exclude<R, AirlockScope>> =>
  Effect.withFiberRuntime((fiber) => {
    const transaction = transactionIn(fiber.currentContext)
    if (transaction === undefined) {
      return inTransaction(database, self, options)
    }
    const parent = sqlFrameOf(transaction)
    if (parent === undefined) {
      // The current transaction was opened by an undecorated client. Its savepoints refuse every enqueue, as it does.
      return withoutMarker(database.client.withTransaction(self))
    }
    return parent.connection.database === database.client.reserve
      ? inSavepoint(database, self, options, parent)
      : dieForeign
  })

/** The frame of a transaction, whether it is seen or not. @internal */
export const sqlFrameOf = (transaction: unknown): SqlFrame | undefined =>
  // Only a SqlFrame is ever stored under the key.
  (transaction as { readonly [FrameKey]?: SqlFrame } | undefined)?.[FrameKey]

/** @internal */
export const dieForeign: Effect.Effect<never> = Effect.suspend(() =>
  Effect.die(withCallersStack(new ForeignTransactionError()))
)

const inTransaction = <A, E, R>(
  database: Database,
  self: Effect.Effect<A, E, R>,
  { scope, typed }: FrameOptions
): Effect.Effect<A, E | TransactionError<A>, Exclude<R, AirlockScope>> =>
  Effect.uninterruptibleMask((restore) => {
    let frame: SqlFrame | undefined
    const body = (fiber: AnyFiber, span: Tracer.Span, raw: Connection) => {
      const { airlock, client, driver } = database
      const connection = new WatchedConnection(raw, driver, client.reserve)
      const opened = new SqlFrame(
        openScope(fiber, { airlock, options: { name: "transaction", ...behaviorIn(airlock), ...scope } }),
        connection
      )
      frame = opened
      return Effect.flatMap(exitOfBody(restore(self), fiber, span, opened), (exit) => {
        connection.ended = true
        addEvent(span, fiber, Exit.isSuccess(exit) ? "commit" : "rollback")
        return Effect.zipRight(Exit.isSuccess(exit) ? commit(opened, typed) : rollback(opened), exit)
      })
    }
    const transaction = withTransactionSpan(database, (fiber, span) =>
      withReserved(database.client, fiber, (raw) =>
        Effect.flatMap(execute(raw, "BEGIN"), () => body(fiber, span, raw))))
    return flatMapExit(transaction, (exit) =>
      frame === undefined
        ? exit
        : Effect.flatMap(settleTransaction(frame, exit, typed), (settled) =>
          frame!.rollbackHooks.length === 0
            ? settled
            : Effect.zipRight(runRollbackHooks(frame!.rollbackHooks, database.airlock), settled)))
  })

/** The database decides whether a transaction succeeds, and nothing passes it before. The application can only approve. */
const behaviorIn = ({ scope }: AirlockService): ScopeBehavior | undefined => scope && databaseDecides

const databaseDecides: ScopeBehavior = { shouldFlush: Exit.isSuccess, beforeDescendantFlushes: () => [] }

/** Reserves a connection until `use` ends. Unlike with `Effect.scoped`, `use` does not find the Scope in its context. */
const withReserved = <A, E, R>(
  client: SqlClient,
  fiber: AnyFiber,
  use: (raw: Connection) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.flatMap(EffectScope.make(), (reservation) => {
    const context = Context.add(fiber.currentContext, EffectScope.Scope, reservation)
    const restore = updateRefs(fiber, [[FiberRef.currentContext, context]])
    // The context has the scope, which is all that `reserve` needs.
    const reserved = flatMapExit(client.reserve as Effect.Effect<Connection, SqlError>, (exit) => {
      restore()
      return exit
    })
    return flatMapExit(Effect.flatMap(reserved, use), (exit) =>
      Effect.zipRight(EffectScope.close(reservation, exit), exit))
  })

const commit = (frame: SqlFrame, typed: boolean): Effect.Effect<void, SqlError | CommitUnknownError> => {
  const { driver, firstFailure, lost, raw } = frame.connection
  if (lost !== undefined) {
    return Effect.zipRight(rollback(frame), Effect.fail(lost))
  }
  const { journal } = frame.scope
  const committing = journal === undefined
    ? driver.commit(raw, firstFailure)
    : Effect.tap(driver.commit(raw, firstFailure), () => journal.hasCommitted())
  return Effect.catchAll(
    committing,
    (error): Effect.Effect<never, SqlError | CommitUnknownError> => {
      if (error._tag === "CommitUnknownError") {
        if (journal !== undefined) {
          journal.isOut = true
        }
        driver.discard(raw)
        return typed ? Effect.fail(error) : Effect.die(error)
      }
      frame.rolledBack = true
      return Effect.fail(error)
    }
  )
}

/** Without a COMMIT nothing is committed, even if the ROLLBACK fails. So a failed ROLLBACK does not change the exit. */
const rollback = (frame: SqlFrame): Effect.Effect<void> => {
  const { driver, raw } = frame.connection
  frame.rolledBack = true
  return Effect.catchAll(driver.rollback(raw), (error) => {
    driver.discard(raw)
    return Effect.logWarning("Airlock discards a connection, because the ROLLBACK of a transaction failed", error)
  })
}

/** Settles the scope of a transaction by what the database did, even if an interruption is pending. */
const settleTransaction = <A, E>(
  { scope }: SqlFrame,
  exit: Exit.Exit<A, E>,
  typed: boolean
): Effect.Effect<Exit.Exit<A, E | FlushError<A>>> => {
  if (settleEmpty(scope, Exit.isSuccess(exit)) !== undefined) {
    return Effect.succeed(exit)
  }
  const settled = settle(scope, exit, { byExitAlone: true })
  return Effect.flatMap(Exit.isSuccess(exit) ? settled : Effect.zipRight(forgetRows(scope), settled), (settlement) => {
    const flush = failureOf(scope, exit, settlement)
    return typed || Exit.isSuccess(flush)
      ? Effect.succeed(exitOf(scope, exit, settlement))
      : Effect.as(Effect.logError("Airlock: not all intents of the transaction left", flush.cause), exit)
  })
}

const inSavepoint = <A, E, R>(
  database: Database,
  self: Effect.Effect<A, E, R>,
  { scope: scopeOptions, typed }: FrameOptions,
  parent: SqlFrame
): Effect.Effect<A, E | TransactionError<A>, Exclude<R, AirlockScope>> =>
  Effect.uninterruptibleMask((restore) => {
    const { connection } = parent
    // Effect names savepoints by their depth.
    const name = `effect_sql_${parent.depth + 1}`
    const body = (fiber: AnyFiber, span: Tracer.Span) => {
      const seen = parent.seen && isInside(currentOf(fiber)?.scope, parent.scope)
      const options = { name: "savepoint", ...behaviorIn(database.airlock), ...scopeOptions }
      const frame = new SqlFrame(openScope(fiber, { airlock: database.airlock, options }), connection, parent, seen)
      parent.savepoint = frame
      return Effect.flatMap(exitOfBody(restore(self), fiber, span, frame), (exit) => {
        addEvent(span, fiber, Exit.isSuccess(exit) ? "savepoint" : "rollback")
        return Effect.flatMap(
          Exit.isSuccess(exit) ? Effect.exit(Effect.zipRight(connection.verify, exit)) : Effect.succeed(exit),
          (exit) => settleSavepoint(frame, name, exit, typed)
        )
      })
    }
    const savepoint = withTransactionSpan(database, (fiber, span) =>
      Effect.flatMap(connection.executeUnprepared(`SAVEPOINT ${name}`, [], undefined), () =>
        body(fiber, span)))
    const release = Effect.sync(() => {
      parent.savepoint = undefined
      parent.semaphore.give(1)
    })
    return Effect.zipRight(takeSavepoint(parent, restore), Effect.ensuring(savepoint, release))
  })

/** Waits until no other savepoint is open in a frame. */
const takeSavepoint = (
  { semaphore }: SqlFrame,
  restore: <A>(self: Effect.Effect<A>) => Effect.Effect<A>
): Effect.Effect<void> =>
  Effect.flatMap(semaphore.take(1, { restore, limit: savepointLimit }), (taken) =>
    // A pending interruption ends it here, whether the wait was over or not.
    Effect.zipRight(
      Effect.onInterrupt(restore(Effect.void), () => taken ? Effect.sync(() => semaphore.give(1)) : Effect.void),
      taken
        ? Effect.void
        : Effect.die(withCallersStack(new SavepointTimeoutError({ millis: Duration.toMillis(savepointLimit) })))
    ))

/**
 * Settles the scope of a savepoint while the savepoint can still be rolled back: if the outer scope cannot capture its
 * intents, its rows must not stay.
 */
const settleSavepoint = <A, E>(
  frame: SqlFrame,
  name: string,
  exit: Exit.Exit<A, E>,
  typed: boolean
): Effect.Effect<A, E | FlushError<A>> =>
  Effect.flatMap(settle(frame.scope, exit, { byExitAlone: true }), (settlement) => {
    const flush = failureOf(frame.scope, exit, settlement)
    const settled = typed || Exit.isSuccess(flush)
      ? exitOf(frame.scope, exit, settlement)
      : Exit.die(Cause.squash(flush.cause))
    if (Exit.isSuccess(settled)) {
      return settled
    }
    frame.rolledBack = true
    return Effect.zipRight(frame.connection.rollbackTo(name), settled)
  })

/** The exit of a body that runs on the connection and in the scope of a frame. */
const exitOfBody = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  fiber: AnyFiber,
  span: Tracer.Span,
  frame: SqlFrame
): Effect.Effect<Exit.Exit<A, E | SqlError>, never, Exclude<R, AirlockScope>> => {
  // The fiber's context has the services of `R`.
  const outer = fiber.currentContext as Context.Context<R>
  const context = Context.add(Context.add(outer, TransactionConnection, frame.transaction), Tracer.ParentSpan, span)
  const inserting = frame.parent === undefined && frame.scope.executor.transactional !== undefined
    ? Effect.zipLeft(self, insertIn(frame, fiber))
    : self
  const { journal } = frame.scope
  const body = frame.parent === undefined && journal !== undefined
    ? Effect.zipLeft(inserting, keepKey(journal, frame))
    : inserting
  return withoutMarker(exitInside(body, fiber, frame.scope, [FiberRef.currentContext, context]))
}

/** Inserts the rows of an outbox, right before the COMMIT. */
const insertIn = (frame: SqlFrame, fiber: AnyFiber): Effect.Effect<void, SqlError> =>
  Effect.suspend(() => {
    // What failed before the insert is the cause of its failure, if the database refuses it for that.
    const { firstFailure, lost } = frame.connection
    return Effect.mapError(insertRows(frame.scope, frame.connection.database, fiber), (error) =>
      lost !== undefined
        ? lost
        : !(error instanceof SqlError)
        ? new SqlError({ message: "The intents of a transaction could not be inserted in the outbox", cause: error })
        : firstFailure !== undefined && isRefusedAfterFailure(error)
        ? rolledBackBy(firstFailure)
        : error)
  })

/** Records in the transaction that the request with this idempotency key has committed, while it still owns the key. */
const keepKey = ({ beforeCommit }: Journal, { connection }: SqlFrame): Effect.Effect<void, SqlError> =>
  Effect.mapError(beforeCommit, (error) =>
    connection.lost ?? (error instanceof SqlError
      ? error
      : new SqlError({ message: "The idempotency key of a transaction could not be kept", cause: error })))

const withTransactionSpan = <A, E, R>(
  { spanAttributes }: Database,
  use: (fiber: AnyFiber, span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.useSpan("sql.transaction", { kind: "client", captureStackTrace: false }, (span) => {
    for (const [key, value] of spanAttributes) {
      span.attribute(key, value)
    }
    return Effect.withFiberRuntime((fiber) => use(fiber, span))
  })

const addEvent = (span: Tracer.Span, fiber: AnyFiber, name: string): void =>
  span.event(`db.transaction.${name}`, now(fiber))
