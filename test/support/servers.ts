/**
 * The database servers of the tests.
 */
import { MysqlClient } from "@effect/sql-mysql2"
import { PgClient } from "@effect/sql-pg"
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Layer, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { connect } from "node:net"
import { afterAll, beforeAll } from "vitest"
import { describeNeeding } from "./needs.js"

export interface Server {
  readonly name: string
  readonly variable: string
  /** The address, with a user who can create databases. */
  readonly url: URL
}

const server = (name: string, variable: string, standard: string): Server => ({
  name,
  variable,
  url: new URL(process.env[variable] ?? standard)
})

export const postgres = server(
  "PostgreSQL",
  "AIRLOCK_TEST_POSTGRES",
  "postgres://postgres@127.0.0.1:5432/postgres"
)

export const mysql = server("MySQL", "AIRLOCK_TEST_MYSQL", "mysql://root@127.0.0.1:3306/")

const isReachable = ({ url }: Server) =>
  new Promise<boolean>((resolve) => {
    const socket = connect({ host: url.hostname, port: Number(url.port), timeout: 2000 })
    const end = (reachable: boolean) => {
      socket.destroy()
      resolve(reachable)
    }
    socket.on("connect", () => end(true)).on("error", () => end(false)).on("timeout", () => end(false))
  })

const reachable = new Map(
  await Promise.all([postgres, mysql].map(async (server) => [server, await isReachable(server)] as const))
)

/** Defines tests that need a server. */
export const describeOn = (server: Server, name: string, define: () => void): void => {
  const missing = reachable.get(server) === true
    ? undefined
    : `${server.name} does not answer at ${server.url.host} (${server.variable})`
  describeNeeding({ name: server.name, missing }, name, define)
}

const admin = (server: Server, statement: (sql: SqlClient) => Effect.Effect<unknown, unknown>) =>
  Effect.runPromise(
    Effect.flatMap(SqlClient, statement).pipe(
      Effect.provide(
        (server === postgres ? PgClient.layer : MysqlClient.layer)({
          url: Redacted.make(server.url.href)
        }) as Layer.Layer<SqlClient>
      )
    ) as Effect.Effect<unknown>
  )

/** Creates a database before the tests of this suite, and drops it after them. Gives its address once it exists. */
export const ownDatabase = (server: Server): () => URL => {
  const name = `airlock_${randomBytes(6).toString("hex")}`
  const url = new URL(server.url)
  url.pathname = name
  beforeAll(() => admin(server, (sql) => sql.unsafe(`CREATE DATABASE ${name}`)))
  afterAll(() =>
    admin(server, (sql) => sql.unsafe(`DROP DATABASE ${name}${server === postgres ? " WITH (FORCE)" : ""}`))
  )
  return () => url
}
