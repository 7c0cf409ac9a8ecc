/**
 * Relays in the suite, each with an application of its own, as other processes have it.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Scope from "effect/Scope"
import type * as Airlock from "../../Airlock.js"
import * as Outbox from "../../Outbox.js"
import * as SqlTransaction from "../../SqlTransaction.js"
import { Connections, Mail, table } from "./application.js"
import { rows, until } from "./rows.js"

/** Starts a relay with these handlers, which stops with the Scope. @internal */
export const startRelay = (
  handlers: Layer.Layer<never, never, Airlock.Airlock | SqlClient>,
  options: Outbox.RelayOptions = {}
) =>
  Effect.gen(function*() {
    const connections = yield* Connections
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    /** The warnings and errors so far. */
    const logs: Array<string> = []
    const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
      if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) {
        logs.push(`${logLevel.label} ${String(message)}${Cause.isEmpty(cause) ? "" : ` ${Cause.pretty(cause)}`}`)
      }
    })
    const relay = Outbox.relay({ table, name: "suite", pollInterval: "20 millis", drainTimeout: 0, ...options })
    yield* Layer.buildWithScope(
      relay.pipe(
        Layer.provide(handlers),
        Layer.provide(SqlTransaction.layer),
        Layer.provide(Outbox.live({ table })),
        Layer.provide(connections),
        Layer.provide(Logger.replace(Logger.defaultLogger, logger))
      ),
      scope
    )
    return { logs, stop: Scope.close(scope, Exit.void) }
  })

/** A relay with this handler of mails, and the addresses and attempts of its runs. @internal */
export const startMailRelay = (
  handler: (to: string, attempt: number) => Effect.Effect<unknown, unknown>,
  options?: Outbox.RelayOptions
) =>
  Effect.gen(function*() {
    const runs: Array<string> = []
    const relay = yield* startRelay(
      Mail.toLayer(({ to }, { attempt }) => {
        runs.push(attempt === 1 ? to : `${to}, attempt ${attempt}`)
        return handler(to, attempt)
      }),
      options
    )
    return { ...relay, runs }
  })

/** A row of the outbox, as far as the tests look at it. @internal */
export interface StoredMail {
  readonly payload: string
  readonly state: string
  readonly attempt: number
  /** The errors of the attempts so far. */
  readonly history: ReadonlyArray<string>
  /** The error of the last attempt. */
  readonly error: string | null
  /** The time from the last failed attempt to the next one. */
  readonly delayMillis: number | undefined
}

/** All rows of the outbox, oldest first. @internal */
export const storedMails = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql.withoutTransforms().unsafe<Readonly<Record<string, string | number | null>>>(
      `SELECT payload, state, attempt, history, error, due_at, failed_at FROM ${table} ORDER BY id`
    ),
    (rows) =>
      rows.map((row): StoredMail => ({
        payload: String(row["payload"]),
        state: String(row["state"]),
        attempt: Number(row["attempt"]),
        history: row["history"] === null
          ? []
          : (JSON.parse(String(row["history"])) as ReadonlyArray<{ readonly error: string }>).map(({ error }) => error),
        error: row["error"] === null ? null : String(row["error"]),
        delayMillis: row["due_at"] === null || row["failed_at"] === null
          ? undefined
          : Number(row["due_at"]) - Number(row["failed_at"])
      }))
  ))

/** Waits until the rows are in these states. @internal */
export const untilStates = (states: Readonly<Record<string, number>>) =>
  until(
    Effect.map(rows, (rows) =>
      Object.keys({ ...rows, ...states }).every((state) => (rows[state] ?? 0) === (states[state] ?? 0)))
  )

/** Waits until the outbox is empty. @internal */
export const delivered = untilStates({})
