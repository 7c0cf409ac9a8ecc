/**
 * The tests that a store of idempotency keys passes. One call runs them on yours.
 *
 * @since 0.1.0
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type Claim, IdempotencyStore, type Owner, type StoredResponse } from "../Idempotency.js"

const minute = 60_000

const hex = (): string =>
  [...globalThis.crypto.getRandomValues(new Uint8Array(32))].map((byte) => byte.toString(16).padStart(2, "0")).join("")

const owner = (id = hex()): Owner => ({ id, token: globalThis.crypto.randomUUID() })

const fingerprint = "a".repeat(64)

const claim = (owner: Owner, options: { readonly fingerprint?: string, readonly leaseMillis?: number } = {}) =>
  Effect.flatMap(IdempotencyStore, ({ claim }) => claim({ ...owner, fingerprint, leaseMillis: minute, ...options }))

const rival = ({ id }: Owner): Owner => owner(id)

/** Claims until the store says something, for times that have to pass on its clock. */
const claimUntil = (
  owner: Owner,
  tag: Claim["_tag"],
  options?: Parameters<typeof claim>[1]
): ReturnType<typeof claim> =>
  Effect.flatMap(
    claim(owner, options),
    (found) => found._tag === tag ? Effect.succeed(found) : Effect.delay(claimUntil(owner, tag, options), "5 millis")
  )

const response = (body: Uint8Array = new Uint8Array()): StoredResponse => ({
  status: 201,
  headers: { "content-type": "application/octet-stream", location: "/orders/1?a=\"b\"" },
  body
})

const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i)

/**
 * Defines the tests of a store, in vitest. `store` returns its Layer: each test builds it again. Each has new ids, so records that
 * earlier tests have left do no harm. Each has a time limit of 30 seconds.
 *
 * @example
 * ```ts
 * import { Idempotency } from "effect-airlock"
 * import * as IdempotencyStoreSuite from "effect-airlock/testing/IdempotencyStoreSuite"
 *
 * IdempotencyStoreSuite.run("memory", () => Idempotency.layerMemory())
 * ```
 *
 * @since 0.1.0
 * @category testing
 */
export const run = (name: string, store: () => Layer.Layer<IdempotencyStore, unknown>): void => {
  const test = (title: string, self: Effect.Effect<unknown, unknown, IdempotencyStore | Scope.Scope>) =>
    it.scopedLive(title, () => Effect.provide(self, Layer.suspend(store)), 30_000)

  describe(`the store of idempotency keys on ${name}`, () => {
    test(
      "gives a key to one owner, and tells others that it is in flight",
      Effect.gen(function*() {
        const first = owner()
        expect(yield* claim(first)).toEqual({ _tag: "Claimed" })
        const found = yield* claim(rival(first))
        expect(found._tag === "InFlight" && found.remainingMillis > 0 && found.remainingMillis <= minute).toBe(true)
        // Its answer may have been lost.
        expect(yield* claim(first)).toEqual({ _tag: "Claimed" })
        expect(yield* claim(owner())).toEqual({ _tag: "Claimed" })
      })
    )

    test(
      "gives a key to one of many that claim it at once, and all other keys meanwhile",
      Effect.gen(function*() {
        const [first, others] = [owner(), Array.from({ length: 20 }, () => owner())]
        const [same, different] = yield* Effect.all([
          Effect.all(Array.from({ length: 100 }, () => claim(rival(first))), { concurrency: "unbounded" }),
          Effect.all(others.map((other) => claim(other)), { concurrency: "unbounded" })
        ], { concurrency: 2 })
        expect(same.filter(({ _tag }) => _tag === "Claimed")).toHaveLength(1)
        expect(same.filter(({ _tag }) => _tag === "InFlight")).toHaveLength(99)
        expect(new Set(different.map(({ _tag }) => _tag))).toEqual(new Set(["Claimed"]))
      })
    )

    test(
      "tells a request with another fingerprint so, and changes nothing",
      Effect.gen(function*() {
        const { complete } = yield* IdempotencyStore
        const first = owner()
        const other = { fingerprint: "b".repeat(64) }
        yield* claim(first)
        expect(yield* claim(rival(first), other)).toEqual({ _tag: "Mismatch" })
        expect(yield* complete({ ...first, ttlMillis: minute, response: response() })).toBe(true)
        expect(yield* claim(rival(first), other)).toEqual({ _tag: "Mismatch" })
        expect((yield* claim(rival(first)))._tag).toBe("Completed")
      })
    )

    for (
      const [what, body] of Object.entries({
        "no byte": new Uint8Array(),
        "every byte": everyByte,
        "a mebibyte": Uint8Array.from({ length: 1024 * 1024 }, (_, i) => (i * 7 + (i >> 8)) & 0xff)
      })
    ) {
      test(
        `returns the response as it was stored, with ${what} in its body`,
        Effect.gen(function*() {
          const { complete } = yield* IdempotencyStore
          const first = owner()
          yield* claim(first)
          expect(yield* complete({ ...first, ttlMillis: minute, response: response(body) })).toBe(true)
          for (let replay = 0; replay < 2; replay++) {
            const found = yield* claim(rival(first))
            expect(found._tag).toBe("Completed")
            if (found._tag === "Completed") {
              const { body: stored, ...others } = found.response
              const { body: _, ...expected } = response()
              expect(others).toEqual(expected)
              expect(stored.length === body.length && stored.every((byte, i) => byte === body[i])).toBe(true)
            }
          }
        })
      )
    }

    test(
      "returns why a body was not stored",
      Effect.gen(function*() {
        const { complete } = yield* IdempotencyStore
        const first = owner()
        yield* claim(first)
        yield* complete({ ...first, ttlMillis: minute, response: { ...response(), omitted: "too-large" } })
        const found = yield* claim(rival(first))
        expect(found._tag === "Completed" && found.response.omitted).toBe("too-large")
      })
    )

    test(
      "lets only the owner renew, keep, complete and release",
      Effect.gen(function*() {
        const { complete, keep, release, renew } = yield* IdempotencyStore
        const first = owner()
        yield* claim(first)
        for (const stranger of [rival(first), { ...owner(), token: first.token }]) {
          expect(yield* renew({ ...stranger, leaseMillis: minute })).toBe(false)
          expect(yield* keep({ ...stranger, ttlMillis: minute })).toBe(false)
          expect(yield* complete({ ...stranger, ttlMillis: minute, response: response() })).toBe(false)
          expect(yield* release(stranger)).toBe(false)
        }
        expect((yield* claim(rival(first)))._tag).toBe("InFlight")
      })
    )

    test(
      "frees a key that is released, and none that has a response",
      Effect.gen(function*() {
        const { complete, release } = yield* IdempotencyStore
        const first = owner()
        yield* claim(first)
        expect(yield* release(first)).toBe(true)
        const second = rival(first)
        expect(yield* claim(second, { fingerprint: "b".repeat(64) })).toEqual({ _tag: "Claimed" })
        expect(yield* complete({ ...second, ttlMillis: minute, response: response() })).toBe(true)
        expect(yield* release(second)).toBe(false)
        expect((yield* claim(rival(first), { fingerprint: "b".repeat(64) }))._tag).toBe("Completed")
      })
    )

    test(
      "lets another request take over when a lease has ended, and fences the former owner",
      Effect.gen(function*() {
        const { complete, keep, release, renew } = yield* IdempotencyStore
        const [stale] = [owner()]
        yield* claim(stale, { leaseMillis: 1 })
        const next = rival(stale)
        yield* claimUntil(next, "Claimed")
        expect(yield* renew({ ...stale, leaseMillis: minute })).toBe(false)
        expect(yield* keep({ ...stale, ttlMillis: minute })).toBe(false)
        expect(yield* complete({ ...stale, ttlMillis: minute, response: response(everyByte) })).toBe(false)
        expect(yield* release(stale)).toBe(false)
        expect(yield* complete({ ...next, ttlMillis: minute, response: response() })).toBe(true)
      })
    )

    test(
      "renews a lease",
      Effect.gen(function*() {
        const { renew } = yield* IdempotencyStore
        const first = owner()
        yield* claim(first, { leaseMillis: 10_000 })
        expect(yield* renew({ ...first, leaseMillis: 10 * minute })).toBe(true)
        const found = yield* claim(rival(first))
        expect(found._tag === "InFlight" && found.remainingMillis > minute).toBe(true)
      })
    )

    test(
      "never gives away a key that was kept, and says when its owner has died",
      Effect.gen(function*() {
        const { keep, release, renew } = yield* IdempotencyStore
        const first = owner()
        yield* claim(first, { leaseMillis: 500 })
        expect(yield* keep({ ...first, ttlMillis: minute })).toBe(true)
        // A renewal must not shorten the life of the record.
        expect(yield* renew({ ...first, leaseMillis: 1 })).toBe(true)
        expect((yield* claimUntil(rival(first), "Unanswered"))._tag).toBe("Unanswered")
        expect(yield* claim(rival(first), { fingerprint: "b".repeat(64) })).toEqual({ _tag: "Mismatch" })
        expect(yield* release(first)).toBe(true)
        expect(yield* claim(rival(first))).toEqual({ _tag: "Claimed" })
      })
    )

    test(
      "never gives away a key that was kept for less than its lease, while its owner renews it",
      Effect.gen(function*() {
        const { keep, renew } = yield* IdempotencyStore
        const [first, renewed] = [owner(), owner()]
        yield* claim(first)
        expect(yield* keep({ ...first, ttlMillis: 1 })).toBe(true)
        yield* claim(renewed, { leaseMillis: 400 })
        expect(yield* keep({ ...renewed, ttlMillis: 1 })).toBe(true)
        expect(yield* renew({ ...renewed, leaseMillis: minute })).toBe(true)
        yield* Effect.sleep("500 millis")
        expect((yield* claim(rival(first)))._tag).toBe("InFlight")
        expect((yield* claim(rival(renewed)))._tag).toBe("InFlight")
      })
    )

    test(
      "completes a key that was kept",
      Effect.gen(function*() {
        const { complete, keep } = yield* IdempotencyStore
        const first = owner()
        yield* claim(first)
        yield* keep({ ...first, ttlMillis: minute })
        expect(yield* complete({ ...first, ttlMillis: minute, response: response() })).toBe(true)
        expect((yield* claim(rival(first)))._tag).toBe("Completed")
      })
    )

    test(
      "forgets a response when its time has passed",
      Effect.gen(function*() {
        const { complete } = yield* IdempotencyStore
        const first = owner()
        yield* claim(first)
        yield* complete({ ...first, ttlMillis: 1, response: response() })
        expect(yield* claimUntil(rival(first), "Claimed", { fingerprint: "b".repeat(64) })).toEqual({ _tag: "Claimed" })
      })
    )

    test(
      "deletes what has expired, and nothing else",
      Effect.gen(function*() {
        const { complete, prune } = yield* IdempotencyStore
        const [expired, kept] = [owner(), owner()]
        yield* claim(kept)
        yield* complete({ ...kept, ttlMillis: minute, response: response() })
        if (prune !== undefined) {
          yield* claim(expired)
          yield* complete({ ...expired, ttlMillis: 1, response: response() })
          yield* Effect.repeat(prune, { until: (deleted) => deleted > 0, schedule: Schedule.spaced("5 millis") })
        }
        expect((yield* claim(rival(kept)))._tag).toBe("Completed")
      })
    )
  })
}
