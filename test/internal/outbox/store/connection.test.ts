/**
 * The connections of the outbox's statements: their time limit when the server is gone without a word, the connection of the
 * outbox's own, and their isolation.
 */
import { SqlClient } from "@effect/sql"
import { SqlError } from "@effect/sql/SqlError"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope, TestClock } from "effect"
import { ownConnection } from "../../../../src/internal/outbox/store/ownConnection.js"
import { sendTo } from "../../../../src/internal/outbox/store/sending.js"
import { type ClientOptions, onEachDatabase, onEachServer } from "../../../support/databases.js"
import { proxyTo } from "../../../support/proxy.js"
import { claimed, column, held, idOf, Outbox, outbox, ready, row, table } from "../testStore.js"

const onABusyMachine = 30_000

const nextTurn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** Lets time pass until a fiber has ended. */
const exitInTime = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<void> =>
  Effect.suspend(() =>
    fiber.unsafePoll() !== null ? Effect.void : Effect.zipRight(
      TestClock.adjust("1 second"),
      Effect.zipRight(nextTurn, exitInTime(fiber))
    )
  )

const failureOf = <A>(self: Effect.Effect<A, SqlError>) =>
  Effect.flatMap(Effect.fork(Effect.flip(self)), (fiber) => Effect.zipRight(exitInTime(fiber), Fiber.join(fiber)))

onEachServer((database, server) => {
  const withProxy = (
    name: string,
    self: (freeze: () => void) => Effect.Effect<void, unknown, Outbox | SqlClient.SqlClient | Scope.Scope>,
    options: ClientOptions = {}
  ) =>
    it.scoped(name, () =>
      Effect.flatMap(proxyTo(server.url), ({ close, freeze, port }) =>
        Effect.flatMap(
          Layer.build(outbox(database, { ...options, host: "127.0.0.1", port })),
          // The pool would wait for its half-open connections when it closes.
          (context) =>
            Effect.provide(
              Effect.ensuring(
                Effect.scoped(self(freeze)),
                Effect.zipRight(Effect.sync(close), Effect.repeatN(nextTurn, 50))
              ),
              context
            )
        )), onABusyMachine)

  withProxy(
    "a statement on a half-open connection fails at its time limit, and the next one has a new connection",
    (freeze) =>
      Effect.gen(function*() {
        const store = yield* Outbox
        yield* store.insert([row(1), row(2)], held())
        freeze()
        expect((yield* failureOf(store.release([idOf(1)]))).message).toContain("did not answer within 10s")
        yield* store.release([idOf(2)])
        expect(yield* column("state")).toEqual(["held", "ready"])
      })
  )

  withProxy(
    "a transaction of the outbox on a half-open connection fails at its time limit",
    (freeze) =>
      Effect.gen(function*() {
        const store = yield* Outbox
        yield* store.insert([row(1)], ready)
        freeze()
        expect((yield* failureOf(Effect.asVoid(store.expire))).message).toContain("did not answer within 10s")
        yield* store.expire
      })
  )

  withProxy(
    "an insert in a transaction on a half-open connection fails at its time limit",
    (freeze) =>
      Effect.gen(function*() {
        const store = yield* Outbox
        const sql = yield* SqlClient.SqlClient
        const begun = yield* Deferred.make<void>()
        const goOn = yield* Deferred.make<void>()
        const inserting = yield* Effect.fork(Effect.exit(sql.withTransaction(
          Deferred.succeed(begun, undefined).pipe(
            Effect.zipRight(Deferred.await(goOn)),
            Effect.zipRight(store.insert([row(1)], ready))
          )
        )))
        yield* Deferred.await(begun)
        freeze()
        yield* Deferred.succeed(goOn, undefined)
        yield* exitInTime(inserting)
        expect(JSON.stringify(yield* Fiber.join(inserting))).toContain("Failure")
        expect(yield* column("id")).toEqual([])
      })
  )

  if (server.name === "PostgreSQL") {
    withProxy(
      "a notification on a half-open connection of a pool of one holds the shutdown up no longer than its time limit",
      (freeze) =>
        Effect.gen(function*() {
          const store = yield* Outbox
          const scope = yield* Scope.make()
          const notify = yield* Scope.extend(sendTo(yield* SqlClient.SqlClient, table, "test"), scope)
          yield* store.insert([row(1)], ready)
          freeze()
          notify()
          const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
          yield* exitInTime(closing)
          expect(yield* column("id")).toEqual([idOf(1)])
        }),
      { maxConnections: 1 }
    )
  }

  withProxy(
    "the outbox's own connection is dropped when it is half-open, and reserved again",
    (freeze) =>
      Effect.gen(function*() {
        const store = yield* Outbox
        const own = yield* ownConnection(yield* SqlClient.SqlClient)
        yield* store.insert([row(1)], held())
        yield* own.run(store.renew([idOf(1)], 1000))
        freeze()
        expect((yield* failureOf(own.run(store.release([idOf(1)])))).message).toContain("did not answer within 10s")
        // The connection that is idle in the pool is half-open, too. On PostgreSQL the driver uses it to cancel the statement.
        const releasing = yield* Effect.fork(Effect.retry(own.run(store.release([idOf(1)])), { times: 1 }))
        yield* exitInTime(releasing)
        yield* Fiber.join(releasing)
        expect(yield* column("state")).toEqual(["ready"])
      })
  )

  it.scoped("renewals and discards do not wait for a connection of an exhausted pool", () =>
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      const own = yield* ownConnection(sql)
      yield* store.insert([row(1), row(2)], held())
      const busy = yield* Effect.makeSemaphore(3)
      const gate = yield* Effect.makeLatch(false)
      // With the own connection these are all connections of the pool.
      yield* busy.take(3)
      const transactions = yield* Effect.fork(
        Effect.forEach([1, 2, 3], () => sql.withTransaction(Effect.zipRight(busy.release(1), gate.await)), {
          concurrency: 3
        })
      )
      yield* busy.take(3)
      yield* own.run(store.renew([idOf(1)], 1_000_000))
      expect(yield* own.run(store.discard([idOf(2), idOf(3)]))).toEqual([idOf(2)])
      yield* gate.open
      yield* Fiber.join(transactions)
    }).pipe(Effect.scoped, Effect.provide(outbox(database, { maxConnections: 4 }))), onABusyMachine)

  it.scoped("a pool of one connection lends it to the outbox for each statement only", () =>
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      const own = yield* ownConnection(sql)
      yield* sql.withTransaction(store.insert([row(1)], held()))
      yield* own.run(store.release([idOf(1)]))
      expect(yield* column("state")).toEqual(["ready"])
    }).pipe(Effect.scoped, Effect.provide(outbox(database, { maxConnections: 1 }))), onABusyMachine)

  it.scoped("Layers with one client share the own connection, and the last one drops it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const id = Effect.map(
        sql.onDialectOrElse({
          mysql: () => sql<{ id: number }>`SELECT CONNECTION_ID() AS id`,
          orElse: () => sql<{ id: number }>`SELECT pg_backend_pid() AS id`
        }).withoutTransform,
        ([row]) => Number(row!.id)
      )
      const scopes = [yield* Scope.make(), yield* Scope.make()] as const
      const first = yield* Scope.extend(ownConnection(sql), scopes[0])
      const second = yield* Scope.extend(ownConnection(sql), scopes[1])
      const used = yield* first.run(id)
      expect([yield* first.run(id), yield* second.run(id)]).toEqual([used, used])
      yield* Scope.close(scopes[0], yield* Effect.exit(Effect.void))
      expect(yield* second.run(id)).toBe(used)
      yield* Scope.close(scopes[1], yield* Effect.exit(Effect.void))
      const third = yield* ownConnection(sql)
      expect(yield* third.run(id)).not.toBe(used)
    }).pipe(Effect.scoped, Effect.provide(database.client())), onABusyMachine)

  if (server.name === "PostgreSQL") {
    it.scoped(
      "every statement is READ COMMITTED, also if that is not the default of the database",
      () =>
        Effect.gen(function*() {
          yield* Effect.scoped(Effect.provide(
            Effect.flatMap(SqlClient.SqlClient, (sql) =>
              Effect.flatMap(
                sql<{ name: string }>`SELECT current_database() AS name`,
                ([row]) => sql.unsafe(`ALTER DATABASE ${row!.name} SET default_transaction_isolation = 'serializable'`)
              )),
            database.client()
          ))
          const seen = yield* Effect.provide(
            Effect.gen(function*() {
              const store = yield* Outbox
              const sql = yield* SqlClient.SqlClient
              const own = yield* ownConnection(sql)
              yield* sql`DROP TABLE IF EXISTS seen`
              yield* sql`CREATE TABLE seen (what TEXT, isolation TEXT)`
              yield* sql.unsafe(`CREATE OR REPLACE FUNCTION see() RETURNS TRIGGER AS $$ BEGIN
              INSERT INTO seen VALUES (TG_OP, current_setting('transaction_isolation')); RETURN NULL; END $$ LANGUAGE plpgsql`)
              yield* sql.unsafe(
                `CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION see()`
              )
              yield* store.insert([row(1), row(2)], held())
              yield* own.run(store.release([idOf(1)]))
              yield* store.discard([idOf(2)])
              yield* store.insert([row(3, { orderingKey: "a" })], ready)
              expect(yield* claimed()).toEqual([1, 3])
              yield* store.insert([row(4)], { ...held(), heldMillis: -1 })
              expect(yield* store.expire).toMatchObject({ released: 1 })
              return yield* sql<{ isolation: string }>`SELECT DISTINCT isolation FROM seen`
            }).pipe(Effect.scoped),
            outbox(database)
          )
          yield* Effect.provide(
            Effect.flatMap(
              SqlClient.SqlClient,
              (sql) =>
                Effect.flatMap(sql<{ name: string }>`SELECT current_database() AS name`, ([row]) =>
                  sql.unsafe(`ALTER DATABASE ${row!.name} RESET default_transaction_isolation`))
            ),
            database.client()
          )
          expect(seen).toEqual([{ isolation: "read committed" }])
        }),
      onABusyMachine
    )
  }
})

onEachDatabase((database) => {
  it.scoped(
    "very many large rows are inserted in several statements, all of them or none",
    () =>
      Effect.gen(function*() {
        const store = yield* Outbox
        const sql = yield* SqlClient.SqlClient
        const rows = Array.from(
          { length: 5_100 },
          (_, n) => row(n, { payload: JSON.stringify({ text: "\"é".repeat(1_000) }) })
        )
        const count = Effect.map(
          sql.unsafe<{ readonly count: number }>(`SELECT COUNT(*) AS count FROM ${table}`),
          ([row]) => Number(row!.count)
        )
        yield* Effect.flip(store.insert([...rows, row(1)], ready))
        expect(yield* count).toBe(0)
        yield* store.insert(rows, held())
        expect(yield* count).toBe(5_100)
      }).pipe(Effect.provide(outbox(database))),
    60_000
  )
})
