/**
 * The store in a SQL database. Each operation is one statement; a claim of a key that is not free needs a second one.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Predicate from "effect/Predicate"
import { isInTransaction, onConnection } from "../../outbox/store/connection.js"
import { type Dialect, dialectOf } from "../../outbox/store/dialect.js"
import { retryOutsideTransaction } from "../../outbox/store/statement.js"
import { transactionIn, withoutTransaction } from "../../scope/transactionTag.js"
import { decodeResponse, encodeResponse } from "../codec.js"
import { type Claim, IdempotencyStoreError, type IdempotencyStoreService } from "../store.js"
import { statementsOf } from "./statements.js"

type Values = Readonly<Record<string, unknown>>

interface Found {
  readonly token: string
  readonly fingerprint: string
  readonly state: string
  readonly remaining: number | string
  readonly response: string | null
}

/** A claim runs again if the record that it found is gone when it looks. @internal */
const maxAttempts = 20

/** @internal */
export const sqlOperations = (sql: SqlClient, table: string): Omit<IdempotencyStoreService, "keeper"> => {
  const client = sql.withoutTransforms()
  const dialect = dialectOf(client)
  const texts = statementsOf(dialect.name, table)
  const rows = prepare(client, dialect)
  const changes = dialect.name === "mysql"
    ? (text: string) => {
      const run = prepareRaw(client, dialect)(text)
      return (values: Values) => Effect.map(run(values), (result) => numberIn(result, "affectedRows"))
    }
    : (text: string) => {
      const run = rows(text)
      return (values: Values) => Effect.map(run(values), ({ length }) => length)
    }
  const claimRaw = prepareRaw(client, dialect)(texts.claim)
  const claimRows = rows(texts.claim)
  const claim = (values: Values) =>
    dialect.name === "mysql"
      ? Effect.map(claimRaw(values), (result) => numberIn(result, "insertId") < 2)
      : Effect.map(claimRows(values), ({ length }) => length > 0)
  const find = rows(texts.find)
  const [renew, keep, complete, release, prune] = [
    changes(texts.renew),
    changes(texts.keep),
    changes(texts.complete),
    changes(texts.release),
    changes(texts.prune)
  ]

  const attemptClaim = (
    values: Values & { readonly token: string, readonly fingerprint: string },
    attempt = 1
  ): Effect.Effect<Claim, SqlError | Error> =>
    Effect.flatMap(
      retryOutsideTransaction(claim(values)),
      (isNew): Effect.Effect<Claim, SqlError | Error> =>
        isNew ? Effect.succeed({ _tag: "Claimed" }) : Effect.flatMap(
          find(values),
          ([row]): Effect.Effect<Claim, SqlError | Error> =>
            // The columns are those of the statement.
            row !== undefined
              ? Effect.try({ try: () => claimOf(row as Found, values), catch: (error) => error as Error })
              : attempt < maxAttempts
              ? attemptClaim(values, attempt + 1)
              : Effect.fail(new Error("The record of an idempotency key changed all the time"))
        )
    )

  const failing = (operation: IdempotencyStoreError["operation"]) => <A>(self: Effect.Effect<A, unknown>) =>
    Effect.mapError(self, (cause) => new IdempotencyStoreError({ operation, cause }))

  return {
    claim: ({ fingerprint, id, leaseMillis, token }) =>
      Effect.withFiberRuntime((fiber) =>
        isInTransaction(fiber.currentContext)
          ? Effect.dieMessage(
            "HttpMiddleware.idempotency stands inside a SQL transaction, which would hide the key from other requests. Place it " +
              "outside of HttpTransaction.perRequest and of other middleware that opens transactions."
          )
          : failing("claim")(attemptClaim({ id, fingerprint, token, lease: leaseMillis }))
      ),
    renew: ({ id, leaseMillis, token }) =>
      failing("renew")(Effect.map(outside(renew({ id, token, lease: leaseMillis })), isOne)),
    keep: ({ id, token, ttlMillis }) =>
      failing("keep")(Effect.map(inSame(client, keep({ id, token, ttl: ttlMillis })), isOne)),
    complete: ({ id, response, token, ttlMillis }) =>
      failing("complete")(
        Effect.map(
          inSame(client, complete({ id, token, ttl: ttlMillis, response: encodeResponse(response) })),
          isOne
        )
      ),
    release: ({ id, token }) => failing("release")(Effect.map(outside(release({ id, token })), isOne)),
    prune: failing("prune")(outside(prune({}))),
    keepsInTransaction: dialect.name === "sqlite"
  }
}

const isOne = (changed: number): boolean => changed > 0

const claimOf = (row: Found, { fingerprint, token }: { readonly token: string, readonly fingerprint: string }): Claim =>
  row.token === token && row.state !== "completed"
    ? { _tag: "Claimed" }
    : row.fingerprint !== fingerprint
    ? { _tag: "Mismatch" }
    : row.state === "completed"
    ? { _tag: "Completed", response: decodeResponse(row.response) }
    : Number(row.remaining) > 0
    ? { _tag: "InFlight", remainingMillis: Number(row.remaining) }
    : { _tag: "Unanswered" }

/** A statement whose `:name` are parameters. */
const withParameters = (dialect: Dialect, text: string): readonly [sql: string, names: ReadonlyArray<string>] => {
  const names: Array<string> = []
  return [text.replace(/:([a-z]+)/g, (_, name: string) => dialect.placeholder(names.push(name))), names]
}

const prepare = (client: SqlClient, dialect: Dialect) => (text: string) => {
  const [sql, names] = withParameters(dialect, text)
  const run = (values: Values) => client.unsafe<object>(sql, names.map((name) => values[name]))
  // SQLite is in this process, where no connection breaks.
  return dialect.name === "sqlite" ? run : (values: Values) => onConnection(client, run(values))
}

const prepareRaw = (client: SqlClient, dialect: Dialect) => (text: string) => {
  const [sql, names] = withParameters(dialect, text)
  return (values: Values) => onConnection(client, client.unsafe(sql, names.map((name) => values[name])).raw)
}

const numberIn = (result: unknown, name: string): number =>
  Predicate.hasProperty(result, name) ? Number(result[name]) : Number.NaN

/** Runs a statement outside of the transaction that is open in the fiber. */
const outside = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withFiberRuntime((fiber) =>
    transactionIn(fiber.currentContext) === undefined
      ? retried(self)
      : Effect.locally(retried(self), FiberRef.currentContext, withoutTransaction(fiber.currentContext))
  )

const retried = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  // The statements fail with SqlErrors.
  retryOutsideTransaction(self as Effect.Effect<A, SqlError>) as Effect.Effect<A, E>

/** The database of the transaction's connection, if the transaction is one of a decorated client. */
const databaseOf = (transaction: unknown): unknown => {
  const connection: unknown = Array.isArray(transaction) ? transaction[0] : undefined
  return Predicate.hasProperty(connection, "database") ? connection.database : undefined
}

/** Runs a statement in the open transaction, if that is one of the same database. */
const inSame = <A, E>(client: SqlClient, self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withFiberRuntime((fiber) =>
    databaseOf(transactionIn(fiber.currentContext)) === client.reserve ? self : outside(self)
  )
