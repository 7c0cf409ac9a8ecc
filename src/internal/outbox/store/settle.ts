/**
 * Stores what became of claimed rows. Each statement changes only rows that still have the lease: a row that was claimed again
 * since has another one.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { hasNoKey, makeChanges } from "./change.js"
import type { Dialect, GivenColumn } from "./dialect.js"
import type { Keyed } from "./keyed.js"
import { prepare, retryOutsideTransaction } from "./statement.js"
import type { Tables } from "./tables.js"
import { idsOf, inTwoSteps, type Unchanged, unchangedBy } from "./twoSteps.js"

/** What a failed run of a handler does to its row. @internal */
export interface Failure {
  readonly id: string
  /** The number of counted attempts after it. */
  readonly attempt: number
  /** `null` leaves the last error of the row. */
  readonly error: string | null
  /** `null` leaves the history of the row. */
  readonly history: string | null
  readonly next: { readonly _tag: "Retry", readonly delayMillis: number } | { readonly _tag: "Dead" }
}

type Ids = ReadonlyArray<string>

/** Each returns the ids of the rows that still had the lease. @internal */
export interface Settlements {
  /** Deletes rows whose handlers succeeded, or keeps them in the state `done`. */
  readonly acknowledge: (
    lease: string,
    ids: Ids,
    options?: { readonly keepDone?: boolean }
  ) => Effect.Effect<Ids, SqlError>
  readonly fail: (lease: string, failures: ReadonlyArray<Failure>) => Effect.Effect<Ids, SqlError>
  /** Undoes claims: the rows are ready again. */
  readonly unclaim: (lease: string, ids: Ids) => Effect.Effect<Ids, SqlError>
  /** Undoes the claims of all rows but the known ones, after a claim whose answer was lost. */
  readonly unclaimOthers: (lease: string, known: Ids) => Effect.Effect<void, SqlError>
}

const hasLease = "r.lease = :lease"
const withoutKey = `${hasLease} AND ${hasNoKey}`
const withKey = `${hasLease} AND NOT (${hasNoKey})`
const toReady = "state = 'ready', lease = NULL"

const failureColumns: ReadonlyArray<GivenColumn> = [
  { name: "attempt", type: "number" },
  { name: "error", type: "text" },
  { name: "history", type: "text" },
  { name: "delay", type: "number" }
]

/** @internal */
export const makeSettlements = (client: SqlClient, dialect: Dialect, { outbox }: Tables, keyed: Keyed): Settlements => {
  const { remove, update, updateGiven } = makeChanges(client, dialect, outbox)
  const toDone = `state = 'done', lease = NULL, done_at = ${dialect.now}`
  const storeFailure = (where: string) =>
    updateGiven(failureColumns, {
      due_at: `${dialect.now} + given.delay`,
      attempt: "given.attempt",
      failed_at: `CASE WHEN given.error IS NULL AND given.delay IS NOT NULL THEN r.failed_at ELSE ${dialect.now} END`,
      error: "COALESCE(given.error, r.error)",
      history: "COALESCE(given.history, r.history)",
      lease: "NULL",
      state: "CASE WHEN given.delay IS NULL THEN 'dead' ELSE 'scheduled' END"
    }, where)

  const acknowledge = inTwoSteps(keyed, {
    withoutMutex: dialect.name === "pg" ? removeOnPostgres(client, dialect, outbox) : unchangedBy(remove(withoutKey)),
    withMutex: remove(withKey)
  })
  const acknowledgeAndKeep = inTwoSteps(keyed, {
    withoutMutex: unchangedBy(update(toDone, withoutKey)),
    withMutex: update(toDone, withKey)
  })
  // A row that is retried stays the head of its key.
  const fail = inTwoSteps(keyed, {
    withoutMutex: unchangedBy(storeFailure(`${hasLease} AND (given.delay IS NOT NULL OR (${hasNoKey}))`)),
    withMutex: storeFailure(`${withKey} AND given.delay IS NULL`)
  })
  const unclaim = update(toReady, hasLease)
  const undoOthers = prepare(
    client,
    dialect,
    `UPDATE ${outbox} SET ${toReady} WHERE state = 'claimed' AND lease = :lease AND ${dialect.isNoneOfIds}`
  )

  return {
    acknowledge: (lease, ids, options) =>
      (options?.keepDone === true ? acknowledgeAndKeep : acknowledge)(
        ids,
        (ids) => ({ lease, ids: dialect.list(ids) })
      ),
    fail: (lease, failures) => {
      const byId = new Map(failures.map((failure) => [failure.id, failure]))
      const given = (ids: Ids) => JSON.stringify(ids.flatMap((id) => encodeFailure(byId.get(id))))
      return fail([...byId.keys()], (ids) => ({ lease, given: given(ids) }))
    },
    unclaim: (lease, ids) =>
      ids.length === 0
        ? Effect.succeed([])
        : retryOutsideTransaction(Effect.map(Effect.suspend(() => unclaim({ lease, ids: dialect.list(ids) })), idsOf)),
    unclaimOthers: (lease, known) =>
      retryOutsideTransaction(Effect.asVoid(Effect.suspend(() => undoOthers({ lease, ids: dialect.list(known) }))))
  }
}

/**
 * The most frequent statement of a busy relay. It returns the ids of the rows that it has not deleted, and so usually nothing that
 * the driver would have to parse.
 */
const removeOnPostgres = (client: SqlClient, dialect: Dialect, table: string): Unchanged => {
  const statement = prepare(
    client,
    dialect,
    `WITH removed AS (${dialect.delete(table, withoutKey)} RETURNING id)
SELECT id FROM UNNEST(CAST(:ids AS UUID[])) AS given (id) WHERE id NOT IN (SELECT id FROM removed)`
  )
  return (values) => Effect.map(statement(values), idsOf)
}

const encodeFailure = (failure: Failure | undefined) =>
  failure === undefined ? [] : [{
    id: failure.id,
    attempt: failure.attempt,
    error: failure.error && storable(failure.error),
    history: failure.history && storable(failure.history),
    delay: failure.next._tag === "Retry" ? Math.round(failure.next.delayMillis) : null
  }]

/** PostgreSQL stores neither a NUL nor half of a surrogate pair, and the message of an error may contain them. */
const storable = (text: string): string => text.replace(/[\0\p{Surrogate}]/gu, "\uFFFD")
