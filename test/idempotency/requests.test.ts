/**
 * Which requests need a key, which keys are valid, and what the middleware answers by itself.
 */
import { HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Logger, Option, TestClock } from "effect"
import { HttpMiddleware, Idempotency } from "effect-airlock"
import { createServer, request as httpRequest } from "node:http"
import { connect, type Socket } from "node:net"
import { type App, hosts, post, posting } from "../support/idempotencyHosts.js"
import { until } from "../support/until.js"

type Options = HttpMiddleware.IdempotencyMiddlewareOptions

const memory = Idempotency.layerMemory()

const quiet = Logger.remove(Logger.defaultLogger)

const counting = (options: Options = {}, response = (run: number) => HttpServerResponse.text(`run ${run}`)) => {
  const counter = { runs: 0 }
  const handler = Effect.sync(() => response(++counter.runs))
  const keys = HttpMiddleware.idempotency(options) as never
  return { counter, handler, keys }
}

for (const host of hosts) {
  const serve = (options: Options = {}, response?: (run: number) => HttpServerResponse.HttpServerResponse) => {
    const { counter, handler, keys } = counting(options, response)
    return Effect.map(host.serve(posting(handler), keys, memory), (ask) => ({ ask, counter }))
  }

  describe(`idempotency keys, on ${host.name}`, () => {
    describe("modes", () => {
      it.scopedLive("requires a key for unsafe methods, and never looks at safe ones", () =>
        Effect.gen(function*() {
          const { ask, counter } = yield* serve()
          for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
            const answer = yield* ask("/", { method })
            expect([method, answer.status, answer.code]).toEqual([method, 400, "key-missing"])
            expect(answer.headers.get("content-type")).toBe("application/problem+json")
            expect(JSON.parse(answer.text)).toEqual({
              type: "about:blank",
              title: "The request needs an idempotency key",
              status: 400,
              code: "key-missing",
              detail: "Send the header idempotency-key with a unique key."
            })
          }
          expect(counter.runs).toBe(0)
          for (const method of ["GET", "HEAD", "OPTIONS"]) {
            expect((yield* ask("/", { method, headers: { "idempotency-key": "," } })).status).toBe(200)
            expect((yield* ask("/", { method, headers: { "idempotency-key": "a" } })).status).toBe(200)
          }
          expect(counter.runs).toBe(6)
          for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
            yield* ask("/", { ...post("a"), method })
            const again = yield* ask("/", { ...post("a"), method })
            expect(again.headers.get("idempotency-replayed")).toBe("true")
          }
          expect(counter.runs).toBe(10)
        }))

      it.scopedLive("can be required, optional, exempt or manual for each route", () =>
        Effect.gen(function*() {
          const { ask, counter } = yield* serve({
            mode: "exempt",
            routes: [
              { path: "/required/:id", mode: "required" },
              { path: "/optional", method: "POST", mode: "optional" }
            ]
          })
          expect((yield* ask("/", post())).text).toBe("run 1")
          expect((yield* ask("/", post("a"))).text).toBe("run 2")
          expect((yield* ask("/", post("a"))).text).toBe("run 3")
          expect((yield* ask("/", post(","))).text).toBe("run 4")
          expect((yield* ask("/required/1", post())).code).toBe("key-missing")
          expect((yield* ask("/required/1?q=1", post("a"))).text).toBe("run 5")
          expect((yield* ask("/required/1?q=1", post("a"))).text).toBe("run 5")
          expect((yield* ask("/optional", post())).text).toBe("run 6")
          expect((yield* ask("/optional", post("a"))).text).toBe("run 7")
          expect((yield* ask("/optional", post("a"))).text).toBe("run 7")
          expect((yield* ask("/optional", post(","))).code).toBe("key-invalid")
          expect((yield* ask("/optional", { ...post(), method: "PUT" })).text).toBe("run 8")
          expect(counter.runs).toBe(8)
        }))

      it.scopedLive("run the handler each time if manual, and tell it what was answered", () =>
        Effect.gen(function*() {
          let runs = 0
          const handler = Effect.map(Idempotency.current, (current) => {
            const { exists, key, response } = Option.getOrThrow(current)
            const answered = response && `${response.status} ${new TextDecoder().decode(response.body)}`
            return HttpServerResponse.text(JSON.stringify([++runs, key, exists, answered ?? null]), { status: 201 })
          })
          const ask = yield* host.serve(
            posting(handler),
            HttpMiddleware.idempotency({ mode: "manual" }) as never,
            memory
          )
          expect((yield* ask("/", post())).code).toBe("key-missing")
          expect((yield* ask("/", post("a"))).text).toBe(`[1,"a",false,null]`)
          for (const run of [2, 3]) {
            const answer = yield* ask("/", post("a"))
            expect(JSON.parse(answer.text)).toEqual([run, "a", true, `201 [1,"a",false,null]`])
            expect(answer.headers.has("idempotency-replayed")).toBe(false)
          }
          expect((yield* ask("/", post("a", { body: "other" }))).code).toBe("key-reused")
        }))

      it.scopedLive("give no key to a handler without one", () =>
        Effect.gen(function*() {
          const handler = Effect.map(Idempotency.current, (current) =>
            HttpServerResponse.text(String(Option.isNone(current))))
          const keys = HttpMiddleware.idempotency({ mode: "optional" }) as never
          const ask = yield* host.serve(posting(Effect.zipLeft(handler, Idempotency.keep)), keys, memory)
          expect((yield* ask("/", post())).text).toBe("true")
          expect((yield* ask("/", post("a"))).text).toBe("false")
        }))

      it.scopedLive("let a route have a store of its own", () =>
        Effect.gen(function*() {
          const store = yield* Idempotency.makeMemory()
          const { ask, counter } = yield* serve({ routes: [{ path: "/own", store: Effect.succeed(store) }] })
          yield* ask("/own", post("a"))
          const before = counter.runs
          yield* ask("/other", post("a"))
          expect(counter.runs).toBe(before + 1)
          const found = yield* ask("/own", post("a"))
          expect(found.headers.get("idempotency-replayed")).toBe("true")
        }))

      it.scopedLive("protect a request once, where two of these middlewares stand around it", () =>
        Effect.gen(function*() {
          const { counter, handler, keys } = counting()
          const inner = HttpMiddleware.idempotency()
          const ask = yield* host.serve(inner(posting(handler)) as App, keys, memory)
          expect((yield* ask("/", post("a"))).text).toBe("run 1")
          expect((yield* ask("/", post("a"))).text).toBe("run 1")
          expect(counter.runs).toBe(1)
        }))
    })

    describe("the key", () => {
      it.scopedLive("is the same in quotes and without", () =>
        Effect.gen(function*() {
          const { ask } = yield* serve()
          expect((yield* ask("/", post("abc"))).text).toBe("run 1")
          expect((yield* ask("/", post(`"abc"`))).text).toBe("run 1")
          expect((yield* ask("/", post(`"a b, \\"c\\" \\\\"`))).text).toBe("run 2")
          expect((yield* ask("/", post("x".repeat(255)))).text).toBe("run 3")
          expect((yield* ask("/", post(`"${"x".repeat(255)}"`))).text).toBe("run 3")
        }))

      it.scopedLive("is refused if it is empty, too long, a list, has parameters, or holds other characters", () =>
        Effect.gen(function*() {
          const { ask, counter } = yield* serve()
          const wrong = [
            "",
            `""`,
            "a b",
            "a,b",
            "a, b",
            `"a", "b"`,
            `"a";p=1`,
            "a;p=1",
            `"a`,
            `a"`,
            `"a\\b"`,
            "a\tb",
            `"a\tb"`,
            "ä",
            `"ä"`,
            "\u00c3\u00a4",
            "\u00ff\u00fe",
            "x".repeat(256),
            `"${"x".repeat(256)}"`
          ]
          for (const key of wrong) {
            const answer = yield* ask("/", post(key))
            expect([key, answer.status, answer.code]).toEqual([key, 400, "key-invalid"])
          }
          expect(counter.runs).toBe(0)
        }))

      it.scopedLive("can come in another header", () =>
        Effect.gen(function*() {
          const { ask } = yield* serve({ header: "X-Request-Key", replayHeader: "X-Replay" })
          expect((yield* ask("/", post("a"))).code).toBe("key-missing")
          const sent = { method: "POST", headers: { "x-request-key": "a" } }
          expect((yield* ask("/", sent)).text).toBe("run 1")
          const again = yield* ask("/", sent)
          expect([again.text, again.headers.get("x-replay")]).toEqual(["run 1", "true"])
        }))

      it.scopedLive("belongs to one method, one path and one caller", () =>
        Effect.gen(function*() {
          const { ask, counter } = yield* serve()
          const requests: ReadonlyArray<readonly [string, RequestInit]> = [
            ["/a", post("k")],
            ["/a", { ...post("k"), method: "PUT" }],
            ["/b", post("k")],
            ["/a/", post("k")],
            ["/a%2Fb", post("k")],
            ["/a/b", post("k")],
            ["/a", post("bk")],
            ["/ab", post("k")],
            ["/a", post("k", { headers: { authorization: "Bearer 1" } })],
            ["/a", post("k", { headers: { authorization: "Bearer 2" } })],
            ["/a", post("2k", { headers: { authorization: "Bearer " } })],
            // What a join by a separator would confuse.
            [`/a"`, post("k")],
            [`/a","","k`, post("x")],
            ["/a", post(`k"]`.replace("\"]", "]"))],
            ["/POST/a", post("k")]
          ]
          for (const [path, init] of requests) {
            expect((yield* ask(path, init)).headers.has("idempotency-replayed")).toBe(false)
          }
          expect(counter.runs).toBe(requests.length)
          for (const [path, init] of requests) {
            expect((yield* ask(path, init)).headers.get("idempotency-replayed")).toBe("true")
          }
          expect(counter.runs).toBe(requests.length)
        }))

      it.scopedLive("belongs to the caller that a function returns", () =>
        Effect.gen(function*() {
          const { ask, counter } = yield* serve({
            caller: ({ cookies }) => Effect.succeed(cookies["session"] ?? "")
          })
          const of = (session: string) => post("k", { headers: { cookie: `session=${session}` } })
          yield* ask("/", of("1"))
          yield* ask("/", of("2"))
          expect(counter.runs).toBe(2)
          expect((yield* ask("/", of("1"))).text).toBe("run 1")
        }))
    })

    describe("the fingerprint", () => {
      it.scopedLive("is the query and the bytes of the body", () =>
        Effect.gen(function*() {
          const { ask } = yield* serve()
          const text = (body: string) => post("k", { body })
          expect((yield* ask("/?a=1", text("{}"))).status).toBe(200)
          for (const [path, body] of [["/?a=2", "{}"], ["/", "{}"], ["/?a=1", "{ }"], ["/?a=1", ""], ["/?a=", "1{}"]]) {
            expect((yield* ask(path!, text(body!))).code).toBe("key-reused")
          }
          expect((yield* ask("/?a=1", text("{}"))).headers.get("idempotency-replayed")).toBe("true")
        }))

      it.scopedLive("can be the value of a JSON body", () =>
        Effect.gen(function*() {
          const { ask } = yield* serve({ fingerprint: "json" })
          const text = (body: string) => post("k", { body })
          yield* ask("/", text(`{"a":[1,"x"],"b":{"c":null,"d":1.50}}`))
          expect((yield* ask("/", text(`{ "b": {"d":1.5, "c":null}, "a":[1.0,"\\u0078"] }`))).text).toBe("run 1")
          for (
            const other of [
              `{"a":["x",1],"b":{"c":null,"d":1.5}}`,
              `{"a":["1","x"],"b":{"c":null,"d":1.5}}`,
              `{"a":[1,"x"],"b":{"c":null,"d":1.5},"__proto__":1}`,
              "not json"
            ]
          ) {
            expect([other, (yield* ask("/", text(other))).code]).toEqual([other, "key-reused"])
          }
          yield* ask("/", post("big", { body: "9007199254740993" }))
          expect((yield* ask("/", post("big", { body: "9007199254740992" }))).code).toBe("key-reused")
          yield* ask("/", post("raw", { body: "{" }))
          expect((yield* ask("/", post("raw", { body: "{" }))).headers.get("idempotency-replayed")).toBe("true")
        }))

      it.scopedLive("can be what a function returns", () =>
        Effect.gen(function*() {
          const { ask } = yield* serve({
            fingerprint: (_, body) => Effect.succeed(`${new TextDecoder().decode(body).trim()}`)
          })
          yield* ask("/", post("k", { body: "a" }))
          expect((yield* ask("/?q", post("k", { body: " a " }))).text).toBe("run 1")
          expect((yield* ask("/", post("k", { body: "b" }))).code).toBe("key-reused")
        }))
    })

    describe("a replay", () => {
      it.scopedLive("has the status, the body and the headers, without those of one message", () =>
        Effect.gen(function*() {
          const { ask } = yield* serve({}, () =>
            HttpServerResponse.text("made", {
              status: 201,
              contentType: "text/x-made",
              headers: {
                location: "/made/1",
                date: "Thu, 01 Jan 1970 00:00:00 GMT",
                "keep-alive": "timeout=5",
                "x-hop": "1",
                connection: "close, X-Hop"
              }
            }).pipe(HttpServerResponse.unsafeSetCookie("session", "secret")))
          const first = yield* ask("/", post("k"))
          const again = yield* ask("/", post("k"))
          expect(first.headers.get("set-cookie")).toContain("secret")
          expect([again.status, again.text, again.headers.get("content-type"), again.headers.get("location")]).toEqual([
            201,
            "made",
            "text/x-made",
            "/made/1"
          ])
          expect(again.headers.get("content-length")).toBe("4")
          expect(again.headers.has("set-cookie")).toBe(false)
          expect(again.headers.get("date")).not.toBe("Thu, 01 Jan 1970 00:00:00 GMT")
          expect(again.headers.has("x-hop")).toBe(false)
        }))

      it.scopedLive("can have a status of its own, and no header", () =>
        Effect.gen(function*() {
          const { ask } = yield* serve({ replayStatus: 409, replayHeader: false })
          expect((yield* ask("/", post("k"))).status).toBe(200)
          const again = yield* ask("/", post("k"))
          expect([again.status, again.text]).toEqual([409, "run 1"])
          expect(again.headers.has("idempotency-replayed")).toBe(false)
        }))

      it.scopedLive("is there for the statuses that a retry cannot change", () =>
        Effect.gen(function*() {
          const of = (run: number, path: string) => HttpServerResponse.text(`${run}`, { status: Number(path.slice(1)) })
          let runs = 0
          const handler = Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => of(++runs, url))
          const ask = yield* host.serve(posting(handler), HttpMiddleware.idempotency() as never, memory)
          for (
            const [status, stored] of [
              [200, true],
              [202, true],
              [302, true],
              [400, true],
              [401, false],
              [403, false],
              [404, true],
              [408, false],
              [409, false],
              [422, true],
              [425, false],
              [429, false],
              [500, false],
              [503, false]
            ] as const
          ) {
            yield* ask(`/${status}`, post("k"))
            const again = yield* ask(`/${status}`, post("k"))
            expect([status, again.headers.has("idempotency-replayed")]).toEqual([status, stored])
          }
        }))

      it.scopedLive("is there for the statuses of a list, or by a predicate", () =>
        Effect.gen(function*() {
          for (const storeResponse of [[201], ({ status }: HttpServerResponse.HttpServerResponse) => status === 201]) {
            let status = 200
            const { ask } = yield* serve({ storeResponse }, (run) => HttpServerResponse.text(`${run}`, { status }))
            yield* ask("/", post("k"))
            expect((yield* ask("/", post("k"))).text).toBe("2")
            status = 201
            yield* ask("/", post("k"))
            expect((yield* ask("/", post("k"))).text).toBe("3")
          }
        }))
    })

    describe("a duplicate of a request that runs", () => {
      const held = (options: Options) =>
        Effect.gen(function*() {
          const [begun, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const handler = Deferred.succeed(begun, void 0).pipe(
            Effect.zipRight(Deferred.await(gate)),
            Effect.as(HttpServerResponse.text("done"))
          )
          const ask = yield* host.serve(posting(handler), HttpMiddleware.idempotency(options) as never, memory)
          const first = yield* Effect.fork(ask("/", post("k")))
          yield* Deferred.await(begun)
          return { ask, finish: Effect.zipRight(Deferred.succeed(gate, void 0), Fiber.join(first)) }
        })

      it.scopedLive("waits in vain, and then gets the configured status", () =>
        Effect.gen(function*() {
          const { ask, finish } = yield* held({ inFlight: { wait: "1 millis", status: 423 }, retryAfter: "90 seconds" })
          const answer = yield* ask("/", post("k"))
          expect([answer.status, answer.code, answer.headers.get("retry-after")]).toEqual([423, "in-flight", "90"])
          expect(JSON.parse(answer.text).status).toBe(423)
          yield* finish
        }))

      it.scopedLive("gets a 422 if it is another request, and other keys go on", () =>
        Effect.gen(function*() {
          const { ask, finish } = yield* held({})
          expect((yield* ask("/", post("k", { body: "x" }))).code).toBe("key-reused")
          const other = yield* Effect.fork(ask("/", post("other")))
          expect((yield* finish).text).toBe("done")
          expect((yield* Fiber.join(other)).text).toBe("done")
        }))

      it.scopedLive("runs if the first one frees the key while it waits", () =>
        Effect.gen(function*() {
          let runs = 0
          const gate = yield* Deferred.make<void>()
          const handler = Effect.suspend(() =>
            ++runs === 1
              ? Effect.as(Deferred.await(gate), HttpServerResponse.empty({ status: 500 }))
              : Effect.succeed(HttpServerResponse.text("done"))
          )
          const keys = HttpMiddleware.idempotency({ inFlight: { wait: "20 seconds" } }) as never
          const ask = yield* host.serve(posting(handler), keys, memory)
          const first = yield* Effect.fork(ask("/", post("k")))
          yield* until(Effect.sync(() => runs === 1))
          const second = yield* Effect.fork(ask("/", post("k")))
          yield* Deferred.succeed(gate, void 0)
          expect((yield* Fiber.join(first)).status).toBe(500)
          expect((yield* Fiber.join(second)).text).toBe("done")
        }))
    })

    describe("a store that fails", () => {
      const failing = Layer.scoped(
        Idempotency.IdempotencyStore,
        Effect.flatMap(Idempotency.makeMemory(), (store) =>
          Effect.succeed({
            ...store,
            claim: () => Effect.fail(new Idempotency.IdempotencyStoreError({ operation: "claim", cause: "down" }))
          }))
      )

      it.scopedLive("refuses requests with a 503", () =>
        Effect.gen(function*() {
          const { counter, handler, keys } = counting()
          const ask = yield* host.serve(posting(handler), keys, failing.pipe(Layer.provideMerge(quiet)))
          const answer = yield* ask("/", post("k"))
          expect([answer.status, answer.code, answer.headers.get("retry-after")]).toEqual([
            503,
            "store-unavailable",
            "1"
          ])
          expect(counter.runs).toBe(0)
          expect((yield* ask("/", { method: "GET" })).status).toBe(200)
        }))

      it.scopedLive("lets requests through without protection, if so configured", () =>
        Effect.gen(function*() {
          const { handler, keys } = counting({ onStoreError: "open" })
          const ask = yield* host.serve(posting(handler), keys, failing.pipe(Layer.provideMerge(quiet)))
          expect((yield* ask("/", post("k"))).text).toBe("run 1")
          expect((yield* ask("/", post("k"))).text).toBe("run 2")
        }))
    })

    it.scopedLive("documents its problems, if it has an address", () =>
      Effect.gen(function*() {
        const { ask } = yield* serve({ documentation: "https://example.org/keys" })
        const answer = yield* ask("/", post())
        expect(JSON.parse(answer.text).type).toBe("https://example.org/keys#key-missing")
        expect(answer.headers.get("link")).toBe("<https://example.org/keys>; rel=\"describedby\"")
      }))
  })
}

describe("the header of a key, on Node", () => {
  /** Sends headers as they are, which `fetch` would not. */
  const send = (port: number, headers: ReadonlyArray<string>) =>
    Effect.promise(() =>
      new Promise<readonly [number, string]>((resolve, reject) => {
        const sent = httpRequest({ port, host: "127.0.0.1", method: "POST", path: "/", headers: headers as never })
        sent.on("error", reject).on("response", (response) => {
          let text = ""
          response.on("data", (chunk) => text += chunk).on("end", () => resolve([response.statusCode!, text]))
        })
        sent.end()
      })
    )

  const serveOn = (server: ReturnType<typeof createServer>) => {
    const { counter, handler, keys } = counting()
    const served = Layer.build(
      NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" })
    )
    return Effect.gen(function*() {
      const context = yield* served
      yield* Layer.build(
        posting(handler).pipe(
          HttpServer.serve(keys),
          Layer.provide(memory),
          Layer.provide(Layer.succeedContext(context))
        ) as Layer.Layer<never>
      )
      const address = server.address()
      return { counter, port: typeof address === "object" && address !== null ? address.port : 0 }
    })
  }

  it.scopedLive("may come once, even where two values would make one string", () =>
    Effect.gen(function*() {
      const { counter, port } = yield* serveOn(createServer())
      for (const [a, b] of [["a", "b"], ["a", "a"], [`"a`, `b"`]]) {
        const [status, text] = yield* send(port, ["Host", "x", "Idempotency-Key", a!, "idempotency-key", b!])
        expect([status, text.includes("key-invalid")]).toEqual([400, true])
      }
      expect(counter.runs).toBe(0)
    }))

  it.scopedLive("is a 400 with a mebibyte, where the server lets it through", () =>
    Effect.gen(function*() {
      const { counter, port } = yield* serveOn(createServer({ maxHeaderSize: 2 * 1024 * 1024 }))
      const [status, text] = yield* send(port, ["Host", "x", "Idempotency-Key", "x".repeat(1024 * 1024)])
      expect([status, JSON.parse(text).code]).toEqual([400, "key-invalid"])
      expect(counter.runs).toBe(0)
    }))

  it.scopedLive("is refused by Node itself with control characters and line breaks", () =>
    Effect.gen(function*() {
      const { counter, port } = yield* serveOn(createServer())
      for (const key of ["a\u0000b", "a\rX-Injected: 1", "a\u0001b"]) {
        const answer = yield* Effect.promise(() =>
          new Promise<string>((resolve) => {
            let text = ""
            const socket: Socket = connect(
              port,
              "127.0.0.1",
              () => socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nIdempotency-Key: ${key}\r\n\r\n`)
            )
            socket.on("data", (data: Buffer) => text += data).on("close", () => resolve(text)).on(
              "error",
              () => resolve(text)
            )
          })
        )
        expect(answer).toMatch(/^HTTP\/1\.1 400 /)
      }
      expect(counter.runs).toBe(0)
    }))
})

describe("options of idempotency keys", () => {
  const reason = (options: Options) => {
    try {
      HttpMiddleware.idempotency(options)
      return "none"
    } catch (error) {
      return error instanceof Idempotency.IdempotencyOptionsError ? error.reason : "another error"
    }
  }

  it("may not contradict each other on one route", () => {
    expect(reason({
      routes: [
        { method: "POST", path: "/orders/:id", mode: "exempt" },
        { path: "/orders/:name", mode: "required" }
      ]
    })).toBe(
      "POST /orders/:name is exempt by routes[0], and required by routes[1]. Declare it once."
    )
    expect(reason({
      routes: [
        { method: "POST", path: "/orders/:id", mode: "exempt" },
        { method: "PUT", path: "/orders/:id", mode: "required" },
        { path: "/orders/mine", mode: "required" }
      ]
    })).toBe("none")
  })

  it("must make sense", () => {
    expect(reason({ ttl: 0 })).toContain("`ttl`")
    expect(reason({ lease: "Infinity" as never })).not.toBe("none")
    expect(reason({ header: "a b" })).toContain("`header`")
    expect(reason({ replayHeader: "" })).toContain("`replayHeader`")
    expect(reason({ replayStatus: 99 })).toContain("`replayStatus`")
    expect(reason({ maxRequestBytes: -1 })).toContain("`maxRequestBytes`")
    expect(reason({ inFlight: { wait: 0 } })).toContain("`inFlight.wait`")
    expect(reason({ routes: [{ path: "/a", retryAfter: -1 }] })).toContain("`retryAfter`")
  })
})

describe("time", () => {
  it.scoped("forgets a response after its time, which replays do not extend", () =>
    Effect.gen(function*() {
      const { claim, complete } = yield* Idempotency.makeMemory()
      const response = { status: 200, headers: {}, body: new Uint8Array() }
      const of = (token: string) => claim({ id: "a", token, fingerprint: "f", leaseMillis: 1000 })
      yield* of("1")
      yield* complete({ id: "a", token: "1", ttlMillis: 10_000, response })
      yield* TestClock.adjust("9 seconds")
      expect((yield* of("2"))._tag).toBe("Completed")
      yield* TestClock.adjust("1 seconds")
      expect((yield* of("3"))._tag).toBe("Claimed")
    }))

  it.scoped("renews the lease of a request that runs, after each third of it", () =>
    Effect.gen(function*() {
      const store = yield* Idempotency.makeMemory()
      const owner = { id: "a", token: "1", leaseMillis: 3000, ttlMillis: 60_000, response: undefined, isLost: false }
      const rival = store.claim({ id: "a", token: "2", fingerprint: "f", leaseMillis: 3000 })
      yield* store.claim({ ...owner, fingerprint: "f" })
      store.keeper.add(owner)
      for (let second = 0; second < 10; second++) {
        yield* TestClock.adjust("1 seconds")
        expect((yield* rival)._tag).toBe("InFlight")
      }
      store.keeper.remove(owner)
      yield* TestClock.adjust("3 seconds")
      expect((yield* rival)._tag).toBe("Claimed")
    }))

  it.scoped("stores a response again that the store could not take", () =>
    Effect.gen(function*() {
      const memory = yield* Idempotency.makeMemory()
      let isDown = true
      const down = Effect.fail(new Idempotency.IdempotencyStoreError({ operation: "complete", cause: "down" }))
      const store = yield* Idempotency.makeStore({
        ...memory,
        complete: (record) => isDown ? down : memory.complete(record)
      })
      const response = { status: 200, headers: {}, body: new Uint8Array() }
      const owner = { id: "a", token: "1", leaseMillis: 3000, ttlMillis: 60_000, response, isLost: false }
      yield* store.claim({ ...owner, fingerprint: "f" })
      store.keeper.add(owner)
      yield* TestClock.adjust("1 seconds")
      isDown = false
      yield* TestClock.adjust("1 seconds")
      expect((yield* store.claim({ id: "a", token: "2", fingerprint: "f", leaseMillis: 1 }))._tag).toBe("Completed")
    }).pipe(Effect.provide(quiet)))

  it.scoped("deletes expired records in batches, at each interval", () =>
    Effect.gen(function*() {
      const memory = yield* Idempotency.makeMemory()
      const batches = [500, 500, 3, 0, 0]
      let calls = 0
      yield* Idempotency.makeStore({ ...memory, prune: Effect.sync(() => batches[calls++] ?? 0) })
      yield* TestClock.adjust("59 seconds")
      expect(calls).toBe(0)
      yield* TestClock.adjust("1 seconds")
      expect(calls).toBe(4)
      yield* TestClock.adjust("1 minutes")
      expect(calls).toBe(5)
    }))

  it.scoped("keeps a bounded number of records and bytes in memory, and never drops a request that runs", () =>
    Effect.gen(function*() {
      const { claim, complete } = yield* Idempotency.makeMemory({ maxRecords: 3, maxBytes: 10_000 })
      const of = (id: string, token = id) => claim({ id, token, fingerprint: "f", leaseMillis: 1000 })
      const end = (id: string, size = 0) =>
        complete({
          id,
          token: id,
          ttlMillis: 60_000,
          response: { status: 200, headers: {}, body: new Uint8Array(size) }
        })
      yield* of("running")
      for (const id of ["1", "2", "3"]) {
        yield* of(id)
        yield* end(id)
      }
      expect((yield* of("1", "x"))._tag).toBe("Claimed")
      expect((yield* of("3", "x"))._tag).toBe("Completed")
      expect((yield* of("running", "x"))._tag).toBe("InFlight")
      yield* end("running", 9000)
      expect((yield* of("3", "y"))._tag).toBe("Claimed")
    }))

  it.scoped("takes no further key into a memory that is full of requests that run", () =>
    Effect.gen(function*() {
      const { claim } = yield* Idempotency.makeMemory({ maxRecords: 1 })
      const of = (id: string) => claim({ id, token: id, fingerprint: "f", leaseMillis: 1000 })
      yield* of("1")
      expect((yield* Effect.flip(of("2"))).operation).toBe("claim")
      expect((yield* of("1"))._tag).toBe("Claimed")
      yield* TestClock.adjust(Duration.seconds(2))
      expect((yield* of("2"))._tag).toBe("Claimed")
    }))
})
