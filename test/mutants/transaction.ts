/** SQL transactions: intents and rows share one fate. */
import { inFile, type Mutant } from "./mutant.js"

export const transaction: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/transaction/frame.ts", [
    {
      breaks: "I7: the application's scope behaviour decides about a transaction",
      symbol: "behaviorIn",
      replace: "scope && databaseDecides",
      by: "scope && undefined",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "outbox: the insert of its rows hides the statement that failed before",
      symbol: "insertIn",
      replace: "firstFailure !== undefined && isRefusedAfterFailure(error)",
      by: "false",
      tests: ["test/outbox/insertErrors.test.ts"]
    },
    {
      breaks: "I7: a transaction that was rolled back dispatches",
      symbol: "settleTransaction",
      replace: "{ byExitAlone: true }",
      by: "{ byExitAlone: true, flush: () => true }",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: an interruption after the COMMIT discards the intents of committed rows",
      symbol: "settleTransaction",
      replace: "settle(scope, exit, { byExitAlone: true })",
      by: "settle(scope, exit)",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: a failed transaction is committed",
      symbol: "inTransaction",
      replace: "Exit.isSuccess(exit) ? commit(opened, typed) : rollback(opened)",
      by: "commit(opened, typed)",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: a refused COMMIT counts as a COMMIT",
      symbol: "commit",
      replace: "frame.rolledBack = true; return Effect.fail(error)",
      by: "return Effect.void as Effect.Effect<never>",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: a COMMIT whose outcome is unknown counts as a COMMIT",
      symbol: "commit",
      replace: "typed ? Effect.fail(error) : Effect.die(error)",
      by: "Effect.void as Effect.Effect<never>",
      tests: ["test/sql/outcomes.test.ts"]
    },
    {
      breaks: "I7: a savepoint that is rolled back keeps its rows",
      symbol: "settleSavepoint",
      replace: "Effect.zipRight(frame.connection.rollbackTo(name), settled)",
      by: "settled",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: a savepoint keeps its rows though the transaction cannot take its intents",
      symbol: "settleSavepoint",
      replace: "Exit.die(Cause.squash(flush.cause))",
      by: "exit",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: a savepoint of a transaction that Airlock does not see counts as seen",
      symbol: "inSavepoint",
      replace: "parent.seen && isInside(currentOf(fiber)?.scope, parent.scope)",
      by: "parent.seen || isInside(currentOf(fiber)?.scope, parent.scope)",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: a transaction of another database becomes a savepoint of this one",
      symbol: "inFrame",
      replace: "parent.connection.database === database.client.reserve",
      by: "true",
      tests: ["test/sql/transactions.test.ts"]
    },
    {
      breaks: "I7: a transaction commits though an executor could not insert its intents",
      symbol: "exitOfBody",
      replace: "insertIn(frame, fiber)",
      by: "Effect.ignore(insertIn(frame, fiber))",
      tests: ["test/sql/transactions.test.ts"]
    },
    {
      breaks: "outbox: rows are inserted after the COMMIT",
      symbol: "exitOfBody",
      replace: "frame.scope.executor.transactional !== undefined",
      by: "false",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: rows are discarded though the outcome of their COMMIT is unknown",
      symbol: "settleTransaction",
      replace: "Exit.isSuccess(exit) ? settled : Effect.zipRight(forgetRows(scope), settled)",
      by: "settled",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "I7: a savepoint does not wait for another that is open, so that they undo each other's work",
      symbol: "SqlFrame.semaphore",
      replace: "new Semaphore(1)",
      by: "new Semaphore(Infinity)",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: a savepoint waits for another for ever",
      symbol: "takeSavepoint",
      replace: "limit: savepointLimit",
      by: "",
      tests: ["test/sql/transactions.test.ts"]
    },
    {
      breaks: "I7: a savepoint that waited too long opens beside the other",
      symbol: "takeSavepoint",
      replace: "Effect.die(withCallersStack(new SavepointTimeoutError({ millis: Duration.toMillis(savepointLimit) })))",
      by: "Effect.void",
      tests: ["test/sql/transactions.test.ts"]
    },
    {
      breaks: "I7: a savepoint keeps its place after its end, so that the next one never opens",
      symbol: "inSavepoint",
      replace: "parent.semaphore.give(1)",
      by: "",
      tests: ["test/SqlTransaction.test.ts"]
    }
  ]),
  ...inFile("src/internal/transaction/driver.ts", [
    {
      breaks: "I7: a refused COMMIT leaves the transaction open",
      symbol: "sqlite.commit",
      replace: "sqlite.rollback(connection)",
      by: "Effect.void",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: a COMMIT whose outcome is unknown counts as refused and is run again",
      symbol: "postgres.commit",
      replace: "isRefusal(error.cause) ? error : unknown(error)",
      by: "error",
      tests: ["test/sql/outcomes.test.ts"]
    },
    {
      breaks: "I7: a COMMIT that was answered with ROLLBACK counts as a COMMIT",
      symbol: "postgres.commit",
      replace: `field(result, "command") === "ROLLBACK"`,
      by: "false",
      tests: ["test/sql/transactions.test.ts"]
    }
  ]),
  ...inFile("src/internal/transaction/watchedConnection.ts", [
    {
      breaks: "I7: a transaction that the database rolled back by itself counts as committed",
      symbol: "WatchedConnection.failed",
      replace: "this.lost ??= rolledBackBy(error)",
      by: "",
      tests: ["test/sql/retries.test.ts"]
    },
    {
      breaks: "I7: statements after a transaction was lost are committed alone",
      symbol: "WatchedConnection.refusal",
      replace: "this.lost === undefined ? undefined : Effect.fail(this.lost)",
      by: "undefined",
      tests: ["test/sql/retries.test.ts"]
    },
    {
      breaks: "I7: a savepoint in which a statement failed counts as a success",
      symbol: "WatchedConnection.verify",
      replace: "!isOpen",
      by: "false",
      tests: ["test/sql/transactions.test.ts"]
    },
    {
      breaks: "I7: a savepoint that cannot be rolled back is forgotten",
      symbol: "WatchedConnection.rollbackTo",
      replace: "this.lost ??= error",
      by: "",
      tests: ["test/sql/retries.test.ts"]
    },
    {
      breaks: "I7: a fiber that outlives its transaction writes on the connection of another",
      symbol: "WatchedConnection.refusal",
      replace: `
        this.ended
          ? Effect.die(withCallersStack(new TransactionEndedError()))
          : this.lost === undefined ? undefined : Effect.fail(this.lost)`,
      by: "this.lost === undefined ? undefined : Effect.fail(this.lost)",
      tests: ["test/SqlTransaction.test.ts"]
    }
  ]),
  ...inFile("src/internal/transaction/rollbackHooks.ts", [
    {
      breaks: "afterRollback runs after a COMMIT",
      symbol: "runRollbackHooks",
      replace: "isRolledBack(frame)",
      by: "true",
      tests: ["test/sql/transactions.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/transactionTag.ts", [
    {
      breaks: "I7: intents that were enqueued beside a savepoint in a scope do not share its fate",
      symbol: "isRolledBack",
      replace: "at = at.parent",
      by: "at = undefined",
      tests: ["test/sql/transactions.test.ts"]
    }
  ]),
  ...inFile("src/SqlTransaction.ts", [
    {
      breaks: "I7: a client of another database writes on the connection of this one",
      symbol: "ownConnection",
      replace: "frame !== undefined && frame.connection.database !== client.reserve",
      by: "false",
      tests: ["test/sql/transactions.test.ts"]
    },
    {
      breaks: "rolledBack, for tests, captures intents that would leave early",
      symbol: "rolledBack",
      replace: "(intents) => intents",
      by: "() => []",
      tests: ["test/sql/transactions.test.ts"]
    }
  ])
]
