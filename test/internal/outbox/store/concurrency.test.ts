/**
 * The statements of the store over several connections at once.
 */
import { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestServices } from "effect"
import { inOwnTransaction } from "../../../../src/internal/outbox/store/ownTransaction.js"
import { makeStore } from "../../../../src/internal/outbox/store/store.js"
import { onEachServer } from "../../../support/databases.js"
import { until } from "../../../support/until.js"
import {
  acknowledge,
  claim,
  claimed,
  held,
  idOf,
  numberOf,
  Outbox,
  outbox,
  ready,
  register,
  retry,
  row,
  session,
  sessionOf,
  states,
  table
} from "../testStore.js"

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
    it.effect(name, () => effect.pipe(Effect.provide(outbox(database, { maxConnections: 12 }))), 60_000)

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
      yield* store.insert([row(1), row(2), row(3), row(4)], ready)
      const discarding = yield* open(store.discard([idOf(1), idOf(4)]))
      const inserting = yield* open(store.insert([row(0), row(5)], ready))
      yield* store.insert([row(6)], ready)
      expect(yield* claimed()).toEqual([2, 3, 6])
      expect(yield* acknowledge(2, 3, 6)).toHaveLength(3)
      yield* store.expire
      yield* discarding.commit
      yield* inserting.commit
      expect(yield* claimed()).toEqual([0, 5])
    })
  )

  test(
    "concurrent claims take one row of an ordering key, and one of a dedupe key",
    Effect.gen(function*() {
      const store = yield* Outbox
      for (let n = 0; n < 100; n += 10) {
        yield* store.insert([row(n + 1, { orderingKey: "k" }), row(n + 2, { orderingKey: "k" })], ready)
        yield* store.insert([row(n + 3, { dedupeKey: "k" }), row(n + 4, { dedupeKey: "k" })], ready)
        const claims = yield* Effect.all([1, 2, 3, 4].map(() => claimed()), { concurrency: 4 })
        expect(claims.flat().sort((a, b) => a - b)).toEqual([n + 1, n + 3])
        yield* acknowledge(n + 1, n + 3)
        expect(yield* claimed()).toEqual([n + 2])
        yield* acknowledge(n + 2)
        expect(yield* states).toEqual({})
      }
    })
  )

  test(
    "a claim and the reaping of its session leave no claimed row without a session",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert(
        Array.from({ length: 40 }, (_, n) => row(n, n % 4 === 0 ? { orderingKey: `${n}` } : {})),
        ready
      )
      for (let round = 0; round < 20; round++) {
        yield* register(session, -1)
        const [first, , second] = yield* Effect.all([claimed(10), store.reap, claimed(10)], { concurrency: 3 })
        yield* store.reap
        expect(yield* store.begin(session, { upTo: 0, except: [], last: 0, also: [] })).toBe(false)
        expect((yield* store.counts).ready).toBe(40)
        expect([first, second].flat().length).toBeLessThanOrEqual(20)
      }
    })
  )

  test(
    "a reaper waits for a claim of the session, and then finds its rows",
    Effect.gen(function*() {
      const store = yield* Outbox
      yield* store.insert([row(1)], ready)
      yield* register(session, -1)
      const claiming = yield* openOwn(claimed())
      expect(claiming.value).toEqual([1])
      // It skips the session, as somebody has locked it.
      expect(yield* store.reap).toEqual([])
      yield* claiming.commit
      expect(yield* store.reap).toEqual([{ relay: session, rows: 1, attempts: 0 }])
      expect(yield* states).toEqual({ ready: [1] })
    })
  )

  if (database.name === "PostgreSQL") {
    test(
      "a reaper that waits for a result of its session leaves that result as it is",
      Effect.gen(function*() {
        const store = yield* Outbox
        const sql = yield* SqlClient.SqlClient
        yield* store.insert([row(1), row(2)], ready)
        yield* claimed()
        yield* store.begin(session, { upTo: 1, except: [], last: 1, also: [] })
        yield* register(session, -1)
        const snoozing = yield* open(store.fail(session, [{ ...retry(1), attempt: 0, error: null }]))
        const reaping = yield* Effect.fork(store.reap)
        yield* until(Effect.map(
          sql`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
          ({ length }) => length > 0
        ))
        yield* snoozing.commit
        yield* Fiber.join(reaping)
        expect(yield* sql`SELECT state, attempt, error IS NULL AS intact FROM airlock_outbox ORDER BY id`).toEqual([
          { state: "scheduled", attempt: 0, intact: true },
          { state: "ready", attempt: 1, intact: false }
        ])
      })
    )
  }

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
      yield* acknowledge(2)
      expect(yield* claimed()).toEqual([1])
    })
  )

  test(
    "a claim of a row with a key waits for another such claim, and then sees what that one claimed",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      const keyed = { orderingKey: "k" }
      const slow = yield* open(store.insert([row(1, keyed)], ready))
      yield* store.insert([row(2, keyed)], ready)
      const claiming = yield* openOwn(claimed())
      expect(claiming.value).toEqual([2])
      yield* slow.commit
      // A relay may name the same table with its schema.
      const name = sql.onDialectOrElse({ pg: () => `public.${table}`, orElse: () => table })
      const second = yield* Effect.fork(Effect.provideService(claimed(), Outbox, makeStore(sql, name)))
      const waiting = sql.onDialectOrElse({
        pg: () => sql`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`,
        // The tables of InnoDB about transactions are not read anew while someone keeps reading them.
        orElse: () =>
          sql`SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT version FROM %FOR UPDATE'`
      })
      yield* until(
        Effect.zipWith(Fiber.poll(second), waiting, (exit, waits) => exit._tag === "Some" || waits.length > 0)
      )
      yield* claiming.commit
      expect(yield* Fiber.join(second)).toEqual([])
      expect(yield* states).toEqual({ blocked: [1], claimed: [2] })
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
    "whatever claims, failures and reaped sessions come in between, no row is lost, and rows of one key run in order, one at a time",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      const keys = 4
      const perKey = 25
      const done: Array<number> = []
      const running = new Set<string>()
      let inserted = 0
      let seed = 1
      const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
      const inserter = (key: number) =>
        Effect.forEach(
          Array.from({ length: perKey }, (_, i) => key * 1000 + i),
          (n) =>
            sql.withTransaction(Effect.gen(function*() {
              yield* store.insert([row(n, { orderingKey: `${key}` }), row(n + 10_000), row(n + 20_000)], held())
              yield* store.insert([row(n + 30_000), row(n + 40_000, { dedupeKey: `${n}` })], ready)
            })).pipe(
              Effect.zipRight(Effect.all([
                store.release([n, n + 10_000].map(idOf)),
                store.renew([n, n + 10_000, n + 20_000].map(idOf), 60_000),
                store.discard([n + 20_000].map(idOf))
              ], { concurrency: 3 })),
              Effect.tap(() => Effect.sync(() => ++inserted))
            )
        )
      const relay = (name: number) => {
        let sessions = 0
        let lease = ""
        const begin = Effect.suspend(() => {
          lease = `0b000000-0000-4000-8000-00${name}000${String(++sessions).padStart(6, "0")}`
          return register(lease)
        })
        const round = Effect.gen(function*() {
          yield* store.expire
          const rows = yield* claim(7, lease)
          for (const { orderingKey } of rows) {
            if (orderingKey !== null) {
              expect(running.has(orderingKey)).toBe(false)
              running.add(orderingKey)
            }
          }
          yield* Effect.yieldNow()
          for (const { orderingKey } of rows) {
            running.delete(orderingKey ?? "")
          }
          if (random() < 0.1) {
            yield* store.heartbeat(sessionOf(lease), -1)
            // Another relay may reap it first.
            yield* Effect.repeat(
              Effect.zipRight(store.reap, store.begin(lease, { upTo: 0, except: [], last: 0, also: [] })),
              {
                while: (isAlive) => isAlive
              }
            )
            return yield* begin
          }
          const [ended, failed, undone] = [[], [], []] as [Array<number>, Array<number>, Array<number>]
          for (const n of rows.map(numberOf)) {
            const chance = random()
            ;(chance < 0.7 ? ended : chance < 0.85 ? failed : undone).push(n)
          }
          done.push(...ended)
          expect(yield* store.fail(lease, failed.map((n) => retry(n, 0)))).toHaveLength(failed.length)
          expect(yield* store.unclaim(lease, undone.map(idOf))).toHaveLength(undone.length)
          expect(yield* store.acknowledge(lease, ended.map(idOf))).toHaveLength(ended.length)
        })
        return Effect.zipRight(begin, Effect.forever(round))
      }
      const drained = Effect.gen(function*() {
        const counts = yield* store.counts
        return inserted === keys * perKey && Object.values(counts).every((count) => count === 0)
      })
      const relaying = yield* Effect.fork(Effect.all([1, 2, 3].map(relay), { concurrency: 3 }))
      const inserting = Effect.all(Array.from({ length: keys }, (_, key) => inserter(key)), { concurrency: keys })
      yield* Effect.raceFirst(
        Effect.zipRight(inserting, until(drained)),
        Effect.zipRight(Fiber.join(relaying), Effect.die("a relay ended"))
      )
      yield* Fiber.interrupt(relaying)
      const all = Array.from({ length: keys }, (_, key) => Array.from({ length: perKey }, (_, i) => key * 1000 + i))
        .flat()
      expect([...done].sort((a, b) => a - b)).toEqual(
        [0, 10_000, 30_000, 40_000].flatMap((offset) => all.map((n) => n + offset))
      )
      for (let key = 0; key < keys; key++) {
        const own = done.filter((n) => n < 10_000 && Math.floor(n / 1000) === key)
        expect(own).toEqual([...own].sort((a, b) => a - b))
      }
    }).pipe(TestServices.provideLive)
  )
})
