/**
 * For the tests of the relay: relays on a store whose statements a test can change, with handlers of the test.
 */
import { SqlClient } from "@effect/sql"
import { it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Logger, LogLevel, Queue, Schema, Scope, TestClock } from "effect"
import { Airlock, Task } from "effect-airlock"
import { intentOf } from "../../../src/internal/outbox/intentRow.js"
import { outboxTable } from "../../../src/internal/outbox/operations/outboxTable.js"
import { unroutable } from "../../../src/internal/outbox/operations/unroutable.js"
import { startRelay } from "../../../src/internal/outbox/relay/relay.js"
import { type RelayOptions, settingsOf } from "../../../src/internal/outbox/relay/settings.js"
import type { RelayParts } from "../../../src/internal/outbox/relay/state.js"
import type { Store } from "../../../src/internal/outbox/store/store.js"
import { sqlite } from "../../support/databases.js"
import { until } from "../../support/until.js"
import { idOf, Outbox, outbox, ready, row, states, table } from "./testStore.js"

/** The task of the rows of `testStore`. */
export const Note = Task.make("Note", { payload: { n: Schema.Number } })

export interface Ran {
  readonly n: number
  readonly attempt: number
}

interface Setting extends RelayOptions {
  /** Changes the store of the relay. */
  readonly change?: (store: Store) => Store
  /** Changes the other parts. */
  readonly parts?: (parts: RelayParts) => Partial<RelayParts>
}

/** A relay, what it has run so far, and what it has logged. */
export const relayWith = (
  handlers: Layer.Layer<never, never, Airlock.Airlock>,
  { change, parts, ...options }: Setting = {}
) =>
  Effect.gen(function*() {
    const signals = yield* Queue.sliding<void>(1)
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
    const store = (change ?? ((store: Store) => store))(yield* Outbox)
    const operations = yield* outboxTable(table)
    const logs: Array<string> = []
    const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
      if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) {
        logs.push(`${logLevel.label} ${String(message)}${Cause.isEmpty(cause) ? "" : ` ${Cause.pretty(cause)}`}`)
      }
    })
    yield* Layer.buildWithScope(
      Layer.scopedDiscard(Effect.gen(function*() {
        const airlock = yield* Airlock.Airlock
        const ownParts: RelayParts = {
          store,
          acknowledge: store.acknowledge,
          unroutable: (olderThanMillis) => unroutable(operations, { olderThanMillis }),
          handlers: airlock.handlers,
          decode: (row) => intentOf(row, airlock.handlers, options.codec),
          notified: Queue.take(signals),
          transaction: (self) => self
        }
        yield* startRelay(
          { ...ownParts, ...parts?.(ownParts) },
          settingsOf({ name: "r", drainTimeout: 0, ...options })
        )
      })).pipe(
        Layer.provide(handlers),
        Layer.provide(Airlock.layer()),
        Layer.provide(Logger.replace(Logger.defaultLogger, logger))
      ),
      scope
    )
    return { logs, notify: Queue.offer(signals, undefined), stop: Scope.close(scope, Exit.void) }
  })

/** A test of relays on SQLite, with a `TestClock`. */
export const test = (
  name: string,
  effect: Effect.Effect<void, unknown, Outbox | SqlClient.SqlClient | Scope.Scope>,
  timeout?: number
) => it.effect(name, () => Effect.provide(Effect.scoped(effect), outbox(sqlite)), timeout)

/** Inserts ready rows. */
export const insert = (...rows: ReadonlyArray<ReturnType<typeof row>>) =>
  Effect.flatMap(Outbox, (store) => store.insert(rows, ready))

/** Rows 1 to n. */
export const rowsUpTo = (n: number) => Array.from({ length: n }, (_, index) => row(index + 1))

export const isEmpty = Effect.map(states, (states) => Object.keys(states).length === 0)

/** Lets the time of the relays pass until a condition holds. Not that of the database. */
export const later = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  until(Effect.zipRight(TestClock.adjust("1 second"), holds))

/** Lets the other fibers do what they can do now. */
export const settle = Effect.repeatN(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), 20)

/** Lets the session of a relay expire, and reaps it. */
export const reapSessionOf = (name: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`UPDATE airlock_outbox_relay SET expires_at = 0 WHERE name = ${name}`
    return yield* (yield* Outbox).reap
  })

/** What the row has in some columns. */
export const stored = (n: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql.withoutTransforms().unsafe<{
        readonly state: string
        readonly attempt: number
        readonly error: string | null
        readonly history: string | null
        readonly failed_at: number | null
        readonly due_at: number | null
      }>(`SELECT state, attempt, error, history, failed_at, due_at FROM ${table} WHERE id = '${idOf(n)}'`),
      ([found]) => found
    ))

/** Lets the next attempts be due. */
export const passBackoff = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`UPDATE airlock_outbox SET due_at = 0 WHERE state = 'scheduled'`
)

/** Whether the relay has stored the results of all that it has claimed. */
export const isIdle = Effect.map(states, ({ claimed, ready }) => claimed === undefined && ready === undefined)

/** A relay with this handler of `Note`. */
export const running = (
  handler: (n: number, attempt: number) => Effect.Effect<unknown, unknown>,
  options: Setting = {}
) =>
  Effect.gen(function*() {
    const ran: Array<Ran> = []
    const relay = yield* relayWith(
      Note.toLayer(({ n }, { attempt }) => {
        ran.push({ n, attempt })
        return handler(n, attempt)
      }),
      options
    )
    return { ...relay, ran }
  })
