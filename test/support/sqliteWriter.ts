/**
 * A process that waits for a line of input, and then writes rows to a SQLite file, each in a transaction of its own.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect } from "effect"
import { once } from "node:events"

const [filename, rows] = process.argv.slice(2)

await Effect.runPromise(
  Effect.gen(function*() {
    const sql = yield* SqlClient
    process.stdout.write("open\n")
    yield* Effect.promise(() => once(process.stdin, "data"))
    yield* Effect.repeatN(
      sql`INSERT INTO written (pid) VALUES (${process.pid})`,
      Number(rows) - 1
    )
  }).pipe(Effect.provide(SqliteClient.layer({ filename: filename! })))
)
process.stdin.destroy()
