/**
 * The transaction of a change that needs more than one statement, such as a claim on MySQL. Unlike a transaction of the
 * application it opens no scope, and its isolation is chosen for a queue.
 *
 * @internal
 */
import { type SqlClient, TransactionConnection } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { isInTransaction, limitedOn, withConnection } from "./connection.js"
import type { DialectName } from "./dialect.js"

const begin: Record<DialectName, ReadonlyArray<string>> = {
  // The default of a database can be `serializable`, which would refuse transactions of the application for those of a relay.
  pg: ["BEGIN ISOLATION LEVEL READ COMMITTED"],
  // In its default isolation level, MySQL also locks the gaps between rows, and inserts into these gaps wait.
  mysql: ["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN"],
  // SQLite refuses the first write of a transaction that began with a read if another process has written since.
  sqlite: ["BEGIN IMMEDIATE"]
}

/**
 * Runs an Effect in the transaction that is open in the fiber, or else in a transaction of its own, which an interruption
 * does not end.
 *
 * @internal
 */
export const inOwnTransaction =
  (client: SqlClient, dialect: DialectName) => <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | SqlError> =>
    Effect.withFiberRuntime((fiber) =>
      isInTransaction(fiber.currentContext) ? self : Effect.uninterruptible(
        withConnection(client, (connection): Effect.Effect<A, E | SqlError> => {
          const execute = (sql: string) =>
            limitedOn(connection, Effect.suspend(() => connection.executeUnprepared(sql, [], undefined)))
          return Effect.forEach(begin[dialect], execute, { discard: true }).pipe(
            Effect.zipRight(Effect.provideService(self, TransactionConnection, [connection, 0])),
            Effect.zipLeft(execute("COMMIT")),
            Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Effect.ignore(execute("ROLLBACK")))
          )
        })
      )
    )
