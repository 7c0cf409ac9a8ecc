/**
 * Creating the tables, and checking at the start that they have the expected version.
 */
import { SqlClient } from "@effect/sql"
import * as Migrator from "@effect/sql/Migrator"
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { migrate, migrations } from "../../../../src/internal/outbox/store/migration.js"
import { checkSchema, ddl, schemaVersion } from "../../../../src/internal/outbox/store/schema.js"
import { makeStore } from "../../../../src/internal/outbox/store/store.js"
import { onEachDatabase } from "../../../support/databases.js"
import { idOf, note, numberOf, ready, row, session } from "../testStore.js"

onEachDatabase((database) => {
  const client = Layer.orDie(database.client())
  const test = (name: string, effect: Effect.Effect<void, unknown, SqlClient.SqlClient>) =>
    it.effect(name, () => Effect.provide(effect, client))

  const works = (table: string) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* checkSchema(sql, table)
      const store = makeStore(sql, table)
      yield* store.insert([row(1)], ready)
      yield* store.register({ id: session, name: "test", tasks: [], queues: null }, 60_000)
      const rows = yield* store.claim({
        lease: session,
        claimNumber: 1,
        lanes: [{ ...note, limit: 1 }],
        limit: 1,
        maxBytes: 1_000
      })
      expect(rows.map(numberOf)).toEqual([1])
      expect(yield* store.acknowledge(session, [idOf(1)])).toEqual([idOf(1)])
    })

  test(
    "concurrent migrations all succeed",
    Effect.gen(function*() {
      yield* Effect.all(Array.from({ length: 5 }, () => migrate("together")), { concurrency: 5 })
      yield* migrate("together")
      yield* works("together")
    })
  )

  test(
    "a table can have any name",
    Effect.gen(function*() {
      const name = "my \"odd\" `table`"
      yield* migrate(name)
      yield* works(name)
    })
  )

  test(
    "a table can be in a schema of the database",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const schema = yield* sql.onDialectOrElse({
        pg: () => Effect.as(sql`CREATE SCHEMA apart`, "apart"),
        mysql: () => Effect.map(sql<{ name: string }>`SELECT DATABASE() AS name`, ([row]) => row!.name),
        orElse: () => Effect.succeed("main")
      })
      yield* migrate(`${schema}.outbox`)
      yield* works(`${schema}.outbox`)
    })
  )

  test(
    "the printed statements create the tables, and can run twice",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const text = ddl(
        sql.onDialectOrElse({
          pg: () => "pg" as const,
          mysql: () => "mysql" as const,
          orElse: () => "sqlite" as const
        }),
        "printed"
      )
      for (const statement of [...text.split(";\n"), ...text.split(";\n")].filter((part) => part.trim() !== "")) {
        yield* sql.unsafe(statement)
      }
      yield* works("printed")
    })
  )

  test(
    "the Migrator of @effect/sql runs the migration once",
    Effect.gen(function*() {
      const run = Migrator.make({})({ loader: migrations("migrated"), table: "migrated_migrations" })
      expect(yield* run).toEqual([[1, "airlock_outbox"], [2, "airlock_outbox_version_2"]])
      expect(yield* run).toEqual([])
      yield* works("migrated")
    })
  )

  test(
    "a table name that is too long for the names of the tables and indexes is a RangeError, and the longest works",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const longest = sql.onDialectOrElse({
        pg: () => "é".repeat(27),
        mysql: () => "é".repeat(55),
        orElse: () => "é".repeat(99)
      })
      yield* migrate(longest)
      yield* works(longest)
      if (database.name !== "SQLite") {
        for (const refused of [migrate(`${longest}x`), Effect.suspend(() => checkSchema(sql, `public.${longest}x`))]) {
          const defect = yield* Effect.flip(Effect.catchAllDefect(Effect.asVoid(refused), Effect.fail))
          expect(String(defect)).toMatch(
            /RangeError: The outbox table "(public\.)?é+x" has a name of (55 bytes|56 characters)/
          )
        }
      }
    })
  )

  test(
    "checkSchema tells missing, older and newer tables apart",
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const check = (table: string) => Effect.flip(checkSchema(sql, table))
      expect(yield* check("nowhere")).toMatchObject({ _tag: "OutboxSchemaError", reason: "missing", table: "nowhere" })
      yield* migrate("versions")
      for (const [found, reason] of [[schemaVersion - 1, "older"], [schemaVersion + 1, "newer"]] as const) {
        yield* sql`UPDATE versions_version SET version = ${found}`
        const error = yield* check("versions")
        expect(error).toMatchObject({ reason, found, expected: schemaVersion })
        expect(error.message).toContain(`has version ${found}`)
      }
      yield* sql`DELETE FROM versions_version`
      expect(yield* check("versions")).toMatchObject({ reason: "missing" })
    })
  )
})
