/**
 * Duplicates of a request that runs.
 */
import { HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { post } from "../support/idempotencyHosts.js"
import { onEachPlace, type Options } from "../support/idempotencyPlaces.js"
import { until } from "../support/until.js"

onEachPlace(({ serve }) => {
  describe("a duplicate of a request that runs", () => {
    const held = (options: Options) =>
      Effect.gen(function*() {
        const [begun, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const handler = Deferred.succeed(begun, void 0).pipe(
          Effect.zipRight(Deferred.await(gate)),
          Effect.as(HttpServerResponse.text("done"))
        )
        const ask = yield* serve(handler, options)
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

    it.scopedLive("gets a 409 at once, and tries again later", () =>
      Effect.gen(function*() {
        const { ask, finish } = yield* held({})
        const answer = yield* ask("/", post("k"))
        expect([answer.status, answer.code, answer.headers.get("retry-after")]).toEqual([409, "in-flight", "1"])
        expect((yield* finish).text).toBe("done")
        expect((yield* ask("/", post("k"))).headers.get("idempotency-replayed")).toBe("true")
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
        const ask = yield* serve(handler, { inFlight: { wait: "20 seconds" } })
        const first = yield* Effect.fork(ask("/", post("k")))
        yield* until(Effect.sync(() => runs === 1))
        const second = yield* Effect.fork(ask("/", post("k")))
        yield* Deferred.succeed(gate, void 0)
        expect((yield* Fiber.join(first)).status).toBe(500)
        expect((yield* Fiber.join(second)).text).toBe("done")
      }))
  })
})
