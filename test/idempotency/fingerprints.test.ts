/**
 * Which requests are the same.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { nodeCrypto, sha256, sha256With } from "../../src/internal/idempotency/digest.js"
import { post } from "../support/idempotencyHosts.js"
import { onEachPlace } from "../support/idempotencyPlaces.js"

onEachPlace(({ counting }) => {
  describe("the fingerprint", () => {
    it.scopedLive("is the query and the bytes of the body", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting()
        const text = (body: string) => post("k", { body })
        expect((yield* ask("/?a=1", text("{}"))).status).toBe(200)
        for (const [path, body] of [["/?a=2", "{}"], ["/", "{}"], ["/?a=1", "{ }"], ["/?a=1", ""], ["/?a=", "1{}"]]) {
          expect((yield* ask(path!, text(body!))).code).toBe("key-reused")
        }
        expect((yield* ask("/?a=1", text("{}"))).headers.get("idempotency-replayed")).toBe("true")
      }))

    it.scopedLive("can be the value of a JSON body", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting({ fingerprint: "json" })
        const text = (body: string) => post("k", { body })
        yield* ask("/", text(`{"a":[1,"x"],"b":{"c":null,"d":1.50}}`))
        expect((yield* ask("/", text(`{ "b": {"d":1.5, "c":null}, "a":[1.0,"\\u0078"] }`))).text).toBe("run 1")
        for (
          const other of [
            `{"a":["x",1],"b":{"c":null,"d":1.5}}`,
            `{"a":["1","x"],"b":{"c":null,"d":1.5}}`,
            `{"a":[1,"x"],"b":{"c":null,"d":1.5},"__proto__":1}`,
            "not json"
          ]
        ) {
          expect([other, (yield* ask("/", text(other))).code]).toEqual([other, "key-reused"])
        }
        yield* ask("/", post("big", { body: "9007199254740993" }))
        expect((yield* ask("/", post("big", { body: "9007199254740992" }))).code).toBe("key-reused")
        yield* ask("/", post("raw", { body: "{" }))
        expect((yield* ask("/", post("raw", { body: "{" }))).headers.get("idempotency-replayed")).toBe("true")
      }))

    it.scopedLive("can be what a function returns", () =>
      Effect.gen(function*() {
        const { ask } = yield* counting({
          fingerprint: (_, body) => Effect.succeed(`${new TextDecoder().decode(body).trim()}`)
        })
        yield* ask("/", post("k", { body: "a" }))
        expect((yield* ask("/?q", post("k", { body: " a " }))).text).toBe("run 1")
        expect((yield* ask("/", post("k", { body: "b" }))).code).toBe("key-reused")
      }))
  })
})

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 9)) & 0xff)

describe("a hash", () => {
  it("is the same with and without the synchronous function of the host", async () => {
    for (const data of [0, 256, 3 * 1024 * 1024].map(bytes)) {
      const slow = sha256With(undefined)("text", data)
      expect(typeof slow === "string" ? slow : await Effect.runPromise(slow)).toBe(sha256("text", data))
    }
    expect(nodeCrypto({})).toBeUndefined()
    const getBuiltinModule = () => {
      throw new Error("no such module")
    }
    expect(nodeCrypto({ process: { getBuiltinModule } })).toBeUndefined()
  })
})
