/**
 * Creates the tables of the outbox, or changes those of an older version. Several processes may do so at once.
 *
 * From version 1 to 2: rows that wait for their time are scheduled, rows without a queue have the default queue, and claimed rows
 * are ready, with the attempts that they have. So no relay of version 1 may run: its statements fail afterwards.
 *
 * @internal
 */
import type { Loader } from "@effect/sql/Migrator"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { type DialectName, dialectOf, dialects } from "./dialect.js"
import { inOwnTransaction } from "./ownTransaction.js"
import { columns, defaultQueue } from "./row.js"
import { createTables, createVersionTable, insertVersion, schemaVersion, waitsForItsTime } from "./schema.js"
import { retryOutsideTransaction } from "./statement.js"
import { indexName, quotedTables, tableNames } from "./tables.js"

/** @internal */
export const migrate = (table: string): Effect.Effect<void, SqlError, SqlClient> =>
  Effect.gen(function*() {
    const client = (yield* SqlClient).withoutTransforms()
    const { name } = dialectOf(client)
    const run = (statements: ReadonlyArray<string>) =>
      Effect.forEach(statements, (statement) => client.unsafe(statement), { discard: true })
    const version = quotedTables(dialects[name], table).version
    const change = Effect.gen(function*() {
      yield* run([createVersionTable(name, table)])
      const [row] = yield* client.unsafe<{ readonly version: number }>(`SELECT version FROM ${version}`)
      if (row === undefined) {
        yield* run([...createTables(name, table), insertVersion(name, table)])
      } else if (Number(row.version) === 1) {
        yield* name === "mysql"
          ? upgradeMysql(client, table)
          : run(name === "pg" ? upgradePostgres(table) : upgradeSqlite(table))
        yield* run([`UPDATE ${version} SET version = ${schemaVersion}`])
      }
    })
    yield* retryOutsideTransaction(inOwnTransaction(client, name)(alone(client, name, table, change)))
  })

/** Lets one process at a time change the tables. SQLite does that by itself: its transaction has begun with a lock. */
const alone = <A>(
  client: SqlClient,
  dialect: DialectName,
  table: string,
  self: Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> => {
  switch (dialect) {
    case "pg":
      return Effect.zipRight(client.unsafe("SELECT pg_advisory_xact_lock(hashtext($1))", [table]), self)
    case "mysql": {
      // MySQL commits at each change of a table, so no lock of a transaction can do it. A name may have 64 characters.
      const lock = `CONCAT('airlock_', MD5(CONCAT(DATABASE(), '.', ?)))`
      return Effect.zipRight(client.unsafe(`SELECT GET_LOCK(${lock}, 600)`, [table]), self).pipe(
        Effect.ensuring(Effect.ignore(client.unsafe(`SELECT RELEASE_LOCK(${lock})`, [table])))
      )
    }
    case "sqlite":
      return self
  }
}

/** The columns of version 1 that keep their values, apart from those of the state. */
const kept = [
  ...columns.map(({ name }) => name).filter((name) => name !== "queue"),
  "attempt",
  "ready_at",
  "on_expiry",
  "error",
  "failed_at"
]

const state =
  "CASE WHEN state = 'claimed' THEN 'ready' WHEN state = 'ready' AND due_at IS NOT NULL THEN 'scheduled' ELSE state END"
const dueAt = "CASE WHEN state IN ('held', 'ready') THEN due_at END"
const queue = `COALESCE(queue, '${defaultQueue}')`

/** What these expressions change. MySQL assigns from left to right, so `state` comes last. */
const changeRows = (outbox: string): string =>
  `UPDATE ${outbox} SET queue = ${queue}, due_at = ${dueAt}, state = ${state}
WHERE queue IS NULL OR state = 'claimed' OR (state = 'ready' AND due_at IS NOT NULL)`

const upgradePostgres = (table: string): ReadonlyArray<string> => {
  const { quote } = dialects.pg
  const outbox = quote(table)
  const schema = table.includes(".") ? `${table.slice(0, table.lastIndexOf("."))}.` : ""
  return [
    `ALTER TABLE ${outbox} DROP COLUMN lease, ADD COLUMN lease UUID, ADD COLUMN claim_number BIGINT, ADD COLUMN history TEXT, ADD COLUMN done_at BIGINT`,
    ...["claim", "dedupe"].map((name) => `DROP INDEX ${quote(schema + indexName(table, name))}`),
    changeRows(outbox),
    `ALTER TABLE ${outbox} ALTER COLUMN queue SET DEFAULT '${defaultQueue}', ALTER COLUMN queue SET NOT NULL, ADD ${waitsForItsTime}`,
    ...createTables("pg", table)
  ]
}

/** SQLite cannot change a column, so it copies the rows into a new table. */
const upgradeSqlite = (table: string): ReadonlyArray<string> => {
  const { quote } = dialects.sqlite
  const schema = table.includes(".") ? `${table.slice(0, table.lastIndexOf("."))}.` : ""
  const old = `${table.slice(table.lastIndexOf(".") + 1)}_version_1`
  const names = kept.join(", ")
  return [
    `ALTER TABLE ${quote(table)} RENAME TO ${quote(old)}`,
    ...["claim", "due", "dedupe", "ordering"].map((name) => `DROP INDEX ${quote(schema + indexName(table, name))}`),
    ...createTables("sqlite", table),
    `INSERT INTO ${quote(table)} (${names}, queue, due_at, state) SELECT ${names}, ${queue}, ${dueAt}, ${state} ` +
    `FROM ${quote(schema + old)}`,
    `DROP TABLE ${quote(schema + old)}`
  ]
}

/** MySQL commits each statement. So each can run again if the process dies, and the version changes last. */
const upgradeMysql = (client: SqlClient, table: string): Effect.Effect<void, SqlError> => {
  const { quote } = dialects.mysql
  const names = tableNames(table)
  const outbox = quote(names.outbox)
  const index = (name: string) => quote(indexName(table, name))
  const [createOutbox, ...createOthers] = createTables("mysql", table)
  /** The definition of a column or index, as new tables have it. */
  const definition = (start: string) =>
    createOutbox!.split("\n").find((line) => line.trim().startsWith(start))!.trim().replace(/,$/, "")
  const changeTable = `ALTER TABLE ${outbox} ` + [
    `MODIFY ${definition("state ")}`,
    `ADD COLUMN ${definition("claim_number ")}`,
    `ADD COLUMN ${definition("history ")}`,
    `ADD COLUMN ${definition("done_at ")}`,
    `DROP INDEX ${index("claim")}`,
    `DROP INDEX ${index("dedupe")}`,
    ...["ready", "due", "lease", "dedupe", "dead", "done"].map((name) => `ADD ${definition(`INDEX ${index(name)}`)}`)
  ].join(", ")
  const isOld = `SHOW COLUMNS FROM ${outbox} LIKE 'history'`
  return Effect.gen(function*() {
    if ((yield* client.unsafe(isOld)).length === 0) {
      yield* client.unsafe(changeTable)
    }
    yield* client.unsafe(changeRows(outbox))
    yield* client.unsafe(`UPDATE ${outbox} SET lease = NULL WHERE lease IS NOT NULL`)
    yield* client.unsafe(`ALTER TABLE ${outbox} MODIFY ${definition("queue ")}`)
    yield* Effect.forEach(createOthers, (statement) => client.unsafe(statement), { discard: true })
  })
}

/**
 * A loader for the `Migrator` of `@effect/sql`. The versions of the outbox are a sequence of their own, so the Migrator must
 * record them in a table of its own. Each migration makes the tables current, so in a new database the second has nothing to do.
 *
 * @internal
 */
export const migrations = (table: string): Loader =>
  Effect.succeed([
    [1, "airlock_outbox", Effect.succeed(migrate(table))],
    [2, "airlock_outbox_version_2", Effect.succeed(migrate(table))]
  ])
