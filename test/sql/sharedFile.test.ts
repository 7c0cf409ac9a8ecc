/**
 * Two processes with one SQLite file.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { SqlClient } from "@effect/sql/SqlClient"
import { expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describeOnSharedFile } from "../support/sqliteDriver.js"

const rows = 200

const writer = fileURLToPath(new URL("../support/sqliteWriter.ts", import.meta.url))

/** A process that writes `rows` rows to the file, each in a transaction of its own, once it is told to. */
const startWriter = async (filename: string) => {
  const child = spawn(process.execPath, ["--import", "tsx", writer, filename, String(rows)], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  const exited = once(child, "exit")
  await Promise.race([once(child.stdout, "data"), exited])
  return {
    write: async () => {
      child.stdin.end("write\n")
      const [code] = await exited
      return code as number
    }
  }
}

describeOnSharedFile("two processes with one SQLite file", () => {
  it.scoped("wait for each other's transactions", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "airlock-shared-"))),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
      )
      const filename = join(directory, "shared.db")
      const sql = Context.get(yield* Layer.build(SqliteClient.layer({ filename })), SqlClient)
      yield* sql`CREATE TABLE written (pid INTEGER NOT NULL)`
      const writers = yield* Effect.promise(() => Promise.all([startWriter(filename), startWriter(filename)]))
      expect(yield* Effect.promise(() => Promise.all(writers.map(({ write }) => write())))).toEqual([0, 0])
      const counts = yield* sql<{ readonly n: number }>`SELECT count(*) AS n FROM written GROUP BY pid`
      expect(counts).toEqual([{ n: rows }, { n: rows }])
    }))
})
