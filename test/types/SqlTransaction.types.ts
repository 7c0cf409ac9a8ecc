/**
 * Code with transactions that must compile, and code that must not.
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { Context, Effect, Schema } from "effect"
import { Airlock, type AirlockError, type AirlockScope, Task } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <A>() => <B>(value: B, ...same: Equals<A, B> extends true ? [] : [never]) => ({ value, same })

const Mail = Task.make("Mail", { payload: { to: Schema.String } })

class Service extends Context.Tag("Service")<Service, { readonly do: Effect.Effect<number, "oops"> }>() {}

const program = Effect.zipRight(Airlock.enqueue(Mail, { to: "a" }), Effect.flatMap(Service, (service) => service.do))

type Failed = "oops" | SqlError.SqlError | AirlockError.FlushError<number> | AirlockError.CommitUnknownError

is<Effect.Effect<number, Failed, Service | SqlClient.SqlClient>>()(SqlTransaction.transaction(program))
is<Effect.Effect<number, Failed, Service | SqlClient.SqlClient>>()(program.pipe(SqlTransaction.transaction))
is<Effect.Effect<number, "oops" | SqlError.SqlError, Service | SqlClient.SqlClient>>()(
  SqlTransaction.rolledBack(program)
)

// An Effect after the commit can fail and enqueue. It requires a scope, and its own services.
is<Effect.Effect<void, never, AirlockScope | Service>>()(SqlTransaction.afterCommit(program))
is<Effect.Effect<void, never, AirlockScope>>()(SqlTransaction.afterCommit(Effect.void))
// An Effect after a rollback is no intent, so it requires no scope.
is<Effect.Effect<void, never, Service>>()(SqlTransaction.afterRollback(program))

// @ts-expect-error a scope is missing
Effect.runFork(SqlTransaction.afterCommit(Effect.void))
// @ts-expect-error a client is missing
Effect.runFork(SqlTransaction.transaction(Effect.void))
