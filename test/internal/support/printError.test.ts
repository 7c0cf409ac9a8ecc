import { Headers, HttpBody, HttpClientError, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Data, Effect, FiberId, Redacted, Schema } from "effect"
import { DispatchError } from "../../../src/AirlockError.js"
import {
  errorsOf,
  errorToJson,
  printCause,
  printDetails,
  printError,
  printHeadline,
  shortenBytes
} from "../../../src/internal/support/printError.js"

class MailRefused extends Data.TaggedError("MailRefused")<{
  readonly status: number
  readonly cause?: unknown
  readonly [field: string]: unknown
}> {}

class Coded extends Schema.TaggedError<Coded>()("Coded", { code: Schema.Number }) {}

/** An error with this stack. */
const withStack = (error: Error, ...frames: ReadonlyArray<string>) =>
  Object.assign(error, { stack: [`${error.name}: ${error.message}`, ...frames.map((at) => `    ${at}`)].join("\n") })

describe("a printed error", () => {
  it("has the tag, the message and the fields in its headline", () => {
    expect(printHeadline(new MailRefused({ status: 550 }))).toBe("MailRefused {\"status\":550}")
    expect(printHeadline(new Coded({ code: 7 }))).toBe("Coded {\"code\":7}")
    expect(printHeadline(Object.assign(new TypeError("no"), { code: "E" }))).toBe("TypeError: no {\"code\":\"E\"}")
    expect(printHeadline({ _tag: "Gone", message: "it is gone", id: 1 })).toBe("Gone: it is gone {\"id\":1}")
    expect(printHeadline({ status: 1 })).toBe("{\"status\":1}")
    expect(printHeadline(new Error("plain"))).toBe("plain")
    expect(printError("a text")).toBe("a text")
    expect(printError("")).toBe("\"\"")
    expect(printHeadline(new AggregateError([new Error("one")], "all"))).toContain("\"message\":\"one\"")
  })

  it("has its stack and its causes, each with its own", () => {
    const inner = withStack(new TypeError("refused"), "at connect (node:net:1:2)")
    const outer = withStack(new MailRefused({ status: 550, cause: inner }), "at send (/app/mail.ts:3:4)")
    expect(printError(outer).split("\n")).toEqual([
      "MailRefused {\"status\":550}",
      "    at send (/app/mail.ts:3:4)",
      "  [cause]: TypeError: refused",
      "      at connect (node:net:1:2)"
    ])
    expect(errorToJson(outer)).toEqual({
      _tag: "MailRefused",
      status: 550,
      stack: "at send (/app/mail.ts:3:4)",
      cause: { name: "TypeError", message: "refused", stack: "at connect (node:net:1:2)" }
    })
  })

  it("has all frames but those of this package and of Effect", () => {
    const error = withStack(
      new Error("no"),
      "at handler (/app/mail.ts:1:1)",
      "at Generator.next (<anonymous>)",
      "at runLoop (/app/node_modules/effect/src/internal/fiberRuntime.ts:1:1)",
      "at run (/app/node_modules/.pnpm/effect@3/node_modules/effect/dist/esm/Effect.js:1:1)",
      "at callHandler (/app/node_modules/effect-airlock/dist/internal/handler/runner.js:1:1)",
      "at query (/app/node_modules/effect-mail/index.js:1:1)",
      "at process.processTicksAndRejections (node:internal/process:1:1)"
    )
    expect(printDetails(error)).toBe([
      "",
      "    at handler (/app/mail.ts:1:1)",
      "    at query (/app/node_modules/effect-mail/index.js:1:1)",
      "    at process.processTicksAndRejections (node:internal/process:1:1)"
    ].join("\n"))
  })

  it.effect("has the spans in which it arose", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.withSpan(Effect.fail(withStack(new Error("no"))), "sendMail"))
      expect(printDetails(error)).toContain("at sendMail (")
    }))

  it("keeps redacted what is redacted", () => {
    const error = new MailRefused({
      status: 1,
      key: Redacted.make("secret"),
      headers: Headers.fromInput({ authorization: "secret", accept: "text" }),
      cause: { request: { headers: Headers.fromInput({ cookie: "secret" }) } }
    })
    const text = printError(error) + JSON.stringify(errorToJson(error)) + printError(Redacted.make("secret"))
    expect(text).not.toContain("secret")
    expect(text).toContain("\"accept\":\"text\"")
  })

  it("shows of HTTP what was asked and answered, and no body, header or query", () => {
    const request = HttpClientRequest.post("https://mail.example/send").pipe(
      HttpClientRequest.setUrlParam("key", "secret"),
      HttpClientRequest.setHeader("x-token", "secret"),
      HttpClientRequest.bodyUnsafeJson({ card: "secret" })
    )
    const web = new Response("secret", { status: 503, headers: { "x-token": "secret" } })
    const response = HttpClientResponse.fromWeb(request, web)
    const refused = new HttpClientError.ResponseError({ request, response, reason: "StatusCode" })
    const shown = { request: "POST https://mail.example/send", response: "status 503" }
    expect(errorToJson(refused)).toMatchObject(shown)
    expect(printHeadline({ ...shown, body: request.body })).toBe(JSON.stringify({ ...shown, body: "[17 bytes]" }))
    expect(printHeadline(request.toJSON())).toBe(shown.request)
    expect(printHeadline(response)).toBe(shown.response)
    expect(printHeadline(HttpBody.empty)).toBe("[body]")
    expect(web.bodyUsed).toBe(false)
    const body = { headers: { Authorization: "secret", COOKIE: "secret", "set-cookie": ["secret"] } }
    const map = new Map([["X-Api-Key", "secret"], ["accept", "text"]])
    const text = printError(refused) + printError(new MailRefused({ status: 1, body, map, authorization: "secret" }))
    expect(text).not.toContain("secret")
    expect(text).toContain("\"accept\":\"text\"")
  })

  it("names the class of an object without fields", () => {
    expect(printHeadline(new Response("a"))).toBe("Response {}")
    expect(printHeadline({ response: new Response("a"), none: {} })).toBe("{\"response\":\"Response {}\",\"none\":{}}")
    expect(printHeadline(Promise.resolve(1))).toBe("a Promise")
    expect(printHeadline({ pattern: /a/ })).toBe("{\"pattern\":\"/a/\"}")
    expect(printHeadline({})).toBe("{}")
  })

  it("does not repeat a cause whose headline the message contains, however deep its fields are", () => {
    const deep = new MailRefused({ status: 1, a: { b: { c: { d: { e: { f: { g: 1 } } } } } } })
    const long = new MailRefused({ status: 1, list: Array.from({ length: 600 }, (_, i) => ({ i })) })
    for (const cause of [deep, long]) {
      expect(printError(new DispatchError({ task: "SendMail", cause }))).not.toContain("[cause]")
    }
    expect(printError(new Error("a", { cause: new Error("b") }))).toContain("[cause]: Error: b")
  })

  const self: Record<string, unknown> = { name: "self" }
  self["self"] = self
  const circular = new Error("circular")
  circular.cause = circular
  const endless = (): Error => Object.defineProperty(new Error("endless"), "cause", { get: endless })
  const throwing = Object.defineProperty(new Error("seen"), "field", {
    enumerable: true,
    get: () => {
      throw new Error("no")
    }
  })
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const hostile: Record<string, readonly [unknown, string]> = {
    "with a bigint": [new MailRefused({ status: 1, big: 10n }), "\"big\":\"10n\""],
    "that contains itself": [self, "[circular]"],
    "that is its own cause": [circular, "circular"],
    "with causes without end": [endless(), "endless"],
    "without a prototype": [Object.assign(Object.create(null), { a: 1 }), "{\"a\":1}"],
    "with a getter that throws": [throwing, "seen {\"field\":\"[cannot be printed]\"}"],
    "with a toJSON that throws": [{
      a: 1,
      toJSON: () => {
        throw new Error("no")
      }
    }, "\"a\":1"],
    "that is a revoked Proxy": [revoked.proxy, "[cannot be printed]"],
    "that is undefined": [undefined, "undefined"],
    "that is a symbol": [Symbol("s"), "Symbol(s)"],
    "with many fields": [Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, { i }])), "k1"]
  }
  for (const [what, [error, contains]] of Object.entries(hostile)) {
    it(`is printed, and bounded, for an error ${what}`, () => {
      expect(printError(error)).toContain(contains)
      expect(printError(error).length).toBeLessThan(30_000)
      expect(JSON.stringify(errorToJson(error)).length).toBeLessThan(100_000)
    })
  }
})

describe("the errors of a Cause", () => {
  it("are all printed, the first one as Cause.squash gives it", () => {
    const cause = Cause.sequential(Cause.die(new Error("second")), Cause.fail(new Error("first")))
    expect(errorsOf(cause).map(String)).toEqual(["Error: first", "Error: second"])
    expect(printCause(cause)).toMatch(/^Error: first\n[\s\S]*\nError: second\n/)
    expect(printCause(Cause.interrupt(FiberId.none))).toContain("InterruptedException")
  })
})

describe("shortenBytes", () => {
  it("keeps a text that fits, and cuts another one between two characters", () => {
    expect(shortenBytes("äöü", 6)).toBe("äöü")
    const text = shortenBytes("ä".repeat(100), 51)
    expect(text).toMatch(/^ä+ \.\.\. \(200 bytes\)$/)
    expect(new TextEncoder().encode(text).length).toBeLessThanOrEqual(51)
  })
})
