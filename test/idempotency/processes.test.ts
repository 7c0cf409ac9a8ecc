/**
 * Servers in processes of their own, which share a store, and are killed in the middle of a request.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import * as IdempotencySql from "effect-airlock/IdempotencySql"
import * as Outbox from "effect-airlock/Outbox"
import { randomUUID } from "node:crypto"
import { afterAll } from "vitest"
import { type Database, onEachServer, sqlite } from "../support/databases.js"
import { type IdempotencyProgram, OrderMail } from "../support/idempotencyProcess.js"
import { startServer } from "../support/idempotencyProcesses.js"
import { describeOnRedis, dropKeys, ownPrefix, redisUrl } from "../support/redis.js"
import { describeOnSharedFile } from "../support/sqliteDriver.js"
import { until } from "../support/until.js"

type Options = Omit<IdempotencyProgram, "dialect" | "database">

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient
  yield* sql`DROP TABLE IF EXISTS orders`
  yield* sql`CREATE TABLE orders (name VARCHAR(100) NOT NULL)`
  yield* Outbox.migrate()
  yield* sql`DELETE FROM airlock_outbox`
  yield* IdempotencySql.migrate()
})

const rows = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql<{ readonly name: string }>`SELECT name FROM orders ORDER BY name`,
    (rows) => rows.map(({ name }) => name)
  ))

/** The mails that a relay sends, until none is left. */
const mails = Effect.gen(function*() {
  const sql = yield* SqlClient
  const sent: Array<string> = []
  const client = Layer.succeed(SqlClient, sql)
  yield* Layer.build(
    Outbox.relay({ pollInterval: "20 millis" }).pipe(
      Layer.provide(OrderMail.toLayer(({ name }) => Effect.sync(() => sent.push(name)))),
      Layer.provide(Outbox.live()),
      Layer.provide(client)
    )
  )
  yield* until(Effect.map(sql`SELECT id FROM airlock_outbox`, ({ length }) => length === 0))
  return sent.sort()
}).pipe(Effect.scoped)

/** Starts two servers at once. */
const both = (one: Options, other: Options) => Effect.all([startServer(one), startServer(other)], { concurrency: 2 })

const testsOn = (name: string, database: Database, options: Options = {}) => {
  const test = (title: string, self: Effect.Effect<unknown, unknown, SqlClient | Scope.Scope>) =>
    it.scopedLive(
      `${title} (${name})`,
      () => Effect.provide(Effect.zipRight(tables, self), Layer.orDie(database.client())),
      30_000
    )

  for (const perRequest of [false, true]) {
    const how = perRequest ? "a transaction per request" : "a transaction in its handler"

    test(
      `runs a request again whose process died before the commit, with ${how}: one row, one effect`,
      Effect.gen(function*() {
        const key = randomUUID()
        const [first, second] = yield* both(
          { ...options, perRequest, stopAt: "before the commit" },
          { ...options, perRequest }
        )
        yield* Effect.fork(first.order(key, "book"))
        yield* first.untilTold("stopped")
        yield* first.kill
        // The key belongs to the dead process until its lease ends.
        yield* until(Effect.map(second.order(key, "book"), ({ status }) => status === 201))
        expect((yield* second.order(key, "book")).text).toBe("ordered book")
        expect(second.runs()).toBe(1)
        expect(yield* rows).toEqual(["book"])
        expect(yield* mails).toEqual(["book"])
      })
    )

    test(
      `never runs a request again whose process died after the commit, with ${how}: one row, one effect`,
      Effect.gen(function*() {
        const key = randomUUID()
        const [first, second] = yield* both(
          { ...options, perRequest, stopAt: "after the commit" },
          { ...options, perRequest }
        )
        yield* Effect.fork(first.order(key, "book"))
        yield* first.untilTold("stopped")
        yield* first.kill
        yield* until(Effect.map(second.order(key, "book"), ({ code }) => code !== "in-flight"))
        const { code, status, text } = yield* second.order(key, "book")
        // Only the transaction of a request can contain the response.
        expect([status, code ?? text]).toEqual(perRequest ? [201, "ordered book"] : [409, "outcome-unknown"])
        expect(second.runs()).toBe(0)
        expect(yield* rows).toEqual(["book"])
        expect(yield* mails).toEqual(["book"])
      })
    )
  }
}

const togetherOn = (name: string, database: Database, options: Options = {}) => {
  for (const wait of [false, true]) {
    it.scopedLive(
      `runs one of 200 requests that two processes get at once, ${
        wait ? "and the others wait for the response" : "and the others get a 409 or the response"
      } (${name})`,
      () =>
        Effect.gen(function*() {
          yield* tables
          const key = randomUUID()
          // Nothing is taken over, even if this machine is slow.
          const together = { ...options, wait, lease: "30 seconds" } as const
          const servers = yield* both(together, together)
          const answers = yield* Effect.all(
            Array.from({ length: 200 }, (_, i) => servers[i % 2]!.order(key, "book")),
            { concurrency: "unbounded" }
          )
          expect(servers.map((server) => server.runs()).sort()).toEqual([0, 1])
          const kinds = new Set(answers.map(({ code, status, text }) => `${status} ${code ?? text}`))
          expect([...kinds].filter((kind) => kind !== "201 ordered book" && kind !== "409 in-flight")).toEqual([])
          expect(kinds.has("201 ordered book")).toBe(true)
          expect(wait && kinds.has("409 in-flight")).toBe(false)
          expect(yield* rows).toEqual(["book"])
        }).pipe(Effect.provide(Layer.orDie(database.client()))),
      30_000
    )
  }
}

onEachServer((database, server) => {
  testsOn("keys in the same database", database)
  if (server.name === "PostgreSQL") {
    togetherOn("keys in the same database", database)
    describeOnRedis("keys in Redis", () => {
      const prefix = ownPrefix()
      afterAll(() => Effect.runPromise(dropKeys(prefix)))
      const redis = { redis: { url: redisUrl.href, prefix } }
      testsOn("keys in Redis", database, redis)
      togetherOn("keys in Redis", database, redis)
    })
  }
})

describeOnSharedFile("SQLite", () => testsOn("keys in the same database", sqlite))
