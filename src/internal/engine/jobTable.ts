/**
 * The jobs of an engine that keeps them in PostgreSQL. They are added on a connection of the executor's own, or by the `SqlClient`
 * of the application: then also inside of its transactions, as those of an outbox.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as EffectScope from "effect/Scope"
import { DispatchError } from "../../AirlockError.js"
import type { Intent } from "../../Intent.js"
import type { Outcome, Transactional } from "../contract/executor.js"
import { makeExecutor, type OutboxExecutor } from "../outbox/executor.js"
import { Discard } from "../outbox/signal.js"
import { onConnection } from "../outbox/store/connection.js"
import { inOwnTransaction } from "../outbox/store/ownTransaction.js"

/** @internal */
export interface Statement {
  readonly text: string
  readonly values: ReadonlyArray<unknown>
}

/** @internal */
export interface Result {
  readonly rows: ReadonlyArray<Readonly<Record<string, unknown>>>
  /** The number of the rows that a statement has inserted. Some drivers do not tell. */
  readonly rowCount?: number | null
}

/** Runs a statement. @internal */
export type Query = (statement: Statement) => Effect.Effect<Result, unknown>

/** @internal */
export interface JobTable {
  /**
   * Adds a job for each intent. With `heldMillis` the jobs are held: they run if nobody renews them for that time, and never if
   * that is `Infinity`. Held jobs do not deduplicate.
   */
  readonly insert: (intents: ReadonlyArray<Intent>, heldMillis?: number) => Effect.Effect<void, unknown>
  /** Deletes held jobs that have not begun, and returns the ids of their intents. */
  readonly takeBack: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>, unknown>
  /** Lets held jobs wait for this time from now. */
  readonly renew: (ids: ReadonlyArray<string>, heldMillis: number) => Effect.Effect<void, unknown>
}

/** The application's client, if its database is PostgreSQL. @internal */
export const postgresClient: Effect.Effect<SqlClient, never, SqlClient> = Effect.flatMap(
  SqlClient,
  (client) =>
    client.onDialectOrElse({
      pg: () => Effect.succeed(client.withoutTransforms()),
      orElse: () =>
        Effect.dieMessage("The engine keeps its jobs in PostgreSQL, and the SqlClient is of another database")
    })
)

/** Runs statements in the transaction that is open in the fiber, or else on a connection of the pool. @internal */
export const queryOf = (client: SqlClient): Query => ({ text, values }) =>
  // The driver of PostgreSQL takes what the engine's own would take, and gives such a result.
  Effect.map(
    onConnection(client, client.unsafe(text, values as ReadonlyArray<never>).raw),
    (result) => result as Result
  )

/**
 * Adds the jobs of a batch. If the engine refuses one of them, the others are added one by one, and those that were added in time
 * have left.
 *
 * @internal
 */
export const addJobs = (
  insert: JobTable["insert"],
  intents: ReadonlyArray<Intent>,
  timeout: Duration.DurationInput
): Effect.Effect<ReadonlyArray<Outcome>> =>
  Effect.suspend(() => {
    const exits: Array<Exit.Exit<unknown, unknown>> = []
    const tooLate = Exit.fail(
      new Error(`PostgreSQL did not answer within ${Duration.format(Duration.decode(timeout))}`)
    )
    return Effect.exit(insert(intents)).pipe(
      Effect.flatMap((exit) => {
        if (
          Exit.isSuccess(exit) || intents.length === 1 || !(Cause.isDie(exit.cause) || isRefusal(reasonOf(exit.cause)))
        ) {
          intents.forEach(() => exits.push(exit))
          return Effect.void
        }
        return Effect.forEach(
          intents,
          (intent) => Effect.map(Effect.exit(insert([intent])), (exit) => exits.push(exit)),
          { discard: true }
        )
      }),
      Effect.timeoutOption(timeout),
      Effect.map(() => intents.map((intent, i) => outcomeOf(intent, exits[i] ?? tooLate)))
    )
  })

/** A job that cannot be added as it is. @internal */
export class JobRefusedError extends Error {}

/** A job that can be added later. @internal */
export class JobRefusedForNowError extends JobRefusedError {}

/** Whether the reason is in one of the jobs, and not in the connection. */
const isRefusal = (error: unknown): boolean =>
  error instanceof JobRefusedError ||
  typeof error === "object" && error !== null && "severity" in error && error.severity === "ERROR"

/**
 * Whether no later attempt can succeed: PostgreSQL cannot store a value (22), a rule of the table forbids it (23514, 23502), or it
 * is too large for an index (54).
 */
const isForGood = (error: unknown): boolean =>
  error instanceof JobRefusedError
    ? !(error instanceof JobRefusedForNowError)
    : isRefusal(error) && /^(22|23514|23502|54)/.test(String((error as { readonly code?: unknown }).code))

/** An intent that is refused for good becomes a dead letter of the outbox in front: else it would look like an outage, for ever. */
const outcomeOf = ({ task }: Intent, exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) {
    return Exit.void
  }
  const reason = reasonOf(exit.cause)
  return Exit.fail(
    new DispatchError({
      task: task.name,
      cause: isForGood(reason) ? new Discard({ reason: (reason as Error).message, cause: reason }) : reason
    })
  )
}

const reasonOf = (cause: Cause.Cause<unknown>): unknown => {
  const error = Cause.squash(cause)
  return Cause.isUnknownException(error) ? error.cause : error
}

/**
 * The parts of an executor that adds jobs by the `SqlClient`. A job is held while an outer scope can still refuse its intent. When
 * that succeeds, the held job is replaced by one with the options of the intent.
 *
 * @internal
 */
export const transactionalExecutor = (
  { client, heldTimeout, table, title }: {
    readonly client: SqlClient
    readonly heldTimeout: Duration.Duration
    readonly table: JobTable
    /** What the jobs are in, for errors. */
    readonly title: string
  }
): Effect.Effect<OutboxExecutor, never, EffectScope.Scope> =>
  Effect.gen(function*() {
    const held = new Map<string, Intent>()
    const forget = (ids: ReadonlyArray<string>) => ids.forEach((id) => held.delete(id))
    const inTransaction = inOwnTransaction(client, "pg")
    const orSqlError = <A>(self: Effect.Effect<A, unknown>): Effect.Effect<A, SqlError> =>
      Effect.mapError(self, (error) =>
        error instanceof SqlError
          ? error
          : new SqlError({ message: `${title} refused a statement`, cause: error }))

    const replace = (ids: ReadonlyArray<string>) =>
      Effect.flatMap(table.takeBack(ids), (taken) => {
        const isTaken = new Set(taken)
        const intents = ids.flatMap((id) => isTaken.has(id) ? [held.get(id)!] : [])
        return intents.length === 0 ? Effect.void : table.insert(intents)
      })

    const executor = yield* makeExecutor({
      title,
      client,
      heldTimeout,
      onExpiry: "release",
      notify: () => {},
      insert: (intents, options) =>
        orSqlError(
          options.state === "ready"
            ? table.insert(intents)
            : Effect.map(table.insert(intents, options.onExpiry === "discard" ? Infinity : options.heldMillis), () => {
              intents.forEach((intent) => held.set(intent.id, intent))
            })
        ),
      store: {
        release: (ids) => Effect.map(orSqlError(inTransaction(replace(ids))), () => forget(ids)),
        discard: (ids) => Effect.tap(orSqlError(table.takeBack(ids)), () => forget(ids)),
        renew: (ids, heldMillis) => ids.length === 0 ? Effect.void : orSqlError(table.renew(ids, heldMillis))
      }
    })
    const outbox = executor.transactional()
    const transactional: Transactional = {
      ...outbox,
      forget: (intents) => {
        forget(intents.map(({ id }) => id))
        return outbox.forget(intents)
      }
    }
    return { ...executor, transactional: () => transactional }
  })
