/**
 * Transactions that the database rolls back, and retries of them: the failed attempt's intents are discarded, those of
 * the successful attempt leave once.
 */
import { SqlClient, SqlError } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { Airlock } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { decorated, insertOrder, onEachDatabase, orders, transaction } from "../support/databases.js"
import { left, note } from "../support/recorder.js"

const order = (name: string) => Effect.zipRight(insertOrder(name), note(name))

const outcome = Effect.all({ rows: orders, left: Effect.map(left, (texts) => texts.sort()) })

const unscoped = Effect.provide(Airlock.unchecked)

const isSqlError = (error: unknown) => error instanceof SqlError.SqlError

/** A meeting point for two fibers: each waits until the other has arrived. */
const meeting = Effect.map(Effect.all([Deferred.make<void>(), Deferred.make<void>()]), ([a, b]) => ({
  a: Effect.zipRight(Deferred.succeed(a, void 0), Deferred.await(b)),
  b: Effect.zipRight(Deferred.succeed(b, void 0), Deferred.await(a))
}))

const rename = (from: string, to: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`UPDATE orders SET name = ${to} WHERE name = ${from}`)

onEachDatabase((database) => {
  const layer = decorated(database)

  describe("a transaction that is retried", () => {
    it.scoped("dispatches only the intents of the successful attempt, once", () =>
      Effect.gen(function*() {
        let attempts = 0
        yield* transaction(Effect.suspend(() => {
          attempts++
          return Effect.zipRight(order(`attempt ${attempts}`), attempts < 3 ? Effect.fail("no") : Effect.void)
        })).pipe(Effect.retry({ times: 5 }))
        expect(yield* outcome).toEqual({ rows: ["attempt 3"], left: ["attempt 3"] })
      }).pipe(unscoped, Effect.provide(layer)))
  })

  if (database.name !== "SQLite") {
    describe("a deadlock", () => {
      const deadlock = (
        attempt: (self: Effect.Effect<unknown, SqlError.SqlError, SqlClient.SqlClient>) => typeof self
      ) =>
        Effect.gen(function*() {
          yield* insertOrder("one")
          yield* insertOrder("two")
          const { a, b } = yield* meeting
          let first = 0
          const contender = (name: string, meet: Effect.Effect<void>, from: string, to: string) =>
            unscoped(transaction(Effect.gen(function*() {
              yield* order(name)
              yield* rename(from, from)
              const sql = yield* SqlClient.SqlClient
              yield* sql`SELECT name FROM orders WHERE name = ${from} FOR UPDATE`
              if (first++ < 2) {
                yield* meet
              }
              yield* attempt(Effect.asVoid(sql`SELECT name FROM orders WHERE name = ${to} FOR UPDATE`))
              yield* order(`${name} more`)
            })))
          return [contender("a", a, "one", "two"), contender("b", b, "two", "one")] as const
        })

      it.scoped("fails one transaction with a SqlError, and a retry succeeds", () =>
        Effect.gen(function*() {
          const contenders = yield* deadlock((self) => self)
          let retries = 0
          yield* Effect.forEach(
            contenders,
            (contender) =>
              contender.pipe(
                Effect.tapError(() => Effect.sync(() => retries++)),
                Effect.retry({ while: isSqlError, times: 20 })
              ),
            { concurrency: 2 }
          )
          // There can be several retries: the two transactions may deadlock again.
          expect(retries).toBeGreaterThan(0)
          expect(yield* outcome).toEqual({
            rows: ["a", "a more", "b", "b more", "one", "two"],
            left: ["a", "a more", "b", "b more"]
          })
        }).pipe(Effect.provide(layer)), 20_000)

      it.scoped(
        "whose error is caught commits no row of its transaction, and dispatches none of its intents",
        () =>
          Effect.gen(function*() {
            const contenders = yield* deadlock((self) => Effect.ignore(self))
            const exits = yield* Effect.forEach(contenders, Effect.either, { concurrency: 2 })
            expect(exits.filter(({ _tag }) => _tag === "Left")).toHaveLength(1)
            const { left, rows } = yield* outcome
            expect(rows.filter((name) => name !== "one" && name !== "two")).toEqual(left)
            expect(left).toHaveLength(2)
          }).pipe(Effect.provide(layer)),
        20_000
      )
    })
  }

  if (database.name === "MySQL") {
    it.scoped("a lock wait timeout undoes only its statement, and the transaction can go on", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const lock = sql`SELECT name FROM orders WHERE name = 'one' FOR UPDATE`
        const [held, done] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        yield* insertOrder("one")
        const holder = yield* Effect.fork(
          transaction(Effect.all([lock, Deferred.succeed(held, void 0), Deferred.await(done)]))
        )
        yield* Deferred.await(held)
        yield* transaction(Effect.gen(function*() {
          yield* sql`SET SESSION innodb_lock_wait_timeout = 1`
          yield* order("a")
          expect((yield* Effect.flip(lock)).cause).toMatchObject({ errno: 1205 })
          yield* order("b")
        }))
        yield* Deferred.succeed(done, void 0)
        yield* Fiber.join(holder)
        expect(yield* outcome).toEqual({ rows: ["a", "b", "one"], left: ["a", "b"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("a statement that commits implicitly keeps the rows before it, and every intent that leaves has its row", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* transaction(Effect.all([order("a"), sql`CREATE TABLE other (id INTEGER)`, order("b")]))
        expect(yield* outcome).toEqual({ rows: ["a", "b"], left: ["a", "b"] })
        yield* Effect.ignore(
          transaction(Effect.all([order("c"), sql`DROP TABLE other`, order("d"), Effect.fail("no")]))
        )
        expect(yield* outcome).toEqual({ rows: ["a", "b", "c", "d"], left: ["a", "b"] })
        const spoilt = Effect.zipRight(
          order("e"),
          Effect.zipRight(sql`CREATE TABLE other (id INTEGER)`, Effect.fail("no"))
        )
        const error = yield* Effect.flip(transaction(Effect.zipRight(Effect.ignore(transaction(spoilt)), order("f"))))
        expect(error).toBeInstanceOf(SqlError.SqlError)
        expect(yield* outcome).toEqual({ rows: ["a", "b", "c", "d", "e"], left: ["a", "b"] })
        yield* sql`DROP TABLE other`
      }).pipe(unscoped, Effect.provide(layer)))
  }

  if (database.name === "SQLite") {
    it.scoped("a transaction that SQLite has rolled back refuses further statements, and fails with a SqlError", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* insertOrder("dup")
        const rollback = Effect.ignore(sql`INSERT OR ROLLBACK INTO orders (name) VALUES ('dup')`)
        const recovering = transaction(Effect.all([order("a"), rollback, Effect.ignore(order("b")), Effect.void]))
        expect(yield* Effect.flip(recovering)).toBeInstanceOf(SqlError.SqlError)
        const inside = transaction(Effect.all([order("a"), Effect.ignore(transaction(rollback)), order("b")]))
        expect(yield* Effect.flip(inside)).toBeInstanceOf(SqlError.SqlError)
        expect(yield* outcome).toEqual({ rows: ["dup"], left: [] })
        yield* transaction(order("c"))
        expect(yield* outcome).toEqual({ rows: ["c", "dup"], left: ["c"] })
      }).pipe(unscoped, Effect.provide(layer)))
  }

  if (database.name === "PostgreSQL") {
    const serializable = Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`SET TRANSACTION ISOLATION LEVEL SERIALIZABLE`
    )

    it.scoped("a serialization failure at COMMIT is a SqlError, and a retry succeeds", () =>
      Effect.gen(function*() {
        const read = yield* Deferred.make<void>()
        const states: Array<unknown> = []
        const count = (name: string) =>
          Effect.gen(function*() {
            yield* serializable
            const rows = yield* orders
            yield* insertOrder(`${name} after ${rows.length}`)
            yield* note(`${name} after ${rows.length}`)
          })
        // Each counts before the other has committed. So one count is wrong: that of the transaction that commits last.
        const winner = yield* Effect.fork(
          transaction(Effect.zipRight(Deferred.await(read), count("b")))
        )
        yield* transaction(
          count("a").pipe(Effect.zipLeft(Deferred.succeed(read, void 0)), Effect.zipLeft(Fiber.join(winner)))
        ).pipe(
          Effect.tapError((error) => Effect.sync(() => states.push((error.cause as { readonly code: string }).code))),
          Effect.retry({ while: isSqlError, times: 3 })
        )
        expect(states).toEqual(["40001"])
        const { left, rows } = yield* outcome
        expect(rows).toEqual(left)
        expect(rows.map((name) => name.slice(-1)).sort()).toEqual(["0", "1"])
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("a read-only transaction dispatches its intents, and refuses to write", () =>
      Effect.gen(function*() {
        const readOnly = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SET TRANSACTION READ ONLY`)
        yield* transaction(Effect.all([readOnly, orders, note("a")]))
        const error = yield* Effect.flip(transaction(Effect.all([readOnly, note("b"), insertOrder("b")])))
        expect(error.cause).toMatchObject({ code: "25006" })
        expect(yield* outcome).toEqual({ rows: [], left: ["a"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("a COMMIT that a deferred trigger refuses fails with a SqlError", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE EXCEPTION 'no'; END $$`
        yield* sql`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON orders
          DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`
        expect((yield* Effect.flip(SqlTransaction.transaction(order("a"))))._tag).toBe("SqlError")
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(unscoped, Effect.provide(layer)))
  }
})
