/**
 * Starts servers with idempotency keys in processes of their own.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect } from "effect"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { mkdirSync, rmSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"
import type { IdempotencyEvent, IdempotencyProgram } from "./idempotencyProcess.js"
import { mysql, postgres } from "./servers.js"
import { until } from "./until.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const file = `${root}/.tmp/idempotencyProcess-${process.pid}.cjs`
mkdirSync(`${root}/.tmp`, { recursive: true })
await build({
  entryPoints: [fileURLToPath(new URL("idempotencyProcess.ts", import.meta.url))],
  outfile: file,
  bundle: true,
  platform: "node",
  format: "cjs",
  tsconfig: `${root}/tsconfig.json`,
  external: ["better-sqlite3", "pg-native"],
  logLevel: "error"
})
afterAll(() => rmSync(file, { force: true }))

/** The database of the client, as another process can open it. */
const database = Effect.flatMap(
  SqlClient,
  (sql): Effect.Effect<Pick<IdempotencyProgram, "dialect" | "database">, unknown> =>
    sql.onDialectOrElse({
      pg: () =>
        Effect.map(sql<{ readonly name: string }>`SELECT current_database() AS name`, ([row]) => ({
          dialect: "pg" as const,
          database: new URL(`/${row!.name}`, postgres.url).href
        })),
      mysql: () =>
        Effect.map(sql<{ readonly name: string }>`SELECT DATABASE() AS name`, ([row]) => ({
          dialect: "mysql" as const,
          database: new URL(`/${row!.name}`, mysql.url).href
        })),
      orElse: () =>
        Effect.map(sql<{ readonly file: string }>`PRAGMA database_list`, ([row]) => ({
          dialect: "sqlite" as const,
          database: row!.file
        }))
    })
)

/** Starts a server, which is killed with the Scope, and waits until it listens. */
export const startServer = (options: Omit<IdempotencyProgram, "dialect" | "database">) =>
  Effect.gen(function*() {
    const program: IdempotencyProgram = { ...options, ...(yield* database) }
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [file, JSON.stringify(program)], { stdio: ["ignore", "pipe", "inherit"] })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const events: Array<IdempotencyEvent> = []
    createInterface(child.stdout).on("line", (line) => {
      if (line.startsWith("{")) {
        // `idempotencyProcess.ts` writes these lines.
        events.push(JSON.parse(line) as IdempotencyEvent)
      } else {
        console.error(line)
      }
    })
    const told = (is: IdempotencyEvent["is"]) => events.filter((event) => event.is === is)
    const untilTold = (is: IdempotencyEvent["is"]) => until(Effect.sync(() => told(is).length > 0))
    yield* untilTold("listening")
    const [listening] = told("listening") as ReadonlyArray<Extract<IdempotencyEvent, { readonly is: "listening" }>>
    const url = `http://127.0.0.1:${listening!.port}/orders`
    return {
      untilTold,
      runs: () => told("run").length,
      kill: Effect.async<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      }),
      /** Sends an order, and returns the status, the text and the code of the answer. */
      order: (key: string, name: string) =>
        Effect.promise(async () => {
          const response = await fetch(url, { method: "POST", body: name, headers: { "idempotency-key": key } })
          const text = await response.text()
          const code = text.startsWith("{") ? (JSON.parse(text) as { readonly code: string }).code : undefined
          return { status: response.status, text, code }
        })
    }
  })
