/**
 * Which keys are valid, and what a key belongs to.
 */
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Idempotency } from "effect-airlock"
import { createServer, request as httpRequest } from "node:http"
import { post, posting } from "../support/idempotencyHosts.js"
import { countingHandler, keysOf, onEachPlace } from "../support/idempotencyPlaces.js"
import { onSocket } from "../support/rawHttp.js"

onEachPlace(({ counting, host }) => {
  describe("the key", () => {
    it.scopedLive("is the same in quotes and without", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting()
        expect((yield* ask("/", post("abc"))).text).toBe("run 1")
        expect((yield* ask("/", post(`"abc"`))).text).toBe("run 1")
        expect((yield* ask("/", post(`"a b, \\"c\\" \\\\"`))).text).toBe("run 2")
        expect((yield* ask("/", post("x".repeat(255)))).text).toBe("run 3")
        expect((yield* ask("/", post(`"${"x".repeat(255)}"`))).text).toBe("run 3")
      }))

    it.scopedLive("is refused if it is empty, too long, a list, has parameters, or holds other characters", () =>
      Effect.gen(function*() {
        const { ask, counter } = yield* counting()
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
          `"${"x".repeat(256)}"`,
          // Node itself answers this with a 431.
          ...(host.name === "Node" ? [] : ["x".repeat(1024 * 1024)])
        ]
        for (const key of wrong) {
          const answer = yield* ask("/", post(key))
          expect([key, answer.status, answer.code]).toEqual([key, 400, "key-invalid"])
        }
        expect(counter.runs).toBe(0)
      }))

    it.scopedLive("can come in another header", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting({ header: "X-Request-Key", replayHeader: "X-Replay" })
        expect((yield* ask("/", post("a"))).code).toBe("key-missing")
        const sent = { method: "POST", headers: { "x-request-key": "a" } }
        expect((yield* ask("/", sent)).text).toBe("run 1")
        const again = yield* ask("/", sent)
        expect([again.text, again.headers.get("x-replay")]).toEqual(["run 1", "true"])
      }))

    it.scopedLive("belongs to one method, one path and one caller", () =>
      Effect.gen(function*() {
        const { ask, counter } = yield* counting()
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
        const { ask, counter } = yield* counting({
          caller: ({ cookies }) => Effect.succeed(cookies["session"] ?? "")
        })
        const of = (session: string) => post("k", { headers: { cookie: `session=${session}` } })
        yield* ask("/", of("1"))
        yield* ask("/", of("2"))
        expect(counter.runs).toBe(2)
        expect((yield* ask("/", of("1"))).text).toBe("run 1")
      }))
  })
})

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

  /** Sends a key byte by byte, and returns what the server answers. */
  const sent = (port: number, key: string) =>
    onSocket(port, [
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\nIdempotency-Key: ${key}\r\n\r\n`
    ])

  const serveOn = (server: ReturnType<typeof createServer>) => {
    const { counter, handler } = countingHandler()
    const served = Layer.build(
      NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" })
    )
    return Effect.gen(function*() {
      const context = yield* served
      yield* Layer.build(
        posting(handler).pipe(
          HttpServer.serve(keysOf() as never),
          Layer.provide(Idempotency.layerMemory()),
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
      for (const key of ["a\u0000b", "a\rX-Injected: 1", "a\u0001b", "a\u007fb"]) {
        const answer = yield* sent(port, key)
        expect(answer).toMatch(/^HTTP\/1\.1 400 /)
        expect(answer).not.toContain("key-invalid")
      }
      expect(counter.runs).toBe(0)
    }))

  it.scopedLive("is refused if its bytes are no visible ASCII, as those of UTF-8 and of no UTF-8", () =>
    Effect.gen(function*() {
      const { counter, port } = yield* serveOn(createServer())
      for (const key of ["\xff\xfe", "\xc3\x28", "\xc3\xa4", "\x80"]) {
        expect([key, yield* sent(port, key)]).toEqual([key, expect.stringMatching(/^HTTP\/1\.1 400 [^]*key-invalid/)])
      }
      expect(counter.runs).toBe(0)
    }))

  it.scopedLive("is a 431 of Node itself with a mebibyte, by default", () =>
    Effect.gen(function*() {
      const { counter, port } = yield* serveOn(createServer())
      expect(yield* sent(port, "x".repeat(1024 * 1024))).toMatch(/^HTTP\/1\.1 431 /)
      expect(counter.runs).toBe(0)
    }))
})
