/**
 * What a request has committed or sent decides whether its key is free again.
 */
import { HttpRouter, HttpServerResponse } from "@effect/platform"
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, type Scope, Stream, Tracer } from "effect"
import { Airlock, HttpMiddleware, Idempotency } from "effect-airlock"
import * as HttpTransaction from "effect-airlock/HttpTransaction"
import * as IdempotencySql from "effect-airlock/IdempotencySql"
import {
  type Database,
  decorated,
  insertLine,
  insertOrder,
  onEachDatabase,
  orders,
  transaction
} from "../support/databases.js"
import { airlocked, type App, type Ask, hosts, node, post, posting } from "../support/idempotencyHosts.js"
import { type Left, left, note } from "../support/recorder.js"
import { until } from "../support/until.js"

type Handler = Effect.Effect<HttpServerResponse.HttpServerResponse, any, any>

const done = HttpServerResponse.text("done")

const failed = HttpServerResponse.text("failed", { status: 500 })

const freshKeys = Effect.gen(function*() {
  const sql = yield* SqlClient
  yield* IdempotencySql.migrate()
  yield* sql`DELETE FROM airlock_idempotency`
})

/** The state of all records. */
const states = Effect.flatMap(SqlClient, (sql) =>
  Effect.map(
    sql<{ readonly state: string }>`SELECT state FROM airlock_idempotency`,
    (rows) => rows.map(({ state }) => state)
  ))

/** Lets the lease of every request end, as if its time had passed. */
const endLeases = Effect.flatMap(
  SqlClient,
  (sql) => sql`UPDATE airlock_idempotency SET lease_until = 0, expires_at = 0`
)

const keys = (options: HttpMiddleware.IdempotencyMiddlewareOptions = {}) =>
  airlocked(HttpMiddleware.idempotency(options) as never)

onEachDatabase((database: Database) => {
  const test = (
    title: string,
    self: (
      serve: (handler: Handler, middleware?: (app: App) => App) => Effect.Effect<Ask, never, Scope.Scope>
    ) => Effect.Effect<unknown, unknown, SqlClient | Airlock.Airlock | Left | Scope.Scope>,
    others: ReadonlyArray<(typeof hosts)[number]> = [node]
  ) => {
    for (const host of others) {
      it.scopedLive(`${title}, on ${host.name}`, () =>
        Effect.gen(function*() {
          yield* freshKeys
          const context = yield* Effect.context<SqlClient | Airlock.Airlock | Left>()
          const services = Layer.orDie(
            IdempotencySql.layer().pipe(Layer.provideMerge(Layer.succeedContext(context)))
          )
          yield* self((handler, middleware = keys()) => host.serve(posting(handler), middleware, services))
        }).pipe(Effect.provide(Layer.orDie(decorated(database)))))
    }
  }

  describe(`a request with a key, and what it has done, on ${database.name}`, () => {
    test("cannot commit when its lease has ended and another request has the key", (serve) =>
      Effect.gen(function*() {
        const gates = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        let runs = 0
        const ask = yield* serve(
          Effect.suspend(() => {
            const run = runs++
            return Effect.zipRight(Deferred.await(gates[run]!), transaction(insertOrder(`run ${run}`))).pipe(
              Effect.zipLeft(note(`run ${run}`)),
              Effect.as(done)
            )
          })
        )
        const stale = yield* Effect.fork(ask("/", post("key")))
        yield* until(Effect.sync(() => runs === 1))
        yield* endLeases
        const next = yield* Effect.fork(ask("/", post("key")))
        yield* until(Effect.sync(() => runs === 2))
        yield* Deferred.succeed(gates[0]!, void 0)
        expect((yield* Fiber.join(stale)).status).toBe(500)
        yield* Deferred.succeed(gates[1]!, void 0)
        expect((yield* Fiber.join(next)).status).toBe(200)
        expect(yield* orders).toEqual(["run 1"])
        expect(yield* left).toEqual(["run 1"])
        expect((yield* ask("/", post("key"))).headers.get("idempotency-replayed")).toBe("true")
      }))

    test("does not send what it enqueued when another request has the key", (serve) =>
      Effect.gen(function*() {
        const gate = yield* Deferred.make<void>()
        let runs = 0
        const ask = yield* serve(
          Effect.suspend(() => {
            const run = runs++
            return note(`run ${run}`).pipe(
              Effect.zipRight(run === 0 ? Deferred.await(gate) : Effect.void),
              Effect.as(done)
            )
          })
        )
        const stale = yield* Effect.fork(ask("/", post("key")))
        yield* until(Effect.sync(() => runs === 1))
        yield* endLeases
        expect((yield* ask("/", post("key"))).text).toBe("done")
        yield* Deferred.succeed(gate, void 0)
        yield* Fiber.join(stale)
        expect(yield* left).toEqual(["run 1"])
      }))

    test("is not run again after a 500, if its transaction was committed", (serve) =>
      Effect.gen(function*() {
        const ask = yield* serve(Effect.as(transaction(insertOrder("a")), failed))
        expect((yield* ask("/", post("key"))).text).toBe("failed")
        const again = yield* ask("/", post("key"))
        expect([again.status, again.text, again.headers.get("idempotency-replayed")]).toEqual([500, "failed", "true"])
        expect(yield* orders).toEqual(["a"])
      }))

    test("is not run again after a 500, if a statement without a transaction has written", (serve) =>
      Effect.gen(function*() {
        const ask = yield* serve(Effect.as(insertOrder("a"), failed))
        expect((yield* ask("/", post("key"))).status).toBe(500)
        expect((yield* ask("/", post("key"))).headers.get("idempotency-replayed")).toBe("true")
        expect(yield* orders).toEqual(["a"])
      }))

    test("is not run again after a 500, if an effect has left", (serve) =>
      Effect.gen(function*() {
        const ask = yield* serve(note("left").pipe(Airlock.scoped({ independent: true }), Effect.as(failed)))
        expect((yield* ask("/", post("key"))).status).toBe(500)
        expect((yield* ask("/", post("key"))).headers.get("idempotency-replayed")).toBe("true")
        expect(yield* left).toEqual(["left"])
      }))

    test("is not run again after a 500, if an effect has left with the scope of outer middleware", (serve) =>
      Effect.gen(function*() {
        const flushing = HttpMiddleware.airlockWith({ shouldFlush: () => true })
        const ask = yield* serve(
          Effect.as(note("left"), failed),
          (app) => flushing(HttpMiddleware.idempotency()(app) as App) as App
        )
        expect((yield* ask("/", post("key"))).status).toBe(500)
        expect((yield* ask("/", post("key"))).headers.get("idempotency-replayed")).toBe("true")
        expect(yield* left).toEqual(["left"])
      }))

    test("is not run again after a 500, if it has kept its key", (serve) =>
      Effect.gen(function*() {
        const ask = yield* serve(Effect.zipRight(Idempotency.keep, failed))
        expect((yield* ask("/", post("key"))).status).toBe(500)
        expect((yield* ask("/", post("key"))).headers.get("idempotency-replayed")).toBe("true")
      }))

    test("keeps its key before it says so, even if a statement has written before", (serve) =>
      Effect.gen(function*() {
        const ask = yield* serve(
          insertOrder("a").pipe(
            Effect.zipRight(Idempotency.keep),
            Effect.zipRight(states),
            Effect.map((states) => HttpServerResponse.unsafeJson(states))
          )
        )
        expect((yield* ask("/", post("key"))).text).toBe(`["kept"]`)
      }))

    test("is run again after a 500, if its transaction was rolled back, and it only read", (serve) =>
      Effect.gen(function*() {
        let runs = 0
        const ask = yield* serve(
          Effect.suspend(() =>
            ++runs > 1
              ? Effect.as(transaction(insertOrder("b")), done)
              : orders.pipe(
                Effect.zipRight(note("discarded")),
                Effect.zipRight(transaction(Effect.zipRight(insertOrder("a"), Effect.fail("no"))))
              )
          )
        )
        expect((yield* ask("/", post("key"))).status).toBe(500)
        expect(yield* states).toEqual([])
        expect((yield* ask("/", post("key"))).text).toBe("done")
        expect(yield* orders).toEqual(["b"])
        expect(yield* left).toEqual([])
      }))

    test("is run again after a statement that the database refused", (serve) =>
      Effect.gen(function*() {
        yield* insertOrder("a")
        let runs = 0
        const ask = yield* serve(Effect.suspend(() => ++runs > 1 ? done : Effect.as(insertOrder("a"), done)))
        expect((yield* ask("/", post("key"))).status).toBe(500)
        expect((yield* ask("/", post("key"))).text).toBe("done")
      }))

    test("keeps its key if its client disconnects after the commit", (serve) =>
      Effect.gen(function*() {
        const committed = yield* Deferred.make<void>()
        const ask = yield* serve(
          transaction(insertOrder("a")).pipe(
            Effect.zipRight(Deferred.succeed(committed, void 0)),
            Effect.zipRight(Effect.never)
          )
        )
        const request = yield* Effect.fork(ask("/", post("key")))
        yield* Deferred.await(committed)
        yield* Fiber.interrupt(request)
        yield* until(Effect.map(states, ([state]) => state === "completed"))
        const again = yield* ask("/", post("key"))
        expect([again.status, again.code]).toEqual([409, "outcome-unknown"])
        expect(yield* orders).toEqual(["a"])
      }), hosts)

    test("frees its key if its client disconnects before anything was done", (serve) =>
      Effect.gen(function*() {
        let runs = 0
        const ask = yield* serve(
          Effect.suspend(() => ++runs === 1 ? Effect.zipRight(note("never"), Effect.never) : Effect.succeed(done))
        )
        const request = yield* Effect.fork(ask("/", post("key")))
        yield* until(Effect.sync(() => runs === 1))
        yield* Fiber.interrupt(request)
        yield* until(Effect.map(ask("/", post("key")), ({ text }) => text === "done"))
        expect(yield* left).toEqual([])
      }), hosts)

    test("writes its response in the transaction of the request", (serve) =>
      Effect.gen(function*() {
        const ask = yield* serve(
          Effect.as(insertOrder("a"), done),
          (app) => keys()(HttpTransaction.perRequest(app) as App)
        )
        expect((yield* ask("/", post("key"))).text).toBe("done")
        expect((yield* ask("/", post("key"))).headers.get("idempotency-replayed")).toBe("true")
        expect(yield* orders).toEqual(["a"])
      }), hosts)

    if (database.defers) {
      test("stores a response again whose transaction was refused at its COMMIT", (serve) =>
        Effect.gen(function*() {
          const inside = HttpTransaction.perRequest(Effect.as(insertLine("a", "missing"), done))
          const app = HttpRouter.empty.pipe(
            HttpRouter.post("/", Effect.catchAllCause(inside, () => Effect.succeed(done)))
          ) as App
          const ask = yield* serve(app)
          expect((yield* ask("/", post("key"))).text).toBe("done")
          expect(yield* states).toEqual(["completed"])
          expect((yield* ask("/", post("key"))).headers.get("idempotency-replayed")).toBe("true")
        }))
    }

    test("frees its key if the transaction of the request is rolled back", (serve) =>
      Effect.gen(function*() {
        const ask = yield* serve(
          Effect.as(insertOrder("a"), failed),
          (app) => keys()(HttpTransaction.perRequest(app) as App)
        )
        expect((yield* ask("/", post("key"))).status).toBe(500)
        expect(yield* states).toEqual([])
        expect(yield* orders).toEqual([])
      }))

    test("keeps its key before effects of a body leave, which is collected after the handler", (serve) =>
      Effect.gen(function*() {
        const memory = yield* Idempotency.makeMemory()
        const calls: Array<string> = []
        const noting = <A>(call: string, self: Effect.Effect<A, Idempotency.IdempotencyStoreError>) =>
          Effect.zipRight(Effect.sync(() => calls.push(call)), self)
        const store = Effect.succeed<Idempotency.IdempotencyStoreService>({
          ...memory,
          keep: (owner) => noting("keep", memory.keep(owner)),
          complete: (record) => noting("complete", memory.complete(record))
        })
        const body = Stream.execute(note("left")).pipe(Stream.ensuring(Effect.sync(() => calls.push("end"))))
        const ask = yield* serve(
          Effect.map(HttpMiddleware.airlockStream(body), (body) => HttpServerResponse.stream(body)),
          keys({ store })
        )
        expect((yield* ask("/", post("key"))).status).toBe(200)
        expect(yield* left).toEqual(["left"])
        expect(calls).toEqual(["end", "keep", "complete"])
      }))

    test("is not run again if some effects of its body have left, and others could not", (serve) =>
      Effect.gen(function*() {
        const body = Stream.execute(Effect.zipRight(note("left"), note("fail")))
        const ask = yield* serve(
          Effect.map(HttpMiddleware.airlockStream(body), (body) => HttpServerResponse.stream(body))
        )
        yield* Effect.exit(Effect.sandbox(ask("/", post("key"))))
        expect((yield* ask("/", post("key"))).code).toBe("outcome-unknown")
        expect(yield* left).toEqual(["left"])
      }))

    // SQLite has one connection, which the transaction has.
    if (database.name !== "SQLite") {
      for (const isolation of database.name === "MySQL" ? ["REPEATABLE READ"] : ["READ COMMITTED", "REPEATABLE READ"]) {
        test(`keeps its key at once inside a transaction that is ${isolation}`, (serve) =>
          Effect.gen(function*() {
            const [kept, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
            const sql = yield* SqlClient
            // MySQL repeats reads by default, and takes the level only before a transaction.
            const isolated = sql.onDialectOrElse({
              pg: () => Effect.asVoid(sql.unsafe(`SET TRANSACTION ISOLATION LEVEL ${isolation}`)),
              orElse: () => Effect.void
            })
            const ask = yield* serve(
              isolated.pipe(
                Effect.zipRight(states),
                Effect.zipRight(Idempotency.keep),
                Effect.zipRight(Deferred.succeed(kept, void 0)),
                Effect.zipRight(Deferred.await(gate)),
                Effect.zipRight(insertOrder("a")),
                transaction,
                Effect.as(done)
              )
            )
            const request = yield* Effect.fork(ask("/", post("key")))
            yield* Deferred.await(kept)
            expect(yield* states).toEqual(["kept"])
            yield* Deferred.succeed(gate, void 0)
            expect((yield* Fiber.join(request)).text).toBe("done")
            expect(yield* orders).toEqual(["a"])
            expect((yield* ask("/", post("key"))).headers.get("idempotency-replayed")).toBe("true")
          }))
      }
    }

    for (const onStoreError of ["refuse", "open"] as const) {
      test(`${onStoreError === "open" ? "commits" : "does not commit"} if the store fails before, by \`${onStoreError}\``, (serve) =>
        Effect.gen(function*() {
          const memory = yield* Idempotency.makeMemory()
          const failing = Effect.succeed({
            ...memory,
            keep: () => Effect.fail(new Idempotency.IdempotencyStoreError({ operation: "keep", cause: "down" }))
          })
          const ask = yield* serve(
            Effect.as(transaction(insertOrder("a")), done),
            keys({ store: failing, onStoreError })
          )
          const isOpen = onStoreError === "open"
          expect((yield* ask("/", post("key"))).status).toBe(isOpen ? 200 : 500)
          expect(yield* orders).toEqual(isOpen ? ["a"] : [])
          const again = yield* ask("/", post("key"))
          expect(again.headers.get("idempotency-replayed")).toBe(isOpen ? "true" : null)
        }))
    }

    test("is refused if the middleware stands inside a transaction", (serve) =>
      Effect.gen(function*() {
        const ask = yield* serve(done, (app) => HttpTransaction.perRequest(keys()(app)) as App)
        expect((yield* ask("/", post("key"))).status).toBe(500)
        expect(yield* states).toEqual([])
      }))

    for (
      const [what, expected, handler, middleware] of [
        ["a statement", ["INSERT", "UPDATE"], insertOrder("a"), undefined],
        ["a transaction", ["INSERT", "UPDATE", "UPDATE"], transaction(insertOrder("a")), undefined],
        [
          "a transaction per request",
          ["INSERT", "UPDATE"],
          insertOrder("a"),
          (app: App) => keys()(HttpTransaction.perRequest(app) as App)
        ]
      ] as const
    ) {
      it.scopedLive(`costs ${expected.length} statements with ${what}, for a new key`, () =>
        Effect.gen(function*() {
          yield* freshKeys
          const statements: Array<string> = []
          const tracer = Tracer.make({
            span: (name, parent, context, links, startTime, kind) => {
              const attributes = new Map<string, unknown>()
              return {
                _tag: "Span",
                name,
                spanId: "1",
                traceId: "1",
                parent,
                context,
                links: [...links],
                status: { _tag: "Started", startTime },
                attributes,
                sampled: true,
                kind,
                addLinks: () => {},
                end: () => {},
                event: () => {},
                attribute: (key, value) => {
                  attributes.set(key, value)
                  if (String(value).includes("airlock_idempotency") && key === "db.query.text") {
                    statements.push(String(value).split(" ")[0]!)
                  }
                }
              }
            },
            context: (f) => f()
          })
          const context = yield* Effect.context<SqlClient | Airlock.Airlock | Left>()
          const services = Layer.orDie(
            IdempotencySql.layer().pipe(
              Layer.provideMerge(Layer.succeedContext(context)),
              Layer.provideMerge(Layer.setTracer(tracer))
            )
          )
          const ask = yield* node.serve(posting(Effect.as(handler, done)), middleware ?? keys(), services)
          statements.length = 0
          expect((yield* ask("/", post("key"))).text).toBe("done")
          expect(statements).toEqual(expected)
        }).pipe(Effect.provide(Layer.orDie(decorated(database)))))
    }
  })
})
