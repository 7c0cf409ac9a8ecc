/**
 * The session of a relay: a row whose id is the lease of the rows that the relay claims.
 *
 * The session has the one expiry time of all these leases. It also names the rows whose handlers run, so that a process which dies
 * uses an attempt of these rows only.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type { Dialect } from "./dialect.js"
import { addAttempt } from "./history.js"
import { inOwnTransaction } from "./ownTransaction.js"
import type { StoredRow } from "./row.js"
import { prepare, retryOutsideTransaction, type Values } from "./statement.js"
import type { Tables } from "./tables.js"

/** @internal */
export interface RelaySession {
  /** A UUID. */
  readonly id: string
  /** The name of the relay, for people. */
  readonly name: string
  /**
   * The tasks that the relay can run, each with the newest version that it knows, or `null` for all versions. `null` for all tasks.
   */
  readonly tasks: ReadonlyArray<readonly [task: string, version: number | null]> | null
  /** The queues whose rows the relay runs, or `null` for all of them. */
  readonly queues: ReadonlyArray<string> | null
}

/** What became of the rows of a session that was reaped. @internal */
export interface Reaped {
  /** The name of its relay. */
  readonly relay: string
  /** The number of its rows, which are ready again. */
  readonly rows: number
  /** The number of those whose handlers had begun. */
  readonly attempts: number
}

/**
 * The rows of a session whose handlers have begun: those of all claims up to a number, except some, and some of later claims. So few
 * words name many rows. Rows that the session no longer has may be among them. One that it has claimed again since is not: its claim
 * is later than the last one of these rows.
 *
 * @internal
 */
export interface Begun {
  /** The number of a claim. */
  readonly upTo: number
  readonly except: ReadonlyArray<string>
  /** The number of the last claim that has some of these rows. */
  readonly last: number
  readonly also: ReadonlyArray<string>
}

const noneBegun: Begun = { upTo: 0, except: [], last: 0, also: [] }

/** @internal */
export interface Sessions {
  /** Registers a session, or changes the one that has this id. */
  readonly register: (session: RelaySession, leaseMillis: number) => Effect.Effect<void, SqlError>
  /**
   * Lets the leases of a session expire this many milliseconds from now, and stores the tasks that its relay can run now. Returns
   * `false` if the session was reaped.
   */
  readonly heartbeat: (
    session: Pick<RelaySession, "id" | "tasks">,
    leaseMillis: number
  ) => Effect.Effect<boolean, SqlError>
  /** Stores which handlers have begun. Returns `false` if the session was reaped: then no handler may begin. */
  readonly begin: (lease: string, begun: Begun) => Effect.Effect<boolean, SqlError>
  /**
   * Reaps the sessions that have expired: their rows become ready. The rows whose handlers had begun have used an attempt. `look`
   * says when there is something to do.
   */
  readonly reap: Effect.Effect<ReadonlyArray<Reaped>, SqlError>
  /** Deletes a session, and unclaims the rows that it still has. */
  readonly unregister: (lease: string) => Effect.Effect<void, SqlError>
}

/** The maximum number of sessions of one `reap`. */
const reapLimit = 10

/** The maximum number of rows whose history one statement changes: MySQL refuses a statement that is too large. */
const burnLimit = 100

/** The error of an attempt that ended without a result. */
const lost = "The relay's process died or lost its lease while the handler ran."

/** @internal */
export const makeSessions = (client: SqlClient, dialect: Dialect, { outbox, relay }: Tables): Sessions => {
  const statement = (text: string) => prepare(client, dialect, text)
  const inTransaction = inOwnTransaction(client, dialect.name)
  const changed = ["name", "expires_at", "tasks", "queues"]
  const insert = statement(
    `INSERT INTO ${relay} (id, name, started_at, expires_at, tasks, queues, running)
VALUES (:id, :name, ${dialect.now}, ${dialect.now} + :millis, :tasks, :queues, '${JSON.stringify(noneBegun)}') ` +
      (dialect.name === "mysql"
        ? `ON DUPLICATE KEY UPDATE ${changed.map((name) => `${name} = VALUES(${name})`).join(", ")}`
        : `ON CONFLICT (id) DO UPDATE SET ${changed.map((name) => `${name} = excluded.${name}`).join(", ")}`)
  )
  const isThere = statement(`SELECT 1 AS found FROM ${relay} WHERE id = :lease`)
  /** Changes the row of a session, and returns whether it is there. MySQL does not say that. */
  const change = (set: string) => {
    const text = `UPDATE ${relay} SET ${set} WHERE id = :lease`
    const update = statement(dialect.name === "mysql" ? text : `${text} RETURNING 1 AS found`)
    return (values: Values) =>
      retryOutsideTransaction(Effect.map(
        Effect.suspend(() =>
          dialect.name === "mysql" ? Effect.zipRight(update(values), isThere(values)) : update(values)
        ),
        (rows) => rows.length > 0
      ))
  }
  const extend = change(`expires_at = ${dialect.now} + :millis, tasks = :tasks`)
  const run = change("running = :running")
  const remove = statement(`DELETE FROM ${relay} WHERE id = :lease`)
  const unclaim = statement(
    `UPDATE ${outbox} SET state = 'ready', lease = NULL WHERE state = 'claimed' AND lease = :lease`
  )
  const findExpired = statement(
    `SELECT id, name, running, ${dialect.now} AS now FROM ${relay} WHERE expires_at <= ${dialect.now} LIMIT ${reapLimit}` +
      dialect.skipLocked
  )
  const begunColumns = "r.id, r.attempt, r.history"
  const findBegun = statement(
    `SELECT ${begunColumns} FROM ${outbox} AS r WHERE r.state = 'claimed' AND r.lease = :lease AND r.claim_number <= :number`
  )
  const findRunning = statement(
    dialect.select(
      outbox,
      begunColumns,
      "r.state = 'claimed' AND r.lease = :lease AND r.claim_number > :number AND r.claim_number <= :last"
    )
  )
  const count = statement(`SELECT COUNT(*) AS count FROM ${outbox} WHERE state = 'claimed' AND lease = :lease`)
  // The lease stays, so that the relay of the session can still acknowledge a row that no other relay has claimed.
  const free = statement(`UPDATE ${outbox} SET state = 'ready' WHERE state = 'claimed' AND lease = :lease`)
  const burn = statement(
    dialect.updateGiven(
      outbox,
      [{ name: "attempt", type: "number" }, { name: "history", type: "text" }],
      { attempt: "given.attempt", history: "given.history", error: ":error", failed_at: dialect.now },
      // The relay of the session may live, and have stored a result meanwhile.
      "r.state = 'claimed' AND r.lease = :lease"
    )
  )

  const reapOne = (session: StoredRow) =>
    Effect.gen(function*() {
      const lease = String(session["id"])
      const relay = String(session["name"])
      const at = Number(session["now"])
      // `begin` writes this column.
      const { also, except, last, upTo } = JSON.parse(String(session["running"])) as Begun
      const others = new Set(except)
      const begun = [
        ...(yield* findBegun({ lease, number: upTo })).filter(({ id }) => !others.has(String(id))),
        ...(also.length === 0 ? [] : yield* findRunning({ lease, number: upTo, last, ids: dialect.list(also) }))
      ]
      if (begun.length > 0) {
        const given = begun.map((row) => {
          const attempt = Number(row["attempt"]) + 1
          const history = row["history"] === null ? null : String(row["history"])
          return { id: row["id"], attempt, history: addAttempt(history, { attempt, at, error: lost, relay }) }
        })
        for (const some of Arr.chunksOf(given, burnLimit)) {
          yield* burn({ lease, error: lost, given: JSON.stringify(some) })
        }
      }
      const [all] = yield* count({ lease })
      yield* free({ lease })
      yield* remove({ lease })
      return { relay, rows: Number(all?.["count"]), attempts: begun.length }
    })

  return {
    register: ({ id, name, queues, tasks }, leaseMillis) =>
      retryOutsideTransaction(Effect.suspend(() =>
        Effect.asVoid(insert({
          id,
          name,
          millis: Math.round(leaseMillis),
          tasks: JSON.stringify(tasks),
          queues: queues === null ? null : JSON.stringify(queues)
        }))
      )),
    heartbeat: ({ id, tasks }, leaseMillis) =>
      extend({ lease: id, millis: Math.round(leaseMillis), tasks: JSON.stringify(tasks) }),
    begin: (lease, begun) => run({ lease, running: JSON.stringify(begun) }),
    unregister: (lease) =>
      retryOutsideTransaction(inTransaction(
        // A claim locks the row of its session, so the claims that are under way have ended when the row is deleted.
        Effect.zipRight(remove({ lease }), Effect.asVoid(unclaim({ lease })))
      )),
    reap: retryOutsideTransaction(
      inTransaction(
        // A claim locks the row of its session. So the statements that follow find the rows of all claims of these sessions.
        Effect.flatMap(Effect.suspend(() => findExpired({})), (sessions) => Effect.forEach(sessions, reapOne))
      )
    )
  }
}
