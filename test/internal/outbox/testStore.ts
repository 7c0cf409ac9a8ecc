/**
 * For the tests of the outbox's store: a store on fresh tables, rows to insert, and a way to let stored times pass.
 */
import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer } from "effect"
import { migrate } from "../../../src/internal/outbox/store/migration.js"
import { defaultQueue, type NewRow } from "../../../src/internal/outbox/store/row.js"
import type { RelaySession } from "../../../src/internal/outbox/store/session.js"
import type { Failure } from "../../../src/internal/outbox/store/settle.js"
import { makeStore, type Store } from "../../../src/internal/outbox/store/store.js"
import { tableNames } from "../../../src/internal/outbox/store/tables.js"
import type { ClientOptions, Database } from "../../support/databases.js"

export const table = "airlock_outbox"

export class Outbox extends Context.Tag("test/Outbox")<Outbox, Store>() {}

/** The sessions that exist when a test begins. */
export const session = "0a000000-0000-4000-8000-000000000001"
export const otherSession = "0a000000-0000-4000-8000-000000000002"

export const sessionOf = (id: string): RelaySession => ({ id, name: id, tasks: [["Note", 1]], queues: null })

export const register = (id: string, leaseMillis = 600_000) =>
  Effect.flatMap(Outbox, (store) => store.register(sessionOf(id), leaseMillis))

export const outbox = (database: Database, options?: ClientOptions) =>
  Layer.effect(
    Outbox,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (const name of Object.values(tableNames(table))) {
        yield* sql.unsafe(`DROP TABLE IF EXISTS ${name}`)
      }
      yield* migrate(table)
      const store = makeStore(sql, table)
      yield* Effect.provideService(Effect.all([register(session), register(otherSession)]), Outbox, store)
      return store
    })
  ).pipe(Layer.provideMerge(database.client(options)), Layer.orDie)

export const idOf = (n: number): string => `01900000-0000-7000-8000-${String(n).padStart(12, "0")}`

export const row = (n: number, given: Partial<NewRow> = {}): NewRow => ({
  id: idOf(n),
  task: "Note",
  version: 1,
  payload: JSON.stringify({ n }),
  options: null,
  queue: defaultQueue,
  priority: 0,
  dedupeKey: null,
  orderingKey: null,
  maxAttempts: null,
  availableAt: null,
  delayMillis: null,
  enqueuedAt: 0,
  traceId: null,
  spanId: null,
  ...given
})

export const numberOf = ({ id }: { readonly id: string }): number => Number(id.slice(-12))

export const ready = { state: "ready" } as const

export const held = (onExpiry: "release" | "discard" = "release") =>
  ({ state: "held", heldMillis: 60_000, onExpiry }) as const

export const note = { queue: defaultQueue, task: "Note", version: 1 }

/** Claims rows of the lane `note`. */
export const claim = (limit = 100, lease = session) =>
  Effect.flatMap(
    Outbox,
    (store) => store.claim({ lease, claimNumber: 1, lanes: [{ ...note, limit }], limit, maxBytes: 1_000_000 })
  )

export const claimed = (limit = 100, lease = session) => Effect.map(claim(limit, lease), (rows) => rows.map(numberOf))

export const acknowledge = (...numbers: ReadonlyArray<number>) =>
  Effect.flatMap(Outbox, (store) => store.acknowledge(session, numbers.map(idOf)))

export const retry = (n: number, delayMillis = 10_000): Failure => ({
  id: idOf(n),
  attempt: 1,
  error: "no",
  history: null,
  next: { _tag: "Retry", delayMillis }
})

export const die = (n: number): Failure => ({ ...retry(n), next: { _tag: "Dead" } })

/** The rows of each state that has some. */
export const states = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql.withoutTransforms().unsafe<{ readonly id: string, readonly state: string }>(
      `SELECT id, state FROM ${table} ORDER BY id`
    ),
    (rows) => {
      const states: Record<string, Array<number>> = {}
      for (const row of rows) {
        ;(states[row.state] ??= []).push(numberOf(row))
      }
      return states
    }
  ))

/** Moves every `due_at` into the past, as if that much time had passed. */
export const passTime = (millis: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(`UPDATE ${table} SET due_at = due_at - ${millis}`))

export const column = (name: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql.withoutTransforms().unsafe<Readonly<Record<string, unknown>>>(
        `SELECT ${name} AS value FROM ${table} ORDER BY id`
      ),
      (rows) => rows.map(({ value }) => value)
    ))
