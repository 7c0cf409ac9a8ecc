/**
 * Bodies of requests, which are read once and served to the handler, and bodies of responses, which are stored.
 */
import { FileSystem, HttpServer, HttpServerRequest, HttpServerResponse, Multipart } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Fiber, Layer, Logger, Schema, Stream } from "effect"
import { HttpMiddleware, Idempotency } from "effect-airlock"
import { request as httpRequest } from "node:http"
import { Readable } from "node:stream"
import { nodeCrypto, sha256, sha256With } from "../../src/internal/idempotency/digest.js"
import { serving } from "../support/http.js"
import { hosts, post, posting } from "../support/idempotencyHosts.js"
import { until } from "../support/until.js"

const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i)
const large = Uint8Array.from({ length: 3 * 1024 * 1024 }, (_, i) => (i * 31 + (i >> 9)) & 0xff)

const join = (chunks: Iterable<Uint8Array>) => Uint8Array.from(Buffer.concat([...chunks]))

const { HttpServerRequest: request } = HttpServerRequest

const services = Idempotency.layerMemory().pipe(
  Layer.provideMerge(NodeContext.layer),
  Layer.provideMerge(Logger.remove(Logger.defaultLogger))
)

for (const host of hosts) {
  const serve = (
    handler: Effect.Effect<HttpServerResponse.HttpServerResponse, any, any>,
    options?: HttpMiddleware.IdempotencyMiddlewareOptions
  ) => host.serve(posting(handler), HttpMiddleware.idempotency(options) as never, services)

  describe(`the body of a request with a key, on ${host.name}`, () => {
    const readers: Record<string, readonly [RequestInit, Effect.Effect<unknown, unknown, any>, unknown]> = {
      text: [{ body: "süß €" }, Effect.flatMap(request, ({ text }) => text), "süß €"],
      "text, twice": [
        { body: "süß" },
        Effect.flatMap(request, ({ text }) => Effect.all([text, text])),
        ["süß", "süß"]
      ],
      json: [{ body: `{"a":1}` }, HttpServerRequest.schemaBodyJson(Schema.Struct({ a: Schema.Number })), { a: 1 }],
      form: [
        { body: new URLSearchParams({ a: "1 &", b: "ü" }) },
        HttpServerRequest.schemaBodyForm(Schema.Struct({ a: Schema.String, b: Schema.String })),
        { a: "1 &", b: "ü" }
      ],
      bytes: [
        { body: everyByte },
        Effect.flatMap(request, ({ arrayBuffer }) => Effect.map(arrayBuffer, (buffer) => [...new Uint8Array(buffer)])),
        [...everyByte]
      ],
      stream: [
        { body: everyByte },
        Effect.flatMap(request, ({ stream }) => Effect.map(Stream.runCollect(stream), (chunks) => [...join(chunks)])),
        [...everyByte]
      ],
      "no body": [{}, Effect.flatMap(request, ({ text }) => text), ""],
      "no body, as a stream": [
        {},
        Effect.flatMap(request, ({ stream }) => Effect.map(Stream.runCollect(stream), Chunk.size)),
        0
      ],
      "bytes of a request that was modified": [
        { body: "abc" },
        Effect.flatMap(request, (request) => request.modify({ url: "/x" }).modify({ url: "/y" }).text),
        "abc"
      ]
    }
    for (const [what, [init, read, expected]] of Object.entries(readers)) {
      it.scopedLive(`is served as ${what}`, () =>
        Effect.gen(function*() {
          const ask = yield* serve(Effect.flatMap(read, (value) => HttpServerResponse.json(value)))
          expect(JSON.parse((yield* ask("/", post("k", init))).text)).toEqual(expected)
          const again = yield* ask("/", post("k", init))
          expect(again.headers.get("idempotency-replayed")).toBe("true")
          expect(JSON.parse(again.text)).toEqual(expected)
        }))
    }

    it.scopedLive("is served as parts and files", () =>
      Effect.gen(function*() {
        const form = new FormData()
        form.set("name", "süß")
        form.set("file", new Blob([everyByte]), "bytes.bin")
        // Encoded once, because each encoding has another boundary.
        const encoded = new Response(form)
        const init = post("k", {
          body: new Uint8Array(yield* Effect.promise(() => encoded.clone().arrayBuffer())),
          headers: { "content-type": encoded.headers.get("content-type")! }
        })
        const Form = Schema.Struct({ name: Schema.String, file: Multipart.FilesSchema })
        const ask = yield* serve(Effect.gen(function*() {
          const { file, name } = yield* HttpServerRequest.schemaBodyForm(Form)
          const content = yield* (yield* FileSystem.FileSystem).readFile(file[0]!.path)
          const parts = yield* Stream.runCollect((yield* request).multipartStream)
          return HttpServerResponse.unsafeJson([name, [...content], Chunk.toReadonlyArray(parts).map(({ key }) => key)])
        }))
        expect(JSON.parse((yield* ask("/", init)).text)).toEqual(["süß", [...everyByte], ["name", "file"]])
        expect((yield* ask("/", init)).headers.get("idempotency-replayed")).toBe("true")
      }))

    it.scopedLive("is served with many bytes", () =>
      Effect.gen(function*() {
        const ask = yield* serve(
          Effect.flatMap(request, ({ arrayBuffer }) =>
            Effect.map(arrayBuffer, (buffer) =>
              HttpServerResponse.uint8Array(new Uint8Array(buffer)))),
          { maxResponseBytes: 4 * 1024 * 1024 }
        )
        for (let i = 0; i < 2; i++) {
          const { body } = yield* ask("/", post("k", { body: large }))
          expect(Buffer.compare(body, large)).toBe(0)
        }
      }))

    it.scopedLive("gets a 413 over the limit, and the connection stays usable", () =>
      Effect.gen(function*() {
        let runs = 0
        const ask = yield* serve(Effect.sync(() => HttpServerResponse.text(`${++runs}`)), { maxRequestBytes: 1000 })
        for (const body of [new Uint8Array(1001), new Blob([new Uint8Array(500_000)]).stream()]) {
          const answer = yield* ask("/", post("k", { body, duplex: "half" } as RequestInit))
          expect([answer.status, answer.code]).toEqual([413, "request-too-large"])
        }
        expect((yield* ask("/", post("k", { body: new Uint8Array(1000) }))).text).toBe("1")
      }))
  })

  describe(`the body of a response with a key, on ${host.name}`, () => {
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
            HttpServerResponse.raw(new Response(everyByte, { status: 202, headers: { "x-inner": "1" } }))
        })
    }
    for (const [what, make] of Object.entries(bodies)) {
      it.scopedLive(`is replayed byte for byte: ${what}`, () =>
        Effect.gen(function*() {
          let runs = 0
          const ask = yield* serve(Effect.sync(() => {
            runs++
            return make()
          }))
          const [first, again] = [yield* ask("/", post("k")), yield* ask("/", post("k"))]
          expect([runs, again.status]).toEqual([1, first.status])
          expect([...again.body]).toEqual([...first.body])
          expect(first.body.length > 0 || what === "empty").toBe(true)
          for (const name of ["content-type", "x-inner"]) {
            expect(again.headers.get(name)).toBe(first.headers.get(name))
          }
        }))
    }

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
}

describe("a request on Node whose client breaks off in its body", () => {
  it.scopedLive("does not run", () =>
    Effect.gen(function*() {
      let runs = 0
      const [reading, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const keys = HttpMiddleware.idempotency()
      const app = posting(Effect.sync(() => {
        runs++
        return HttpServerResponse.empty()
      }))
      const base = yield* serving(
        app.pipe(
          HttpServer.serve((app) =>
            Effect.zipRight(
              Deferred.succeed(reading, void 0),
              Effect.onExit(keys(app), () => Deferred.succeed(ended, void 0))
            )
          ),
          Layer.provide(services)
        ) as Layer.Layer<never, never, HttpServer.HttpServer>
      )
      const sent = httpRequest(base, { method: "POST", headers: { "idempotency-key": "k", "content-length": "10" } })
      sent.on("error", () => {})
      sent.write("12345")
      yield* Deferred.await(reading)
      sent.destroy()
      yield* Deferred.await(ended)
      expect(runs).toBe(0)
    }))
})

describe("a hash", () => {
  it("is the same with and without the synchronous function of the host", async () => {
    for (const bytes of [new Uint8Array(), everyByte, large]) {
      const slow = sha256With(undefined)("text", bytes)
      expect(typeof slow === "string" ? slow : await Effect.runPromise(slow)).toBe(sha256("text", bytes))
    }
    expect(nodeCrypto({})).toBeUndefined()
    const getBuiltinModule = () => {
      throw new Error("no such module")
    }
    expect(nodeCrypto({ process: { getBuiltinModule } })).toBeUndefined()
  })
})
