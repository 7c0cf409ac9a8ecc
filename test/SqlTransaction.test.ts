import { Model, SqlClient, SqlError } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Ref, Schema } from "effect"
import { Airlock, type Intent } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import {
  decorated,
  insertLine,
  insertOrder,
  onEachDatabase,
  orders,
  transaction,
  undecorated
} from "./support/databases.js"
import { defectOf } from "./support/exits.js"
import { layer as recorder, left, note } from "./support/recorder.js"

/** Inserts a row and enqueues an intent. Both must stay, or neither. */
const order = (name: string) => Effect.zipRight(insertOrder(name), note(name))

/** The rows that were committed, and the intents that left. */
const outcome = Effect.all({ rows: orders, left })

/** For programs whose only scopes are transactions. */
const unscoped = Effect.provide(Airlock.unchecked)

onEachDatabase((database) => {
  const layer = decorated(database)

  describe("I7: a transaction is a scope", () => {
    it.scoped("dispatches its intents after its commit, not before", () =>
      Effect.gen(function*() {
        const during = yield* transaction(Effect.zipRight(order("a"), left))
        expect(during).toEqual([])
        expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("discards its intents if a failure, defect or interruption rolls it back", () =>
      Effect.gen(function*() {
        for (const end of [Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
          expect(yield* Effect.exit(transaction(Effect.zipRight(order("a"), end)))).toEqual(yield* Effect.exit(end))
        }
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("commits inside a scope, and its intents wait for that scope", () =>
      Effect.gen(function*() {
        const committed = yield* Airlock.scoped(Effect.zipRight(transaction(order("a")), outcome))
        expect(committed).toEqual({ rows: ["a"], left: [] })
        expect(yield* left).toEqual(["a"])
        yield* Effect.exit(Airlock.scoped(Effect.zipRight(transaction(order("b")), Effect.fail("no"))))
        expect(yield* outcome).toEqual({ rows: ["a", "b"], left: ["a"] })
      }).pipe(Effect.provide(layer)))

    it.scoped("keeps the intents of an inner scope until its commit, and discards them if it is rolled back", () =>
      Effect.gen(function*() {
        const inner = Airlock.scoped(order("a"))
        expect(yield* transaction(Effect.zipRight(inner, left))).toEqual([])
        expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
        yield* Effect.exit(transaction(Effect.zipRight(Airlock.scoped(order("b")), Effect.fail("no"))))
        expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
      }).pipe(Effect.provide(layer)))

    it.scoped("keeps its intents until its commit, whatever beforeDescendantFlushes of an inner or outer scope allows", () =>
      Effect.gen(function*() {
        const eager = Airlock.scoped({ beforeDescendantFlushes: (intents) => intents })
        yield* transaction(Effect.zipRight(order("a").pipe(Airlock.scoped, eager), Effect.fail("no"))).pipe(
          Effect.ignore,
          eager
        )
        expect(yield* outcome).toEqual({ rows: [], left: [] })
        const during = yield* transaction(Effect.zipRight(order("b").pipe(Airlock.scoped, eager), left)).pipe(eager)
        expect(during).toEqual([])
        expect(yield* outcome).toEqual({ rows: ["b"], left: ["b"] })
      }).pipe(Effect.provide(layer)))

    it.scoped("discards only the intents of a savepoint that is rolled back when the code recovers", () =>
      Effect.gen(function*() {
        yield* transaction(Effect.gen(function*() {
          yield* order("a")
          yield* Effect.ignore(transaction(Effect.zipRight(order("b"), Effect.fail("no"))))
          yield* transaction(order("c"))
          yield* Effect.ignore(transaction(Effect.zipRight(transaction(order("d")), Effect.fail("no"))))
        }))
        expect(yield* outcome).toEqual({ rows: ["a", "c"], left: ["a", "c"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("runs concurrent savepoints one after the other, so that none undoes another's work", () =>
      Effect.gen(function*() {
        // If the savepoints overlapped, the one that fails would open first and end last.
        const step = (name: string) =>
          transaction(Effect.gen(function*() {
            yield* order(name)
            yield* Effect.repeatN(Effect.yieldNow(), name === "a" ? 20 : 2)
            return yield* name === "a" ? Effect.fail("no") : Effect.void
          })).pipe(Effect.ignore)
        yield* transaction(Effect.forEach(["a", "b", "c"], step, { concurrency: "unbounded" }))
        expect(yield* outcome).toEqual({ rows: ["b", "c"], left: ["b", "c"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("commits or rolls back rows and intents of a fiber beside an open savepoint with that savepoint", () =>
      Effect.gen(function*() {
        const beside = (savepoint: Effect.Effect<void, string>) =>
          Effect.gen(function*() {
            const [opened, done] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
            yield* transaction(Effect.all([
              Effect.ignore(transaction(transaction(Effect.gen(function*() {
                yield* Deferred.succeed(opened, void 0)
                yield* Deferred.await(done)
                yield* savepoint
              })))),
              Deferred.await(opened).pipe(
                Effect.zipRight(order("beside")),
                Effect.zipRight(Deferred.succeed(done, void 0))
              )
            ], { concurrency: 2 }))
            return yield* outcome
          })
        expect(yield* beside(Effect.fail("no"))).toEqual({ rows: [], left: [] })
        expect(yield* beside(Effect.void)).toEqual({ rows: ["beside"], left: ["beside"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("keeps its services when it joins a fiber from outside", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const service = Context.GenericTag<string>("service")
        const sibling = yield* Effect.fork(Effect.void)
        const inside = sql.withTransaction(Effect.zipRight(Fiber.join(sibling), service))
        const seen = yield* inside.pipe(
          Effect.provideService(service, "inner"),
          Effect.fork,
          Effect.flatMap(Fiber.join)
        )
        expect(seen).toBe("inner")
      }).pipe(Effect.provideService(Context.GenericTag<string>("service"), "outer"), Effect.provide(layer)))

    it.scoped("has a connection of its own beside concurrent transactions", () =>
      Effect.gen(function*() {
        const one = (name: string) =>
          transaction(Effect.gen(function*() {
            yield* order(name)
            yield* Effect.repeatN(Effect.yieldNow(), 5)
            return yield* name === "b" ? Effect.fail("no") : Effect.void
          })).pipe(Effect.ignore)
        yield* Effect.forEach(["a", "b", "c"], one, { concurrency: "unbounded" })
        // The server decides which of them commits first.
        const { left, rows } = yield* outcome
        expect({ rows, left: left.sort() }).toEqual({ rows: ["a", "c"], left: ["a", "c"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("is rolled back if it has no room for the intents of a savepoint", () =>
      Effect.gen(function*() {
        const defect = yield* defectOf(transaction(Effect.gen(function*() {
          yield* order("a")
          yield* order("b")
          yield* transaction(order("c"))
        })))
        expect(defect).toMatchObject({ _tag: "FlushError" })
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(unscoped, Effect.provide(decorated(database, {}, { maxIntents: 2 }))))

    it.scoped("refuses the savepoint of a fiber that outlives it, and that fiber undoes no other transaction's work", () =>
      Effect.gen(function*() {
        const [opened, fail] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        const late = yield* transaction(
          Deferred.await(fail).pipe(Effect.zipRight(transaction(order("late"))), Effect.forkDaemon)
        )
        const orphan = yield* transaction(Effect.gen(function*() {
          const fiber = yield* Deferred.succeed(opened, void 0).pipe(
            Effect.zipRight(Deferred.await(fail)),
            Effect.zipRight(Effect.fail("no")),
            transaction,
            Effect.forkDaemon
          )
          yield* Deferred.await(opened)
          return fiber
        }))
        yield* transaction(transaction(Effect.gen(function*() {
          yield* order("other")
          yield* Deferred.succeed(fail, void 0)
          yield* Fiber.await(orphan)
        })))
        expect(yield* outcome).toEqual({ rows: ["other"], left: ["other"] })
        expect(yield* defectOf(Fiber.join(late))).toMatchObject({ _tag: "TransactionEndedError" })
        yield* transaction(order("after"))
        expect(yield* outcome).toEqual({ rows: ["after", "other"], left: ["other", "after"] })
      }).pipe(unscoped, Effect.provide(layer)))

    if (database.defers) {
      it.scoped(
        "fails with a SqlError if its COMMIT is refused, and the connection stays usable",
        () =>
          Effect.gen(function*() {
            const dangling = Effect.zipRight(order("a"), insertLine("l", "nobody"))
            const error = yield* Effect.flip(transaction(dangling))
            expect(error).toBeInstanceOf(SqlError.SqlError)
            expect(yield* outcome).toEqual({ rows: [], left: [] })
            yield* transaction(dangling).pipe(Effect.catchTag("SqlError", () => transaction(order("b"))))
            expect(yield* outcome).toEqual({ rows: ["b"], left: ["b"] })
          }).pipe(unscoped, Effect.provide(layer))
      )
    }

    it.scoped("dispatches its intents if an interruption is pending while it commits", () =>
      Effect.gen(function*() {
        const [begun, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        const fiber = yield* order("a").pipe(
          Effect.zipRight(Deferred.succeed(begun, void 0)),
          Effect.zipRight(Effect.uninterruptible(Deferred.await(go))),
          transaction,
          Effect.uninterruptible,
          Effect.forkDaemon
        )
        yield* Deferred.await(begun)
        yield* Fiber.interruptFork(fiber)
        yield* Effect.yieldNow()
        yield* Deferred.succeed(go, void 0)
        yield* Fiber.await(fiber)
        expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("discards the intents of a race's loser inside it, though the loser's rows stay", () =>
      Effect.gen(function*() {
        yield* transaction(
          Effect.race(Effect.zipRight(order("a"), Effect.never), Effect.repeatN(Effect.yieldNow(), 50))
        )
        expect(yield* outcome).toEqual({ rows: ["a"], left: [] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("runs a closure outside of the transaction in which it was enqueued", () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        yield* transaction(Effect.zipRight(
          insertOrder("a"),
          Airlock.enqueueEffect(
            "closure",
            Effect.zipRight(
              Effect.flatMap(
                Effect.serviceOption(SqlClient.TransactionConnection),
                (connection) => Effect.sync(() => seen.push(connection._tag))
              ),
              Effect.flatMap(orders, (rows) => Effect.sync(() => seen.push(rows)))
            )
          )
        ))
        expect(seen).toEqual(["None", ["a"]])
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("logs an intent that could not leave after its commit, and stays committed", () =>
      Effect.gen(function*() {
        const logs: Array<string> = []
        const logger = Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ cause }) => {
            logs.push(Cause.pretty(cause))
          })
        )
        yield* transaction(Effect.zipRight(insertOrder("a"), note("fail"))).pipe(Effect.provide(logger))
        expect(yield* orders).toEqual(["a"])
        expect(logs).toEqual([expect.stringContaining("1 intent(s) of the scope \"transaction\" did not leave")])
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("settles by its COMMIT and an approval alone, whatever the scopes of the application do", () =>
      Effect.gen(function*() {
        const approved = yield* Ref.make(true)
        const scope = {
          shouldFlush: () => true,
          beforeDescendantFlushes: (intents: ReadonlyArray<Intent.Intent>) => intents,
          approve: () => Ref.get(approved)
        }
        yield* Effect.gen(function*() {
          yield* Effect.exit(transaction(Effect.zipRight(order("a"), Effect.fail("no"))))
          expect(yield* transaction(Effect.zipRight(Airlock.scoped(order("b")), left))).toEqual([])
          expect(yield* transaction(Effect.zipRight(transaction(order("c")), left))).toEqual(["b"])
          yield* Ref.set(approved, false)
          yield* transaction(order("d"))
          expect(yield* outcome).toEqual({ rows: ["b", "c", "d"], left: ["b", "c"] })
        }).pipe(unscoped, Effect.provide(decorated(database, {}, { scope })))
      }))
  })

  describe("SqlTransaction.layer", () => {
    it.scoped("decorates the driver's own tag, safe, withoutTransforms and repositories, and does not change the given client", () =>
      Effect.gen(function*() {
        const given = yield* Layer.build(undecorated(database))
        const context = yield* Layer.build(
          SqlTransaction.layer.pipe(Layer.provideMerge(Layer.succeedContext(given)), Layer.provideMerge(recorder()))
        )
        const original = Context.get(given, SqlClient.SqlClient)
        const decorated = Context.get(context, SqlClient.SqlClient)
        expect(decorated).not.toBe(original)
        expect(database.own(context)).toBe(decorated)
        expect(database.own(given)).toBe(original)
        expect([original.safe, decorated.safe]).toEqual([original, decorated])
        expect(decorated.withoutTransforms()).toBe(decorated)
        yield* Effect.gen(function*() {
          class Order extends Model.Class<Order>("Order")({ name: Schema.String }) {}
          const repository = yield* Model.makeRepository(Order, {
            tableName: "orders",
            spanPrefix: "Order",
            idColumn: "name"
          })
          yield* Effect.exit(
            decorated.withTransaction(
              Effect.zipRight(repository.insertVoid({ name: "a" }), Effect.zipRight(note("a"), Effect.fail("no")))
            )
          )
          yield* decorated.safe.withTransaction(Effect.zipRight(repository.insertVoid({ name: "b" }), note("b")))
          expect(yield* outcome).toEqual({ rows: ["b"], left: ["b"] })
        }).pipe(unscoped, Effect.provide(context))
      }))

    it.scoped("makes an enqueue in a transaction of an undecorated client die with an UnseenTransactionError", () =>
      Effect.gen(function*() {
        const program = Airlock.scoped(transaction(order("a")))
        expect(yield* defectOf(program)).toMatchObject({ _tag: "UnseenTransactionError", task: "Note" })
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(Effect.provide([recorder(), undecorated(database)])))

    it.scoped("makes an enqueue in a decorated savepoint inside an undecorated transaction die with an UnseenTransactionError", () =>
      Effect.gen(function*() {
        const given = yield* Layer.build(undecorated(database))
        const decorated = yield* Layer.build(SqlTransaction.layer.pipe(Layer.provide(Layer.succeedContext(given))))
        const inner = transaction(order("a")).pipe(Effect.provide(decorated))
        const program = Airlock.scoped(transaction(inner)).pipe(Effect.provide(given))
        expect(yield* defectOf(program)).toMatchObject({ _tag: "UnseenTransactionError" })
      }).pipe(Effect.provide(recorder())))

    it.scoped("makes an enqueue in a savepoint inside an independent scope die with an UnseenTransactionError", () =>
      Effect.gen(function*() {
        const independent = Airlock.scoped({ independent: true })
        expect(yield* defectOf(transaction(independent(transaction(order("a")))))).toMatchObject({
          _tag: "UnseenTransactionError"
        })
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("decorates the client that withoutTransforms gives", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const without = sql.withoutTransforms()
        expect(without).not.toBe(sql)
        yield* Effect.exit(without.withTransaction(Effect.zipRight(order("a"), Effect.fail("no"))))
        yield* without.withTransaction(order("b"))
        expect(yield* outcome).toEqual({ rows: ["b"], left: ["b"] })
      }).pipe(unscoped, Effect.provide(decorated(database, { transformResultNames: (name) => name.toLowerCase() }))))

    it.scoped("refuses the client of an unknown driver, and names the drivers that it supports", () =>
      Effect.gen(function*() {
        const given = yield* Layer.build(undecorated(database))
        // A client as a driver with another type id would give it.
        const { insert, reserve } = Context.get(given, SqlClient.SqlClient)
        const client = Object.assign(() => {}, { insert, reserve }) as unknown as SqlClient.SqlClient
        const exit = yield* Effect.exit(Layer.build(
          SqlTransaction.layer.pipe(Layer.provide(Layer.succeed(SqlClient.SqlClient, client)))
        ))
        expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain(
          "Use a client of one of these: @effect/sql-pg, @effect/sql-mysql2, @effect/sql-sqlite-node"
        )
      }).pipe(Effect.provide(recorder())))
  })
})
