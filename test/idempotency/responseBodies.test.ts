/**
 * Bodies of responses, which are stored and replayed.
 */
import { FileSystem, HttpServerResponse } from "@effect/platform"
import { NodeContext, NodeHttpPlatform } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { Readable } from "node:stream"
import { post } from "../support/idempotencyHosts.js"
import { onEachPlace } from "../support/idempotencyPlaces.js"
import { until } from "../support/until.js"

const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i)
const large = Uint8Array.from({ length: 3 * 1024 * 1024 }, (_, i) => (i * 31 + (i >> 9)) & 0xff)

onEachPlace(({ counting, host, serve }) => {
  describe("the body of a response with a key", () => {
    const bodies: Record<string, () => HttpServerResponse.HttpServerResponse> = {
      empty: () => HttpServerResponse.empty({ status: 204 }),
      text: () => HttpServerResponse.text("süß"),
      bytes: () => HttpServerResponse.uint8Array(everyByte),
      "a stream": () =>
        HttpServerResponse.stream(Stream.make(everyByte, everyByte.slice(7)), { contentType: "application/x" }),
      "form data": () => {
        const form = new FormData()
        form.set("a", "süß")
        return HttpServerResponse.formData(form)
      },
      "a raw text": () => HttpServerResponse.raw("süß", { headers: { "content-type": "text/x" } }),
      ...(host.name === "Node"
        ? { "a raw stream of Node": () => HttpServerResponse.raw(Readable.from([Buffer.from(everyByte), "süß"])) }
        : {
          "a raw stream": () => HttpServerResponse.raw(new Blob([everyByte]).stream()),
          "a raw response": () =>
            HttpServerResponse.raw(
              new Response(everyByte, {
                status: 202,
                headers: [["x-inner", "1"], ["set-cookie", "a=1"], ["set-cookie", "b=2; Path=/"]]
              })
            )
        })
    }
    it.scopedLive("is replayed byte for byte, whatever it is made of", () =>
      Effect.gen(function*() {
        for (const [what, make] of Object.entries(bodies)) {
          const { ask, counter } = yield* counting({}, make)
          const [first, again] = [yield* ask("/", post(`"${what}"`)), yield* ask("/", post(`"${what}"`))]
          expect([what, counter.runs, again.status]).toEqual([what, 1, first.status])
          expect([what, ...again.body]).toEqual([what, ...first.body])
          expect(first.body.length > 0 || what === "empty").toBe(true)
          for (const name of ["content-type", "x-inner"]) {
            expect([what, again.headers.get(name)]).toEqual([what, first.headers.get(name)])
          }
          expect(first.headers.getSetCookie()).toEqual(what === "a raw response" ? ["a=1", "b=2; Path=/"] : [])
          expect(again.headers.getSetCookie()).toEqual([])
        }
      }))

    it.scopedLive("is replayed if its status has none", () =>
      Effect.gen(function*() {
        for (const status of [204, 205, 304]) {
          const without: Record<string, () => HttpServerResponse.HttpServerResponse> = {
            empty: () => HttpServerResponse.empty({ status }),
            stream: () => HttpServerResponse.stream(Stream.empty, { status }),
            raw: () => HttpServerResponse.raw(null, { status })
          }
          for (const [what, make] of Object.entries(without)) {
            const { ask } = yield* counting({}, make)
            for (const replayed of [null, "true"]) {
              const answer = yield* ask("/", post(`${what}-${status}`))
              expect([what, answer.status, answer.text, answer.headers.get("idempotency-replayed")])
                .toEqual([what, status, "", replayed])
            }
          }
        }
      }))

    it.scopedLive("is replayed if it is a file", () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* fs.makeTempFileScoped()
        yield* fs.writeFile(path, everyByte)
        const ask = yield* serve(Effect.provide(HttpServerResponse.file(path), NodeHttpPlatform.layer))
        const [first, again] = [yield* ask("/", post("k")), yield* ask("/", post("k"))]
        expect([...again.body]).toEqual([...everyByte])
        expect(again.headers.get("idempotency-replayed")).toBe("true")
        expect(again.headers.get("etag")).toBe(first.headers.get("etag"))
      }).pipe(Effect.provide(NodeContext.layer)))

    it.scopedLive("ends with its client if it is a stream, and frees the key", () =>
      Effect.gen(function*() {
        let runs = 0
        const [begun, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const endless = Stream.make(everyByte).pipe(
          Stream.concat(Stream.fromEffect(Effect.zipRight(Deferred.succeed(begun, void 0), Effect.never))),
          Stream.ensuring(Deferred.succeed(ended, void 0))
        )
        const ask = yield* serve(
          Effect.sync(() => ++runs === 1 ? HttpServerResponse.stream(endless) : HttpServerResponse.text("whole"))
        )
        const first = yield* Effect.fork(ask("/", post("k")))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(first)
        yield* Deferred.await(ended)
        yield* until(Effect.map(ask("/", post("k")), ({ text }) => text === "whole"))
        expect(runs).toBe(2)
      }))

    it.scopedLive("is not stored over the limit: a replay says so, and nothing runs again", () =>
      Effect.gen(function*() {
        for (
          const make of [
            () => HttpServerResponse.uint8Array(large, { status: 201 }),
            () =>
              HttpServerResponse.stream(Stream.fromIterable([large.slice(0, 700_000), large.slice(700_000)]), {
                status: 201
              })
          ]
        ) {
          let runs = 0
          const ask = yield* serve(Effect.sync(() => {
            runs++
            return make()
          }))
          const first = yield* ask("/", post("k"))
          expect(first.status).toBe(201)
          expect(Buffer.compare(first.body, large)).toBe(0)
          const again = yield* ask("/", post("k"))
          expect([again.status, again.code]).toEqual([409, "response-not-stored"])
          expect(again.text).toContain(`"originalStatus":201`)
          expect(runs).toBe(1)
        }
      }))

    it.scopedLive("is not held back if it is a stream of events", () =>
      Effect.gen(function*() {
        let runs = 0
        const gate = yield* Deferred.make<void>()
        const events = Stream.make("data: 1\n\n").pipe(
          Stream.concat(Stream.drain(Stream.fromEffect(Deferred.await(gate)))),
          Stream.encodeText
        )
        const ask = yield* serve(Effect.sync(() => {
          runs++
          return HttpServerResponse.stream(events, { contentType: "text/event-stream" })
        }))
        const first = yield* Effect.fork(ask("/", post("k")))
        yield* until(Effect.sync(() => runs === 1))
        // The key is completed although the stream has not ended.
        let again = yield* ask("/", post("k"))
        while (again.code === "in-flight") {
          again = yield* ask("/", post("k"))
        }
        expect([again.code, runs]).toEqual(["response-not-stored", 1])
        yield* Deferred.succeed(gate, void 0)
        expect((yield* Fiber.join(first)).text).toBe("data: 1\n\n")
      }))

    it.scopedLive("frees the key if it is a stream that fails", () =>
      Effect.gen(function*() {
        let runs = 0
        const ask = yield* serve(Effect.sync(() =>
          ++runs === 1
            ? HttpServerResponse.stream(Stream.concat(Stream.make(everyByte), Stream.fail("broken")))
            : HttpServerResponse.text("whole")
        ))
        yield* Effect.exit(Effect.sandbox(ask("/", post("k"))))
        expect((yield* ask("/", post("k"))).text).toBe("whole")
        expect(runs).toBe(2)
      }))
  })
})
