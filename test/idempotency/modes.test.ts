/**
 * Which requests need a key, and which run without one.
 */
import { HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option } from "effect"
import { Idempotency } from "effect-airlock"
import { post, posting } from "../support/idempotencyHosts.js"
import { countingHandler, keysOf, onEachPlace } from "../support/idempotencyPlaces.js"
import { until } from "../support/until.js"

onEachPlace(({ counting, host, serve, store }) => {
  describe("modes", () => {
    it.scopedLive("requires a key for unsafe methods, and never looks at safe ones", () =>
      Effect.gen(function*() {
        const { ask, counter } = yield* counting()
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
        const { ask, counter } = yield* counting({
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
        const ask = yield* serve(handler, { mode: "manual" })
        expect((yield* ask("/", post())).code).toBe("key-missing")
        expect((yield* ask("/", post("a"))).text).toBe(`[1,"a",false,null]`)
        for (const run of [2, 3]) {
          const answer = yield* ask("/", post("a"))
          expect(JSON.parse(answer.text)).toEqual([run, "a", true, `201 [1,"a",false,null]`])
          expect(answer.headers.has("idempotency-replayed")).toBe(false)
        }
        expect((yield* ask("/", post("a", { body: "other" }))).code).toBe("key-reused")
      }))

    it.scopedLive("run the handler of a duplicate too if manual, while the first one runs", () =>
      Effect.gen(function*() {
        let runs = 0
        const gate = yield* Deferred.make<void>()
        const handler = Effect.flatMap(Idempotency.current, (current) => {
          const { exists, response } = Option.getOrThrow(current)
          const answer = HttpServerResponse.text(`run ${++runs}: ${exists} ${response?.status}`)
          return Effect.as(runs === 1 ? Deferred.await(gate) : Effect.void, answer)
        })
        const ask = yield* serve(handler, { mode: "manual" })
        const first = yield* Effect.fork(ask("/", post("a")))
        yield* until(Effect.sync(() => runs === 1))
        expect((yield* ask("/", post("a"))).text).toBe("run 2: true undefined")
        expect((yield* ask("/", post("a", { body: "other" }))).code).toBe("key-reused")
        yield* Deferred.succeed(gate, void 0)
        expect((yield* Fiber.join(first)).text).toBe("run 1: false undefined")
        expect((yield* ask("/", post("a"))).text).toBe("run 3: true 200")
      }))

    it.scopedLive("let a duplicate wait for the response before its handler runs, if manual", () =>
      Effect.gen(function*() {
        let runs = 0
        const gate = yield* Deferred.make<void>()
        const handler = Effect.flatMap(Idempotency.current, (current) => {
          const answer = HttpServerResponse.text(`run ${++runs}: ${Option.getOrThrow(current).response?.status}`)
          return Effect.as(runs === 1 ? Deferred.await(gate) : Effect.void, answer)
        })
        const ask = yield* serve(handler, { mode: "manual", inFlight: { wait: "20 seconds" } })
        const first = yield* Effect.fork(ask("/", post("a")))
        yield* until(Effect.sync(() => runs === 1))
        const second = yield* Effect.fork(ask("/", post("a")))
        yield* Deferred.succeed(gate, void 0)
        yield* Fiber.join(first)
        expect((yield* Fiber.join(second)).text).toBe("run 2: 200")
      }))

    it.scopedLive("hold for a route whose parameter is long", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting({ mode: "exempt", routes: [{ path: "/orders/:id", mode: "required" }] })
        expect((yield* ask(`/orders/${"x".repeat(300)}`, post())).code).toBe("key-missing")
      }))

    it.scopedLive("give no key to a handler without one", () =>
      Effect.gen(function*() {
        const handler = Effect.map(Idempotency.current, (current) =>
          HttpServerResponse.text(String(Option.isNone(current))))
        const ask = yield* serve(Effect.zipLeft(handler, Idempotency.keep), { mode: "optional" })
        expect((yield* ask("/", post())).text).toBe("true")
        expect((yield* ask("/", post("a"))).text).toBe("false")
      }))

    it.scopedLive("let a route have a store of its own", () =>
      Effect.gen(function*() {
        const store = yield* Idempotency.makeMemory()
        const { ask, counter } = yield* counting({ routes: [{ path: "/own", store: Effect.succeed(store) }] })
        yield* ask("/own", post("a"))
        const before = counter.runs
        yield* ask("/other", post("a"))
        expect(counter.runs).toBe(before + 1)
        const found = yield* ask("/own", post("a"))
        expect(found.headers.get("idempotency-replayed")).toBe("true")
      }))

    it.scopedLive("document their problems, if they have an address", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting({ documentation: "https://example.org/keys" })
        const answer = yield* ask("/", post())
        expect(JSON.parse(answer.text).type).toBe("https://example.org/keys#key-missing")
        expect(answer.headers.get("link")).toBe("<https://example.org/keys>; rel=\"describedby\"")
      }))

    it.scopedLive("protect a request once, where two of these middlewares stand around it", () =>
      Effect.gen(function*() {
        const { counter, handler } = countingHandler()
        const ask = yield* host.serve(keysOf()(posting(handler)), keysOf(), store())
        expect((yield* ask("/", post("a"))).text).toBe("run 1")
        expect((yield* ask("/", post("a"))).text).toBe("run 1")
        expect(counter.runs).toBe(1)
      }))
  })
})
