/**
 * What differs between the databases, a record for each: how a transaction ends, and how one finds out that it has ended
 * by itself.
 *
 * @internal
 */
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { CommitUnknownError } from "../../AirlockError.js"
import { withCallersStack } from "../callSite.js"

/** @internal */
export interface Dialect {
  readonly driver: string
  /** Under which its driver marks a client as its own. Other drivers of the same database begin and end in other ways. */
  readonly typeId: PropertyKey
  /**
   * Whether the database refuses what follows a failed statement, until a savepoint is rolled back. Elsewhere a statement
   * that fails may end the transaction, and those after it would be committed alone.
   */
  readonly refusesWhatFollows: boolean
  /** Whether an interrupted statement is cancelled. Elsewhere it goes on, and what follows on the connection waits for it. */
  readonly cancels: boolean
  /** Whether the transaction still stands. */
  readonly stands: (connection: Connection) => Effect.Effect<boolean, SqlError>
  /** Fails with a `SqlError` where the database has refused for certain, and holds nothing of the transaction. */
  readonly commit: (
    connection: Connection,
    earlier: SqlError | undefined
  ) => Effect.Effect<void, SqlError | CommitUnknownError>
  readonly rollback: (connection: Connection) => Effect.Effect<void, SqlError>
  /** Sees to it that the pool does not hand the connection to anyone again. */
  readonly discard: (connection: Connection) => void
}

/** @internal */
export const run = (connection: Connection, sql: string): Effect.Effect<void, SqlError> =>
  Effect.asVoid(Effect.suspend(() => connection.executeUnprepared(sql, [], undefined)))

/**
 * A transaction of which the database holds nothing, though nobody asked for that.
 *
 * @internal
 */
export const rolledBackBy = (earlier: SqlError | undefined): SqlError =>
  new SqlError({
    message: "The database rolled the transaction back, because a statement in it had failed whose error was caught",
    cause: earlier?.cause
  })

const unknown = (cause: SqlError) => withCallersStack(new CommitUnknownError({ cause }))

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value ? value[name as keyof typeof value] : undefined

/** The first statement may be hit by what was meant to cancel the one before it. */
const rollbackTwice = (connection: Connection) =>
  Effect.orElse(run(connection, "ROLLBACK"), () => run(connection, "ROLLBACK"))

const postgres: Dialect = {
  driver: "@effect/sql-pg",
  typeId: "~@effect/sql-pg/PgClient",
  refusesWhatFollows: true,
  cancels: true,
  stands: (connection) =>
    run(connection, "SELECT 1").pipe(
      Effect.as(true),
      Effect.catchIf((error) => field(error.cause, "code") === "25P02", () => Effect.succeed(false))
    ),
  commit: (connection, earlier) =>
    Effect.matchEffect(connection.executeRaw("COMMIT", []), {
      onFailure: (error) => Effect.fail(isRefusal(error.cause) ? error : unknown(error)),
      // After a failed statement that is how COMMIT is answered, without an error.
      onSuccess: (result) => field(result, "command") === "ROLLBACK" ? Effect.fail(rolledBackBy(earlier)) : Effect.void
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
 * PostgreSQL answers COMMIT with an error only where it has rolled back, unless the error is that of a connection (08), an
 * operator or a crash (57P), the system (58), a bug (XX), or says that it does not know (40003). Answers have a severity;
 * errors of a socket have none, but a code too.
 */
const isRefusal = (cause: unknown): boolean =>
  typeof field(cause, "severity") === "string" && !/^(08|57P|58|XX|40003)/.test(String(field(cause, "code")))

const mysql: Dialect = {
  driver: "@effect/sql-mysql2",
  typeId: Symbol.for("@effect/sql-mysql2/MysqlClient"),
  refusesWhatFollows: false,
  cancels: false,
  // The answer to any statement without rows carries the server's status, whose first bit says so.
  stands: (connection) =>
    Effect.map(connection.executeRaw("DO 0", []), (result) => (Number(field(result, "serverStatus")) & 1) === 1),
  commit: (connection) =>
    Effect.mapError(
      run(connection, "COMMIT"),
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

const sqlite: Dialect = {
  driver: "@effect/sql-sqlite-node",
  typeId: Symbol.for("@effect/sql-sqlite-node/SqliteClient"),
  refusesWhatFollows: false,
  cancels: false,
  // It allows no transaction inside another one.
  stands: (connection) =>
    Effect.matchEffect(run(connection, "BEGIN"), {
      onFailure: () => Effect.succeed(true),
      onSuccess: () => Effect.as(run(connection, "ROLLBACK"), false)
    }),
  // A COMMIT that SQLite refuses leaves the transaction open.
  commit: (connection) =>
    Effect.catchAll(run(connection, "COMMIT"), (error) =>
      Effect.matchEffect(sqlite.rollback(connection), {
        onFailure: () => Effect.fail(unknown(error)),
        onSuccess: () => Effect.fail(error)
      })),
  rollback: (connection) =>
    Effect.catchIf(
      run(connection, "ROLLBACK"),
      (error) => String(field(error.cause, "message")).includes("no transaction is active"),
      () => Effect.void
    ),
  // There is but one.
  discard: () => {}
}

/** @internal */
export const dialects: ReadonlyArray<Dialect> = [postgres, mysql, sqlite]
