/**
 * The statements of the store over several connections at once.
 */
import { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestServices } from "effect"
import { inOwnTransaction } from "../../../../src/internal/outbox/store/ownTransaction.js"
import { onEachServer } from "../../../support/databases.js"
import { until } from "../../../support/until.js"
import { claim, claimed, column, held, idOf, numberOf, Outbox, outbox, ready, row } from "../testStore.js"

/** Runs an Effect in a transaction that stays open until `commit` or `rollback`. */
const open = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => openIn(self, sql.withTransaction))

/** The same with the kind of transaction in which the store claims rows. */
const openOwn = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => openIn(self, inOwnTransaction(sql, sql.onDialectOrElse({ mysql: () => "mysql", orElse: () => "pg" })))
  )

const openIn = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  transaction: <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError>
) =>
  Effect.gen(function*() {
    const context = yield* Effect.context<R>()
    const did = yield* Deferred.make<A, unknown>()
    const end = yield* Deferred.make<void, "rollback">()
    const fiber = yield* Effect.fork(
      transaction(Effect.zipRight(Effect.intoDeferred(Effect.provide(self, context), did), Deferred.await(end)))
    )
    return {
      value: yield* Deferred.await(did),
      commit: Effect.zipRight(Deferred.succeed(end, undefined), Fiber.join(fiber)),
      rollback: Effect.zipRight(Deferred.fail(end, "rollback"), Effect.exit(Fiber.join(fiber)))
    }
  })

onEachServer((database) => {
  const test = (name: string, effect: Effect.Effect<void, unknown, Outbox | SqlClient.SqlClient>) =>
    it.effect(name, () => effect.pipe(Effect.provide(outbox(database, { maxConnections: 12 }))), 30_000)

  test(
    "two concurrent claims take different rows, and neither waits",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2), row(3), row(4)], ready)
      const first = yield* openOwn(claimed(2))
      expect(first.value).toEqual([1, 2])
      expect(yield* claimed(2)).toEqual([3, 4])
      yield* first.rollback
      expect(yield* claimed()).toEqual([1, 2])
    })
  )

  test(
    "rows that an open transaction discards or inserts block no other statement",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2), row(3, { dedupeKey: "k" }), row(4, { dedupeKey: "k" })], ready)
      const discarding = yield* open(store.discard([idOf(1), idOf(4)]))
      const inserting = yield* open(store.insert([row(0), row(5)], ready))
      yield* store.insert([row(6)], ready)
      const rows = yield* claim()
      expect(rows.map(numberOf)).toEqual([2, 3, 6])
      expect(yield* store.acknowledge(rows)).toHaveLength(3)
      yield* store.expire
      yield* discarding.commit
      yield* inserting.commit
      expect(yield* claimed()).toEqual([0, 5])
    })
  )

  test(
    "two concurrent claims take one row of a dedupe key",
    Effect.gen(function*() {
      const store = yield* Outbox
      const keyed = { dedupeKey: "k" }
      yield* store.insert([row(1, keyed)], ready)
      yield* store.insert([row(2, keyed)], ready)
      const first = yield* openOwn(claimed())
      expect(first.value).toEqual([1])
      expect(yield* claimed()).toEqual([])
      yield* first.commit
      expect(yield* claimed()).toEqual([])
      expect(yield* column("id")).toEqual([idOf(1)])
    })
  )

  test(
    "transactions that insert the same dedupe keys do not wait for each other, and a rollback affects only its own rows",
    Effect.gen(function*() {
      const store = yield* Outbox
      const first = yield* open(store.insert([row(1, { dedupeKey: "a" }), row(2, { dedupeKey: "b" })], ready))
      const second = yield* open(store.insert([row(3, { dedupeKey: "b" }), row(4, { dedupeKey: "a" })], ready))
      yield* second.commit
      yield* first.rollback
      expect(yield* claimed()).toEqual([3, 4])
    })
  )

  test(
    "two concurrent claims take one row of an ordering key",
    Effect.gen(function*() {
      const store = yield* Outbox
      const keyed = { orderingKey: "k" }
      yield* store.insert([row(1, keyed), row(2, keyed)], ready)
      const first = yield* openOwn(claim())
      expect(first.value.map(numberOf)).toEqual([1])
      expect(yield* claimed()).toEqual([])
      yield* first.commit
      expect(yield* claimed()).toEqual([])
      yield* store.acknowledge(first.value)
      expect(yield* claimed()).toEqual([2])
    })
  )

  test(
    "a claim may take the rows of overlapping transactions with one ordering key in the order of their COMMITs",
    Effect.gen(function*() {
      const store = yield* Outbox
      const keyed = { orderingKey: "k" }
      const slow = yield* open(store.insert([row(1, keyed)], ready))
      yield* store.insert([row(2, keyed)], ready)
      const second = yield* claim()
      expect(second.map(numberOf)).toEqual([2])
      yield* slow.commit
      // It never claims both at the same time.
      expect(yield* claimed()).toEqual([])
      yield* store.acknowledge(second)
      expect(yield* claimed()).toEqual([1])
    })
  )

  test(
    "a claim may take a row whose transaction commits while another row of its ordering key is being claimed",
    Effect.gen(function*() {
      const store = yield* Outbox
      const keyed = { orderingKey: "k" }
      const slow = yield* open(store.insert([row(1, keyed)], ready))
      yield* store.insert([row(2, keyed)], ready)
      const claiming = yield* openOwn(claimed())
      expect(claiming.value).toEqual([2])
      yield* slow.commit
      expect(yield* claimed()).toEqual([1])
      yield* claiming.commit
    })
  )

  test(
    "a row that is released while it expires is claimed once",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1), row(2)], { ...held("discard"), heldMillis: -1 })
      const releasing = yield* open(store.release([idOf(1)]))
      expect(yield* store.expire).toEqual({ released: 0, discarded: 1, due: 0 })
      yield* releasing.commit
      expect(yield* store.expire).toEqual({ released: 0, discarded: 0, due: 0 })
      expect(yield* claimed()).toEqual([1])
    })
  )

  test(
    "concurrent inserts, releases, discards, claims, expiries and acknowledgements lose no row and run none twice",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      const keys = 4
      const perKey = 30
      const ran: Array<number> = []
      const running = new Set<string>()
      let inserted = 0
      const inserter = (key: number) =>
        Effect.forEach(
          Array.from({ length: perKey }, (_, i) => key * 1000 + i),
          (n) =>
            sql.withTransaction(Effect.gen(function*() {
              yield* store.insert([row(n, { orderingKey: `${key}` }), row(n + 10_000), row(n + 20_000)], held())
              yield* store.insert([row(n + 30_000), row(n + 40_000)], ready)
            })).pipe(
              Effect.zipRight(Effect.all([
                store.release([n, n + 10_000].map(idOf)),
                store.renew([n, n + 10_000, n + 20_000].map(idOf), 60_000),
                store.discard([n + 20_000].map(idOf))
              ], { concurrency: 3 })),
              Effect.zipRight(sql.withTransaction(
                Effect.zipRight(store.insert([row(n + 50_000)], ready), store.release([n, n + 10_000].map(idOf)))
              )),
              Effect.tap(() => Effect.sync(() => ++inserted))
            )
        )
      const claimer = Effect.gen(function*() {
        yield* store.expire
        const rows = yield* claim(7)
        for (const { orderingKey } of rows) {
          if (orderingKey !== null) {
            expect(running.has(orderingKey)).toBe(false)
            running.add(orderingKey)
          }
        }
        ran.push(...rows.map(numberOf))
        for (const { orderingKey } of rows) {
          running.delete(orderingKey ?? "")
        }
        expect(yield* store.acknowledge(rows)).toHaveLength(rows.length)
        return rows.length
      })
      const drained = Effect.gen(function*() {
        const { claimed, held, ready } = yield* store.counts
        return inserted === keys * perKey && claimed + held + ready === 0
      })
      const claiming = yield* Effect.fork(Effect.all([1, 2, 3].map(() => Effect.forever(claimer)), { concurrency: 3 }))
      const inserting = Effect.all(Array.from({ length: keys }, (_, key) => inserter(key)), { concurrency: keys })
      yield* Effect.raceFirst(
        Effect.zipRight(inserting, until(drained)),
        Effect.zipRight(Fiber.join(claiming), Effect.die("claiming ended"))
      )
      yield* Fiber.interrupt(claiming)
      const all = Array.from({ length: keys }, (_, key) => Array.from({ length: perKey }, (_, i) => key * 1000 + i))
        .flat()
      expect([...ran].sort((a, b) => a - b)).toEqual(
        [0, 10_000, 30_000, 40_000, 50_000].flatMap((offset) => all.map((n) => n + offset))
      )
      for (let key = 0; key < keys; key++) {
        const own = ran.filter((n) => n < 10_000 && Math.floor(n / 1000) === key)
        expect(own).toEqual([...own].sort((a, b) => a - b))
      }
    }).pipe(TestServices.provideLive)
  )
})
