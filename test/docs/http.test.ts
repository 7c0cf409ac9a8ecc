/**
 * This test prints docs/http-table.md: which intents leave for each position of the middleware and each way in which a
 * request can end, over a socket on Node and in a web handler.
 */
import { HttpApp, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { it } from "@effect/vitest"
import { Deferred, Effect, Exit, Logger, Option, Stream } from "effect"
import { Airlock, type AirlockScope, HttpMiddleware, type ScopeView } from "effect-airlock"
import type { ServerResponse } from "node:http"
import { expect } from "vitest"
import { type Ask, type Handler, Missing, Moved, type Position, positions } from "../support/positions.js"
import { layer, Left, note } from "../support/recorder.js"

interface Ending {
  /** The status that the client gets. Absent if the client has closed the connection. */
  readonly status?: number
  /** Whether the intents of the request's scope leave. */
  readonly leaves: boolean
  /** The intents of the scope of a streamed body. */
  readonly body?: "leave" | "discarded"
  readonly end: Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    unknown,
    AirlockScope | Airlock.Airlock | HttpServerRequest.HttpServerRequest
  >
}

const streamed = (body: Stream.Stream<string, unknown, AirlockScope>) =>
  Effect.map(
    HttpMiddleware.airlockStream(Stream.encodeText(body)),
    (body) => HttpServerResponse.stream(body)
  )

const noteOfBody = Stream.execute(note("body"))

const endings: Record<string, Ending> = {
  "200": { end: HttpServerResponse.text("ok"), status: 200, leaves: true },
  "204": { end: HttpServerResponse.empty(), status: 204, leaves: true },
  "302": { end: HttpServerResponse.redirect("/"), status: 302, leaves: true },
  "304": { end: HttpServerResponse.empty({ status: 304 }), status: 304, leaves: true },
  "400": { end: HttpServerResponse.empty({ status: 400 }), status: 400, leaves: false },
  "500": { end: HttpServerResponse.empty({ status: 500 }), status: 500, leaves: false },
  "a declared error, 404": { end: new Missing(), status: 404, leaves: false },
  "a declared error, 303": { end: new Moved(), status: 303, leaves: true },
  "another failure": { end: Effect.fail("no"), status: 500, leaves: false },
  "a defect": { end: Effect.die("no"), status: 500, leaves: false },
  "a response as failure, 403": {
    end: Effect.fail(HttpServerResponse.empty({ status: 403 })),
    status: 403,
    leaves: false
  },
  "a response as defect, 403": {
    end: Effect.die(HttpServerResponse.empty({ status: 403 })),
    status: 403,
    leaves: false
  },
  "a redirect as defect": { end: Effect.die(HttpServerResponse.empty({ status: 302 })), status: 302, leaves: true },
  "an interruption": { end: Effect.interrupt, status: 503, leaves: false },
  "a timeout": { end: Effect.timeout(Effect.never, "1 millis"), status: 500, leaves: false },
  "the client disconnects": { end: Effect.never, leaves: false },
  "a streamed body, to its end": {
    end: streamed(Stream.concat(Stream.make("a", "b"), noteOfBody)),
    status: 200,
    leaves: true,
    body: "leave"
  },
  "a streamed body that breaks off": {
    end: streamed(Stream.concat(Stream.concat(Stream.make("a"), noteOfBody), Stream.fail("no"))),
    status: 200,
    leaves: true,
    body: "discarded"
  }
}

/** Calls back before the first byte of a response is sent. */
const atFirstByte = (request: HttpServerRequest.HttpServerRequest, sent: () => void): void => {
  const response = (request as { readonly response?: ServerResponse }).response
  if (response !== undefined) {
    const { writeHead } = response
    response.writeHead = (...args: Array<never>) => {
      sent()
      return (writeHead as (...args: Array<never>) => ServerResponse).apply(response, args)
    }
    return
  }
  const resolve = Symbol.for("@effect/platform/HttpApp/resolve")
  const web = request as unknown as Record<symbol, (response: Response) => void>
  const send = web[resolve]!
  web[resolve] = (response) => {
    sent()
    send(response)
  }
}

interface Cell {
  readonly status: number | undefined
  readonly left: ReadonlyArray<string>
  /** The state of the request's scope when the first byte was sent. */
  readonly atFirstByte: string | undefined
}

const cellOf = (host: Position[keyof Position], { end, status }: Ending) =>
  Effect.gen(function*() {
    const texts = yield* Left
    texts.length = 0
    const begun = yield* Deferred.make<void>()
    const closed = yield* Deferred.make<void>()
    let state: string | undefined
    const handler: Handler = () =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const scope: ScopeView = Option.getOrThrow(yield* Airlock.current)
        atFirstByte(request, () => {
          state ??= scope.state
        })
        yield* Effect.addFinalizer(() => Deferred.succeed(closed, void 0))
        yield* note("request")
        yield* Deferred.succeed(begun, void 0)
        return yield* end
      })
    const ask: Ask = yield* host(handler)
    const client = new AbortController()
    const asked = ask("/ending", { signal: client.signal }).then(
      async (response) => {
        await response.text().catch(() => undefined)
        return response.status
      },
      () => undefined
    )
    if (status === undefined) {
      yield* Deferred.await(begun)
      client.abort()
      // The web handler answers an aborted request too, but no client gets that response.
      yield* Effect.promise(() => asked)
    }
    const got = yield* Effect.promise(() => asked)
    // A streamed body can go on after the client has its response.
    yield* Deferred.await(closed)
    const cell: Cell = { status: status === undefined ? undefined : got, left: [...texts], atFirstByte: state }
    return cell
  }).pipe(Effect.scoped)

const quiet = Logger.remove(Logger.defaultLogger)

const expected = ({ body, leaves, status }: Ending): Cell => ({
  status,
  left: [...(leaves ? ["request"] : []), ...(body === "leave" ? ["body"] : [])],
  atFirstByte: leaves ? "flushed" : "discarded"
})

it.live("docs/http-table.md shows what leaves, in each position and for each ending", () =>
  Effect.gen(function*() {
    const places = positions()
    const rows: Array<ReadonlyArray<string>> = []
    for (const [ending, how] of Object.entries(endings)) {
      const cells: Array<string> = []
      for (const [place, position] of Object.entries(places)) {
        for (const host of ["node", "web"] as const) {
          const cell = yield* cellOf(position[host], how)
          const wanted = expected(how)
          const first = how.status === undefined ? cell.atFirstByte : wanted.atFirstByte
          expect([ending, place, host, cell]).toEqual([ending, place, host, { ...wanted, atFirstByte: first }])
        }
        cells.push(how.leaves ? "leave" : "discarded")
      }
      rows.push([ending, how.status === undefined ? "nothing" : `${how.status}`, ...cells, how.body ?? ""])
    }
    const header = ["the handler ends in", "the client gets", ...Object.keys(places), "intents of the body"]
    const seen = yield* sights
    const page =
      `# Requests, by position\n\nThese tables show what the [HTTP middleware](http.md) does in each position. ` +
      `\`test/docs/http.test.ts\` prints them from real\nrequests, over sockets on Node and through web handlers. Each cell ` +
      `holds for both.\n\n## Which intents leave\n\nEvery scope settled before the first byte of its response was ` +
      `sent.\n\n${
        tableOf([header, ...rows])
      }\n## What shouldFlush gets\n\nA cell shows the status of the response that ` +
      `\`shouldFlush\` got, and whether the exit was a failure. If the middleware\nstands at two positions, the inner one ` +
      `comes first. A middleware that the request did not pass shows "nothing".\n\n${tableOf(seen)}`
    yield* Effect.promise(() => expect(page).toMatchFileSnapshot("../../docs/http-table.md"))
  }).pipe(Effect.provide([layer(), quiet])), 60_000)

const tableOf = ([header, ...rows]: ReadonlyArray<ReadonlyArray<string>>): string => {
  const all = [header!, header!.map(() => ""), ...rows]
  const widths = header!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  return all.map((row, at) =>
    `| ${
      row.map((cell, column) => at === 1 ? "-".repeat(widths[column]!) : cell.padEnd(widths[column]!)).join(" | ")
    } |\n`
  ).join("")
}

const situations: Record<string, { readonly path?: string, readonly end: Ending["end"], readonly status: number }> = {
  "200": { end: HttpServerResponse.empty({ status: 200 }), status: 200 },
  "a failure that the handler recovers": {
    end: Effect.catchAll(Effect.fail("no"), () => HttpServerResponse.empty({ status: 200 })),
    status: 200
  },
  "a declared error, 404": { end: new Missing(), status: 404 },
  "a defect": { end: Effect.die("no"), status: 500 },
  "no such route": { path: "/no/such/route", end: Effect.never, status: 404 },
  "a response that a pre-response handler in the app turns into 503": {
    end: Effect.as(
      HttpApp.appendPreResponseHandler((_, response) => Effect.succeed(HttpServerResponse.setStatus(response, 503))),
      HttpServerResponse.empty({ status: 200 })
    ),
    status: 503
  }
}

const sights = Effect.gen(function*() {
  let seen: Array<string> = []
  const places = positions({
    shouldFlush: (_, response, exit) => {
      seen.push(`${response.status}${Exit.isFailure(exit) ? " as a failure" : ""}`)
      return false
    }
  })
  const rows: Array<ReadonlyArray<string>> = [["the request", "the client gets", ...Object.keys(places)]]
  for (const [situation, { end, path = "/ending", status }] of Object.entries(situations)) {
    const cells: Array<string> = []
    for (const position of Object.values(places)) {
      const byHost: Array<string> = []
      for (const host of ["node", "web"] as const) {
        seen = []
        yield* Effect.scoped(Effect.flatMap(position[host](() => end), (ask) =>
          Effect.promise(async () => {
            const response = await ask(path)
            await response.text()
            expect([situation, response.status]).toEqual([situation, status])
          })))
        byHost.push(seen.join(", "))
      }
      expect(byHost[0]).toBe(byHost[1])
      cells.push(byHost[0] || "nothing")
    }
    rows.push([situation, `${status}`, ...cells])
  }
  return rows
})
