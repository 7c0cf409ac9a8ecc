/**
 * The connection and the time limit of each statement of the outbox.
 *
 * A server that is gone without a word leaves a connection half-open: a statement on it never gets an answer. So every statement
 * has a time limit, and drops its connection when the limit passes. The pool then opens another one.
 *
 * @internal
 */
import { type SqlClient, TransactionConnection } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as EffectScope from "effect/Scope"
import { transactionIn } from "../../scope/transactionTag.js"
import { exitWithin } from "../../support/deadline.js"
import { startFiber } from "../../support/effectInternals.js"
import { TimeLimit } from "../../support/timeLimit.js"
import { dropConnection } from "./driverConnection.js"

/**
 * The time limit of a statement, with the wait for a connection of the pool.
 *
 * @internal
 */
export const statementLimit = Duration.seconds(10)

const limit = new TimeLimit(statementLimit)

/** The value of Effect's transaction tag. */
type Open = readonly [connection: Connection, depth: number]

const HeldKey: unique symbol = Symbol.for("effect-airlock/outbox/heldConnection")

/**
 * The value of Effect's transaction tag for a connection that is held without a transaction. Statements run on the connection
 * of the tag, and this one is told from a transaction by its key.
 */
const held = (connection: Connection): Open => Object.assign([connection, 0] as const, { [HeldKey]: true })

const isHeld = (open: unknown): boolean => typeof open === "object" && open !== null && HeldKey in open

/** Whether a transaction is open in a context. @internal */
export const isInTransaction = (context: Context.Context<never>): boolean => {
  const open = transactionIn(context)
  return open !== undefined && !isHeld(open)
}

/** What a limited Effect does, for when its time is over. @internal */
export class Attempt {
  connection: Connection | undefined
  isAbandoned = false

  abandon(): void {
    this.isAbandoned = true
    if (this.connection !== undefined) {
      dropConnection(this.connection)
    }
  }
}

/**
 * Runs an Effect with the time limit of a statement. When it passes, or when the fiber is interrupted, its connection is dropped.
 *
 * @internal
 */
export const limited = <A>(
  self: (attempt: Attempt) => Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> =>
  Effect.withFiberRuntime((caller, { runtimeFlags }) => {
    const attempt = new Attempt()
    const fiber = startFiber(Effect.suspend(() => self(attempt)), caller, runtimeFlags)
    const ended = fiber.unsafePoll()
    if (ended !== null) {
      return ended
    }
    const abandon = Effect.suspend(() => {
      attempt.abandon()
      // On PostgreSQL it also asks the server to cancel the statement.
      return Fiber.interruptFork(fiber)
    })
    return Effect.flatMap(Effect.onInterrupt(exitWithin(fiber, statementLimit), () => abandon), (exit) =>
      exit ?? Effect.zipRight(abandon, Effect.fail(exceeded(attempt))))
  })

const exceeded = ({ connection }: Attempt): SqlError =>
  new SqlError({
    message: connection === undefined
      ? `The outbox got no connection within ${Duration.format(statementLimit)}`
      : `The database did not answer within ${
        Duration.format(statementLimit)
      }, and the outbox has dropped the connection`,
    cause: new Error("time limit")
  })

/** @internal */
export interface Reservation {
  readonly connection: Connection
  readonly scope: EffectScope.CloseableScope
}

/**
 * Reserves a connection of the pool. The driver hands a connection over also to a fiber that no longer waits for it, so the wait
 * is not interruptible, and a connection that comes too late goes back.
 *
 * @internal
 */
export const reserve = (client: SqlClient, attempt: Attempt): Effect.Effect<Reservation, SqlError> =>
  Effect.uninterruptible(
    Effect.flatMap(
      EffectScope.make(),
      (scope) =>
        Effect.flatMap(Effect.exit(EffectScope.extend(client.reserve, scope)), (reserved): Effect.Effect<
          Reservation,
          SqlError
        > => {
          if (Exit.isFailure(reserved)) {
            return Effect.zipRight(EffectScope.close(scope, reserved), Exit.failCause(reserved.cause))
          }
          if (attempt.isAbandoned) {
            return Effect.zipRight(EffectScope.close(scope, reserved), Effect.interrupt)
          }
          attempt.connection = reserved.value
          return Effect.succeed({ connection: reserved.value, scope })
        })
    )
  )

/** Drops a connection, so that the pool does not use it again. @internal */
export const dropReservation = ({ connection, scope }: Reservation): Effect.Effect<void> =>
  Effect.suspend(() => {
    dropConnection(connection)
    return EffectScope.close(scope, Exit.void)
  })

/** Reserves a connection of the pool for one statement. The limit is one for both. */
const onReserved = <A>(
  client: SqlClient,
  use: (connection: Connection) => Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> =>
  limited((attempt) =>
    Effect.acquireUseRelease(
      reserve(client, attempt),
      ({ connection }) => Effect.interruptible(use(connection)),
      ({ scope }, exit) => EffectScope.close(scope, exit)
    )
  )

/** Runs an Effect whose statements are sent on a connection that is held for it. @internal */
export const onHeld = <A, E>(connection: Connection, self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.provideService(self, TransactionConnection, held(connection))

const openIn = (context: Context.Context<never>): Open | undefined => transactionIn(context) as Open | undefined

/**
 * Gives the connection that is held in the fiber to an Effect, or else one of the pool. The wait for it is limited, and the
 * Effect limits each of its statements.
 *
 * @internal
 */
export const withConnection = <A, E>(
  client: SqlClient,
  use: (connection: Connection) => Effect.Effect<A, E>
): Effect.Effect<A, E | SqlError> =>
  Effect.withFiberRuntime((fiber) => {
    const open = openIn(fiber.currentContext)
    return open !== undefined
      ? use(open[0])
      : Effect.acquireUseRelease(
        limited((attempt) => reserve(client, attempt)),
        ({ connection }) => use(connection),
        ({ scope }, exit) => EffectScope.close(scope, exit)
      )
  })

/**
 * Runs a statement on a connection, with the limit. When it passes, the connection is dropped, and so the statement fails.
 *
 * @internal
 */
export const limitedOn = <A>(connection: Connection, self: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
  Effect.withFiberRuntime((caller) => {
    const attempt = new Attempt()
    attempt.connection = connection
    const end = limit.start(caller, () => attempt.abandon())
    return Effect.mapError(
      Effect.ensuring(self, Effect.sync(end)),
      (error) => attempt.isAbandoned ? exceeded(attempt) : error
    )
  })

/** Whether a database of PostgreSQL begins transactions as READ COMMITTED, by the `reserve` of its clients. */
const readsCommitted = new WeakMap<object, boolean>()

/**
 * Runs one statement on a connection of the pool, as READ COMMITTED. On PostgreSQL the first statement of a client asks for the
 * default of the database. If it is another one, each statement is in a transaction of its own.
 */
const readCommitted = <A>(
  client: SqlClient,
  connection: Connection,
  self: Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> => {
  const execute = (sql: string) => connection.executeUnprepared(sql, [], undefined)
  const statement = onHeld(connection, self)
  const run = (isDefault: boolean) =>
    isDefault ? statement : Effect.zipRight(execute("BEGIN ISOLATION LEVEL READ COMMITTED"), statement).pipe(
      Effect.zipLeft(Effect.suspend(() => execute("COMMIT"))),
      Effect.onError(() => Effect.ignore(execute("ROLLBACK")))
    )
  return client.onDialectOrElse({
    pg: () => {
      const known = readsCommitted.get(client.reserve)
      return known !== undefined ? run(known) : Effect.flatMap(
        connection.executeValues("SHOW default_transaction_isolation", []),
        (rows) => {
          const isDefault = rows[0]?.[0] === "read committed"
          readsCommitted.set(client.reserve, isDefault)
          return run(isDefault)
        }
      )
    },
    orElse: () => statement
  })
}

/** Runs one statement on the connection that is open in the fiber, or else on one of the pool. With the limit. @internal */
export const onConnection = <A>(client: SqlClient, self: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
  Effect.withFiberRuntime((fiber) => {
    const open = openIn(fiber.currentContext)
    return open === undefined
      ? onReserved(client, (connection) => readCommitted(client, connection, self))
      : limitedOn(open[0], self)
  })
