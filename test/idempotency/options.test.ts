/**
 * Options in code and from the configuration: which are read, and which are refused.
 */
import { HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Exit, Layer } from "effect"
import { HttpMiddleware, Idempotency } from "effect-airlock"
import * as IdempotencyRedis from "effect-airlock/IdempotencyRedis"
import * as IdempotencySql from "effect-airlock/IdempotencySql"
import { Redis } from "ioredis"
import { createServer } from "node:net"
import { decorated, sqlite } from "../support/databases.js"
import { node, post, posting } from "../support/idempotencyHosts.js"
import type { Options } from "../support/idempotencyPlaces.js"

const from = (values: Record<string, string>) =>
  Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(values)), { pathDelim: "_", seqDelim: "," }))

const served = (
  values: Record<string, string>,
  options?: Parameters<typeof Idempotency.layerConfig>[0],
  own?: HttpMiddleware.IdempotencyMiddlewareOptions
) => {
  let runs = 0
  return node.serve(
    posting(Effect.sync(() => HttpServerResponse.text(`run ${++runs}`))),
    HttpMiddleware.idempotency(own) as never,
    Layer.orDie(Idempotency.layerConfig(options)).pipe(Layer.provide(from(values))) as Layer.Layer<
      Idempotency.IdempotencyStore
    >
  )
}

const errorOf = (values: Record<string, string>, options?: Parameters<typeof Idempotency.layerConfig>[0]) =>
  Effect.map(
    Effect.exit(Layer.build(Idempotency.layerConfig(options)).pipe(Effect.provide(from(values)))),
    (exit) => Exit.isFailure(exit) ? String(exit.cause) : "no error"
  )

describe("Idempotency.layerConfig", () => {
  it.scopedLive("has a default for each key", () =>
    Effect.gen(function*() {
      const ask = yield* served({})
      expect((yield* ask("/", post())).code).toBe("key-missing")
      expect((yield* ask("/", post("a"))).text).toBe("run 1")
      expect((yield* ask("/", post("a"))).text).toBe("run 1")
    }))

  it.scopedLive("reads the options, and those of the middleware count before them", () =>
    Effect.gen(function*() {
      const values = {
        IDEMPOTENCY_MODE: "optional",
        IDEMPOTENCY_HEADER: "x-key",
        IDEMPOTENCY_FINGERPRINT: "anything",
        IDEMPOTENCY_CALLER: "nobody",
        IDEMPOTENCY_STORE_STATUSES: "200,201",
        IDEMPOTENCY_IN_FLIGHT: "wait",
        IDEMPOTENCY_IN_FLIGHT_WAIT: "1 second",
        IDEMPOTENCY_IN_FLIGHT_STATUS: "423",
        IDEMPOTENCY_REPLAY_STATUS: "409",
        IDEMPOTENCY_TTL: "2 days",
        IDEMPOTENCY_LEASE: "5 seconds",
        IDEMPOTENCY_ON_STORE_ERROR: "open",
        IDEMPOTENCY_MAX_REQUEST_BYTES: "5"
      }
      const options = { fingerprints: { anything: () => "" }, callers: { nobody: () => "" } }
      const ask = yield* served(values, options, { replayHeader: "x-again" })
      const of = (body: string) => ({ method: "POST", body, headers: { "x-key": "a", authorization: body } })
      expect((yield* ask("/", post("a"))).text).toBe("run 1")
      expect((yield* ask("/", of("1"))).text).toBe("run 2")
      const again = yield* ask("/", of("2"))
      expect([again.status, again.text, again.headers.get("x-again")]).toEqual([409, "run 2", "true"])
      expect((yield* ask("/", of("123456"))).code).toBe("request-too-large")
    }))

  it.scopedLive("builds the store that it names, and only that", () =>
    Effect.gen(function*() {
      const broken = Layer.die("not this one")
      const ask = yield* served({ IDEMPOTENCY_STORE: "second" }, {
        stores: { first: broken, second: Idempotency.layerMemory() }
      })
      expect((yield* ask("/", post("a"))).text).toBe("run 1")
    }))

  it.scopedLive("fails on unknown names, unknown keys and values without sense", () =>
    Effect.gen(function*() {
      expect(yield* errorOf({ IDEMPOTENCY_STORE: "redis" })).toContain(
        "Expected one of memory, but received"
      )
      expect(yield* errorOf({ IDEMPOTENCY_TLT: "1 day" })).toContain("Expected one of these keys")
      expect(yield* errorOf({ IDEMPOTENCY_CALLER: "me" })).toContain("Expected no name")
      expect(yield* errorOf({ IDEMPOTENCY_FINGERPRINT: "toString" })).toContain("Expected one of bytes, json")
      expect(yield* errorOf({ IDEMPOTENCY_TTL: "0 seconds" })).toContain("Expected a duration above 0")
      expect(yield* errorOf({ IDEMPOTENCY_STORE_STATUSES: "2xx" })).toContain("Expected statuses")
      expect(yield* errorOf({ IDEMPOTENCY_IN_FLIGHT: "wait" })).toContain("together")
      expect(yield* errorOf({ IDEMPOTENCY_REPLAY_STATUS: "42" })).toContain("`replayStatus`")
      expect(yield* errorOf({ KEYS_MODE: "none" }, { prefix: "KEYS" })).toContain("KEYS.MODE")
    }))
})

describe("Idempotency.layerOptions", () => {
  it.scopedLive("dies with options that have no sense", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Layer.build(Idempotency.layerOptions({ ttl: 0 })))
      expect(String(exit)).toContain("`ttl`")
    }))
})

describe("a store that is not there", () => {
  it.scopedLive("fails to open, if its table is missing", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(IdempotencySql.layer({ table: "missing" })))
      expect([error._tag, error.operation]).toEqual(["IdempotencyStoreError", "open"])
      expect(String((error.cause as { readonly cause?: unknown }).cause)).toContain("missing")
    }).pipe(Effect.provide(Layer.orDie(decorated(sqlite)))))

  it.scopedLive("creates its table with the statements of ddl, in any of the databases", () =>
    Effect.sync(() => {
      for (const dialect of ["pg", "mysql", "sqlite"] as const) {
        expect(IdempotencySql.ddl(dialect, "shop.keys").join("\n")).toContain("CREATE TABLE IF NOT EXISTS")
      }
    }))

  it.scopedLive("answers within its time limit, if Redis does not", () =>
    Effect.gen(function*() {
      const server = createServer()
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          server.listen(0, "127.0.0.1", () => resume(Effect.void))
        }),
        () => Effect.sync(() => server.close())
      )
      const address = server.address()
      const client = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new Redis({
            port: typeof address === "object" ? address!.port : 0,
            host: "127.0.0.1",
            enableReadyCheck: false
          })
        ),
        (redis) => Effect.sync(() => redis.disconnect())
      )
      const { claim } = yield* IdempotencyRedis.make({ client, timeout: "20 millis" })
      const error = yield* Effect.flip(claim({ id: "a", token: "b", fingerprint: "c", leaseMillis: 1000 }))
      expect([error.operation, (error.cause as Error).name]).toEqual(["claim", "SettleTimeoutError"])
    }))
})

describe("options of idempotency keys", () => {
  const reason = (options: Options) => {
    try {
      HttpMiddleware.idempotency(options)
      return "none"
    } catch (error) {
      return error instanceof Idempotency.IdempotencyOptionsError ? error.reason : "another error"
    }
  }

  it("may not contradict each other on one route", () => {
    expect(reason({
      routes: [
        { method: "POST", path: "/orders/:id", mode: "exempt" },
        { path: "/orders/:name", mode: "required" }
      ]
    })).toBe(
      "POST /orders/:name is exempt by routes[0], and required by routes[1]. Declare it once."
    )
    expect(reason({
      routes: [
        { method: "POST", path: "/orders/:id", mode: "exempt" },
        { method: "PUT", path: "/orders/:id", mode: "required" },
        { path: "/orders/mine", mode: "required" }
      ]
    })).toBe("none")
  })

  it("may not contradict each other on one route in any other way", () => {
    const both = (one: Idempotency.IdempotencyRoute, other: Idempotency.IdempotencyRoute) =>
      reason({ routes: [{ method: "POST", ...one }, { method: "POST", ...other }] })
    for (const path of ["/a/:y/", "/A/:y", "//a/:y"] as const) {
      expect(both({ path: "/a/:x", mode: "exempt" }, { path, mode: "required" })).toBe(
        `POST ${path} is exempt by routes[0], and required by routes[1]. Declare it once.`
      )
    }
    expect(both({ path: "/a", ttl: "1 day" }, { path: "/a", ttl: "2 days" })).toBe(
      "POST /a has one `ttl` by routes[0], and another one by routes[1]. Declare it once."
    )
    // These are no different values.
    expect(both({ path: "/a", ttl: "1 day" }, { path: "/a", mode: "required" })).toBe("none")
    expect(both({ path: "/a", ttl: Duration.days(1) }, { path: "/a", ttl: Duration.days(1) })).toBe("none")
    // Paths that overlap in part.
    expect(both({ path: "/a/:x?", mode: "exempt" }, { path: "/a", mode: "required" })).toBe(
      "POST /a, by routes[1]: Method 'POST' already declared for route '/a'"
    )
    expect(both({ path: "/:x(\\d+)", mode: "exempt" }, { path: "/:y(\\w+)", mode: "required" })).toContain("routes[1]")
    expect(both({ path: "/a/*/b" }, { path: "/b" })).toContain("routes[0]: Wildcard")
  })

  it("must make sense", () => {
    expect(reason({ ttl: 0 })).toContain("`ttl`")
    expect(reason({ lease: "Infinity" as never })).not.toBe("none")
    expect(reason({ header: "a b" })).toContain("`header`")
    expect(reason({ replayHeader: "" })).toContain("`replayHeader`")
    expect(reason({ replayStatus: 99 })).toContain("`replayStatus`")
    expect(reason({ maxRequestBytes: -1 })).toContain("`maxRequestBytes`")
    expect(reason({ inFlight: { wait: 0 } })).toContain("`inFlight.wait`")
    expect(reason({ routes: [{ path: "/a", retryAfter: -1 }] })).toContain("`retryAfter`")
  })
})
