import {
  HttpApp,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Option, Schema, Stream } from "effect"
import type { Airlock, AirlockScope } from "effect-airlock"
import { HttpMiddleware } from "effect-airlock"
import * as HttpTransaction from "effect-airlock/HttpTransaction"
import type { IncomingMessage } from "node:http"
import { serving, status } from "./support/http.js"
import { left, note } from "./support/recorder.js"
import { insertLine, insertOrder, layer, orders, undecorated } from "./support/sqlite.js"

type Router = HttpRouter.HttpRouter<unknown, Airlock.Airlock | AirlockScope | SqlClient.SqlClient>
type Serve = (
  router: Router
) => Layer.Layer<never, never, HttpServer.HttpServer | Airlock.Airlock | SqlClient.SqlClient>

const { perRequest } = HttpTransaction
const { airlock } = HttpMiddleware

/** Every way to combine `HttpTransaction.perRequest` and `HttpMiddleware.airlock`. */
const arrangements: Record<string, Serve> = {
  "both at the server, the transaction outside": HttpServer.serve((app) => perRequest(airlock(app))),
  "both at the server, the transaction inside": HttpServer.serve((app) => airlock(perRequest(app))),
  "both at the router, the transaction outside": (router) =>
    router.pipe(HttpRouter.use(airlock), HttpRouter.use(perRequest), HttpServer.serve()),
  "both at the router, the transaction inside": (router) =>
    router.pipe(HttpRouter.use(perRequest), HttpRouter.use(airlock), HttpServer.serve()),
  "the transaction at the router, airlock at the server": (router) =>
    router.pipe(HttpRouter.use(perRequest), HttpServer.serve(airlock)),
  "the transaction at the server, airlock at the router": (router) =>
    router.pipe(HttpRouter.use(airlock), HttpServer.serve(perRequest)),
  "two transactions, of which the inner one is a savepoint": (router) =>
    router.pipe(HttpRouter.use(perRequest), HttpServer.serve((app) => perRequest(airlock(app))))
}

class Elsewhere extends Schema.TaggedError<Elsewhere>()("Elsewhere", {}) {
  [HttpServerRespondable.symbol]() {
    return HttpServerResponse.empty({ status: 302 })
  }
}

const endings: Record<
  string,
  { readonly end: Effect.Effect<HttpServerResponse.HttpServerResponse, unknown>, readonly status: number }
> = {
  "200": { end: HttpServerResponse.empty({ status: 200 }), status: 200 },
  "303": { end: HttpServerResponse.empty({ status: 303 }), status: 303 },
  "400": { end: HttpServerResponse.empty({ status: 400 }), status: 400 },
  "500": { end: HttpServerResponse.empty({ status: 500 }), status: 500 },
  fail: { end: Effect.fail("no"), status: 500 },
  "302-by-failure": { end: new Elsewhere(), status: 302 },
  die: { end: Effect.die("no"), status: 500 },
  "303-by-defect": { end: Effect.die(HttpServerResponse.empty({ status: 303 })), status: 303 },
  interrupt: { end: Effect.interrupt, status: 503 }
}

const quiet = Logger.remove(Logger.defaultLogger)

for (const [arrangement, serve] of Object.entries(arrangements)) {
  describe(`one transaction for each request, ${arrangement},`, () => {
    it.scopedLive("commits the rows and dispatches the intents, or does neither", () =>
      Effect.gen(function*() {
        const router = Object.entries(endings).reduce<Router>(
          (router, [path, { end }]) =>
            HttpRouter.get(
              router,
              `/${path}`,
              insertOrder(path).pipe(Effect.zipRight(note(path)), Effect.zipRight(end))
            ),
          HttpRouter.empty
        )
        const base = yield* serving(serve(router))
        for (const [path, ending] of Object.entries(endings)) {
          expect([path, yield* status(base, `/${path}`)]).toEqual([path, ending.status])
        }
        const good = Object.keys(endings).filter((path) => endings[path]!.status < 400)
        expect(yield* orders).toEqual([...good].sort())
        expect(yield* left).toEqual(good)
      }).pipe(Effect.provide([layer, quiet])))

    it.scopedLive("gives the client a 500 response if the COMMIT is refused, and nothing leaves", () =>
      Effect.gen(function*() {
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/",
            insertLine("line", "no such order").pipe(
              Effect.zipRight(note("line")),
              Effect.zipRight(HttpServerResponse.text("done"))
            )
          ),
          HttpRouter.get("/fine", insertOrder("fine").pipe(Effect.zipRight(HttpServerResponse.empty())))
        )
        const base = yield* serving(serve(router))
        expect(yield* status(base, "/")).toBe(500)
        expect(yield* left).toEqual([])
        expect(yield* status(base, "/fine")).toBe(204)
        expect(yield* orders).toEqual(["fine"])
      }).pipe(Effect.provide([layer, quiet])))

    it.scopedLive("rolls back and discards if the client aborts the request", () =>
      Effect.gen(function*() {
        const [begun, ended] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/",
            Effect.addFinalizer(() => Deferred.succeed(ended, void 0)).pipe(
              Effect.zipRight(insertOrder("left")),
              Effect.zipRight(note("left")),
              Effect.zipRight(Deferred.succeed(begun, void 0)),
              Effect.zipRight(Effect.never)
            )
          )
        )
        const base = yield* serving(serve(router))
        const request = yield* Effect.fork(status(base, "/"))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(request)
        yield* Deferred.await(ended)
        expect(yield* orders).toEqual([])
        expect(yield* left).toEqual([])
      }).pipe(Effect.provide([layer, quiet])))

    it.scopedLive("does not include a streamed body", () =>
      Effect.gen(function*() {
        const inTransaction = Effect.map(
          Effect.context<never>(),
          (context) => `${Option.isSome(Context.getOption(context, SqlClient.TransactionConnection))}`
        )
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/",
            Effect.gen(function*() {
              const inside = yield* inTransaction
              const own = yield* HttpMiddleware.airlockStream(Stream.concat(
                Stream.fromEffect(inTransaction),
                Stream.execute(Effect.zipRight(insertOrder("of the body"), note("of the body")))
              ))
              return HttpServerResponse.stream(
                Stream.encodeText(
                  Stream.concat(Stream.make(inside), Stream.concat(Stream.fromEffect(inTransaction), own))
                )
              )
            })
          )
        )
        const base = yield* serving(serve(router))
        const response = yield* Effect.promise(() => fetch(base))
        expect(yield* Effect.promise(() => response.text())).toBe("truefalsefalse")
        expect(yield* orders).toEqual(["of the body"])
        expect(yield* left).toEqual(["of the body"])
      }).pipe(Effect.provide([layer, quiet])))
  })
}

describe("HttpTransaction.perRequest", () => {
  it.scopedLive("runs concurrent requests, each in a transaction of its own", () =>
    Effect.gen(function*() {
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get(
          "/:n",
          Effect.flatMap(HttpRouter.params, ({ n }) =>
            insertOrder(n!).pipe(
              Effect.zipRight(note(n!)),
              Effect.zipRight(Effect.yieldNow()),
              Effect.zipRight(HttpServerResponse.empty({ status: Number(n) % 2 === 0 ? 204 : 409 }))
            ))
        )
      )
      const base = yield* serving(HttpServer.serve(router, (app) => airlock(perRequest(app))))
      const all = Array.from({ length: 40 }, (_, n) => n)
      yield* Effect.forEach(all, (n) => status(base, `/${n}`), { concurrency: "unbounded" })
      const even = all.filter((n) => n % 2 === 0).map(String).sort()
      expect(yield* orders).toEqual(even)
      expect([...(yield* left)].sort()).toEqual(even)
    }).pipe(Effect.provide([layer, quiet])))

  it.scopedLive("passes on a typed failure, with the SqlError of the refused COMMIT after it", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const seeing = <E, R>(app: HttpApp.Default<E, R>) =>
        Effect.tapErrorCause(app, (cause) => Effect.sync(() => seen.push(Cause.pretty(cause))))
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.zipRight(insertLine("line", "no such order"), new Elsewhere())),
        HttpRouter.use(perRequest),
        HttpRouter.use(seeing)
      )
      const base = yield* serving(HttpServer.serve(router, airlock))
      expect(yield* status(base, "/")).toBe(500)
      expect(seen).toEqual([expect.stringMatching(/Elsewhere[\s\S]*SqlError/)])
    }).pipe(Effect.provide([layer, quiet])))

  it.scopedLive("releases the connection if the client aborts the request before the transaction has begun", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [held, free] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const holder = yield* Effect.fork(
        sql.withTransaction(Effect.zipRight(Deferred.succeed(held, void 0), Deferred.await(free)))
      )
      yield* Deferred.await(held)
      const arrived = yield* Deferred.make<void>()
      const gone = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.as(insertOrder("never"), HttpServerResponse.empty()))
      )
      const base = yield* serving(
        HttpServer.serve(router, (app) =>
          Effect.addFinalizer(() => Deferred.succeed(ended, void 0)).pipe(
            Effect.zipRight(HttpServerRequest.HttpServerRequest),
            Effect.tap(({ source }) => {
              const { socket } = source as IncomingMessage
              socket.once("close", () => setImmediate(() => Deferred.unsafeDone(gone, Exit.void)))
              return Deferred.succeed(arrived, void 0)
            }),
            Effect.zipRight(Effect.interruptible(perRequest(airlock(app))))
          ))
      )
      const request = yield* Effect.fork(status(base, "/"))
      yield* Deferred.await(arrived)
      yield* Fiber.interrupt(request)
      yield* Deferred.await(gone)
      yield* Deferred.succeed(free, void 0)
      yield* Fiber.join(holder)
      yield* Deferred.await(ended)
      expect(yield* orders).toEqual([])
      // A fiber that still waited for the connection would have it by now.
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* sql.withTransaction(insertOrder("next"))
      expect(yield* orders).toEqual(["next"])
    }).pipe(Effect.provide([layer, quiet])))

  it.scopedLive("works with an undecorated client if nothing is enqueued in the transaction", () =>
    Effect.gen(function*() {
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/kept", Effect.as(insertOrder("kept"), HttpServerResponse.empty())),
        HttpRouter.get("/refused", Effect.as(insertOrder("refused"), HttpServerResponse.empty({ status: 400 })))
      )
      for (
        const serve of [HttpServer.serve(router, perRequest), HttpServer.serve(HttpRouter.use(router, perRequest))]
      ) {
        const base = yield* serving(serve)
        expect([yield* status(base, "/kept"), yield* status(base, "/refused")]).toEqual([204, 400])
        expect(yield* orders).toEqual(["kept"])
        yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM orders`)
      }
    }).pipe(Effect.provide([undecorated, quiet])))
})
