/**
 * A database for one run of a benchmark, and plain connections to it.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { Client, Pool } from "pg"
import { email } from "./peer.js"

const server = process.env["AIRLOCK_TEST_POSTGRES"] ?? "postgres://postgres@127.0.0.1:5432/postgres"

const administer = (statement: string) =>
  Effect.promise(async () => {
    const client = new Client(server)
    await client.connect()
    await client.query(statement)
    await client.end()
  })

/** The address of a new database, which is dropped when the scope closes. */
export const newDatabase = Effect.gen(function*() {
  const name = `airlock_bench_${randomBytes(6).toString("hex")}`
  yield* Effect.acquireRelease(
    administer(`CREATE DATABASE ${name}`),
    () => administer(`DROP DATABASE ${name} WITH (FORCE)`)
  )
  const url = new URL(server)
  url.pathname = name
  return url.href
})

/** Runs one statement on a connection of its own. */
export const query = (url: string, statement: string) =>
  Effect.promise(async () => {
    const client = new Client(url)
    await client.connect()
    const { rows } = await client.query<Record<string, unknown>>(statement)
    await client.end()
    return rows
  })

export const execute = (url: string, statement: string) => Effect.asVoid(query(url, statement))

export const count = (url: string, from: string) =>
  Effect.map(query(url, `SELECT count(*) AS count FROM ${from}`), ([row]) => Number(row!["count"]))

/** A pool of plain connections. */
export const pool = (url: string, max: number) =>
  Effect.acquireRelease(
    Effect.sync(() => new Pool({ connectionString: url, max })),
    (pool) => Effect.promise(() => pool.end())
  )

export const client = (url: string) => PgClient.layer({ url: Redacted.make(url) })

/** The payload of a job in SQL. */
export const payload = JSON.stringify({ at: 0, email })

/** An Effect that inserts by hand in a transaction. `values` are taken after its BEGIN. */
export const transaction = (url: string, insert: string, values: () => ReadonlyArray<unknown>) =>
  Effect.map(pool(url, 10), (connections) =>
    Effect.promise(async () => {
      const connection = await connections.connect()
      await connection.query("BEGIN")
      await connection.query({ name: "insert", text: insert, values: [...values()] })
      await connection.query("COMMIT")
      connection.release()
    }))
