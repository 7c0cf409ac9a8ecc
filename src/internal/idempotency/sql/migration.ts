/**
 * Creates the table of the SQL store. Several processes may do so at once.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { dialectOf } from "../../outbox/store/dialect.js"
import { inOwnTransaction } from "../../outbox/store/ownTransaction.js"
import { retryOutsideTransaction } from "../../outbox/store/statement.js"
import { createTable } from "./statements.js"

/** @internal */
export const migrate = (table: string): Effect.Effect<void, SqlError, SqlClient> =>
  Effect.gen(function*() {
    const client = (yield* SqlClient).withoutTransforms()
    const { name } = dialectOf(client)
    const create = Effect.forEach(createTable(name, table), (text) => client.unsafe(text), { discard: true })
    // Two processes that create one table at once fail on PostgreSQL.
    const alone = name === "pg"
      ? Effect.zipRight(client.unsafe("SELECT pg_advisory_xact_lock(hashtext($1))", [table]), create)
      : create
    yield* retryOutsideTransaction(inOwnTransaction(client, name)(alone))
  })
