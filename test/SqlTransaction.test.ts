import { Model, SqlClient, SqlError } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Schema } from "effect"
import { Airlock } from "effect-airlock"
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

/** A row and an intent, which must share their fate. */
const order = (name: string) => Effect.zipRight(insertOrder(name), note(name))

/** What has its row, and what left. */
const outcome = Effect.all({ rows: orders, left })

/** For programs whose only scopes are transactions. */
const unscoped = Effect.provide(Airlock.unchecked)

onEachDatabase((database) => {
  const layer = decorated(database)

  describe("I7: a transaction is a scope", () => {
    it.scoped("what it enqueues leaves after its commit, not before", () =>
      Effect.gen(function*() {
        const during = yield* transaction(Effect.zipRight(order("a"), left))
        expect(during).toEqual([])
        expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("is gone with its rollback: by failure, defect and interruption", () =>
      Effect.gen(function*() {
        for (const end of [Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
          expect(yield* Effect.exit(transaction(Effect.zipRight(order("a"), end)))).toEqual(yield* Effect.exit(end))
        }
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("inside a scope, commits and waits for that scope", () =>
      Effect.gen(function*() {
        const committed = yield* Airlock.scoped(Effect.zipRight(transaction(order("a")), outcome))
        expect(committed).toEqual({ rows: ["a"], left: [] })
        expect(yield* left).toEqual(["a"])
        yield* Effect.exit(Airlock.scoped(Effect.zipRight(transaction(order("b")), Effect.fail("no"))))
        expect(yield* outcome).toEqual({ rows: ["a", "b"], left: ["a"] })
      }).pipe(Effect.provide(layer)))

    it.scoped("a scope inside a transaction waits for the commit, and is gone with the rollback", () =>
      Effect.gen(function*() {
        const inner = Airlock.scoped(order("a"))
        expect(yield* transaction(Effect.zipRight(inner, left))).toEqual([])
        expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
        yield* Effect.exit(transaction(Effect.zipRight(Airlock.scoped(order("b")), Effect.fail("no"))))
        expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
      }).pipe(Effect.provide(layer)))

    it.scoped("nothing goes past a transaction early, whatever a scope in it or around it lets go", () =>
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

    it.scoped("a savepoint that is rolled back takes its own intents only, where the code around recovers", () =>
      Effect.gen(function*() {
        yield* transaction(Effect.gen(function*() {
          yield* order("a")
          yield* Effect.ignore(transaction(Effect.zipRight(order("b"), Effect.fail("no"))))
          yield* transaction(order("c"))
          yield* Effect.ignore(transaction(Effect.zipRight(transaction(order("d")), Effect.fail("no"))))
        }))
        expect(yield* outcome).toEqual({ rows: ["a", "c"], left: ["a", "c"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("savepoints side by side take turns, and do not undo each other's work", () =>
      Effect.gen(function*() {
        // The one that fails opens first and ends last, where they do not take turns.
        const step = (name: string) =>
          transaction(Effect.gen(function*() {
            yield* order(name)
            yield* Effect.repeatN(Effect.yieldNow(), name === "a" ? 20 : 2)
            return yield* name === "a" ? Effect.fail("no") : Effect.void
          })).pipe(Effect.ignore)
        yield* transaction(Effect.forEach(["a", "b", "c"], step, { concurrency: "unbounded" }))
        expect(yield* outcome).toEqual({ rows: ["b", "c"], left: ["b", "c"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("what is written beside an open savepoint shares its fate, intent and row", () =>
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

    it.scoped("a fiber that it joins, of those around it, does not change its services", () =>
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

    it.scoped("transactions side by side each have the connection to themselves", () =>
      Effect.gen(function*() {
        const one = (name: string) =>
          transaction(Effect.gen(function*() {
            yield* order(name)
            yield* Effect.repeatN(Effect.yieldNow(), 5)
            return yield* name === "b" ? Effect.fail("no") : Effect.void
          })).pipe(Effect.ignore)
        yield* Effect.forEach(["a", "b", "c"], one, { concurrency: "unbounded" })
        // Which of them commits first is the server's business.
        const { left, rows } = yield* outcome
        expect({ rows, left: left.sort() }).toEqual({ rows: ["a", "c"], left: ["a", "c"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("a savepoint whose intents the transaction cannot take rolls it back, row and all", () =>
      Effect.gen(function*() {
        const defect = yield* defectOf(transaction(Effect.gen(function*() {
          yield* order("a")
          yield* order("b")
          yield* transaction(order("c"))
        })))
        expect(defect).toMatchObject({ _tag: "FlushError" })
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(unscoped, Effect.provide(decorated(database, {}, { maxIntents: 2 }))))

    it.scoped("a fiber that outlives it can open no savepoint in it, and undoes nobody's work", () =>
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
        "a refused COMMIT is a SqlError that a caller can catch, and leaves the connection clean",
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

    it.scoped("an interruption that waits while it commits does not part the intents from their rows", () =>
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

    it.scoped("the loser of a race inside it is undone in the buffer, though its rows are not", () =>
      Effect.gen(function*() {
        yield* transaction(
          Effect.race(Effect.zipRight(order("a"), Effect.never), Effect.repeatN(Effect.yieldNow(), 50))
        )
        expect(yield* outcome).toEqual({ rows: ["a"], left: [] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("a closure runs without the transaction that was open where it was enqueued", () =>
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

    it.scoped("an intent that could not leave after the commit is logged, and the commit stands", () =>
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
  })

  describe("SqlTransaction.layer", () => {
    it.scoped("serves the driver's own tag, safe, withoutTransforms and repositories, and does not change the client", () =>
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

    it.scoped("an enqueue in a transaction of an undecorated client is an UnseenTransactionError", () =>
      Effect.gen(function*() {
        const program = Airlock.scoped(transaction(order("a")))
        expect(yield* defectOf(program)).toMatchObject({ _tag: "UnseenTransactionError", task: "Note" })
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(Effect.provide([recorder(), undecorated(database)])))

    it.scoped("nor does a savepoint inside such a transaction make it seen", () =>
      Effect.gen(function*() {
        const given = yield* Layer.build(undecorated(database))
        const decorated = yield* Layer.build(SqlTransaction.layer.pipe(Layer.provide(Layer.succeedContext(given))))
        const inner = transaction(order("a")).pipe(Effect.provide(decorated))
        const program = Airlock.scoped(transaction(inner)).pipe(Effect.provide(given))
        expect(yield* defectOf(program)).toMatchObject({ _tag: "UnseenTransactionError" })
      }).pipe(Effect.provide(recorder())))

    it.scoped("nor does a savepoint in an independent scope, which no transaction is around", () =>
      Effect.gen(function*() {
        const independent = Airlock.scoped({ independent: true })
        expect(yield* defectOf(transaction(independent(transaction(order("a")))))).toMatchObject({
          _tag: "UnseenTransactionError"
        })
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("decorates the client without transformations too", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const without = sql.withoutTransforms()
        expect(without).not.toBe(sql)
        yield* Effect.exit(without.withTransaction(Effect.zipRight(order("a"), Effect.fail("no"))))
        yield* without.withTransaction(order("b"))
        expect(yield* outcome).toEqual({ rows: ["b"], left: ["b"] })
      }).pipe(unscoped, Effect.provide(decorated(database, { transformResultNames: (name) => name.toLowerCase() }))))

    it.scoped("refuses a client that it does not know, and says so", () =>
      Effect.gen(function*() {
        const given = yield* Layer.build(undecorated(database))
        // As a driver gives it that marks its clients by another type id.
        const { insert, reserve } = Context.get(given, SqlClient.SqlClient)
        const client = Object.assign(() => {}, { insert, reserve }) as unknown as SqlClient.SqlClient
        const exit = yield* Effect.exit(Layer.build(
          SqlTransaction.layer.pipe(Layer.provide(Layer.succeed(SqlClient.SqlClient, client)))
        ))
        expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain(
          "It knows @effect/sql-pg, @effect/sql-mysql2, @effect/sql-sqlite-node"
        )
      }).pipe(Effect.provide(recorder())))
  })
})
