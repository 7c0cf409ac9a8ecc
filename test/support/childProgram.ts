/**
 * Programs of the tests that run in processes of their own.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect } from "effect"
import { build } from "esbuild"
import { mkdirSync, rmSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"
import { mysql, postgres } from "./servers.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

/**
 * Bundles a file of this folder, and returns the file to run, which starts ten times as fast. It is in the repository, so that it
 * finds the driver of SQLite.
 */
export const bundled = async (name: string): Promise<string> => {
  const file = `${root}/.tmp/${name}-${process.pid}.cjs`
  mkdirSync(`${root}/.tmp`, { recursive: true })
  await build({
    entryPoints: [fileURLToPath(new URL(`${name}.ts`, import.meta.url))],
    outfile: file,
    bundle: true,
    platform: "node",
    format: "cjs",
    tsconfig: `${root}/tsconfig.json`,
    external: ["better-sqlite3", "pg-native"],
    logLevel: "error"
  })
  afterAll(() => rmSync(file, { force: true }))
  return file
}

export interface ProgramDatabase {
  readonly dialect: "pg" | "mysql" | "sqlite"
  /** Its address, or the name of its file. */
  readonly database: string
}

/** The database of the client, as another process can open it. */
export const programDatabase = Effect.flatMap(
  SqlClient,
  (sql): Effect.Effect<ProgramDatabase, unknown> =>
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
