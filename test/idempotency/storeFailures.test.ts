/**
 * What happens when the store does not answer.
 */
import { HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { Idempotency } from "effect-airlock"
import { post } from "../support/idempotencyHosts.js"
import { countingHandler, onEachPlace } from "../support/idempotencyPlaces.js"
import { until } from "../support/until.js"

type Operation = "claim" | "renew" | "keep" | "complete" | "release"

onEachPlace(({ serve, store }) => {
  describe("a store that fails", () => {
    /** The store, with operations that fail. */
    const failing = (operations: () => ReadonlyArray<Operation>) =>
      Layer.scoped(
        Idempotency.IdempotencyStore,
        Effect.flatMap(Idempotency.IdempotencyStore, (store) => {
          const unless = <A>(operation: Operation, self: Effect.Effect<A, Idempotency.IdempotencyStoreError>) =>
            Effect.suspend(() =>
              operations().includes(operation)
                ? Effect.fail(new Idempotency.IdempotencyStoreError({ operation, cause: "down" }))
                : self
            )
          return Idempotency.makeStore({
            claim: (of) => unless("claim", store.claim(of)),
            renew: (of) => unless("renew", store.renew(of)),
            keep: (of) => unless("keep", store.keep(of)),
            complete: (of) => unless("complete", store.complete(of)),
            release: (of) => unless("release", store.release(of))
          })
        })
      ).pipe(Layer.provide(store()))

    it.scopedLive("refuses requests with a 503", () =>
      Effect.gen(function*() {
        const { counter, handler } = countingHandler()
        const ask = yield* serve(handler, {}, failing(() => ["claim"]))
        const answer = yield* ask("/", post("k"))
        expect([answer.status, answer.code, answer.headers.get("retry-after")]).toEqual([
          503,
          "store-unavailable",
          "1"
        ])
        expect(counter.runs).toBe(0)
        expect((yield* ask("/", { method: "GET" })).status).toBe(200)
      }))

    it.scopedLive("stores a response that it could not take at first, and nothing runs again", () =>
      Effect.gen(function*() {
        let down: ReadonlyArray<Operation> = ["complete"]
        const { counter, handler } = countingHandler()
        const ask = yield* serve(handler, { lease: "600 millis" }, failing(() => down))
        expect((yield* ask("/", post("k"))).text).toBe("run 1")
        expect((yield* ask("/", post("k"))).code).toBe("in-flight")
        down = []
        yield* until(Effect.map(ask("/", post("k")), ({ headers }) => headers.has("idempotency-replayed")))
        expect((yield* ask("/", post("k"))).text).toBe("run 1")
        expect(counter.runs).toBe(1)
      }))

    it.scopedLive("loses the key of a request whose lease it does not renew, and takes no response of it", () =>
      Effect.gen(function*() {
        let down: ReadonlyArray<Operation> = ["renew"]
        let runs = 0
        const gate = yield* Deferred.make<void>()
        const handler = Effect.suspend(() => {
          const run = ++runs
          return Effect.as(run === 1 ? Deferred.await(gate) : Effect.void, HttpServerResponse.text(`run ${run}`))
        })
        const ask = yield* serve(handler, { lease: "100 millis" }, failing(() => down))
        const first = yield* Effect.fork(ask("/", post("k")))
        yield* until(Effect.sync(() => runs === 1))
        yield* until(Effect.map(ask("/", post("k")), ({ text }) => text === "run 2"))
        down = []
        yield* Deferred.succeed(gate, void 0)
        expect((yield* Fiber.join(first)).text).toBe("run 1")
        expect((yield* ask("/", post("k"))).text).toBe("run 2")
        expect(runs).toBe(2)
      }))

    it.scopedLive("frees a key that it could not free at first, when the lease has ended", () =>
      Effect.gen(function*() {
        const ask = yield* serve(
          countingHandler((run) => HttpServerResponse.text(`run ${run}`, { status: run === 1 ? 500 : 200 })).handler,
          { lease: "100 millis" },
          failing(() => ["release"])
        )
        expect((yield* ask("/", post("k"))).status).toBe(500)
        yield* until(Effect.map(ask("/", post("k")), ({ text }) => text === "run 2"))
      }))

    it.scopedLive("lets requests through without protection, if so configured", () =>
      Effect.gen(function*() {
        const ask = yield* serve(countingHandler().handler, { onStoreError: "open" }, failing(() => ["claim"]))
        expect((yield* ask("/", post("k"))).text).toBe("run 1")
        expect((yield* ask("/", post("k"))).text).toBe("run 2")
      }))
  })
})
