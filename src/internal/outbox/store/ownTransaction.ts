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
import { transactionIn } from "../../scope/transactionTag.js"
import type { DialectName } from "./dialect.js"

const begin: Partial<Record<DialectName, ReadonlyArray<string>>> = {
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
      transactionIn(fiber.currentContext) === undefined
        ? Effect.uninterruptibleMask((restore) =>
          Effect.scoped(Effect.flatMap(restore(client.reserve), (connection) => {
            const execute = (sql: string) => connection.executeUnprepared(sql, [], undefined)
            return Effect.forEach(begin[dialect] ?? ["BEGIN"], execute, { discard: true }).pipe(
              Effect.zipRight(Effect.provideService(self, TransactionConnection, [connection, 0])),
              Effect.zipLeft(Effect.suspend(() => execute("COMMIT"))),
              Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Effect.ignore(execute("ROLLBACK")))
            )
          }))
        )
        : self
    )
