/**
 * What an outbox promises, as tests: each database runs them in one line.
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
import { makeStore } from "../internal/outbox/store.js"
import * as Outbox from "../Outbox.js"
import * as Policy from "../Policy.js"
import * as SqlTransaction from "../SqlTransaction.js"
import * as Task from "../Task.js"
import * as SqlFault from "./SqlFault.js"

const Mail = Task.make("Mail", { payload: { to: Schema.String } })
const table = "airlock_suite_outbox"
const heldTimeout = "1 minute"

/** What handlers were given, in order. */
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

/** An application: its own Airlock and outbox, on a database that others share. */
const application = (options?: Outbox.OutboxOptions) =>
  Handlers.pipe(
    Layer.provideMerge(SqlTransaction.layer),
    Layer.provideMerge(Airlock.AirlockLive),
    Layer.provideMerge(Outbox.layer({ table, heldTimeout, ...options })),
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

/** How many rows there are of each state, where there are any. */
const rows = Effect.flatMap(
  store,
  ({ counts }) =>
    Effect.map(counts, (counts) => Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)))
)

/** As if the time that rows wait for had come. */
const timePasses = Effect.flatMap(
  SqlClient,
  (sql) => sql.unsafe(`UPDATE ${table} SET due_at = 0 WHERE due_at IS NOT NULL`)
)

/** What a relay does: gives what it carried. */
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

/** A request: its own scope around whatever transactions it opens. */
const request = <A, E, R>(self: Effect.Effect<A, E, R>, options: ScopeOptions = {}) =>
  Airlock.scoped({ name: "request", ...options })(self)

/**
 * Defines the tests of a database. Its Layer is built for each of them, and must be one database for all; the tests make and
 * drop tables that begin with `airlock_suite`.
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
 * @category suites
 */
export const run = (name: string, client: () => Layer.Layer<SqlClient, unknown>, options?: {
  /** Whether the answer to a COMMIT can be lost: not where the database is in the process. Default: `true`. */
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
    describe("a transaction without a scope around", () => {
      test(
        "keeps what it enqueued with its rows, and it leaves once",
        Effect.gen(function*() {
          yield* transaction(Effect.all([order("a"), order("b")]))
          expect(yield* rows).toEqual({ ready: 2 })
          expect(yield* deliver).toEqual(["a", "b"])
          expect(yield* deliver).toEqual([])
          expect(yield* rows).toEqual({})
        })
      )

      test(
        "rolled back has kept nothing",
        Effect.gen(function*() {
          yield* Effect.exit(transaction(Effect.zipRight(order("a"), Effect.fail("no"))))
          yield* Effect.exit(transaction(Effect.zipRight(order("a"), Effect.die("no"))))
          expect([yield* orders, yield* rows]).toEqual([[], {}])
        })
      )

      test(
        "loses with a savepoint what was enqueued in it, and keeps the rest",
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
        "tried again keeps what its last attempt enqueued, once",
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
        "is rolled back if what it enqueued cannot be kept",
        Effect.gen(function*() {
          const fault = yield* SqlFault.SqlFault
          yield* fault.breakAt(table, "before")
          const exit = yield* Effect.exit(transaction(order("a")))
          expect(Exit.isFailure(exit)).toBe(true)
          expect([yield* orders, yield* rows]).toEqual([[], {}])
        })
      )

      test(
        "does not keep what a policy drops, asked once, before the COMMIT",
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
        "is rolled back if a policy cannot decide",
        Effect.gen(function*() {
          const policy = Policy.make({ name: "broken", allows: () => Effect.die("no") })
          const exit = yield* Effect.exit(transaction(order("a")).pipe(Airlock.withPolicy(policy)))
          expect(Exit.isFailure(exit)).toBe(true)
          expect([yield* orders, yield* rows]).toEqual([[], {}])
        })
      )
    })

    describe("without a transaction", () => {
      test(
        "what a scope enqueued is kept when it succeeds, and not when it fails",
        Effect.gen(function*() {
          yield* request(Effect.all([mail("a"), mail("b")]))
          yield* Effect.exit(request(Effect.zipRight(mail("c"), Effect.fail("no"))))
          expect(yield* deliver).toEqual(["a", "b"])
        })
      )

      test(
        "what cannot be kept is in the FlushError",
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
        "is held while the request may still fail, and leaves with what it enqueued besides",
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
        "lets nothing out if the request fails after its COMMIT",
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
        "lets nothing out if the request is interrupted, and that at once",
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
        "lets nothing out if what is asked when it settles throws",
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
        "keeps its veto, however slow the request is, while its process lives",
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
            // The time that it has left goes by, and it renews what it holds.
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
        "that its fiber did not survive leaves nothing behind, though the request succeeds",
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
        "of which nobody approves leaves nothing behind",
        Effect.gen(function*() {
          yield* request(transaction(order("a")), { approve: () => Effect.succeed(false) })
          expect([yield* orders, yield* rows]).toEqual([["a"], {}])
          yield* request(transaction(order("b")), { approve: () => Effect.succeed(true) })
          expect(yield* deliver).toEqual(["b"])
        })
      )

      test(
        "is not kept at all where all is dropped, or only planned",
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
        "comes out by itself if it cannot be released, and the request is none the worse",
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
        "does not come out if it cannot be discarded: that is tried again",
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
      describe("a COMMIT of which nobody knows what came", () => {
        const lost = (when: "before" | "after", around: <A, E, R>(self: Effect.Effect<A, E, R>) => typeof self) =>
          Effect.gen(function*() {
            const fault = yield* SqlFault.SqlFault
            yield* fault.breakAt("COMMIT", when)
            const exit = yield* Effect.exit(around(transaction(order("a"))))
            expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({ _tag: "CommitUnknownError" })
          })

        test(
          "that was done keeps what leaves, and what it enqueued leaves once",
          Effect.gen(function*() {
            yield* lost("after", (self) => self)
            expect([yield* orders, yield* deliver]).toEqual([["a"], ["a"]])
          })
        )

        test(
          "that was not done has kept nothing",
          Effect.gen(function*() {
            yield* lost("before", (self) => self)
            expect([yield* orders, yield* rows]).toEqual([[], {}])
          })
        )

        test(
          "in a request, that was done, leaves what is held: it comes out when its time has come",
          Effect.gen(function*() {
            yield* lost("after", (self) => Effect.orDie(request(self)) as typeof self)
            expect([yield* orders, yield* rows, yield* deliver]).toEqual([["a"], { held: 1 }, []])
            // Nobody renews it any more.
            yield* timePasses
            yield* TestClock.adjust("20 seconds")
            expect(yield* deliver).toEqual(["a"])
          })
        )
      })
    }

    describe("a process that is gone", () => {
      /** Commits in a request that never ends, in an application of its own, which then is gone. */
      const dies = (options: Outbox.OutboxOptions, scope: ScopeOptions = {}) =>
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
          // Its Layers close, so nobody renews; its fiber never gets to settle.
          yield* Scope.close(process, Exit.void)
          return running
        })

      test(
        "leaves what it held to come out when its time has come: its data was committed",
        Effect.gen(function*() {
          const running = yield* dies({})
          expect(yield* deliver).toEqual([])
          yield* timePasses
          yield* TestClock.adjust("1 minute")
          yield* Effect.repeatN(Effect.yieldNow(), 100)
          // Nobody has renewed it.
          expect(yield* stale).toBe(1)
          expect(yield* deliver).toEqual(["a"])
          yield* Fiber.interruptFork(running)
        })
      )

      test(
        "leaves nothing where that is configured",
        Effect.gen(function*() {
          const running = yield* dies({ onExpiry: "discard" })
          yield* timePasses
          expect([yield* deliver, yield* rows]).toEqual([[], {}])
          yield* Fiber.interruptFork(running)
        })
      )

      test(
        "leaves nothing that somebody was still to approve of",
        Effect.gen(function*() {
          const running = yield* dies({}, { approve: () => Effect.never })
          yield* timePasses
          expect([yield* deliver, yield* rows]).toEqual([[], {}])
          yield* Fiber.interruptFork(running)
        })
      )

      test(
        "between the claim and the acknowledgement: another one runs it again, as the same intent",
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
        "carry what either has written, once",
        Effect.gen(function*() {
          const context = yield* Effect.context<SqlClient>()
          const other = yield* Layer.build(application().pipe(Layer.provide(Layer.succeedContext(context))))
          yield* Effect.all([
            Effect.forEach(["a", "b", "c"], (name) => transaction(order(name))),
            Effect.provide(Effect.forEach(["d", "e", "f"], (name) => transaction(order(name))), other)
          ])
          const carried = yield* Effect.all([deliver, Effect.provide(deliver, other)], { concurrency: 2 })
          const rest = yield* deliver
          expect([...carried.flat(), ...rest].sort()).toEqual(["a", "b", "c", "d", "e", "f"])
        })
      )
    })

    describe("a dedupeKey", () => {
      test(
        "lets one of those that wait leave, and no held or rolled back one counts",
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

    describe("what a handler makes of it", () => {
      test(
        "fails, and it stays claimed until somebody says when it comes again",
        Effect.gen(function*() {
          yield* request(mail("fails"))
          expect(yield* deliver).toEqual(["fails"])
          expect([yield* Sent, yield* rows]).toEqual([[], { claimed: 1 }])
        })
      )
    })
  })
}

/** How many rows wait for a time that has come. */
const stale = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql.unsafe<{ readonly count: number }>(`SELECT COUNT(*) AS count FROM ${table} WHERE due_at = 0`),
    ([row]) => Number(row!.count)
  ))

/** The fiber that renews runs beside this one, on a connection of its own. */
const waitUntilRenewed = Effect.gen(function*() {
  while ((yield* stale) > 0) {
    yield* Effect.yieldNow()
  }
})
