import {
  HttpLayerRouter,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Logger, Option, Runtime, Schema, Stream } from "effect"
import type { AirlockScope } from "effect-airlock"
import { Airlock, AirlockError, Executor, HttpMiddleware, Plan, Policy, Task } from "effect-airlock"
import type { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { serving, status } from "./support/http.js"
import { layer, left, note } from "./support/recorder.js"
import { insertOrder, layer as sqlite } from "./support/sqlite.js"

class Teapot extends Schema.TaggedError<Teapot>()("Teapot", {}) {
  [HttpServerRespondable.symbol]() {
    return HttpServerResponse.empty({ status: 418 })
  }
}

class Elsewhere extends Schema.TaggedError<Elsewhere>()("Elsewhere", {}) {
  [HttpServerRespondable.symbol]() {
    return HttpServerResponse.empty({ status: 302 })
  }
}

/** The ways in which a handler can end, the status that the client gets, and whether the intent leaves. */
const endings: Record<string, {
  readonly end: Effect.Effect<HttpServerResponse.HttpServerResponse, unknown>
  readonly status: number
  readonly leaves: boolean
}> = {
  "200": { end: HttpServerResponse.text("ok"), status: 200, leaves: true },
  "204": { end: HttpServerResponse.empty(), status: 204, leaves: true },
  "302": { end: HttpServerResponse.redirect("/"), status: 302, leaves: true },
  "304": { end: HttpServerResponse.empty({ status: 304 }), status: 304, leaves: true },
  "400": { end: HttpServerResponse.empty({ status: 400 }), status: 400, leaves: false },
  "404": { end: HttpServerResponse.empty({ status: 404 }), status: 404, leaves: false },
  "500": { end: HttpServerResponse.empty({ status: 500 }), status: 500, leaves: false },
  fail: { end: Effect.fail("no"), status: 500, leaves: false },
  respondable: { end: new Teapot(), status: 418, leaves: false },
  "respondable-302": { end: new Elsewhere(), status: 302, leaves: true },
  die: { end: Effect.die("no"), status: 500, leaves: false },
  "die-response": { end: Effect.die(HttpServerResponse.empty({ status: 403 })), status: 403, leaves: false },
  "die-redirect": { end: Effect.die(HttpServerResponse.empty({ status: 303 })), status: 303, leaves: true },
  interrupt: { end: Effect.interrupt, status: 503, leaves: false }
}

type Router = HttpRouter.HttpRouter<unknown, Airlock.Airlock | AirlockScope>

const positions: Record<
  string,
  (router: Router) => Layer.Layer<never, never, HttpServer.HttpServer | Airlock.Airlock>
> = {
  "HttpServer.serve": (router) => router.pipe(HttpServer.serve(HttpMiddleware.airlock)),
  "HttpRouter.use": (router) => router.pipe(HttpRouter.use(HttpMiddleware.airlock), HttpServer.serve()),
  both: (router) => router.pipe(HttpRouter.use(HttpMiddleware.airlock), HttpServer.serve(HttpMiddleware.airlock))
}

const Probe = Task.make("Probe", { payload: Schema.Void })

/** Waits until the server has seen that the client closed the connection. */
const connectionClosed = Effect.flatMap(
  HttpServerRequest.HttpServerRequest,
  ({ source }) =>
    Effect.promise(() =>
      new Promise<void>((resolve) => {
        const { socket } = source as IncomingMessage
        socket.once("close", () => setImmediate(resolve))
      })
    )
)

const quiet = Logger.remove(Logger.defaultLogger)

for (const [position, serve] of Object.entries(positions)) {
  describe(`a request's scope, with the middleware at ${position}`, () => {
    it.scopedLive("settles by the status of the response, before the client has it", () =>
      Effect.gen(function*() {
        const router = Object.entries(endings).reduce<Router>(
          (router, [path, { end }]) => HttpRouter.get(router, `/${path}`, Effect.zipRight(note(`at ${path}`), end)),
          HttpRouter.empty
        )
        const base = yield* serving(serve(router))
        const expected: Array<string> = []
        for (const [path, ending] of Object.entries(endings)) {
          expect([path, yield* status(base, `/${path}`)]).toEqual([path, ending.status])
          if (ending.leaves) {
            expected.push(`at ${path}`)
          }
          expect([path, yield* left]).toEqual([path, expected])
        }
        expect(yield* status(base, "/missing")).toBe(404)
      }).pipe(Effect.provide([layer(), quiet])))

    it.scopedLive("runs its handlers before the first byte of the response is sent", () =>
      Effect.gen(function*() {
        const sockets: Array<Socket> = []
        const sent: Array<number> = []
        const Probed = Probe.toLayer(() =>
          Effect.zipRight(
            Effect.promise(() => new Promise((resolve) => setImmediate(resolve))),
            Effect.sync(() => sent.push(sockets[0]!.bytesWritten))
          )
        )
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/",
            Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ source }) => {
              sockets.push((source as IncomingMessage).socket)
              return Effect.zipRight(Airlock.enqueue(Probe, undefined), HttpServerResponse.text("ok"))
            })
          )
        )
        yield* Effect.gen(function*() {
          const base = yield* serving(serve(router))
          expect(yield* status(base, "/")).toBe(200)
        }).pipe(Effect.provide(Probed))
        expect(sent).toEqual([0])
      }).pipe(Effect.provide([layer(), quiet])))

    it.scopedLive("discards its intents if the client aborts the request", () =>
      Effect.gen(function*() {
        const [begun, ended] = yield* Effect.all([Deferred.make<void>(), Deferred.make<Exit.Exit<unknown, unknown>>()])
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/slow",
            note("aborted").pipe(
              Effect.zipRight(Deferred.succeed(begun, void 0)),
              Effect.zipRight(Effect.never),
              Effect.onExit((exit) => Deferred.succeed(ended, exit))
            )
          ),
          HttpRouter.get("/fine", Effect.zipRight(note("fine"), HttpServerResponse.empty()))
        )
        const base = yield* serving(serve(router))
        const request = yield* Effect.fork(status(base, "/slow"))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(request)
        const exit = yield* Deferred.await(ended)
        expect(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)).toBe(true)
        expect(yield* status(base, "/fine")).toBe(204)
        expect(yield* left).toEqual(["fine"])
      }).pipe(Effect.provide([layer(), quiet])))

    it.scopedLive("discards its intents if the client aborts the request in an uninterruptible region", () =>
      Effect.gen(function*() {
        const [begun, settled] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/slow",
            Effect.gen(function*() {
              // The request's Effect Scope closes after its scope has settled.
              yield* Effect.addFinalizer(() => Deferred.succeed(settled, void 0))
              yield* note("aborted")
              yield* Deferred.succeed(begun, void 0)
              yield* connectionClosed
              return HttpServerResponse.empty()
            }).pipe(Effect.uninterruptible)
          )
        )
        const base = yield* serving(serve(router))
        const request = yield* Effect.fork(status(base, "/slow"))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(request)
        yield* Deferred.await(settled)
        expect(yield* left).toEqual([])
      }).pipe(Effect.provide([layer(), quiet])))

    it.scopedLive("never mixes its intents with those of 200 concurrent requests", () =>
      Effect.gen(function*() {
        const together = yield* Effect.makeLatch()
        let waiting = 0
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/:n",
            Effect.gen(function*() {
              const { n } = yield* HttpRouter.params
              yield* note(`${n} first`)
              waiting++
              if (waiting === 200) {
                yield* together.open
              }
              yield* together.await
              yield* Airlock.scoped(note(`${n} second`))
              const texts = (yield* Airlock.intents).map((intent) => (intent.payload as { text: string }).text)
              return yield* HttpServerResponse.json(texts, { status: Number(n) % 2 === 0 ? 200 : 409 })
            })
          )
        )
        const base = yield* serving(serve(router))
        yield* Effect.forEach(
          Array.from({ length: 200 }, (_, n) => n),
          (n) =>
            Effect.promise(async () => {
              const response = await fetch(`${base}/${n}`)
              expect(await response.json()).toEqual([`${n} first`, `${n} second`])
            }),
          { concurrency: "unbounded" }
        )
        const even = Array.from({ length: 100 }, (_, n) => [`${2 * n} first`, `${2 * n} second`]).flat()
        expect((yield* left).sort()).toEqual(even.sort())
      }).pipe(Effect.provide([layer(), quiet])))

    it.scopedLive("settles independently of a scope that the server was built in", () =>
      Effect.gen(function*() {
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get("/", Effect.zipRight(note("request"), HttpServerResponse.empty()))
        )
        const program = Effect.gen(function*() {
          const base = yield* serving(serve(router))
          const before = (yield* left).length
          expect(yield* status(base, "/")).toBe(204)
          expect((yield* left).length).toBe(before + 1)
          return yield* Airlock.intents
        })
        expect(yield* program.pipe(Airlock.scoped)).toEqual([])
        expect(yield* Effect.exit(Airlock.scoped(Effect.zipRight(program, Effect.fail("no"))))).toEqual(Exit.fail("no"))
        expect(yield* left).toEqual(["request", "request"])
      }).pipe(Effect.provide([layer(), quiet])))

    it.scopedLive("logs an intent that could not leave, and does not change the response", () =>
      Effect.gen(function*() {
        const logs: Array<unknown> = []
        const logger = Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ cause, logLevel }) => {
            if (logLevel._tag === "Error") {
              logs.push(Cause.pretty(cause))
            }
          })
        )
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get("/", Effect.zipRight(note("fail"), HttpServerResponse.empty()))
        )
        const base = yield* serving(serve(router)).pipe(Effect.provide(logger))
        expect(yield* status(base, "/")).toBe(204)
        expect(logs).toEqual([expect.stringContaining("1 intent(s) of the scope \"GET /\" did not leave")])
      }).pipe(Effect.provide(layer())))
  })
}

describe("a server that is built in a request of another one", () => {
  it.scopedLive.each(Object.entries(positions))(
    "settles its requests independently of that request",
    ([, serve]) =>
      Effect.gen(function*() {
        const inner: Router = HttpRouter.empty.pipe(
          HttpRouter.get("/", Effect.zipRight(note("inner"), HttpServerResponse.empty()))
        )
        const outer: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/",
            Effect.gen(function*() {
              yield* note("outer")
              const base = yield* serving(serve(inner))
              return HttpServerResponse.empty({ status: (yield* status(base, "/")) === 204 ? 409 : 500 })
            })
          )
        )
        const base = yield* serving(serve(outer))
        expect(yield* status(base, "/")).toBe(409)
        expect(yield* left).toEqual(["inner"])
      }).pipe(Effect.provide([layer(), quiet]))
  )
})

describe("HttpMiddleware.airlockWith", () => {
  it.scopedLive("shouldFlush gets the request and the response, and decides", () =>
    Effect.gen(function*() {
      const audit = HttpMiddleware.airlockWith({
        name: "audited",
        shouldFlush: (request, response) => request.method === "GET" && response.status === 404
      })
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/missing", Effect.zipRight(note("audit"), HttpServerResponse.empty({ status: 404 }))),
        HttpRouter.get("/found", Effect.zipRight(note("none"), HttpServerResponse.empty()))
      )
      const base = yield* serving(router.pipe(HttpServer.serve(audit)))
      yield* status(base, "/missing")
      yield* status(base, "/found")
      expect(yield* left).toEqual(["audit"])
    }).pipe(Effect.provide([layer(), quiet])))

  for (const [how, end] of Object.entries({ interrupts: Effect.never, "does not interrupt": connectionClosed })) {
    it.scopedLive(`shouldFlush is obeyed if the client disconnects, which ${how} the handler`, () =>
      Effect.gen(function*() {
        const [begun, settled] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        const seen: Array<unknown> = []
        const always = HttpMiddleware.airlockWith({
          shouldFlush: (_request, _response, exit) => {
            seen.push(Exit.isInterrupted(exit))
            return true
          }
        })
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/",
            Effect.gen(function*() {
              yield* Effect.addFinalizer(() => Deferred.succeed(settled, void 0))
              yield* note("done")
              yield* Deferred.succeed(begun, void 0)
              yield* end
              return HttpServerResponse.empty()
            }).pipe(end === connectionClosed ? Effect.uninterruptible : Effect.interruptible)
          )
        )
        const base = yield* serving(router.pipe(HttpRouter.use(always), HttpServer.serve()))
        const request = yield* Effect.fork(status(base, "/"))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(request)
        yield* Deferred.await(settled)
        expect([seen, yield* left]).toEqual([[true], ["done"]])
      }).pipe(Effect.provide([layer(), quiet])))
  }

  it.scopedLive("a policy can need the request, so that a header asks for a dry run", () =>
    Effect.gen(function*() {
      const dryRun = Policy.make({
        name: "dryRun",
        allows: () =>
          Effect.map(
            HttpServerRequest.HttpServerRequest,
            ({ headers }) => "x-dry-run" in headers ? { drop: "a dry run" } : true as const
          )
      })
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get(
          "/:text",
          Effect.flatMap(HttpRouter.params, ({ text }) => note(text!)).pipe(
            Effect.zipRight(HttpServerResponse.empty())
          )
        )
      )
      const policy = { policy: dryRun }
      const places: ReadonlyArray<Layer.Layer<never, never, HttpServer.HttpServer | Airlock.Airlock>> = [
        router.pipe(HttpServer.serve(HttpMiddleware.airlockWith(policy))),
        router.pipe(HttpRouter.use(HttpMiddleware.airlockWith(policy)), HttpServer.serve()),
        HttpLayerRouter.serve(
          HttpLayerRouter.add("GET", "/:text", Effect.zipRight(note("layered"), HttpServerResponse.empty())).pipe(
            Layer.provide(HttpMiddleware.airlockRouterWith(policy).layer)
          )
        )
      ]
      for (const place of places) {
        const base = yield* serving(place)
        expect(yield* status(base, "/dry", { headers: { "x-dry-run": "1" } })).toBe(204)
        expect(yield* status(base, "/wet")).toBe(204)
      }
      expect(yield* left).toEqual(["wet", "wet", "layered"])
    }).pipe(Effect.provide([layer(), quiet])))

  it.scopedLive("the application's shouldFlush gets a failure for a status of 400 or more, and airlockWith overrides it", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const App = layer({
        scope: {
          shouldFlush: (exit) => {
            seen.push(exit._tag)
            return Exit.isFailure(exit)
          }
        }
      })
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/200", Effect.zipRight(note("200"), HttpServerResponse.text("ok"))),
        HttpRouter.get("/404", Effect.zipRight(note("404"), HttpServerResponse.empty({ status: 404 }))),
        HttpRouter.get("/302", Effect.zipRight(note("302"), new Elsewhere()))
      )
      const own = HttpMiddleware.airlockWith({ shouldFlush: (_, response) => response.status === 200 })
      yield* Effect.gen(function*() {
        for (const airlock of [HttpMiddleware.airlock, own]) {
          const base = yield* serving(router.pipe(HttpRouter.use(airlock), HttpServer.serve()))
          for (const path of ["/200", "/404", "/302"]) {
            yield* status(base, path)
          }
        }
        expect(seen).toEqual(["Success", "Failure", "Success"])
        expect(yield* left).toEqual(["404", "200"])
      }).pipe(Effect.provide([App, quiet]))
    }))

  it.scopedLive("a shouldFlush that throws discards the intents, and does not change the response", () =>
    Effect.gen(function*() {
      const broken = HttpMiddleware.airlockWith({
        shouldFlush: () => {
          throw new Error("oops")
        }
      })
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.zipRight(note("a"), HttpServerResponse.empty()))
      )
      const base = yield* serving(router.pipe(HttpServer.serve(broken)))
      expect(yield* status(base, "/")).toBe(204)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide([layer(), quiet])))

  it.scopedLive("the policy applies to the requests' intents", () =>
    Effect.gen(function*() {
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.zipRight(note("a"), HttpServerResponse.empty()))
      )
      const base = yield* serving(router.pipe(HttpServer.serve(HttpMiddleware.airlockWith({ policy: Policy.dropAll }))))
      expect(yield* status(base, "/")).toBe(204)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide([layer(), quiet])))

  it.scopedLive("the executor dispatches the requests' intents, and the name is that of their scopes", () =>
    Effect.gen(function*() {
      const carried: Array<string> = []
      const executor = Executor.make({
        name: "carrier",
        dispatch: (intents) =>
          Effect.flatMap(Effect.void, () => {
            carried.push("carried")
            return Effect.succeed(intents.map(() => Exit.void))
          })
      })
      const names: Array<string> = []
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get(
          "/",
          Effect.gen(function*() {
            yield* note("a")
            names.push(Option.getOrThrow(yield* Airlock.current).name)
            return HttpServerResponse.empty()
          })
        )
      )
      const base = yield* serving(
        router.pipe(HttpServer.serve(HttpMiddleware.airlockWith({ name: "api", executor })))
      )
      yield* status(base, "/")
      expect([carried, names, yield* left]).toEqual([["carried"], ["api"], []])
    }).pipe(Effect.provide([layer(), quiet])))

  it.scopedLive("an outer scope that other middleware opened for the request decides too", () =>
    Effect.gen(function*() {
      const route: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.zipRight(note("a"), HttpServerResponse.empty())),
        HttpRouter.use(HttpMiddleware.airlock)
      )
      const dropping = route.pipe(HttpRouter.use((app) => app.pipe(Airlock.scoped({ policy: Policy.dropAll }))))
      expect(yield* status(yield* serving(dropping.pipe(HttpServer.serve())), "/")).toBe(204)
      const failing = route.pipe(HttpRouter.use((app) => Effect.zipRight(app, Effect.fail("no")).pipe(Airlock.scoped)))
      expect(yield* status(yield* serving(failing.pipe(HttpServer.serve())), "/")).toBe(500)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide([layer(), quiet])))

  it.scopedLive("a transaction for each request can be outside or inside the request's scope", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const route = (text: string, status: number): Router =>
        HttpRouter.empty.pipe(
          HttpRouter.get(
            "/",
            Effect.zipRight(
              insertOrder(text).pipe(Effect.provideService(SqlClient.SqlClient, sql)),
              Effect.zipRight(note(text), HttpServerResponse.empty({ status }))
            )
          )
        )
      const around = route("around", 200).pipe(
        HttpRouter.use(HttpMiddleware.airlock),
        HttpRouter.use(sql.withTransaction)
      )
      const inside = route("inside", 200).pipe(
        HttpRouter.use(sql.withTransaction),
        HttpRouter.use(HttpMiddleware.airlock)
      )
      const refused = route("refused", 409).pipe(
        HttpRouter.use(HttpMiddleware.airlock),
        HttpRouter.use(sql.withTransaction)
      )
      for (const [router, expected] of [[around, 200], [inside, 200], [refused, 409]] as const) {
        expect(yield* status(yield* serving(router.pipe(HttpServer.serve())), "/")).toBe(expected)
      }
      expect(yield* left).toEqual(["around", "inside"])
    }).pipe(Effect.provide([sqlite, quiet])))

  it.scopedLive("the outer placement decides if a mounted router and a scope are between two placements", () =>
    Effect.gen(function*() {
      const inner: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/deep", Effect.zipRight(note("a"), HttpServerResponse.empty())),
        HttpRouter.use(HttpMiddleware.airlock),
        HttpRouter.use(Airlock.scoped)
      )
      const router = HttpRouter.empty.pipe(HttpRouter.mount("/api", inner))
      const refusing = HttpMiddleware.airlockWith({ shouldFlush: () => false })
      expect(yield* status(yield* serving(router.pipe(HttpServer.serve(refusing))), "/api/deep")).toBe(204)
      expect(yield* left).toEqual([])
      expect(yield* status(yield* serving(router.pipe(HttpServer.serve(HttpMiddleware.airlock))), "/api/deep")).toBe(
        204
      )
      expect(yield* left).toEqual(["a"])
    }).pipe(Effect.provide([layer(), quiet])))

  it.scopedLive("the outer placement decides if the middleware is placed at the router and at the server", () =>
    Effect.gen(function*() {
      // The route succeeds. Middleware outside turns its response into a failure before it is sent.
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.zipRight(note("a"), HttpServerResponse.empty())),
        HttpRouter.use(HttpMiddleware.airlock),
        HttpRouter.use((app) => Effect.as(app, HttpServerResponse.empty({ status: 502 })))
      )
      const base = yield* serving(router.pipe(HttpServer.serve(HttpMiddleware.airlock)))
      expect(yield* status(base, "/")).toBe(502)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide([layer(), quiet])))
})

/** An executor that fails every intent. */
const failing = (durable: boolean) =>
  Executor.make({
    name: "queue",
    durable,
    dispatch: (intents) =>
      Effect.succeed(
        intents.map((intent) => Exit.fail(new AirlockError.DispatchError({ task: intent.task.name, cause: "down" })))
      )
  })

const errorsIn = (logs: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ cause, logLevel }) => {
      if (logLevel._tag === "Error") {
        logs.push(Cause.pretty(cause))
      }
    })
  )

describe("a flush that fails", () => {
  for (const [position, serve] of Object.entries(positions)) {
    it.scopedLive(`is one 500 response at ${position} if the executor is durable, whatever the app had answered`, () => {
      const logs: Array<string> = []
      return Effect.gen(function*() {
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get("/ok", Effect.zipRight(note("a"), HttpServerResponse.text("done", { status: 201 }))),
          HttpRouter.get("/moved", Effect.zipRight(note("a"), Effect.die(HttpServerResponse.empty({ status: 303 })))),
          HttpRouter.get("/failed", Effect.zipRight(note("a"), new Elsewhere())),
          HttpRouter.get("/none", HttpServerResponse.text("none"))
        )
        const base = yield* serving(serve(router))
        for (const path of ["/ok", "/moved", "/failed"]) {
          const response = yield* Effect.promise(() => fetch(`${base}${path}`, { redirect: "manual" }))
          expect([path, response.status, yield* Effect.promise(() => response.text())]).toEqual([path, 500, ""])
        }
        expect(yield* status(base, "/none")).toBe(200)
        expect(logs.filter((log) => log.includes("did not leave")).length).toBe(3)
      }).pipe(Effect.provide([layer({ executor: failing(true) }), errorsIn(logs)]))
    })
  }

  it.scopedLive("gives the client the response that onFlushError returns", () => {
    const logs: Array<string> = []
    return Effect.gen(function*() {
      const telling = HttpMiddleware.airlockWith({
        onFlushError: (error, response) =>
          HttpServerResponse.unsafeJson({ lost: error.failures.map(({ task }) => task), was: response.status }, {
            status: 502
          })
      })
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.zipRight(note("a"), HttpServerResponse.empty({ status: 201 })))
      )
      for (const serve of [HttpServer.serve(router, telling), HttpServer.serve(HttpRouter.use(router, telling))]) {
        const base = yield* serving(serve)
        const response = yield* Effect.promise(() => fetch(base))
        expect([response.status, yield* Effect.promise(() => response.json())]).toEqual([
          502,
          { lost: ["Note"], was: 201 }
        ])
      }
      expect(logs.length).toBe(2)
    }).pipe(Effect.provide([layer({ executor: failing(false) }), errorsIn(logs)]))
  })

  it.scopedLive("gives the client a 500 response if onFlushError throws, and is logged all the same", () => {
    const logs: Array<string> = []
    return Effect.gen(function*() {
      const broken = HttpMiddleware.airlockWith({
        onFlushError: () => {
          throw new Error("oops")
        }
      })
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.zipRight(note("a"), HttpServerResponse.empty()))
      )
      expect(yield* status(yield* serving(HttpServer.serve(router, broken)), "/")).toBe(500)
      expect(logs.filter((log) => log.includes("did not leave")).length).toBe(1)
    }).pipe(Effect.provide([layer({ executor: failing(false) }), errorsIn(logs)]))
  })
})

describe("the middleware placed twice at the server", () => {
  it.scopedLive("hands the inner scope's intents to the outer scope, which dispatches all once, in order", () =>
    Effect.gen(function*() {
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.zipRight(note("route"), HttpServerResponse.empty()))
      )
      const twice = (outer: typeof HttpMiddleware.airlock) =>
        HttpServer.serve(router, (app) => outer(Effect.zipRight(note("between"), HttpMiddleware.airlock(app))))
      expect(yield* status(yield* serving(twice(HttpMiddleware.airlock)), "/")).toBe(204)
      expect(yield* left).toEqual(["between", "route"])
      const refusing = HttpMiddleware.airlockWith({ shouldFlush: () => false })
      expect(yield* status(yield* serving(twice(refusing)), "/")).toBe(204)
      expect(yield* left).toEqual(["between", "route"])
    }).pipe(Effect.provide([layer(), quiet])))

  it.scopedLive("gives one 500 response and one log line if no intent can be made durable", () => {
    const logs: Array<string> = []
    return Effect.gen(function*() {
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get("/", Effect.zipRight(note("a"), HttpServerResponse.empty()))
      )
      const base = yield* serving(
        HttpServer.serve(router, (app) => HttpMiddleware.airlock(HttpMiddleware.airlock(app)))
      )
      expect(yield* status(base, "/")).toBe(500)
      expect(logs.length).toBe(1)
    }).pipe(Effect.provide([layer({ executor: failing(true) }), errorsIn(logs)]))
  })
})

describe("a server that is built inside a scope", () => {
  it.scopedLive.each(Object.entries(positions))(
    "refuses what a request enqueues after its response, by its runtime or in a finalizer, and does not feed that scope, at %s",
    ([, serve]) =>
      Effect.gen(function*() {
        const late: Array<Exit.Exit<unknown, unknown>> = []
        const finalized = yield* Deferred.make<void>()
        const runtimes: Array<Runtime.Runtime<AirlockScope>> = []
        const router: Router = HttpRouter.empty.pipe(HttpRouter.get(
          "/",
          Effect.gen(function*() {
            runtimes.push(yield* Effect.runtime<AirlockScope>())
            // The Effect Scope of the request closes after the response was sent.
            yield* Effect.addFinalizer(() =>
              note("in a finalizer").pipe(
                Effect.exit,
                Effect.tap((exit) => Effect.sync(() => late.push(exit))),
                Effect.zipRight(Deferred.succeed(finalized, void 0))
              )
            )
            return HttpServerResponse.empty({ status: 500 })
          })
        ))
        yield* Effect.gen(function*() {
          const base = yield* serving(serve(router))
          yield* status(base, "/")
          yield* Deferred.await(finalized)
          late.push(yield* Effect.promise(() => Runtime.runPromiseExit(runtimes[0]!)(note("by its runtime"))))
        }).pipe(Effect.scoped, Airlock.scoped)
        expect(late.map((exit) => String(exit).includes("ScopeClosedError"))).toEqual([true, true])
        expect(yield* left).toEqual([])
      }).pipe(Effect.provide([layer(), quiet]))
  )

  it.scopedLive.each(Object.entries(positions))(
    "plans its requests if that scope is a plan, at %s",
    ([, serve]) =>
      Effect.gen(function*() {
        const router: Router = HttpRouter.empty.pipe(
          HttpRouter.get(
            "/",
            Effect.zipRight(
              note("planned"),
              Effect.map(
                HttpMiddleware.airlockStream(Stream.fromEffect(Effect.as(note("in the body"), new Uint8Array(1)))),
                HttpServerResponse.stream
              )
            )
          )
        )
        const request = (base: string) => Effect.promise(async () => (await fetch(base)).arrayBuffer())
        const plan = yield* Effect.flatMap(serving(serve(router)), request).pipe(
          Effect.scoped,
          Airlock.plan
        )
        expect(plan.entries.map(({ decision, task }) => `${decision} ${task}`)).toEqual([
          "dispatch Note",
          "dispatch Note"
        ])
        expect(yield* left).toEqual([])
      }).pipe(Effect.provide([layer(), quiet]))
  )
})

describe("an app that code runs in a fiber of its own scope", () => {
  const app = Effect.zipRight(note("in the app"), HttpServerResponse.empty())

  it.scopedLive.each(Object.entries(positions))(
    "leaves the scope of that code as it was: %s",
    ([, serve]) =>
      Effect.gen(function*() {
        const router: Router = HttpRouter.empty.pipe(HttpRouter.get(
          "/",
          Effect.gen(function*() {
            yield* note("before")
            const { originalUrl } = yield* HttpServerRequest.HttpServerRequest
            const other = HttpServerRequest.fromWeb(new Request(new URL(originalUrl, "http://localhost")))
            yield* HttpMiddleware.airlock(app).pipe(
              Effect.provideService(HttpServerRequest.HttpServerRequest, other)
            )
            yield* note("after")
            return HttpServerResponse.empty()
          })
        ))
        const base = yield* serving(serve(router))
        expect(yield* status(base, "/")).toBe(204)
        expect(yield* left).toEqual(["in the app", "before", "after"])
      }).pipe(Effect.provide([layer(), quiet]))
  )
})

describe("Airlock.plan around the middleware", () => {
  it.scopedLive("plans the intents of the request, and dispatches none", () =>
    Effect.gen(function*() {
      const handled = HttpMiddleware.airlock(Effect.zipRight(note("a"), HttpServerResponse.text("ok")))
      const planned = Effect.flatMap(Airlock.plan(handled), (plan) => HttpServerResponse.json(Plan.outline(plan)))
      const base = yield* serving(HttpServer.serve(planned))
      const outline = yield* Effect.promise(() => fetch(base).then((response) => response.json()))
      expect(outline).toEqual(["dispatch Note (captured, depth 1)"])
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(layer())))
})

describe("a timeout of a request", () => {
  const slow: Router = HttpRouter.empty.pipe(
    HttpRouter.get("/slow", Effect.zipRight(note("slow"), Effect.never)),
    HttpRouter.get("/fast", Effect.zipRight(note("fast"), HttpServerResponse.empty()))
  )

  it.scopedLive("in the handler discards only the intents of the Effect that it interrupted", () =>
    Effect.gen(function*() {
      const router: Router = HttpRouter.empty.pipe(
        HttpRouter.get(
          "/",
          Effect.zipRight(note("given up"), Effect.never).pipe(
            Effect.timeoutOption("1 millis"),
            Effect.zipRight(note("kept")),
            Effect.zipRight(HttpServerResponse.empty())
          )
        )
      )
      expect(yield* status(yield* serving(HttpServer.serve(router, HttpMiddleware.airlock)), "/")).toBe(204)
      expect(yield* left).toEqual(["kept"])
    }).pipe(Effect.provide([layer(), quiet])))

  it.scopedLive("around a route discards the intents of the route that it interrupted", () =>
    Effect.gen(function*() {
      const router = slow.pipe(
        HttpRouter.use(HttpMiddleware.airlock),
        HttpRouter.use(Effect.timeoutTo({
          duration: "20 millis",
          onSuccess: (response) => response,
          onTimeout: () => HttpServerResponse.unsafeJson("late", { status: 200 })
        }))
      )
      const base = yield* serving(HttpServer.serve(router))
      expect(yield* status(base, "/slow")).toBe(200)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide([layer(), quiet])))

  it.scopedLive("around the server's app leaves settling before the first byte, and discards the intents that it interrupted", () =>
    Effect.gen(function*() {
      const sockets: Array<Socket> = []
      const sent: Array<number> = []
      const Probed = Probe.toLayer(() => Effect.sync(() => sent.push(sockets[0]!.bytesWritten)))
      const router: Router = HttpRouter.concat(
        slow,
        HttpRouter.empty.pipe(HttpRouter.get(
          "/",
          Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ source }) => {
            sockets.push((source as IncomingMessage).socket)
            return Effect.zipRight(Airlock.enqueue(Probe, undefined), HttpServerResponse.text("ok"))
          })
        ))
      )
      yield* Effect.gen(function*() {
        const base = yield* serving(
          HttpServer.serve(
            router,
            (app) => HttpMiddleware.airlock(app).pipe(Effect.interruptible, Effect.timeout("1 minute"))
          )
        )
        expect(yield* status(base, "/")).toBe(200)
      }).pipe(Effect.provide(Probed))
      expect(sent).toEqual([0])
      const base = yield* serving(
        HttpServer.serve(
          router,
          (app) => HttpMiddleware.airlock(app).pipe(Effect.interruptible, Effect.timeout("20 millis"))
        )
      )
      expect(yield* status(base, "/slow")).toBe(500)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide([layer(), quiet])))
})
