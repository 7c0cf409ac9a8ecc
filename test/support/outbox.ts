/**
 * An application whose intents go to an outbox on SQLite.
 */
import { SqlClient } from "@effect/sql"
import { Effect, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Executor, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { sqlite } from "./databases.js"

export const Mail = Task.make("Mail", { payload: { to: Schema.String } })

export const mail = (to: string, options?: Parameters<typeof Airlock.enqueue>[2]) =>
  Airlock.enqueue(Mail, { to }, options)

/** The outbox as the context's executor, with its database. No Airlock uses it yet. */
export const outboxOnSqlite = Outbox.layer().pipe(
  Layer.provideMerge(Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(sqlite.client()), Layer.orDie)),
  Layer.orDie
)

/** The same with an Airlock that uses it, where transactions are scopes. */
export const application = SqlTransaction.layer.pipe(
  Layer.provideMerge(AirlockLive),
  Layer.provideMerge(outboxOnSqlite)
)

/** The outbox of the context. */
export const outboxExecutor = Effect.map(Executor.CurrentExecutor, (executor) => executor)

/** The payloads of all rows of the outbox, oldest first. */
export const storedPayloads = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ payload: string }>`SELECT payload FROM airlock_outbox ORDER BY id`,
    (rows) => rows.map(({ payload }) => payload)
  ))
