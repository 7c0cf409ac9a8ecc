/**
 * The transaction of a claim, where it takes more than one statement. It is not one of the application's: no scope is
 * opened with it, and it begins as suits a queue.
 *
 * @internal
 */
import { type SqlClient, TransactionConnection } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { transactionIn } from "../transactionConnection.js"
import type { DialectName } from "./dialect.js"

const begin: Partial<Record<DialectName, ReadonlyArray<string>>> = {
  // As MySQL begins by itself it would lock the gaps between rows too, and whoever inserts there would wait.
  mysql: ["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN"],
  // One that reads first and then writes is refused where another process wrote in between.
  sqlite: ["BEGIN IMMEDIATE"]
}

/**
 * Runs an Effect in a transaction of its own, or in the one that is open in the fiber. An interruption waits for its end.
 *
 * @internal
 */
export const inOwnTransaction =
  (client: SqlClient, dialect: DialectName) => <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | SqlError> =>
    Effect.withFiberRuntime((fiber) =>
      transactionIn(fiber.currentContext) === undefined
        ? Effect.uninterruptibleMask((restore) =>
          Effect.scoped(Effect.flatMap(restore(client.reserve), (connection) => {
            const run = (sql: string) => connection.executeUnprepared(sql, [], undefined)
            return Effect.forEach(begin[dialect] ?? ["BEGIN"], run, { discard: true }).pipe(
              Effect.zipRight(Effect.provideService(self, TransactionConnection, [connection, 0])),
              Effect.zipLeft(Effect.suspend(() => run("COMMIT"))),
              Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Effect.ignore(run("ROLLBACK")))
            )
          }))
        )
        : self
    )
