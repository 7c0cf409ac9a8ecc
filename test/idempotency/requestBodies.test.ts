/**
 * Bodies of requests, which are read once and served to the handler.
 */
import {
  FileSystem,
  HttpIncomingMessage,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse,
  Multipart
} from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Context, Deferred, Effect, Layer, Option, Schema, Stream } from "effect"
import { Idempotency } from "effect-airlock"
import { createServer, request as httpRequest, type Server } from "node:http"
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2"
import { gunzipSync, gzipSync } from "node:zlib"
import { serving } from "../support/http.js"
import { post, posting } from "../support/idempotencyHosts.js"
import { keysOf, onEachPlace, type Options } from "../support/idempotencyPlaces.js"
import { onSocket } from "../support/rawHttp.js"

const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i)
const large = Uint8Array.from({ length: 1_300_000 }, (_, i) => (i * 31 + (i >> 9)) & 0xff)

const join = (chunks: Iterable<Uint8Array>) => Uint8Array.from(Buffer.concat([...chunks]))

const { HttpServerRequest: request } = HttpServerRequest

onEachPlace(({ host, serve }) => {
  describe("the body of a request with a key", () => {
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
    it.scopedLive("is served as text, JSON, a form, bytes or a stream, as often as the handler asks", () =>
      Effect.gen(function*() {
        const ask = yield* serve(
          Effect.flatMap(
            request,
            ({ headers }) =>
              Effect.flatMap(readers[headers["x-reader"]!]![1], (value) => HttpServerResponse.json(value))
          )
        )
        for (const [reader, [init, , expected]] of Object.entries(readers)) {
          const sent = post(reader.replaceAll(/\W/g, "-"), { ...init, headers: { "x-reader": reader } })
          for (const replayed of [null, "true"]) {
            const answer = yield* ask("/", sent)
            expect([reader, answer.headers.get("idempotency-replayed")]).toEqual([reader, replayed])
            expect([reader, JSON.parse(answer.text)]).toEqual([reader, expected])
          }
        }
      }))

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

    it.scopedLive("is served as it came if it is compressed", () =>
      Effect.gen(function*() {
        const ask = yield* serve(
          Effect.flatMap(request, ({ arrayBuffer }) =>
            Effect.map(arrayBuffer, (buffer) =>
              HttpServerResponse.text(gunzipSync(buffer).toString())))
        )
        const init = post("k", { body: gzipSync("süß".repeat(1000)), headers: { "content-encoding": "gzip" } })
        for (const replayed of [null, "true"]) {
          const answer = yield* ask("/", init)
          expect([answer.text, answer.headers.get("idempotency-replayed")]).toEqual(["süß".repeat(1000), replayed])
        }
      }))

    it.scopedLive("has the limit that its handler sets, where the host has it", () =>
      Effect.gen(function*() {
        const read = Effect.flatMap(request, ({ text }) => text).pipe(
          HttpIncomingMessage.withMaxBodySize(Option.some(FileSystem.Size(10)))
        )
        const ask = yield* serve(Effect.map(read, (text) => HttpServerResponse.text(text)))
        expect((yield* ask("/", post("a", { body: "x".repeat(10) }))).status).toBe(200)
        const answer = yield* ask("/", post("b", { body: "x".repeat(11) }))
        expect([answer.status, answer.code]).toEqual([host.name === "Node" ? 400 : 200, undefined])
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
})

/** Serves the text of each request, and returns the port. */
const serveOnNode = (options?: Options, server: () => Server = createServer) =>
  Effect.gen(function*() {
    let runs = 0
    const context = yield* Layer.build(NodeHttpServer.layer(server, { port: 0, host: "127.0.0.1" }))
    const echo = Effect.flatMap(request, ({ text }) =>
      Effect.map(text, (text) => HttpServerResponse.text(`run ${++runs}: ${text}.`)))
    yield* Layer.build(
      posting(echo).pipe(
        HttpServer.serve(keysOf(options) as never),
        Layer.provide(Idempotency.layerMemory()),
        Layer.provide(Layer.succeedContext(context))
      ) as Layer.Layer<never>
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    return address._tag === "TcpAddress" ? address.port : 0
  })

describe("a request on a connection of Node", () => {
  const head = "POST / HTTP/1.1\r\nHost: x\r\n"
  const next = `${head}Idempotency-Key: next\r\nContent-Length: 2\r\n\r\nhi`
  const chunked = (key: string, ...chunks: ReadonlyArray<string>) =>
    `${head}Idempotency-Key: ${key}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n${
      chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")
    }0\r\nX-Sum: 1\r\n\r\n`

  it.scopedLive("is answered after one that was refused before its body was read", () =>
    Effect.gen(function*() {
      const port = yield* serveOnNode({ maxRequestBytes: 100 })
      const body = "x".repeat(200_000)
      const answer = yield* onSocket(port, [
        `${head}Content-Length: ${body.length}\r\n\r\n`,
        body,
        `${head}Idempotency-Key: large\r\nContent-Length: ${body.length}\r\n\r\n`,
        body,
        chunked("large", body),
        next
      ], (answer) => answer.includes("hi."))
      expect(answer.match(/key-missing|request-too-large|run \d: hi/g)).toEqual([
        "key-missing",
        "request-too-large",
        "request-too-large",
        "run 1: hi"
      ])
    }))

  it.scopedLive("is the same with chunks and trailers as with a length, and with the whole URL", () =>
    Effect.gen(function*() {
      const port = yield* serveOnNode()
      const absolute = next.replace("POST /", "POST http://x/")
      const answer = yield* onSocket(
        port,
        [chunked("next", "h", "i"), next, absolute],
        (answer) => answer.split("hi.").length > 3
      )
      expect(answer.match(/run \d: hi/g)).toEqual(["run 1: hi", "run 1: hi", "run 1: hi"])
      expect(answer.match(/idempotency-replayed/gi)).toHaveLength(2)
    }))

  it.scopedLive("is told to go on if it asks before it sends its body", () =>
    Effect.gen(function*() {
      const port = yield* serveOnNode()
      const expecting = next.replace("Host: x", "Host: x\r\nExpect: 100-continue")
      const answer = yield* onSocket(port, [expecting], (answer) => answer.includes("hi."))
      expect(answer).toMatch(/^HTTP\/1\.1 100 Continue[^]*run 1: hi/)
    }))

  it.scopedLive("may have a body without a length in HTTP/2", () =>
    Effect.gen(function*() {
      // It has what the platform uses of a server of HTTP/1.
      const port = yield* serveOnNode({}, createHttp2Server as unknown as () => Server)
      const session = yield* Effect.acquireRelease(
        Effect.sync(() => connectHttp2(`http://127.0.0.1:${port}`)),
        (session) => Effect.sync(() => session.destroy())
      )
      const send = (body: string) =>
        Effect.async<string>((resume) => {
          let text = ""
          const sent = session.request({ ":method": "POST", ":path": "/", "idempotency-key": "k" })
          sent.on("data", (data) => text += data).on("end", () => resume(Effect.succeed(text))).end(body)
        })
      expect(yield* send("hello")).toBe("run 1: hello.")
      expect(yield* send("hello")).toBe("run 1: hello.")
      expect(yield* send("other")).toContain("key-reused")
    }))
})

describe("a request on Node whose client breaks off in its body", () => {
  it.scopedLive("does not run", () =>
    Effect.gen(function*() {
      let runs = 0
      const [reading, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const keys = keysOf()
      const app = posting(Effect.sync(() => {
        runs++
        return HttpServerResponse.empty()
      }))
      const base = yield* serving(
        app.pipe(
          HttpServer.serve((app) =>
            Effect.zipRight(
              Deferred.succeed(reading, void 0),
              Effect.onExit(keys(app as never), () => Deferred.succeed(ended, void 0))
            )
          ),
          Layer.provide(Idempotency.layerMemory())
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
