/**
 * A streamed body whose intents cannot leave. Its client may not notice, so it is logged.
 */
import { HttpApp, HttpServer, HttpServerResponse } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Stream } from "effect"
import { HttpMiddleware } from "effect-airlock"
import { serving } from "../support/http.js"
import { layer, note } from "../support/recorder.js"

const body = (text: string) => Stream.make("sent").pipe(Stream.concat(Stream.execute(note(text))), Stream.encodeText)

const app = (text: string) =>
  HttpMiddleware.airlock(
    Effect.map(HttpMiddleware.airlockStream(body(text)), (body) => HttpServerResponse.stream(body))
  )

/** The lines of warnings and errors that a request to `app` logs. */
const recording = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel.ordinal >= 30_000) {
      lines.push(`${logLevel.label} ${[message].flat()[0]}`)
    }
  })
  return { lines, live: Layer.provideMerge(layer(), Logger.replace(Logger.defaultLogger, logger)) }
}

it.live("an intent of a body that cannot leave is logged on Node, where the client gets a body that looks complete", () => {
  const { lines, live } = recording()
  return Effect.gen(function*() {
    for (const text of ["leaves", "fails"]) {
      const base = yield* serving(HttpServer.serve(app(text)))
      expect(yield* Effect.promise(() => fetch(base).then((response) => response.text()))).toBe("sent")
    }
    expect(lines).toEqual(["ERROR Airlock: not all intents of the body left"])
  }).pipe(Effect.scoped, Effect.provide(live))
})

it("an intent of a body that cannot leave is logged in a web handler, where the body breaks off", async () => {
  const { lines, live } = recording()
  const { dispose, handler } = HttpApp.toWebHandlerLayer(app("fails"), live)
  const response = await handler(new Request("http://localhost/"))
  await expect(response.text()).rejects.toThrow("did not leave")
  await dispose()
  expect(lines).toEqual(["ERROR Airlock: not all intents of the body left"])
})
