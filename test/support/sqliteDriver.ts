/**
 * Which engine is under `@effect/sql-sqlite-node`: the real `better-sqlite3`, or the stand-in that `npm ci` installs. The
 * stand-in opens a file with a busy timeout of 0, so a process fails at once where another one writes. CONTRIBUTING.md says
 * how to install the real one.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect } from "effect"
import { describeNeeding } from "./needs.js"

const waits = await Effect.runPromise(
  Effect.flatMap(SqlClient, (sql) => sql<{ readonly timeout: number }>`PRAGMA busy_timeout`).pipe(
    Effect.map(([row]) => row!.timeout > 0),
    Effect.provide(SqliteClient.layer({ filename: ":memory:", disableWAL: true }))
  )
)

const betterSqlite3 = {
  name: "better-sqlite3",
  missing: waits ? undefined : "the stand-in of better-sqlite3 is in use (npm run install:sqlite installs the real one)"
}

/** Defines tests in which two processes use one SQLite file. */
export const describeOnSharedFile = (name: string, define: () => void): void =>
  describeNeeding(betterSqlite3, name, define)
