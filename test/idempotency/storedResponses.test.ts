/**
 * Which responses are stored, and what of them is replayed.
 */
import { HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { post } from "../support/idempotencyHosts.js"
import { onEachPlace } from "../support/idempotencyPlaces.js"
import { until } from "../support/until.js"

onEachPlace(({ counting }) => {
  describe("a replay", () => {
    it.scopedLive("has the status, the body and the headers, without those of one message", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting({}, () =>
          HttpServerResponse.text("made", {
            status: 201,
            contentType: "text/x-made",
            headers: {
              location: "/made/1",
              date: "Thu, 01 Jan 1970 00:00:00 GMT",
              "keep-alive": "timeout=5",
              "x-hop": "1",
              connection: "close, X-Hop"
            }
          }).pipe(HttpServerResponse.unsafeSetCookie("session", "secret")))
        const first = yield* ask("/", post("k"))
        const again = yield* ask("/", post("k"))
        expect(first.headers.get("set-cookie")).toContain("secret")
        expect([again.status, again.text, again.headers.get("content-type"), again.headers.get("location")]).toEqual([
          201,
          "made",
          "text/x-made",
          "/made/1"
        ])
        expect(again.headers.get("content-length")).toBe("4")
        expect(again.headers.has("set-cookie")).toBe(false)
        expect(again.headers.get("date")).not.toBe("Thu, 01 Jan 1970 00:00:00 GMT")
        expect(again.headers.has("x-hop")).toBe(false)
      }))

    it.scopedLive("is there until its time has passed, which replays do not extend", () =>
      Effect.gen(function*() {
        const { ask, counter } = yield* counting({ ttl: "100 millis" })
        expect((yield* ask("/", post("k"))).text).toBe("run 1")
        // Replays all the while.
        yield* until(Effect.map(ask("/", post("k")), ({ text }) => text === "run 2"))
        expect(counter.runs).toBe(2)
      }))

    it.scopedLive("can have a status of its own, and no header", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting({ replayStatus: 409, replayHeader: false })
        expect((yield* ask("/", post("k"))).status).toBe(200)
        const again = yield* ask("/", post("k"))
        expect([again.status, again.text]).toEqual([409, "run 1"])
        expect(again.headers.has("idempotency-replayed")).toBe(false)
      }))

    it.scopedLive("is there for the statuses that a retry cannot change", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting({}, (run, { url }) =>
          HttpServerResponse.text(`${run}`, { status: Number(url.slice(1)) }))
        for (
          const [status, stored] of [
            [200, true],
            [202, true],
            [302, true],
            [400, true],
            [401, false],
            [403, false],
            [404, true],
            [408, false],
            [409, false],
            [422, true],
            [425, false],
            [429, false],
            [500, false],
            [503, false]
          ] as const
        ) {
          yield* ask(`/${status}`, post("k"))
          const again = yield* ask(`/${status}`, post("k"))
          expect([status, again.headers.has("idempotency-replayed")]).toEqual([status, stored])
        }
      }))

    it.scopedLive("is there for the statuses of a list, or by a predicate", () =>
      Effect.gen(function*() {
        for (const storeResponse of [[201], ({ status }: HttpServerResponse.HttpServerResponse) => status === 201]) {
          let status = 200
          const { ask } = yield* counting({ storeResponse }, (run) => HttpServerResponse.text(`${run}`, { status }))
          yield* ask("/", post("k"))
          expect((yield* ask("/", post("k"))).text).toBe("2")
          status = 201
          yield* ask("/", post("k"))
          expect((yield* ask("/", post("k"))).text).toBe("3")
        }
      }))
  })
})
