/**
 * The drivers whose transactions can be scopes, a record for each: how a transaction ends, and how to find out that the
 * database has ended it.
 *
 * @internal
 */
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { CommitUnknownError } from "../../AirlockError.js"
import { withCallersStack } from "../support/callSite.js"

/** @internal */
export interface Driver {
  /** The name of its package. */
  readonly name: string
  /** The property that marks a client of this driver. Another driver of the same database may end transactions differently. */
  readonly typeId: PropertyKey
  /**
   * Whether the database refuses all statements after a failed one, until a savepoint is rolled back. Other databases may
   * end the transaction at a failed statement: the statements after it would be committed alone.
   */
  readonly refusesAfterFailure: boolean
  /** Whether an interruption cancels a running statement. Otherwise the statement goes on, and the next one waits for it. */
  readonly cancels: boolean
  /** Whether the transaction is still open. */
  readonly isOpen: (connection: Connection) => Effect.Effect<boolean, SqlError>
  /** Fails with a `SqlError` only if it is certain that the database has rolled the transaction back. */
  readonly commit: (
    connection: Connection,
    firstFailure: SqlError | undefined
  ) => Effect.Effect<void, SqlError | CommitUnknownError>
  readonly rollback: (connection: Connection) => Effect.Effect<void, SqlError>
  /** Takes the connection out of the pool. */
  readonly discard: (connection: Connection) => void
}

/** Executes a statement without parameters or rows. @internal */
export const execute = (connection: Connection, sql: string): Effect.Effect<void, SqlError> =>
  Effect.asVoid(Effect.suspend(() => connection.executeUnprepared(sql, [], undefined)))

/**
 * The error of a transaction that the database rolled back by itself.
 *
 * @internal
 */
export const rolledBackBy = (firstFailure: SqlError | undefined): SqlError =>
  new SqlError({
    message: "The database rolled the transaction back, because a statement failed in it and the error was caught",
    cause: firstFailure?.cause
  })

const unknown = (cause: SqlError) => withCallersStack(new CommitUnknownError({ cause }))

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value ? value[name as keyof typeof value] : undefined

/** The cancellation of an earlier statement may cancel the first ROLLBACK instead. */
const rollbackTwice = (connection: Connection) =>
  Effect.orElse(execute(connection, "ROLLBACK"), () => execute(connection, "ROLLBACK"))

/** Whether PostgreSQL refused a statement because an earlier one of its transaction had failed. @internal */
export const isRefusedAfterFailure = ({ cause }: SqlError): boolean => field(cause, "code") === "25P02"

const postgres: Driver = {
  name: "@effect/sql-pg",
  typeId: "~@effect/sql-pg/PgClient",
  refusesAfterFailure: true,
  cancels: true,
  isOpen: (connection) =>
    execute(connection, "SELECT 1").pipe(
      Effect.as(true),
      Effect.catchIf(isRefusedAfterFailure, () => Effect.succeed(false))
    ),
  commit: (connection, firstFailure) =>
    Effect.matchEffect(connection.executeRaw("COMMIT", []), {
      onFailure: (error) => Effect.fail(isRefusal(error.cause) ? error : unknown(error)),
      // After a failed statement, PostgreSQL answers a COMMIT with "ROLLBACK" and no error.
      onSuccess: (result) =>
        field(result, "command") === "ROLLBACK" ? Effect.fail(rolledBackBy(firstFailure)) : Effect.void
    }),
  rollback: rollbackTwice,
  discard: (connection) => {
    const end = field(field(connection, "pg"), "end")
    if (typeof end === "function") {
      Promise.resolve(end.call(field(connection, "pg"))).catch(() => {})
    }
  }
}

/**
 * Whether an error of COMMIT means that PostgreSQL has rolled back. All errors of the server do, except those of the connection
 * (class 08), of a shutdown or crash (57P), of the system (58), of a bug (XX), and of an unknown outcome (40003). An error of
 * the server has a severity. An error of the socket has a code, but no severity.
 */
const isRefusal = (cause: unknown): boolean =>
  typeof field(cause, "severity") === "string" && !/^(08|57P|58|XX|40003)/.test(String(field(cause, "code")))

const mysql: Driver = {
  name: "@effect/sql-mysql2",
  typeId: Symbol.for("@effect/sql-mysql2/MysqlClient"),
  refusesAfterFailure: false,
  cancels: false,
  // Every answer without rows contains the server's status, whose first bit says whether a transaction is open.
  isOpen: (connection) =>
    Effect.map(connection.executeRaw("DO 0", []), (result) => (Number(field(result, "serverStatus")) & 1) === 1),
  commit: (connection) =>
    Effect.mapError(
      execute(connection, "COMMIT"),
      (error) => /^(23|40)/.test(String(field(error.cause, "sqlState"))) ? error : unknown(error)
    ),
  rollback: rollbackTwice,
  discard: (connection) => {
    const destroy = field(field(connection, "conn"), "destroy")
    if (typeof destroy === "function") {
      destroy.call(field(connection, "conn"))
    }
  }
}

const sqlite: Driver = {
  name: "@effect/sql-sqlite-node",
  typeId: Symbol.for("@effect/sql-sqlite-node/SqliteClient"),
  refusesAfterFailure: false,
  cancels: false,
  // BEGIN fails inside a transaction.
  isOpen: (connection) =>
    Effect.matchEffect(execute(connection, "BEGIN"), {
      onFailure: () => Effect.succeed(true),
      onSuccess: () => Effect.as(execute(connection, "ROLLBACK"), false)
    }),
  // A COMMIT that SQLite refuses leaves the transaction open.
  commit: (connection) =>
    Effect.catchAll(execute(connection, "COMMIT"), (error) =>
      Effect.matchEffect(sqlite.rollback(connection), {
        onFailure: () => Effect.fail(unknown(error)),
        onSuccess: () => Effect.fail(error)
      })),
  rollback: (connection) =>
    Effect.catchIf(
      execute(connection, "ROLLBACK"),
      (error) => String(field(error.cause, "message")).includes("no transaction is active"),
      () => Effect.void
    ),
  // There is only one connection.
  discard: () => {}
}

/** @internal */
export const drivers: ReadonlyArray<Driver> = [postgres, mysql, sqlite]
