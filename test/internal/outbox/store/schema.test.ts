/**
 * Creating the tables, and checking at the start that they have the expected version.
 */
import { SqlClient } from "@effect/sql"
import * as Migrator from "@effect/sql/Migrator"
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { checkSchema, ddl, migrate, migrations, schemaVersion } from "../../../../src/internal/outbox/store/schema.js"
import { makeStore } from "../../../../src/internal/outbox/store/store.js"
import { onEachDatabase } from "../../../support/databases.js"
import { numberOf, ready, row } from "../testStore.js"

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
      const rows = yield* store.claim({ tasks: ["Note"], limit: 1, leaseMillis: 1 })
      expect(rows.map(numberOf)).toEqual([1])
      yield* store.acknowledge(rows)
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
      expect(yield* run).toEqual([[1, "airlock_outbox"]])
      expect(yield* run).toEqual([])
      yield* works("migrated")
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
