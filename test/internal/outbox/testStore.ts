/**
 * For the tests of the outbox's store: a store on fresh tables, rows to insert, and a way to let stored times pass.
 */
import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer } from "effect"
import type { NewRow } from "../../../src/internal/outbox/store/row.js"
import { migrate } from "../../../src/internal/outbox/store/schema.js"
import { makeStore, type Store } from "../../../src/internal/outbox/store/store.js"
import type { ClientOptions, Database } from "../../support/databases.js"

export const table = "airlock_outbox"

export class Outbox extends Context.Tag("test/Outbox")<Outbox, Store>() {}

export const outbox = (database: Database, options?: ClientOptions) =>
  Layer.effect(
    Outbox,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql.unsafe(`DROP TABLE IF EXISTS ${table}`)
      yield* sql.unsafe(`DROP TABLE IF EXISTS ${table}_version`)
      yield* migrate(table)
      return makeStore(sql, table)
    })
  ).pipe(Layer.provideMerge(database.client(options)), Layer.orDie)

export const idOf = (n: number): string => `01900000-0000-7000-8000-${String(n).padStart(12, "0")}`

export const row = (n: number, given: Partial<NewRow> = {}): NewRow => ({
  id: idOf(n),
  task: "Note",
  version: 1,
  payload: JSON.stringify({ n }),
  options: null,
  queue: null,
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

export const claim = (limit = 100) =>
  Effect.flatMap(Outbox, (store) => store.claim({ tasks: ["Note"], limit, leaseMillis: 60_000 }))

export const claimed = (limit = 100) => Effect.map(claim(limit), (rows) => rows.map(numberOf))

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
