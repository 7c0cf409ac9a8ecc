/**
 * How relays learn that rows are ready: in the process of the writer on each database, and in other processes on PostgreSQL.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Layer, Schema, Scope, TestClock } from "effect"
import { Airlock, Executor, Task } from "effect-airlock"
import { live, relay } from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { makeExecutor } from "../../../src/internal/outbox/executor.js"
import { rowsOf } from "../../../src/internal/outbox/intentRow.js"
import { listen, notifier } from "../../../src/internal/outbox/notifier.js"
import { channelName } from "../../../src/internal/outbox/store/channel.js"
import { listenTo } from "../../../src/internal/outbox/store/listening.js"
import { sendTo } from "../../../src/internal/outbox/store/sending.js"
import { type ClientOptions, type Database, onEachDatabase } from "../../support/databases.js"
import { proxyTo } from "../../support/proxy.js"
import { postgres } from "../../support/servers.js"
import { until } from "../../support/until.js"
import { Outbox, outbox, table } from "./testStore.js"

const onABusyMachine = 30_000

const Note = Task.make("Note", { payload: { n: Schema.Number } })

/** A client with a pool of its own. */
const clientOf = (database: Database, options?: ClientOptions) =>
  Effect.map(Layer.build(database.client(options)), (context) => Context.get(context, SqlClient.SqlClient))

const send = (sql: SqlClient.SqlClient, sender: string, to = table) =>
  sql`SELECT pg_notify(${channelName(to)}, ${sender})`

/** What a relay hears. Its first event is its LISTEN. */
const hearing = (sql: SqlClient.SqlClient, to = table) =>
  Effect.gen(function*() {
    const events: Array<string | undefined> = []
    yield* listenTo(sql, to, (sender) => events.push(sender))
    yield* until(Effect.sync(() => events.length > 0))
    return events
  })

/** Sends a last notification and returns all that was heard before it. */
const heardBefore = (sql: SqlClient.SqlClient, events: Array<string | undefined>) =>
  Effect.gen(function*() {
    yield* send(sql, "last")
    yield* until(Effect.sync(() => events.includes("last")))
    return events.slice(0, events.indexOf("last"))
  })

const listeners = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ readonly pid: number }>`SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE 'LISTEN %'`,
    (rows) => rows.map(({ pid }) => pid)
  )

/** How many rows another client can claim. */
const readyRows = (sql: SqlClient.SqlClient) =>
  Effect.map(
    Effect.orDie(
      sql<{ readonly count: number }>`SELECT COUNT(*)::INTEGER AS count FROM airlock_outbox WHERE state = 'ready'`
    ),
    ([row]) => row!.count
  )

/** Holds this many connections of the pool at a time. */
const holdConnections = (sql: SqlClient.SqlClient, count: number) =>
  Effect.gen(function*() {
    const all = yield* Effect.makeLatch(false)
    let held = 0
    return yield* Effect.forEach(
      Array.from({ length: count }),
      () =>
        sql.withTransaction(Effect.gen(function*() {
          if (++held === count) {
            yield* all.open
          }
          yield* all.await
          return yield* sql<{ readonly channel: string }>`SELECT pg_listening_channels() AS channel`
        })),
      { concurrency: "unbounded" }
    )
  })

onEachDatabase((database) => {
  it.scoped("a relay in the process of the writer is notified", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const notify = yield* notifier(sql, table)
      const notified = yield* listen(sql, table)
      notify()
      yield* notified
    }).pipe(Effect.scoped, Effect.provide(database.client())))

  if (database.name !== "PostgreSQL") {
    return
  }

  it.live(
    "a relay that polls each hour runs at once what another process has stored, which then ends",
    () =>
      Effect.gen(function*() {
        const ran = yield* Deferred.make<number>()
        const sql = yield* SqlClient.SqlClient
        const [database] = yield* sql<{ readonly name: string }>`SELECT current_database() AS name`
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, [
              "--import",
              "tsx",
              fileURLToPath(new URL("../../support/outboxWriter.ts", import.meta.url)),
              new URL(`/${database!.name}`, postgres.url).href
            ], { stdio: ["pipe", "pipe", "inherit"] })
          ),
          (child) => Effect.sync(() => child.kill())
        )
        const exited = once(child, "exit")
        yield* Effect.promise(() => Promise.race([once(child.stdout, "data"), exited]))
        yield* Layer.build(
          relay({ pollInterval: "1 hour" }).pipe(
            Layer.provide(Note.toLayer(({ n }) => Deferred.succeed(ran, n))),
            Layer.provide(live())
          )
        )
        yield* until(Effect.map(listeners(sql), (pids) => pids.length === 1))
        child.stdin.end("write\n")
        expect(yield* Deferred.await(ran)).toBe(1)
        expect(yield* Effect.promise(() => exited)).toEqual([0, null])
      }).pipe(Effect.scoped, Effect.provide(outbox(database))),
    onABusyMachine
  )

  it.live("relays are notified when a row is committed and ready, and not before", () =>
    Effect.gen(function*() {
      const store = yield* Outbox
      const client = yield* SqlClient.SqlClient
      const other = yield* clientOf(database)
      yield* client`CREATE TABLE IF NOT EXISTS parents (id INTEGER PRIMARY KEY)`
      yield* client`CREATE TABLE IF NOT EXISTS children (
        parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)`
      const events: Array<string> = []
      const executor = yield* makeExecutor({
        title: "The outbox",
        insert: (intents, options) => Effect.flatMap(rowsOf(intents, undefined), (rows) => store.insert(rows, options)),
        store: { ...store, release: (ids) => Effect.tap(store.release(ids), () => events.push("released")) },
        client,
        heldTimeout: Duration.minutes(1),
        onExpiry: "release",
        notify: () => events.push("notified")
      })
      yield* Effect.gen(function*() {
        yield* Effect.flip(
          SqlTransaction.transaction(
            Effect.zipRight(client`INSERT INTO children VALUES (1)`, Airlock.enqueue(Note, { n: 0 }))
          )
        )
        expect(events).toEqual([])
        yield* SqlTransaction.transaction(Airlock.enqueue(Note, { n: 1 }))
        expect([...events, yield* readyRows(other)]).toEqual(["notified", 1])
        yield* Airlock.scoped(SqlTransaction.transaction(Airlock.enqueue(Note, { n: 2 })))
        yield* until(Effect.sync(() => events.length === 3))
        expect([...events, yield* readyRows(other)]).toEqual(["notified", "released", "notified", 2])
        yield* Airlock.scoped(Airlock.enqueue(Note, { n: 3 }))
        expect([events.length, yield* readyRows(other)]).toEqual([4, 3])
      }).pipe(Effect.provide(
        SqlTransaction.layer.pipe(Layer.provideMerge(Airlock.layer({
          executor: { ...Executor.make({ name: "test", durable: true, dispatch: executor.dispatch }), ...executor }
        })))
      ))
    }).pipe(Effect.scoped, Effect.provide(outbox(database))))

  it.live("the other intents of a scope are stored when its rows are released", () =>
    Effect.gen(function*() {
      const store = yield* Outbox
      const events: Array<string> = []
      const turns = Effect.repeatN(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), 20)
      const executor = yield* makeExecutor({
        title: "The outbox",
        insert: (intents, options) => {
          events.push(`inserts ${options.state}`)
          return Effect.flatMap(rowsOf(intents, undefined), (rows) => store.insert(rows, options))
        },
        store: {
          ...store,
          release: (ids) => Effect.tap(Effect.zipRight(turns, store.release(ids)), () => events.push("has released"))
        },
        client: yield* SqlClient.SqlClient,
        heldTimeout: Duration.minutes(1),
        onExpiry: "release",
        notify: () => {}
      })
      yield* Airlock.scoped(
        Effect.zipRight(SqlTransaction.transaction(Airlock.enqueue(Note, { n: 1 })), Airlock.enqueue(Note, { n: 2 }))
      ).pipe(Effect.provide(
        SqlTransaction.layer.pipe(Layer.provideMerge(Airlock.layer({
          executor: { ...Executor.make({ name: "test", durable: true, dispatch: executor.dispatch }), ...executor }
        })))
      ))
      expect(events).toEqual(["inserts held", "has released", "inserts ready"])
    }).pipe(Effect.scoped, Effect.provide(outbox(database))))

  it.live(
    "a writer notifies the relays of other clients after a transaction, a request and a scope",
    () =>
      Effect.gen(function*() {
        const events = yield* hearing(yield* clientOf(database))
        const next = (count: number) => until(Effect.sync(() => events.length >= count))
        yield* Effect.gen(function*() {
          yield* SqlTransaction.transaction(Airlock.enqueue(Note, { n: 1 }))
          yield* next(2)
          yield* Airlock.scoped(SqlTransaction.transaction(Airlock.enqueue(Note, { n: 2 })))
          yield* next(3)
          yield* Airlock.scoped(Airlock.enqueue(Note, { n: 3 }))
          yield* next(4)
        }).pipe(Effect.provide(
          SqlTransaction.layer.pipe(Layer.provideMerge(live()), Layer.merge(Airlock.unchecked))
        ))
      }).pipe(Effect.scoped, Effect.provide(outbox(database))),
    onABusyMachine
  )

  it.scoped(
    "a relay looks once for rows that its own process has stored, and once for those of another one",
    () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const other = yield* clientOf(database)
        const events = yield* hearing(other)
        const notify = yield* notifier(sql, table)
        const notified = yield* listen(sql, table)
        let looks = 0
        yield* Effect.forkScoped(Effect.forever(Effect.tap(notified, () => Effect.sync(() => looks++))))
        const looked = (count: number) => until(Effect.sync(() => looks >= count))
        // It has listened.
        yield* looked(1)
        notify()
        yield* looked(2)
        yield* until(Effect.sync(() => events.length === 2))
        yield* send(other, "another process")
        yield* until(Effect.sync(() => events.length === 3))
        yield* looked(3)
        yield* Effect.repeatN(sql`SELECT 1`, 10)
        expect(looks).toBe(3)
      }).pipe(Effect.scoped, Effect.provide(outbox(database))),
    onABusyMachine
  )

  it.scoped(
    "notifications wait until the last one is 5 ms ago, go out as one, and the last goes out at the end",
    () =>
      Effect.gen(function*() {
        const other = yield* clientOf(database)
        const events = yield* hearing(other)
        const scope = yield* Scope.make()
        const numbers = Array.from({ length: 10 })
        const notify = yield* Scope.extend(sendTo(yield* SqlClient.SqlClient, table, "writer"), scope)
        numbers.forEach(notify)
        yield* until(Effect.sync(() => events.length >= 2))
        numbers.forEach(notify)
        const meanwhile = ["meanwhile", "meanwhile", "meanwhile"]
        for (const count of [3, 4, 5]) {
          yield* send(other, "meanwhile")
          yield* until(Effect.sync(() => events.length >= count))
        }
        yield* TestClock.adjust("5 millis")
        yield* until(Effect.sync(() => events.length >= 6))
        numbers.forEach(notify)
        yield* Scope.close(scope, Exit.void)
        expect(yield* heardBefore(other, events)).toEqual([undefined, "writer", ...meanwhile, "writer", "writer"])
      }).pipe(Effect.scoped, Effect.provide(outbox(database))),
    onABusyMachine
  )

  it.scoped(
    "a notification that fails neither fails the writer nor costs the outbox its connection",
    () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const other = yield* clientOf(database)
        const events = yield* hearing(other)
        // PostgreSQL refuses payloads of 8 000 bytes.
        const fail = yield* sendTo(sql, table, "x".repeat(8_000))
        const notify = yield* sendTo(sql, table, "writer")
        fail()
        yield* TestClock.adjust("5 millis")
        notify()
        yield* until(Effect.sync(() => events.length >= 2))
        expect(yield* heardBefore(other, events)).toEqual([undefined, "writer"])
      }).pipe(Effect.scoped, Effect.provide(outbox(database))),
    onABusyMachine
  )

  it.scoped(
    "a listening connection that the server ends is found again, and the relay looks for what it has missed",
    () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const events = yield* hearing(yield* clientOf(database))
        yield* send(sql, "a")
        yield* until(Effect.sync(() => events.length >= 2))
        const [pid] = yield* listeners(sql)
        yield* sql`SELECT pg_terminate_backend(${pid!})`
        yield* until(
          Effect.zipRight(
            TestClock.adjust("100 millis"),
            Effect.map(listeners(sql), (pids) => pids.length === 1 && pids[0] !== pid)
          )
        )
        yield* send(sql, "b")
        yield* until(Effect.sync(() => events.includes("b")))
        expect(events).toEqual([undefined, "a", undefined, "b"])
      }).pipe(Effect.scoped, Effect.provide(database.client())),
    onABusyMachine
  )

  /** A client behind a proxy that can leave its connections half-open. */
  const behindProxy = (
    self: (proxied: SqlClient.SqlClient, freeze: () => void) => Effect.Effect<void, unknown, Scope.Scope>
  ) =>
    Effect.flatMap(
      proxyTo(postgres.url),
      ({ close, freeze, port }) =>
        Effect.flatMap(clientOf(database, { host: "127.0.0.1", port }), (proxied) =>
          // The pool would wait for its half-open connections when it closes.
          Effect.ensuring(Effect.scoped(self(proxied, freeze)), Effect.sync(close)))
    )

  it.scoped(
    "a half-open listening connection is found again",
    () =>
      behindProxy((proxied, freeze) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const events = yield* hearing(proxied)
          freeze()
          yield* send(sql, "lost")
          yield* until(Effect.zipRight(TestClock.adjust("1 second"), Effect.sync(() => events.length >= 2)))
          yield* send(sql, "b")
          yield* until(Effect.sync(() => events.includes("b")))
          expect(events).toEqual([undefined, undefined, "b"])
        }).pipe(Effect.scoped, Effect.provide(database.client()))
      ),
    onABusyMachine
  )

  it.scoped(
    "a relay whose listening connection is half-open shuts down at once",
    () =>
      behindProxy((proxied, freeze) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          yield* Scope.extend(hearing(proxied), scope)
          freeze()
          yield* TestClock.adjust("31 seconds")
          yield* Scope.close(scope, Exit.void)
        })
      ),
    onABusyMachine
  )

  it.scoped("a relay that shuts down leaves no listening connection in the pool", () =>
    Effect.gen(function*() {
      const sql = yield* clientOf(database, { maxConnections: 3 })
      const scope = yield* Scope.make()
      yield* Scope.extend(hearing(sql), scope)
      expect((yield* holdConnections(sql, 2)).flat()).toEqual([])
      yield* Scope.close(scope, Exit.void)
      expect((yield* holdConnections(sql, 3)).flat()).toEqual([])
    }), onABusyMachine)

  it.scoped("a relay with a pool of two connections holds none of them to listen", () =>
    Effect.gen(function*() {
      const sql = yield* clientOf(database, { maxConnections: 2 })
      yield* listenTo(sql, table, () => {})
      yield* holdConnections(sql, 2)
    }), onABusyMachine)

  it.scoped("tables with quotes, schemas and long names have channels", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (const name of ["shop.\"out\"box", "x".repeat(55), "x".repeat(56), "é".repeat(60)]) {
        const events = yield* hearing(sql, name)
        const notify = yield* sendTo(sql, name, "writer")
        notify()
        yield* until(Effect.sync(() => events.length >= 2))
        expect(events).toEqual([undefined, "writer"])
      }
    }).pipe(Effect.scoped, Effect.provide(database.client())), onABusyMachine)
})
