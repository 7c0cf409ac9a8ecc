/**
 * A request that is sent again, and 200 that are sent at once: one run, one effect, the same bytes.
 */
import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { Airlock, AirlockLive, HttpMiddleware } from "effect-airlock"
import { airlocked, post, posting } from "../support/idempotencyHosts.js"
import { onEachPlace } from "../support/idempotencyPlaces.js"
import { layer as recorder, left, note } from "../support/recorder.js"
import { until } from "../support/until.js"

const bytes = Uint8Array.from({ length: 600 }, (_, i) => i & 0xff)

onEachPlace(({ host, serve, store }) => {
  describe("a request with a key", () => {
    it.scopedLive("runs once, sends its effects once, and is answered with the same bytes again", () =>
      Effect.gen(function*() {
        let runs = 0
        const services = Layer.mergeAll(store(), Layer.succeedContext(yield* Effect.context<Airlock.Airlock>()))
        const handler = Effect.gen(function*() {
          const request = yield* HttpServerRequest.HttpServerRequest
          const body = new Uint8Array(yield* request.arrayBuffer)
          runs++
          yield* note(`run ${runs}`)
          return HttpServerResponse.uint8Array(body, { status: 201, headers: { "x-run": `${runs}` } })
        })
        const ask = yield* host.serve(posting(handler), airlocked(HttpMiddleware.idempotency() as never), services)
        const first = yield* ask("/a", post("k", { body: bytes }))
        const second = yield* ask("/a", post("k", { body: bytes }))
        expect([first.status, second.status]).toEqual([201, 201])
        expect(first.body).toEqual(bytes)
        expect(second.body).toEqual(bytes)
        expect(first.headers.get("idempotency-replayed")).toBeNull()
        expect(second.headers.get("idempotency-replayed")).toBe("true")
        expect(second.headers.get("x-run")).toBe("1")
        expect(yield* left).toEqual(["run 1"])
        const other = yield* ask("/a", post("k", { body: bytes.slice(1) }))
        expect([other.status, other.code]).toEqual([422, "key-reused"])
        expect((yield* ask("/a", post("other", { body: bytes }))).headers.get("x-run")).toBe("2")
        expect((yield* ask("/a", post("k", { body: bytes }))).headers.get("x-run")).toBe("1")
        expect(runs).toBe(2)
      }).pipe(Effect.provide(recorder())))

    it.scopedLive("runs once, if 200 are sent at once: the others get a 409, and the response afterwards", () =>
      Effect.gen(function*() {
        let runs = 0
        const gate = yield* Deferred.make<void>()
        const handler = Effect.zipRight(
          Effect.sync(() => {
            runs++
          }),
          Effect.as(Deferred.await(gate), HttpServerResponse.text("done"))
        )
        const ask = yield* serve(handler)
        const first = yield* Effect.fork(ask("/", post("k")))
        yield* until(Effect.sync(() => runs > 0))
        const others = yield* Effect.all(Array.from({ length: 199 }, () => ask("/", post("k"))), {
          concurrency: "unbounded"
        })
        expect(new Set(others.map(({ status }) => status))).toEqual(new Set([409]))
        expect(new Set(others.map(({ code }) => code))).toEqual(new Set(["in-flight"]))
        expect(others[0]!.headers.get("retry-after")).toBe("1")
        yield* Deferred.succeed(gate, void 0)
        expect((yield* Fiber.join(first)).text).toBe("done")
        expect((yield* ask("/", post("k"))).text).toBe("done")
        expect(runs).toBe(1)
      }))

    it.scopedLive("runs once, if 200 are sent at once and wait for the response", () =>
      Effect.gen(function*() {
        let runs = 0
        const handler = Effect.sync(() => HttpServerResponse.text(`run ${++runs}`))
        const ask = yield* serve(Effect.delay(handler, "20 millis"), { inFlight: { wait: "20 seconds" } })
        const all = yield* Effect.all(Array.from({ length: 200 }, () => ask("/", post("k"))), {
          concurrency: "unbounded"
        })
        expect(new Set(all.map(({ status, text }) => `${status} ${text}`))).toEqual(new Set(["200 run 1"]))
        expect(all.filter(({ headers }) => headers.has("idempotency-replayed"))).toHaveLength(199)
        expect(runs).toBe(1)
      }))

    it.scopedLive("keeps its key if its client disconnects after an effect has left", () =>
      Effect.gen(function*() {
        const sent = yield* Deferred.make<void>()
        const handler = note("left").pipe(
          Airlock.scoped({ independent: true }),
          Effect.zipRight(Deferred.succeed(sent, void 0)),
          Effect.zipRight(Effect.never)
        )
        const services = Layer.mergeAll(store(), Layer.succeedContext(yield* Effect.context<Airlock.Airlock>()))
        const ask = yield* host.serve(posting(handler), airlocked(HttpMiddleware.idempotency() as never), services)
        const first = yield* Effect.fork(ask("/", post("k")))
        yield* Deferred.await(sent)
        yield* Fiber.interrupt(first)
        yield* until(Effect.map(ask("/", post("k")), ({ code }) => code === "outcome-unknown"))
        expect(yield* left).toEqual(["left"])
      }).pipe(Effect.provide(recorder())))

    it.scopedLive("frees its key after a 500 that has changed nothing", () =>
      Effect.gen(function*() {
        let runs = 0
        const handler = Effect.suspend(() =>
          ++runs === 1 ? Effect.die("oops") : Effect.succeed(HttpServerResponse.text("done"))
        )
        const ask = yield* host.serve(
          posting(handler),
          airlocked(HttpMiddleware.idempotency() as never),
          store().pipe(Layer.merge(AirlockLive))
        )
        expect((yield* ask("/", post("k"))).status).toBe(500)
        expect((yield* ask("/", post("k"))).text).toBe("done")
        expect((yield* ask("/", post("k"))).text).toBe("done")
        expect(runs).toBe(2)
      }))
  })
})
