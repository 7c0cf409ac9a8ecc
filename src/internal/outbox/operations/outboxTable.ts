/**
 * A table of the outbox with all that the operations on it need.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { type Dialect, dialectOf } from "../store/dialect.js"
import { type Keyed, makeKeyed } from "../store/keyed.js"
import { inOwnTransaction } from "../store/ownTransaction.js"
import { prepare, type Prepared, retryOutsideTransaction } from "../store/statement.js"
import { quotedTables, type Tables } from "../store/tables.js"

/** @internal */
export interface OutboxTable {
  readonly dialect: Dialect
  readonly tables: Tables
  readonly keyed: Keyed
  readonly statement: (text: string) => Prepared
  /** Runs an Effect in a transaction, and again if its error is transient. */
  readonly transaction: <A>(self: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>
}

/** Dies if the client is of a database that the outbox does not support. @internal */
export const outboxTable = (name: string): Effect.Effect<OutboxTable, never, SqlClient> =>
  Effect.map(SqlClient, (sql) => {
    const client = sql.withoutTransforms()
    const dialect = dialectOf(client)
    const tables = quotedTables(dialect, name)
    const inTransaction = inOwnTransaction(client, dialect.name)
    return {
      dialect,
      tables,
      keyed: makeKeyed(client, dialect, tables),
      statement: (text) => prepare(client, dialect, text),
      transaction: (self) => retryOutsideTransaction(inTransaction(self))
    }
  })
