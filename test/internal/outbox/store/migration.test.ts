/**
 * Tables of version 1, with rows in every state, become those of the current version.
 */
import { SqlClient } from "@effect/sql"
import * as Migrator from "@effect/sql/Migrator"
import type { Connection } from "@effect/sql/SqlConnection"
import { expect, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { dialectOf } from "../../../../src/internal/outbox/store/dialect.js"
import { dropConnection } from "../../../../src/internal/outbox/store/driverConnection.js"
import { migrate, migrations } from "../../../../src/internal/outbox/store/migration.js"
import { checkSchema, ddl } from "../../../../src/internal/outbox/store/schema.js"
import { makeStore } from "../../../../src/internal/outbox/store/store.js"
import { quotedTables } from "../../../../src/internal/outbox/store/tables.js"
import { onEachDatabase } from "../../../support/databases.js"
import { idOf, note, numberOf, ready, row, session } from "../testStore.js"
import { checkVersion1, claimOfVersion1, createVersion1 } from "./version1.js"

const farAway = 9_000_000_000_000

/** The columns that differ from those of a plain ready row. */
const rows: ReadonlyArray<Record<string, string | number>> = [
  {},
  { state: "held", due_at: 1, on_expiry: "discard" },
  { state: "held", due_at: farAway, on_expiry: "release", delay_millis: 5 },
  { state: "ready", due_at: 1, attempt: 2, error: "again", failed_at: 7 },
  { state: "ready", due_at: farAway, run_at: farAway },
  { state: "claimed", due_at: farAway, lease: session, attempt: 3 },
  { state: "dead", attempt: 25, error: "no more", failed_at: 8 },
  { ordering_key: "a", ready_at: 1 },
  { ordering_key: "a", ready_at: 2, queue: "mail" },
  { dedupe_key: "k", priority: -3, max_attempts: 4, trace_id: "t", span_id: "s", options: "{}" }
]

/** A client of a process that dies after this many statements: its connection closes, and nothing reaches the server. */
const dyingAfter = (client: SqlClient.SqlClient, statements: number): SqlClient.SqlClient => {
  let left = statements
  const dying = (connection: Connection): Connection =>
    new Proxy(connection, {
      get: (target, key) => {
        const member: unknown = Reflect.get(target, key)
        return typeof member === "function" && String(key).startsWith("execute")
          ? (...args: ReadonlyArray<unknown>) =>
            Effect.suspend(() => {
              if (left-- > 0) {
                return member.apply(target, args)
              }
              dropConnection(target)
              return Effect.dieMessage("the process has died")
            })
          : member
      }
    })
  const decorated: SqlClient.SqlClient = Object.assign(client.bind(undefined), client, {
    reserve: Effect.map(client.reserve, dying),
    withoutTransforms: () => decorated
  })
  return decorated
}

onEachDatabase((database) => {
  const test = (name: string, effect: Effect.Effect<void, unknown, SqlClient.SqlClient>) =>
    it.effect(name, () => Effect.provide(effect, Layer.orDie(database.client())), 60_000)

  const version1 = (table: string) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const dialect = dialectOf(sql)
      for (const statement of createVersion1(dialect.name, table)) {
        yield* sql.unsafe(statement)
      }
      for (const [n, given] of rows.entries()) {
        const values = {
          id: idOf(n),
          state: "ready",
          task: "Note",
          version: 1,
          payload: "{}",
          enqueued_at: 1,
          ready_at: 5,
          ...given
        }
        yield* sql`INSERT INTO ${sql.literal(dialect.quote(table))} ${sql.insert(values)}`
      }
    })

  const isCurrent = (table: string) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* checkSchema(sql, table)
      const outbox = quotedTables(dialectOf(sql), table).outbox
      const found = yield* sql.unsafe<Record<string, string | number | null>>(
        `SELECT id, state, due_at, queue, attempt, lease, error, payload, run_at, delay_millis, on_expiry, ordering_key, dedupe_key, ` +
          `priority, max_attempts, trace_id, span_id, options, failed_at, ready_at, history, done_at FROM ${outbox} ORDER BY id`
      )
      const numbers = new Set([
        "due_at",
        "attempt",
        "priority",
        "max_attempts",
        "failed_at",
        "ready_at",
        "run_at",
        "delay_millis"
      ])
      const without = (row: Record<string, string | number | null>) =>
        Object.fromEntries(
          Object.entries(row)
            .filter(([name, value]) => value !== null && name !== "id" && !(name === "attempt" && Number(value) === 0))
            .map(([name, value]) => [name, numbers.has(name) ? Number(value) : value])
        )
      const plain = { state: "ready", queue: "default", payload: "{}", ready_at: 5, priority: 0 }
      expect(found.map(without)).toEqual([
        plain,
        { ...plain, state: "held", due_at: 1, on_expiry: "discard" },
        { ...plain, state: "held", due_at: farAway, on_expiry: "release", delay_millis: 5 },
        { ...plain, state: "scheduled", due_at: 1, attempt: 2, error: "again", failed_at: 7 },
        { ...plain, state: "scheduled", due_at: farAway, run_at: farAway },
        { ...plain, attempt: 3 },
        { ...plain, state: "dead", attempt: 25, error: "no more", failed_at: 8 },
        { ...plain, ordering_key: "a", ready_at: 1 },
        { ...plain, ordering_key: "a", ready_at: 2, queue: "mail" },
        { ...plain, dedupe_key: "k", priority: -3, max_attempts: 4, trace_id: "t", span_id: "s", options: "{}" }
      ])
      const store = makeStore(sql, table)
      yield* store.register({ id: session, name: "test", tasks: [], queues: null }, 60_000)
      expect(yield* store.look).toMatchObject({
        lanes: [note, { ...note, queue: "mail" }],
        paused: [],
        isDue: true
      })
      expect(yield* store.expire).toEqual({ released: 0, discarded: 1, due: 1 })
      yield* store.insert([row(50), row(51, { queue: "mail" })], ready)
      const lanes = [{ ...note, limit: 9 }, { ...note, queue: "mail", limit: 9 }]
      const claimed = yield* store.claim({ lease: session, claimNumber: 1, lanes, limit: 9, maxBytes: 1_000 })
      expect(claimed.map(numberOf).sort((a, b) => a - b)).toEqual([0, 3, 5, 7, 9, 50, 51])
      expect(yield* store.acknowledge(session, claimed.map(({ id }) => id))).toHaveLength(7)
    })

  test(
    "tables of version 1 are migrated, whatever the states of their rows",
    Effect.gen(function*() {
      yield* version1("older")
      yield* Effect.all([migrate("older"), migrate("older"), migrate("older")], { concurrency: 3 })
      yield* migrate("older")
      yield* isCurrent("older")
    })
  )

  test(
    "the Migrator of @effect/sql migrates tables that its first migration created",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* version1("recorded")
      yield* sql.unsafe("CREATE TABLE recorded_migrations (migration_id INTEGER PRIMARY KEY, name VARCHAR(255))")
      yield* sql`INSERT INTO recorded_migrations (migration_id, name) VALUES (1, 'airlock_outbox')`
      yield* sql.unsafe("ALTER TABLE recorded_migrations ADD COLUMN created_at VARCHAR(50)")
      const run = Migrator.make({})({ loader: migrations("recorded"), table: "recorded_migrations" })
      expect(yield* run).toEqual([[2, "airlock_outbox_version_2"]])
      yield* isCurrent("recorded")
    })
  )

  // The other databases roll a migration back that is not complete.
  if (database.name === "MySQL") {
    test(
      "a migration whose process dies between two statements is completed by the next one, and no row is lost",
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        let died = 0
        let exit: Exit.Exit<void, unknown>
        do {
          const table = `died_${died}`
          yield* version1(table)
          exit = yield* Effect.exit(Effect.provideService(migrate(table), SqlClient.SqlClient, dyingAfter(sql, died)))
          if (Exit.isFailure(exit)) {
            died++
            expect(String(exit.cause)).toContain("the process has died")
          }
          yield* migrate(table)
          yield* isCurrent(table)
        } while (Exit.isFailure(exit))
        expect(died).toBeGreaterThan(8)
      })
    )

    test(
      "the creation of tables whose process dies between two statements is completed by the next one",
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        let died = 0
        let exit: Exit.Exit<void, unknown>
        do {
          const table = `unborn_${died}`
          exit = yield* Effect.exit(Effect.provideService(migrate(table), SqlClient.SqlClient, dyingAfter(sql, died)))
          died += Exit.isFailure(exit) ? 1 : 0
          yield* migrate(table)
          yield* checkSchema(sql, table)
          const store = makeStore(sql, table)
          yield* store.insert([row(1)], ready)
          yield* store.register({ id: session, name: "test", tasks: [], queues: null }, 60_000)
          expect((yield* store.look).lanes).toEqual([note])
        } while (Exit.isFailure(exit))
        expect(died).toBeGreaterThan(8)
      })
    )
  }

  test(
    "a process of version 1 does not start on the tables, and a relay of version 1 that still runs claims nothing",
    Effect.gen(function*() {
      const sql = (yield* SqlClient.SqlClient).withoutTransforms()
      yield* version1("shared")
      expect(yield* checkVersion1(sql, "shared")).toBe(undefined)
      expect(yield* claimOfVersion1(sql, "shared")).toHaveLength(1)
      yield* migrate("shared")
      yield* migrate("fresh")
      yield* makeStore(sql, "fresh").insert([row(1)], ready)
      for (const table of ["shared", "fresh"]) {
        expect(yield* checkVersion1(sql, table)).toBe("newer")
        const { message } = yield* Effect.flip(claimOfVersion1(sql, table))
        expect(message).toContain("Failed to execute statement")
        const outbox = quotedTables(dialectOf(sql), table).outbox
        expect(yield* sql.unsafe(`SELECT id FROM ${outbox} WHERE state = 'claimed'`)).toEqual([])
      }
    })
  )

  test(
    "migrated tables have the columns and indexes of new ones",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { name } = dialectOf(sql)
      yield* version1("changed")
      yield* migrate("changed")
      yield* migrate("created")
      const describe = (table: string) =>
        sql.unsafe<Record<string, unknown>>(
          name === "pg"
            ? `SELECT column_name AS name, data_type AS type, is_nullable AS nothing, column_default AS initial
               FROM information_schema.columns WHERE table_name LIKE '${table}%'
               UNION ALL SELECT 'index', indexdef, '', '' FROM pg_indexes WHERE tablename LIKE '${table}%'
               UNION ALL SELECT 'check', pg_get_constraintdef(oid), '', '' FROM pg_constraint WHERE conrelid = '${table}'::regclass`
            : name === "mysql"
            ? `SELECT column_name AS name, column_type AS type, is_nullable AS nothing, column_default AS initial
               FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name LIKE '${table}%'
               UNION ALL SELECT index_name, column_name, seq_in_index, '' FROM information_schema.statistics
               WHERE table_schema = DATABASE() AND table_name LIKE '${table}%'`
            : `SELECT sql AS name FROM sqlite_master WHERE tbl_name LIKE '${table}%'`
        ).pipe(Effect.map((rows) => rows.map((row) => JSON.stringify(row).replaceAll(table, "")).sort()))
      expect(yield* describe("changed")).toEqual(yield* describe("created"))
      expect(ddl(name, "created")).toContain("created_ready")
    })
  )
})
