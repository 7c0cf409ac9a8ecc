/**
 * The tests that an outbox passes on every supported database. One call runs them on yours.
 *
 * @since 0.1.0
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Airlock from "../Airlock.js"
import type { AirlockScope, ScopeOptions } from "../AirlockScope.js"
import { intentOf } from "../internal/outbox/intentRow.js"
import { makeStore } from "../internal/outbox/store/store.js"
import * as Outbox from "../Outbox.js"
import * as Policy from "../Policy.js"
import * as SqlTransaction from "../SqlTransaction.js"
import * as Task from "../Task.js"
import * as SqlFault from "./SqlFault.js"

const Mail = Task.make("Mail", { payload: { to: Schema.String } })
const table = "airlock_suite_outbox"
const heldTimeout = "1 minute"

/** The addresses that the handler has sent to, in order. */
class Sent extends Context.Tag("effect-airlock/testing/OutboxSuite/Sent")<Sent, Array<string>>() {}

const Handlers = Layer.unwrapEffect(
  Effect.map(
    Sent,
    (sent) =>
      Mail.toLayer(({ to }, { attempt }) =>
        to === "fails" ? Effect.fail(new Error("no such address")) : Effect.sync(() => {
          sent.push(attempt === 1 ? to : `${to}, attempt ${attempt}`)
        })
      )
  )
)

/** An application with its own Airlock and outbox, on a database that other applications can share. */
const application = (options?: Outbox.OutboxOptions) =>
  Handlers.pipe(
    Layer.provideMerge(SqlTransaction.layer),
    Layer.provideMerge(Outbox.live({ table, heldTimeout, ...options })),
    Layer.provideMerge(Layer.sync(Sent, () => []))
  )

type Application = Airlock.Airlock | Sent | SqlClient

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient
  yield* sql`DROP TABLE IF EXISTS airlock_suite_orders`
  yield* sql.unsafe(`DROP TABLE IF EXISTS ${table}`)
  yield* sql.unsafe(`DROP TABLE IF EXISTS ${table}_version`)
  yield* sql`CREATE TABLE airlock_suite_orders (name VARCHAR(100) PRIMARY KEY)`
  yield* Outbox.migrate(table)
})

const mail = (to: string, options?: Parameters<typeof Airlock.enqueue>[2]) =>
  Effect.asVoid(Airlock.enqueue(Mail, { to }, options))

const order = (name: string, options?: Parameters<typeof Airlock.enqueue>[2]) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient
    yield* sql`INSERT INTO airlock_suite_orders (name) VALUES (${name})`
    yield* mail(name, options)
  })

const transaction = SqlTransaction.transaction

const orders = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql<{ name: string }>`SELECT name FROM airlock_suite_orders ORDER BY name`,
    (rows) => rows.map(({ name }) => name)
  ))

const store = Effect.map(SqlClient, (sql) => makeStore(sql, table))

/** The number of rows in each state, without the states that have none. */
const rows = Effect.flatMap(
  store,
  ({ counts }) =>
    Effect.map(counts, (counts) => Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)))
)

/** Makes every row due, as if its time had passed. */
const timePasses = Effect.flatMap(
  SqlClient,
  (sql) => sql.unsafe(`UPDATE ${table} SET due_at = 0 WHERE due_at IS NOT NULL`)
)

/** Does one round of a relay's work, and gives the addresses of the intents that it claimed. */
const deliver = Effect.gen(function*() {
  const { acknowledge, claim, expire } = yield* store
  const { handlers } = yield* Airlock.Airlock
  yield* expire
  const claimed = yield* claim({ tasks: handlers.names, limit: 100, leaseMillis: 60_000 })
  for (const row of claimed) {
    const [outcome] = yield* handlers.run([yield* intentOf(row, handlers)], { attempt: row.attempt })
    if (outcome !== undefined && Exit.isSuccess(outcome)) {
      yield* acknowledge([row])
    }
  }
  return claimed.map(({ payload }) => (JSON.parse(payload) as { readonly to: string }).to).sort()
})

/** Runs an Effect as a request does, in a scope outside of its transactions. */
const request = <A, E, R>(self: Effect.Effect<A, E, R>, options: ScopeOptions<never> = {}) =>
  Airlock.scoped({ name: "request", ...options })(self)

/**
 * Defines the tests of an outbox on a database, in vitest. `client` returns the Layer of the database's client: each test
 * builds it again, and each time it must connect to the same database. The tests create and drop tables whose names begin with
 * `airlock_suite`. Each has a time limit of 30 seconds.
 *
 * @example
 * ```ts
 * import { SqliteClient } from "@effect/sql-sqlite-node"
 * import * as OutboxSuite from "effect-airlock/testing/OutboxSuite"
 *
 * OutboxSuite.run("SQLite", () => SqliteClient.layer({ filename: "/tmp/suite.db" }))
 * ```
 *
 * @since 0.1.0
 * @category testing
 */
export const run = (name: string, client: () => Layer.Layer<SqlClient, unknown>, options?: {
  /** Whether the answer to a COMMIT can be lost. Set it to `false` for a database inside of the process. Default: `true`. */
  readonly losesAnswers?: boolean
}): void => {
  const database = Layer.suspend(() =>
    Layer.orDie(
      Layer.effectDiscard(tables).pipe(
        Layer.provideMerge(SqlFault.layer),
        Layer.provideMerge(client())
      )
    )
  )

  const test = (
    title: string,
    self: Effect.Effect<unknown, unknown, Application | SqlFault.SqlFault | AirlockScope | Scope.Scope>,
    options?: Outbox.OutboxOptions
  ) =>
    it.scoped(title, () =>
      Effect.gen(function*() {
        const services = yield* Layer.build(
          application(options).pipe(Layer.provideMerge(Airlock.unchecked), Layer.provideMerge(database))
        )
        yield* Effect.provide(self, services)
      }), 30_000)

  describe(`the outbox on ${name}`, () => {
    describe("a transaction without an outer scope", () => {
      test(
        "stores its intents with its rows, and each leaves once",
        Effect.gen(function*() {
          yield* transaction(Effect.all([order("a"), order("b")]))
          expect(yield* rows).toEqual({ ready: 2 })
          expect(yield* deliver).toEqual(["a", "b"])
          expect(yield* deliver).toEqual([])
          expect(yield* rows).toEqual({})
        })
      )

      test(
        "stores no intent if it is rolled back",
        Effect.gen(function*() {
          yield* Effect.exit(transaction(Effect.zipRight(order("a"), Effect.fail("no"))))
          yield* Effect.exit(transaction(Effect.zipRight(order("a"), Effect.die("no"))))
          expect([yield* orders, yield* rows]).toEqual([[], {}])
        })
      )

      test(
        "discards the intents of a savepoint that is rolled back, and stores the others",
        Effect.gen(function*() {
          yield* transaction(Effect.gen(function*() {
            yield* order("a")
            yield* Effect.ignore(transaction(Effect.zipRight(order("b"), Effect.fail("no"))))
            yield* transaction(order("c"))
          }))
          expect([yield* orders, yield* deliver]).toEqual([["a", "c"], ["a", "c"]])
        })
      )

      test(
        "stores only the intents of its last attempt if it is retried",
        Effect.gen(function*() {
          let attempt = 0
          yield* transaction(Effect.zipRight(
            order("a"),
            Effect.suspend(() => ++attempt < 3 ? Effect.fail("again") : Effect.void)
          )).pipe(Effect.retry({ times: 5 }))
          expect([yield* orders, yield* deliver]).toEqual([["a"], ["a"]])
        })
      )

      test(
        "is rolled back if its intents cannot be inserted",
        Effect.gen(function*() {
          const fault = yield* SqlFault.SqlFault
          yield* fault.breakAt(table, "before")
          const exit = yield* Effect.exit(transaction(order("a")))
          expect(Exit.isFailure(exit)).toBe(true)
          expect([yield* orders, yield* rows]).toEqual([[], {}])
        })
      )

      test(
        "does not store an intent that a policy drops, and evaluates the policy once, before the COMMIT",
        Effect.gen(function*() {
          let asked = 0
          const policy = Policy.make({
            name: "no b",
            allows: ({ payload }) => {
              asked++
              return Effect.succeed((payload as { to: string }).to !== "b" || { drop: "b" })
            }
          })
          yield* transaction(Effect.all([order("a"), order("b")])).pipe(Airlock.withPolicy(policy))
          expect([yield* orders, yield* deliver, asked]).toEqual([["a", "b"], ["a"], 2])
        })
      )

      test(
        "is rolled back if a policy dies",
        Effect.gen(function*() {
          const policy = Policy.make({ name: "broken", allows: () => Effect.die("no") })
          const exit = yield* Effect.exit(transaction(order("a")).pipe(Airlock.withPolicy(policy)))
          expect(Exit.isFailure(exit)).toBe(true)
          expect([yield* orders, yield* rows]).toEqual([[], {}])
        })
      )
    })

    describe("a scope without a transaction", () => {
      test(
        "stores its intents if it succeeds, and none if it fails",
        Effect.gen(function*() {
          yield* request(Effect.all([mail("a"), mail("b")]))
          yield* Effect.exit(request(Effect.zipRight(mail("c"), Effect.fail("no"))))
          expect(yield* deliver).toEqual(["a", "b"])
        })
      )

      test(
        "fails with a FlushError that names the intents which could not be stored",
        Effect.gen(function*() {
          const fault = yield* SqlFault.SqlFault
          const exit = yield* fault.whileDown(Effect.exit(request(mail("a"))))
          expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({
            _tag: "FlushError",
            failures: [{ task: "Mail", reason: { _tag: "DispatchError" } }]
          })
          expect(yield* rows).toEqual({})
        })
      )
    })

    describe("a transaction in a request", () => {
      test(
        "holds its intents until the request succeeds, and they leave with the request's other intents",
        Effect.gen(function*() {
          yield* request(Effect.gen(function*() {
            yield* transaction(order("a"))
            yield* mail("b")
            expect(yield* rows).toEqual({ held: 1 })
            expect(yield* deliver).toEqual([])
          }))
          expect(yield* rows).toEqual({ ready: 2 })
          expect(yield* deliver).toEqual(["a", "b"])
        })
      )

      test(
        "discards its intents if the request fails after the COMMIT",
        Effect.gen(function*() {
          yield* Effect.exit(request(Effect.gen(function*() {
            yield* transaction(order("a"))
            yield* transaction(order("b"))
            return yield* Effect.fail("500")
          })))
          yield* timePasses
          expect([yield* orders, yield* rows, yield* deliver]).toEqual([["a", "b"], {}, []])
        })
      )

      test(
        "discards its intents at once if the request is interrupted after the COMMIT",
        Effect.gen(function*() {
          const running = yield* Effect.fork(request(Effect.zipRight(transaction(order("a")), Effect.never)))
          while ((yield* rows)["held"] !== 1) {
            yield* Effect.yieldNow()
          }
          yield* Fiber.interrupt(running)
          expect(yield* rows).toEqual({})
        })
      )

      test(
        "discards its intents if shouldFlush or beforeDescendantFlushes throws",
        Effect.gen(function*() {
          const throws = () => {
            throw new Error("a hook")
          }
          yield* Effect.exit(request(transaction(order("a")), { shouldFlush: throws }))
          yield* Effect.exit(request(transaction(order("b")), { beforeDescendantFlushes: throws }))
          expect([yield* orders, yield* rows]).toEqual([["a", "b"], {}])
        })
      )

      test(
        "holds its intents while a slow request runs, and discards them if the request fails",
        Effect.gen(function*() {
          const gate = yield* Effect.makeLatch(false)
          const running = yield* Effect.fork(Effect.exit(request(Effect.gen(function*() {
            yield* transaction(order("a"))
            yield* gate.await
            return yield* Effect.fail("500")
          }))))
          while ((yield* rows)["held"] !== 1) {
            yield* Effect.yieldNow()
          }
          for (let times = 0; times < 5; times++) {
            // The time of the held rows passes, and the process renews them.
            yield* timePasses
            yield* TestClock.adjust("20 seconds")
            yield* waitUntilRenewed
            expect(yield* deliver).toEqual([])
          }
          yield* gate.open
          yield* Fiber.join(running)
          expect(yield* rows).toEqual({})
        })
      )

      test(
        "discards its intents if its fiber fails after the COMMIT, although the request succeeds",
        Effect.gen(function*() {
          yield* request(Effect.gen(function*() {
            const child = yield* Effect.fork(Effect.zipRight(transaction(order("a")), Effect.fail("after the COMMIT")))
            yield* Fiber.await(child)
            yield* transaction(order("b"))
          }))
          expect([yield* orders, yield* deliver, yield* rows]).toEqual([["a", "b"], ["b"], {}])
        })
      )

      test(
        "discards its intents if approve returns false",
        Effect.gen(function*() {
          yield* request(transaction(order("a")), { approve: () => Effect.succeed(false) })
          expect([yield* orders, yield* rows]).toEqual([["a"], {}])
          yield* request(transaction(order("b")), { approve: () => Effect.succeed(true) })
          expect(yield* deliver).toEqual(["b"])
        })
      )

      test(
        "discards its intents if approve dies, and the FlushError names them",
        Effect.gen(function*() {
          const exit = yield* Effect.exit(request(transaction(order("a")), { approve: () => Effect.die("no") }))
          expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({
            _tag: "FlushError",
            failures: [{ task: "Mail", reason: { _tag: "PolicyFailedError" } }]
          })
          expect([yield* orders, yield* rows]).toEqual([["a"], {}])
        })
      )

      test(
        "stores no intent under dropAll or Airlock.plan",
        Effect.gen(function*() {
          const watched = Effect.zipRight(transaction(order("a")), rows)
          expect(yield* request(watched, { policy: Policy.dropAll })).toEqual({})
          const sql = yield* SqlClient
          yield* sql`DELETE FROM airlock_suite_orders`
          let seen: unknown
          const plan = yield* Airlock.plan(Effect.tap(watched, (rows) => {
            seen = rows
          }))
          expect([plan.entries.map(({ decision }) => decision), seen, yield* rows]).toEqual([["dispatch"], {}, {}])
        })
      )

      test(
        "releases its intents later if the release fails, and the request succeeds",
        Effect.gen(function*() {
          const fault = yield* SqlFault.SqlFault
          yield* request(Effect.zipRight(transaction(order("a")), fault.breakAt("UPDATE", "before")))
          expect(yield* rows).toEqual({ held: 1 })
          yield* TestClock.adjust("20 seconds")
          while ((yield* rows)["ready"] !== 1) {
            yield* Effect.yieldNow()
          }
          expect(yield* deliver).toEqual(["a"])
        })
      )

      test(
        "releases its intents if the request's other intents cannot be inserted",
        Effect.gen(function*() {
          const fault = yield* SqlFault.SqlFault
          const exit = yield* Effect.exit(request(Effect.gen(function*() {
            yield* transaction(order("a"))
            yield* mail("fails to leave")
            yield* fault.breakAt("INSERT", "before")
          })))
          expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({
            _tag: "FlushError",
            failures: [{ task: "Mail", reason: { _tag: "DispatchError" } }]
          })
          expect([yield* deliver, yield* rows]).toEqual([["a"], {}])
        })
      )

      test(
        "discards its intents later if the discard fails",
        Effect.gen(function*() {
          const fault = yield* SqlFault.SqlFault
          yield* Effect.exit(request(Effect.gen(function*() {
            yield* transaction(order("a"))
            yield* fault.breakAt("DELETE", "before")
            return yield* Effect.fail("500")
          })))
          expect(yield* rows).toEqual({ held: 1 })
          yield* TestClock.adjust("20 seconds")
          while ((yield* rows)["held"] === 1) {
            yield* Effect.yieldNow()
          }
          yield* timePasses
          expect([yield* deliver, yield* rows]).toEqual([[], {}])
        })
      )
    })

    if (options?.losesAnswers !== false) {
      describe("a transaction whose COMMIT has an unknown outcome", () => {
        const lost = (when: "before" | "after", around: <A, E, R>(self: Effect.Effect<A, E, R>) => typeof self) =>
          Effect.gen(function*() {
            const fault = yield* SqlFault.SqlFault
            yield* fault.breakAt("COMMIT", when)
            const exit = yield* Effect.exit(around(transaction(order("a"))))
            expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({ _tag: "CommitUnknownError" })
          })

        test(
          "dispatches each intent once if the COMMIT was done",
          Effect.gen(function*() {
            yield* lost("after", (self) => self)
            expect([yield* orders, yield* deliver]).toEqual([["a"], ["a"]])
          })
        )

        test(
          "stores no intent if the COMMIT was not done",
          Effect.gen(function*() {
            yield* lost("before", (self) => self)
            expect([yield* orders, yield* rows]).toEqual([[], {}])
          })
        )

        test(
          "releases the held intents of a request after heldTimeout if the COMMIT was done",
          Effect.gen(function*() {
            yield* lost("after", (self) => Effect.orDie(request(self)) as typeof self)
            expect([yield* orders, yield* rows, yield* deliver]).toEqual([["a"], { held: 1 }, []])
            // The process no longer renews the row.
            yield* timePasses
            yield* TestClock.adjust("20 seconds")
            expect(yield* deliver).toEqual(["a"])
          })
        )
      })
    }

    describe("a process that died", () => {
      /** Starts an application that commits in a request that never ends, and then closes that application. */
      const dies = (options: Outbox.OutboxOptions, scope: ScopeOptions<never> = {}) =>
        Effect.gen(function*() {
          const process = yield* Scope.make()
          const context = yield* Effect.context<SqlClient>()
          const given = Layer.succeedContext(context)
          const other = yield* Layer.buildWithScope(application(options).pipe(Layer.provide(given)), process)
          const running = yield* Effect.forkDaemon(
            Effect.provide(request(Effect.zipRight(transaction(order("a")), Effect.never), scope), other)
          )
          while ((yield* rows)["held"] !== 1) {
            yield* Effect.yieldNow()
          }
          // Its Layers close, so it renews no row. Its fiber never ends, so its scope never settles.
          yield* Scope.close(process, Exit.void)
          return running
        })

      test(
        "has its held intents released after heldTimeout, because its data was committed",
        Effect.gen(function*() {
          const running = yield* dies({})
          expect(yield* deliver).toEqual([])
          yield* timePasses
          yield* TestClock.adjust("1 minute")
          yield* Effect.repeatN(Effect.yieldNow(), 100)
          // The row was not renewed.
          expect(yield* stale).toBe(1)
          expect(yield* deliver).toEqual(["a"])
          yield* Fiber.interruptFork(running)
        })
      )

      test(
        "has its held intents discarded after heldTimeout if onExpiry is discard",
        Effect.gen(function*() {
          const running = yield* dies({ onExpiry: "discard" })
          yield* timePasses
          expect([yield* deliver, yield* rows]).toEqual([[], {}])
          yield* Fiber.interruptFork(running)
        })
      )

      test(
        "has its held intents discarded after heldTimeout if an approval was pending",
        Effect.gen(function*() {
          const running = yield* dies({}, { approve: () => Effect.never })
          yield* timePasses
          expect([yield* deliver, yield* rows]).toEqual([[], {}])
          yield* Fiber.interruptFork(running)
        })
      )

      test(
        "has an intent run again, as attempt 2, if it died between the claim and the acknowledgement",
        Effect.gen(function*() {
          yield* transaction(order("a"))
          const { claim } = yield* store
          const claimed = yield* claim({ tasks: ["Mail"], limit: 10, leaseMillis: 60_000 })
          expect([claimed.length, yield* deliver]).toEqual([1, []])
          yield* timePasses
          expect(yield* deliver).toEqual(["a"])
          expect(yield* Sent).toEqual(["a, attempt 2"])
        })
      )
    })

    describe("two applications on one database", () => {
      test(
        "deliver each intent of both once",
        Effect.gen(function*() {
          const context = yield* Effect.context<SqlClient>()
          const other = yield* Layer.build(application().pipe(Layer.provide(Layer.succeedContext(context))))
          yield* Effect.all([
            Effect.forEach(["a", "b", "c"], (name) => transaction(order(name))),
            Effect.provide(Effect.forEach(["d", "e", "f"], (name) => transaction(order(name))), other)
          ])
          const delivered = yield* Effect.all([deliver, Effect.provide(deliver, other)], { concurrency: 2 })
          const rest = yield* deliver
          expect([...delivered.flat(), ...rest].sort()).toEqual(["a", "b", "c", "d", "e", "f"])
        })
      )
    })

    describe("a dedupeKey", () => {
      test(
        "lets one waiting intent leave, and ignores intents that are held or rolled back",
        Effect.gen(function*() {
          const keyed = { dedupeKey: "key" }
          yield* Effect.exit(transaction(Effect.zipRight(order("rolled back", keyed), Effect.fail("no"))))
          yield* request(Effect.gen(function*() {
            yield* transaction(order("held", keyed))
            yield* Effect.provide(
              transaction(order("a", keyed)).pipe(Airlock.scoped({ independent: true })),
              Context.empty()
            )
            expect(yield* deliver).toEqual(["a"])
            return yield* Effect.fail("500")
          })).pipe(Effect.exit)
          yield* transaction(order("b", keyed))
          yield* transaction(order("c", keyed))
          expect([yield* deliver, yield* rows]).toEqual([["b"], {}])
        })
      )
    })

    describe("a handler that fails", () => {
      test(
        "leaves its intent claimed",
        Effect.gen(function*() {
          yield* request(mail("fails"))
          expect(yield* deliver).toEqual(["fails"])
          expect([yield* Sent, yield* rows]).toEqual([[], { claimed: 1 }])
        })
      )
    })
  })
}

/** The number of rows that `timePasses` has made due and that were not renewed since. */
const stale = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql.unsafe<{ readonly count: number }>(`SELECT COUNT(*) AS count FROM ${table} WHERE due_at = 0`),
    ([row]) => Number(row!.count)
  ))

/** Waits for the fiber that renews held rows. It runs beside this fiber, on its own connection. */
const waitUntilRenewed = Effect.gen(function*() {
  while ((yield* stale) > 0) {
    yield* Effect.yieldNow()
  }
})
