/**
 * `SqlTransaction.transaction`, `afterCommit`, `afterRollback` and `rolledBack`; and failed statements, concurrent
 * savepoints, late fibers and second clients.
 */
import { SqlClient, SqlError } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, Fiber, Layer, Logger, LogLevel, Option, TestClock, Tracer } from "effect"
import { Airlock, AirlockTest, Executor, Policy, type ScopeView } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import {
  decorated,
  insertOrder,
  onEachDatabase,
  orders,
  sqlite,
  transaction,
  undecorated
} from "../support/databases.js"
import { defectOf } from "../support/exits.js"
import { layer as recorder, left, Note, note } from "../support/recorder.js"
import { until } from "../support/until.js"

const order = (name: string) => Effect.zipRight(insertOrder(name), note(name))

const outcome = Effect.all({ rows: orders, left })

const unscoped = Effect.provide(Airlock.unchecked)

const quiet = Effect.provide(Logger.remove(Logger.defaultLogger))

/** Waits until `n` more fibers than now wait for the savepoint semaphore. Each of them has a timer. */
const waiting = (n: number) =>
  Effect.map(
    TestClock.sleeps(),
    (before) => until(Effect.map(TestClock.sleeps(), (now) => Chunk.size(now) === Chunk.size(before) + n))
  )

onEachDatabase((database) => {
  const layer = decorated(database)

  describe("SqlTransaction.transaction", () => {
    it.scoped("is a scope, and a savepoint inside another transaction", () =>
      Effect.gen(function*() {
        yield* SqlTransaction.transaction(Effect.gen(function*() {
          yield* order("a")
          yield* Effect.ignore(SqlTransaction.transaction(Effect.zipRight(order("b"), Effect.fail("no"))))
          yield* SqlTransaction.transaction(order("c"))
        }))
        expect(yield* outcome).toEqual({ rows: ["a", "c"], left: ["a", "c"] })
      }).pipe(Effect.provide(layer)))

    it.scoped("fails with a FlushError if an intent cannot leave, and the rows stay", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(SqlTransaction.transaction(Effect.zipRight(order("fail"), order("a"))))
        expect(error).toMatchObject({ _tag: "FlushError", failures: [{ task: "Note" }] })
        expect(yield* outcome).toEqual({ rows: ["a", "fail"], left: ["a"] })
      }).pipe(Effect.provide(layer)))

    it.scoped("is rolled back as a savepoint, with a FlushError, if the transaction has no room for its intents", () =>
      Effect.gen(function*() {
        const error = yield* SqlTransaction.transaction(Effect.gen(function*() {
          yield* order("a")
          yield* order("b")
          return yield* Effect.flip(SqlTransaction.transaction(order("c")))
        }))
        expect(error).toMatchObject({ _tag: "FlushError", failures: [{ reason: { _tag: "BufferFullError" } }] })
        expect(yield* outcome).toEqual({ rows: ["a", "b"], left: ["a", "b"] })
      }).pipe(Effect.provide(decorated(database, {}, { maxIntents: 2 }))))
  })

  describe("SqlTransaction.afterCommit", () => {
    it.scoped("runs its Effect after the commit, in order, although others fail", () =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const say = (text: string) => SqlTransaction.afterCommit(Effect.sync(() => seen.push(text)))
        yield* transaction(Effect.gen(function*() {
          yield* insertOrder("a")
          yield* say("first")
          yield* SqlTransaction.afterCommit(Effect.fail("no"))
          yield* SqlTransaction.afterCommit(Effect.die("no"))
          yield* SqlTransaction.afterCommit(Effect.map(orders, (rows) => seen.push(...rows)))
          yield* Effect.ignore(transaction(Effect.zipRight(say("undone"), Effect.fail("no"))))
          expect(seen).toEqual([])
        }))
        expect(seen).toEqual(["first", "a"])
        yield* Effect.exit(transaction(Effect.zipRight(say("undone"), Effect.fail("no"))))
        expect(seen).toEqual(["first", "a"])
      }).pipe(unscoped, quiet, Effect.provide(layer)))

    it.scoped("runs its Effect when the scope settles if there is no transaction", () =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const say = (text: string) => SqlTransaction.afterCommit(Effect.sync(() => seen.push(text)))
        yield* Airlock.scoped(Effect.zipRight(say("a"), Effect.sync(() => expect(seen).toEqual([]))))
        expect(seen).toEqual(["a"])
        yield* Effect.exit(Airlock.scoped(Effect.zipRight(say("b"), Effect.fail("no"))))
        expect(seen).toEqual(["a"])
      }).pipe(Effect.provide(layer)))
  })

  describe("SqlTransaction.afterRollback", () => {
    it.scoped("runs its Effect for a transaction or savepoint that was rolled back, after the outermost transaction has ended", () =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const undo = (name: string) =>
          SqlTransaction.afterRollback(Effect.map(orders, (rows) => seen.push(`${name} ${rows}`)))
        yield* transaction(Effect.gen(function*() {
          yield* insertOrder("a")
          yield* undo("committed")
          yield* transaction(undo("committed too"))
          yield* Effect.ignore(transaction(Effect.zipRight(transaction(undo("inner")), Effect.fail("no"))))
          yield* Effect.ignore(
            transaction(Effect.zipRight(SqlTransaction.afterRollback(Effect.fail("no")), Effect.fail("no")))
          )
          yield* Effect.ignore(transaction(Effect.zipRight(undo("outer"), Effect.fail("no"))))
          expect(seen).toEqual([])
        }))
        expect(seen).toEqual(["inner a", "outer a"])
        yield* Effect.exit(transaction(Effect.zipRight(undo("interrupted"), Effect.interrupt)))
        yield* Effect.exit(transaction(Effect.zipRight(transaction(undo("savepoint")), Effect.die("no"))))
        expect(seen.slice(2)).toEqual(["interrupted a", "savepoint a"])
      }).pipe(quiet, Effect.provide(layer)))

    it.scoped("never runs its Effect without a transaction", () =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        yield* Effect.exit(
          Airlock.scoped(
            Effect.zipRight(SqlTransaction.afterRollback(Effect.sync(() => seen.push("a"))), Effect.fail("no"))
          )
        )
        expect(seen).toEqual([])
      }).pipe(Effect.provide(layer)))
  })

  describe("a failed statement that is caught", () => {
    const refused = (error: unknown) => {
      expect(error).toBeInstanceOf(SqlError.SqlError)
      expect(error).toMatchObject({ message: expect.stringContaining("rolled the transaction back") })
    }

    if (database.refuses) {
      it.scoped("fails its transaction with a SqlError that has the statement's error as its cause, and nothing leaves", () =>
        Effect.gen(function*() {
          yield* insertOrder("dup")
          const program = transaction(Effect.zipRight(order("a"), Effect.ignore(insertOrder("dup"))))
          const error = yield* Effect.flip(program)
          refused(error)
          expect(error.cause).toMatchObject({ code: "23505" })
          expect(yield* outcome).toEqual({ rows: ["dup"], left: [] })
        }).pipe(unscoped, Effect.provide(layer)))

      it.scoped("fails its savepoint, and the transaction can go on", () =>
        Effect.gen(function*() {
          yield* insertOrder("dup")
          yield* transaction(Effect.gen(function*() {
            yield* order("a")
            const step = transaction(Effect.zipRight(order("b"), Effect.ignore(insertOrder("dup"))))
            refused(yield* Effect.flip(step))
            yield* transaction(order("c"))
          }))
          expect(yield* outcome).toEqual({ rows: ["a", "c", "dup"], left: ["a", "c"] })
        }).pipe(unscoped, Effect.provide(layer)))

      it.scoped("fails its transaction or savepoint if it was interrupted", () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const running = sql`SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE ${"SELECT pg_sleep(60)%"}`
          const whenRunning = until(Effect.map(running, (rows) => rows.length > 0))
          const inTurn = <E, R>(
            program: (interrupted: Effect.Effect<unknown, SqlError.SqlError>) => Effect.Effect<unknown, E, R>
          ) =>
            Effect.gen(function*() {
              const go = yield* Deferred.make<void>()
              const fiber = yield* Effect.fork(program(Effect.race(sql`SELECT pg_sleep(60)`, Deferred.await(go))))
              yield* whenRunning
              yield* Deferred.succeed(go, void 0)
              refused(yield* Fiber.join(fiber))
            })
          yield* inTurn((interrupted) => Effect.flip(transaction(Effect.zipRight(order("c"), interrupted))))
          yield* inTurn((interrupted) =>
            transaction(
              Effect.zipRight(order("a"), Effect.flip(transaction(Effect.zipRight(order("b"), interrupted))))
            )
          )
          expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
        }).pipe(unscoped, Effect.provide(layer)))
    } else {
      it.scoped("undoes only itself", () =>
        Effect.gen(function*() {
          yield* insertOrder("dup")
          yield* transaction(Effect.gen(function*() {
            yield* order("a")
            yield* Effect.ignore(insertOrder("dup"))
            yield* transaction(Effect.zipRight(order("b"), Effect.ignore(insertOrder("dup"))))
          }))
          expect(yield* outcome).toEqual({ rows: ["a", "b", "dup"], left: ["a", "b"] })
        }).pipe(unscoped, Effect.provide(layer)))
    }
  })

  describe("concurrent savepoints", () => {
    it.scoped("fail with a SavepointTimeoutError if one waits for a fiber that itself waits for a savepoint", () =>
      Effect.gen(function*() {
        const opened = yield* Deferred.make<void>()
        const waits = yield* waiting(1)
        const program = yield* transaction(Effect.gen(function*() {
          const other = yield* Effect.fork(Effect.zipRight(Deferred.await(opened), transaction(order("b"))))
          yield* order("a")
          yield* transaction(Effect.zipRight(Deferred.succeed(opened, void 0), Fiber.join(other)))
        })).pipe(defectOf, Effect.fork)
        yield* waits
        yield* TestClock.adjust("30 seconds")
        expect(yield* Fiber.join(program)).toMatchObject({ _tag: "SavepointTimeoutError", millis: 30_000 })
        expect(yield* outcome).toEqual({ rows: [], left: [] })
        yield* transaction(transaction(order("c")))
        expect(yield* outcome).toEqual({ rows: ["c"], left: ["c"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("do not wait for one that was interrupted while it waited", () =>
      Effect.gen(function*() {
        const waits = yield* waiting(2)
        yield* transaction(Effect.gen(function*() {
          const [opened, done] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
          const first = yield* Effect.fork(
            transaction(
              order("a").pipe(
                Effect.zipRight(Deferred.succeed(opened, void 0)),
                Effect.zipRight(Deferred.await(done))
              )
            )
          )
          yield* Deferred.await(opened)
          const second = yield* Effect.fork(transaction(order("b")))
          const last = yield* Effect.fork(transaction(order("c")))
          yield* waits
          yield* Fiber.interrupt(second)
          yield* Deferred.succeed(done, void 0)
          yield* Fiber.join(first)
          yield* Fiber.join(last)
        }))
        expect(yield* outcome).toEqual({ rows: ["a", "c"], left: ["a", "c"] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("discard what was written beside them if the outer one is rolled back, even with a scope between", () =>
      Effect.gen(function*() {
        const [opened, done] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        const inner = transaction(Effect.zipRight(Deferred.succeed(opened, void 0), Deferred.await(done)))
        const outer = transaction(Effect.zipRight(Airlock.scoped(inner), Effect.fail("no")))
        const beside = Effect.zipRight(order("beside"), Deferred.succeed(done, void 0))
        yield* transaction(
          Effect.all([Effect.ignore(outer), Effect.zipRight(Deferred.await(opened), beside)], { concurrency: 2 })
        )
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(unscoped, Effect.provide(layer)))
  })

  describe("a fiber that outlives its transaction", () => {
    it.scoped("cannot run a statement on the transaction's connection", () =>
      Effect.gen(function*() {
        const ended = yield* Deferred.make<void>()
        const late = yield* transaction(
          Effect.forkDaemon(Effect.zipRight(Deferred.await(ended), insertOrder("late")))
        )
        yield* Deferred.succeed(ended, void 0)
        expect(yield* defectOf(Fiber.join(late))).toMatchObject({ _tag: "TransactionEndedError" })
        expect(yield* orders).toEqual([])
      }).pipe(unscoped, Effect.provide(layer)))
  })

  describe("the connections of a pool", () => {
    it.scoped("are all released, however a transaction ends", () =>
      Effect.gen(function*() {
        const endings = [Effect.void, Effect.fail("no"), Effect.die("no"), Effect.interrupt]
        for (const ending of endings) {
          yield* Effect.exit(transaction(Effect.zipRight(order("a"), ending)))
          yield* Effect.exit(transaction(Effect.zipRight(transaction(ending), insertOrder("a"))))
          // One transaction is interrupted before it begins, another one while it waits for the connection.
          yield* Effect.exit(Effect.zipRight(Effect.interrupt, transaction(order("b"))))
          const [held, done] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
          const holder = yield* Effect.fork(
            transaction(Effect.zipRight(Deferred.succeed(held, void 0), Deferred.await(done)))
          )
          yield* Deferred.await(held)
          const waiting = yield* Effect.fork(transaction(order("c")))
          yield* Effect.repeatN(Effect.yieldNow(), 5)
          yield* Fiber.interruptFork(waiting)
          yield* Deferred.succeed(done, void 0)
          yield* Fiber.join(holder)
          yield* Fiber.await(waiting)
        }
        expect(yield* transaction(orders)).toEqual(["a"])
      }).pipe(unscoped, Effect.provide(decorated(database, { maxConnections: 1 }))))
  })

  describe("SqlTransaction.rolledBack", () => {
    it.scoped("shows what would have left at each commit inside it, and leaves no row", () =>
      Effect.gen(function*() {
        const given = yield* SqlTransaction.rolledBack(Effect.gen(function*() {
          yield* transaction(order("a"))
          yield* AirlockTest.expectEnqueued(Note, { text: "a" })
          yield* Effect.ignore(transaction(Effect.zipRight(order("b"), Effect.fail("no"))))
          yield* transaction(
            Effect.zipRight(transaction(order("c")), AirlockTest.expectNotEnqueued(Note, { text: "b" }))
          )
          yield* Airlock.scoped(order("d"))
          return yield* orders
        }))
        expect(given).toEqual(["a", "c", "d"])
        expect(yield* orders).toEqual([])
        const texts = (yield* AirlockTest.Recorded).map(({ payload }) => (payload as { text: string }).text)
        expect(texts).toEqual(["a", "c", "d"])
        expect(yield* Effect.exit(SqlTransaction.rolledBack(Effect.fail("no")))).toEqual(Exit.fail("no"))
      }).pipe(
        unscoped,
        Effect.provide(
          SqlTransaction.layer.pipe(Layer.provideMerge(AirlockTest.layer()), Layer.provideMerge(undecorated(database)))
        )
      ))
  })

  describe("an executor's write before the commit", () => {
    const writing = (insert: Executor.Transactional["insert"]) =>
      Effect.map(SqlClient.SqlClient, ({ reserve }): Executor.Executor => {
        const transactional = {
          database: reserve,
          insert,
          release: () => Effect.void,
          discard: () => Effect.void,
          forget: () => Effect.void
        }
        return { ...Executor.inProcess(), isDurable: () => true, transactional: () => transactional }
      })

    it.scoped("is part of the transaction, and happens once, as its last statement", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const executor = yield* writing((intents, { held }) =>
          Effect.asVoid(sql`INSERT INTO orders (name) VALUES (${`held ${held} ${intents.length}`})`)
        )
        const program = (end: Effect.Effect<void, string>) =>
          Airlock.scoped({ executor })(transaction(Effect.all([order("a"), transaction(order("b")), end])))
        yield* Effect.exit(program(Effect.fail("no")))
        expect(yield* orders).toEqual([])
        yield* program(Effect.void)
        expect(yield* orders).toEqual(["a", "b", "held true 2"])
      }).pipe(Effect.provide(layer)))

    it.scoped("rolls the transaction back if it fails", () =>
      Effect.gen(function*() {
        const executor = yield* writing(() => Effect.fail(new SqlError.SqlError({ cause: "no" })))
        const error = yield* Effect.flip(Airlock.scoped({ executor })(transaction(order("a"))))
        expect(error).toBeInstanceOf(SqlError.SqlError)
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(Effect.provide(layer)))

    it.scoped("settles its scope if the outbox throws while it releases, and logs the error", () =>
      Effect.gen(function*() {
        const logged: Array<unknown> = []
        const writer = yield* writing(() => Effect.void)
        const executor: Executor.Executor = {
          ...writer,
          transactional: (intent) => ({
            ...writer.transactional!(intent)!,
            release: () => {
              throw new Error("no outbox")
            }
          })
        }
        let scope: ScopeView | undefined
        yield* Effect.gen(function*() {
          yield* transaction(order("a"))
          scope = Option.getOrUndefined(yield* Airlock.current)
        }).pipe(
          Airlock.scoped({ executor }),
          Effect.provide(Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => logged.push(message))))
        )
        expect(scope?.state).toBe("flushed")
        expect(String(logged)).toContain("could not release rows")
      }).pipe(Effect.provide(layer)))

    it.scoped("leaves no row behind if a logger dies while its scope settles", () =>
      Effect.gen(function*() {
        const released: Array<string> = []
        const writer = yield* writing(() => Effect.void)
        const outbox: Executor.Transactional = {
          ...writer.transactional!(undefined as never)!,
          release: (intents) => Effect.sync(() => released.push(...intents.map(({ task }) => task.name)))
        }
        const executor: Executor.Executor = { ...writer, transactional: () => outbox }
        const dying = Logger.replace(
          Logger.defaultLogger,
          Logger.make(() => {
            throw new Error("the logger died")
          })
        )
        const dropping = Policy.make({ name: "dropping", allows: () => Effect.succeed({ drop: "for a test" }) })
        const program = Effect.gen(function*() {
          yield* transaction(order("a"))
          yield* note("b").pipe(Airlock.withPolicy(dropping))
        })
        const exit = yield* program.pipe(
          Airlock.scoped({ executor }),
          Logger.withMinimumLogLevel(LogLevel.Debug),
          Effect.provide(dying),
          Effect.exit
        )
        expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("the logger died")
        expect(released).toEqual(["Note"])
      }).pipe(Effect.provide(layer)))
  })

  describe("the spans of a transaction", () => {
    it.scoped("are the same with SqlTransaction.layer as without it", () =>
      Effect.gen(function*() {
        const seen = (layer: Layer.Layer<SqlClient.SqlClient>) =>
          Effect.suspend(() => {
            const spans: Array<Tracer.Span> = []
            const tracer = Effect.map(Effect.tracer, (tracer) =>
              Tracer.make({
                context: tracer.context,
                span: (...args) => {
                  const span = tracer.span(...args)
                  spans.push(span)
                  return span
                }
              }))
            return transaction(Effect.gen(function*() {
              yield* insertOrder("a")
              yield* transaction(insertOrder("b"))
              yield* Effect.ignore(transaction(Effect.fail("no")))
            })).pipe(
              (self) => Effect.flatMap(tracer, (tracer) => Effect.withTracer(self, tracer)),
              Effect.provide(layer),
              Effect.map(() =>
                spans.map(({ attributes, kind, name, parent, status }) => ({
                  name,
                  kind,
                  attributes: [...attributes].filter(([key]) => key !== "db.namespace"),
                  parent: parent._tag === "Some" && "name" in parent.value ? parent.value.name : undefined,
                  ended: status._tag === "Ended" && Exit.isSuccess(status.exit)
                }))
              )
            )
          })
        const without = yield* seen(undecorated(database))
        expect(without.length).toBeGreaterThanOrEqual(5)
        expect(yield* seen(layer)).toEqual(without)
      }))
  })

  describe("a second client inside a transaction", () => {
    it.scoped("is refused if it is of another database, for statements and for transactions", () =>
      Effect.gen(function*() {
        const other = yield* Layer.build(decorated(sqlite))
        const inside = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Airlock.Airlock>) =>
          defectOf(transaction(Effect.zipRight(order("a"), Effect.provide(self, other))))
        const foreign = { _tag: "ForeignTransactionError" }
        expect(yield* inside(insertOrder("b"))).toMatchObject(foreign)
        expect(yield* inside(transaction(Effect.void))).toMatchObject(foreign)
        expect(yield* inside(SqlTransaction.transaction(Effect.void))).toMatchObject(foreign)
        expect(yield* outcome).toEqual({ rows: [], left: [] })
      }).pipe(unscoped, Effect.provide(layer)))

    it.scoped("runs on the transaction if it is of the same database, decorated twice or without transformations", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const program = transaction(Effect.zipRight(
          order("a"),
          sql.withoutTransforms().withTransaction(Effect.zipRight(
            order("b"),
            sql.withoutTransforms()`INSERT INTO orders (name) VALUES ('c')`
          ))
        ))
        yield* Effect.provide(program, yield* Layer.build(SqlTransaction.layer))
        expect(yield* outcome).toEqual({ rows: ["a", "b", "c"], left: ["a", "b"] })
      }).pipe(
        unscoped,
        Effect.provide(decorated(database, { transformResultNames: (name) => name.toLowerCase() }))
      ))

    it.scoped("runs on the transaction if it is undecorated, and its savepoints refuse every enqueue", () =>
      Effect.gen(function*() {
        const given = yield* Layer.build(undecorated(database))
        const program = <A, E, R>(name: string, inner: Effect.Effect<A, E, R>) =>
          transaction(Effect.zipRight(order(name), Effect.provide(inner, given)))
        yield* Effect.gen(function*() {
          yield* program("a", Effect.ignore(transaction(Effect.zipRight(insertOrder("b"), Effect.fail("no")))))
          expect(yield* outcome).toEqual({ rows: ["a"], left: ["a"] })
          expect(yield* defectOf(program("c", unscoped(transaction(note("c")))))).toMatchObject({
            _tag: "UnseenTransactionError"
          })
        }).pipe(
          unscoped,
          Effect.provide(SqlTransaction.layer.pipe(Layer.provide(Layer.succeedContext(given)))),
          Effect.provide(given)
        )
      }).pipe(Effect.provide(recorder())))

    it.scoped("is refused by transaction, rolledBack and afterRollback if it is undecorated", () =>
      Effect.gen(function*() {
        const wrong = { _tag: "UndecoratedClientError" }
        expect(yield* defectOf(SqlTransaction.transaction(Effect.void))).toMatchObject(wrong)
        expect(yield* defectOf(SqlTransaction.rolledBack(Effect.void))).toMatchObject(wrong)
        expect(yield* defectOf(transaction(SqlTransaction.afterRollback(Effect.void)))).toMatchObject(wrong)
      }).pipe(Effect.provide(undecorated(database))))
  })
})
