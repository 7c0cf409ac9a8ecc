/**
 * What a store does while time passes: it renews leases, tries again, forgets and makes room.
 */
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, TestClock } from "effect"
import { Idempotency } from "effect-airlock"
import { quiet } from "../support/idempotencyPlaces.js"

describe("time", () => {
  it.scoped("forgets a response after its time, which replays do not extend", () =>
    Effect.gen(function*() {
      const { claim, complete } = yield* Idempotency.makeMemory()
      const response = { status: 200, headers: {}, body: new Uint8Array() }
      const of = (token: string) => claim({ id: "a", token, fingerprint: "f", leaseMillis: 1000 })
      yield* of("1")
      yield* complete({ id: "a", token: "1", ttlMillis: 10_000, response })
      yield* TestClock.adjust("9 seconds")
      expect((yield* of("2"))._tag).toBe("Completed")
      yield* TestClock.adjust("1 seconds")
      expect((yield* of("3"))._tag).toBe("Claimed")
    }))

  it.scoped("renews the lease of a request that runs, after each third of it", () =>
    Effect.gen(function*() {
      const store = yield* Idempotency.makeMemory()
      const owner = { id: "a", token: "1", leaseMillis: 3000, ttlMillis: 60_000, response: undefined, isLost: false }
      const rival = store.claim({ id: "a", token: "2", fingerprint: "f", leaseMillis: 3000 })
      yield* store.claim({ ...owner, fingerprint: "f" })
      store.keeper.add(owner)
      for (let second = 0; second < 10; second++) {
        yield* TestClock.adjust("1 seconds")
        expect((yield* rival)._tag).toBe("InFlight")
      }
      store.keeper.remove(owner)
      yield* TestClock.adjust("3 seconds")
      expect((yield* rival)._tag).toBe("Claimed")
    }))

  it.scoped("stores a response again that the store could not take", () =>
    Effect.gen(function*() {
      const memory = yield* Idempotency.makeMemory()
      let isDown = true
      const down = Effect.fail(new Idempotency.IdempotencyStoreError({ operation: "complete", cause: "down" }))
      const store = yield* Idempotency.makeStore({
        ...memory,
        complete: (record) => isDown ? down : memory.complete(record)
      })
      const response = { status: 200, headers: {}, body: new Uint8Array() }
      const owner = { id: "a", token: "1", leaseMillis: 3000, ttlMillis: 60_000, response, isLost: false }
      yield* store.claim({ ...owner, fingerprint: "f" })
      store.keeper.add(owner)
      yield* TestClock.adjust("1 seconds")
      isDown = false
      yield* TestClock.adjust("1 seconds")
      expect((yield* store.claim({ id: "a", token: "2", fingerprint: "f", leaseMillis: 1 }))._tag).toBe("Completed")
    }).pipe(Effect.provide(quiet)))

  it.scoped("completes a key without the body of the response, if the store refuses the body for ever", () =>
    Effect.gen(function*() {
      const memory = yield* Idempotency.makeMemory()
      const store = yield* Idempotency.makeStore({
        ...memory,
        complete: (record) =>
          record.response.body.length === 0
            ? memory.complete(record)
            : Effect.fail(new Idempotency.IdempotencyStoreError({ operation: "complete", cause: "too large" }))
      })
      const response = { status: 201, headers: { a: "b" }, body: new Uint8Array(10) }
      const owner = { id: "a", token: "1", leaseMillis: 3000, ttlMillis: 60_000, response, isLost: false }
      yield* store.claim({ ...owner, fingerprint: "f" })
      store.keeper.add(owner)
      yield* TestClock.adjust("1 seconds")
      expect(yield* store.claim({ id: "a", token: "2", fingerprint: "f", leaseMillis: 1 })).toEqual({
        _tag: "Completed",
        response: { status: 201, headers: {}, body: new Uint8Array(), omitted: "too-large" }
      })
    }).pipe(Effect.provide(quiet)))

  it.scoped("renews the leases of other requests while the renewal of one takes long", () =>
    Effect.gen(function*() {
      const memory = yield* Idempotency.makeMemory()
      let slow = 0
      const store = yield* Idempotency.makeStore({
        ...memory,
        renew: (owner) =>
          owner.id === "slow" ? Effect.zipRight(Effect.sync(() => slow++), Effect.never) : memory.renew(owner)
      })
      for (const id of ["slow", "other"]) {
        const owner = { id, token: "1", leaseMillis: 3000, ttlMillis: 60_000, response: undefined, isLost: false }
        yield* store.claim({ ...owner, fingerprint: "f" })
        store.keeper.add(owner)
      }
      for (let second = 0; second < 10; second++) {
        yield* TestClock.adjust("1 seconds")
      }
      expect((yield* store.claim({ id: "other", token: "2", fingerprint: "f", leaseMillis: 1 }))._tag).toBe("InFlight")
      expect(slow).toBe(1)
    }))

  it.scoped("deletes expired records in batches, at each interval", () =>
    Effect.gen(function*() {
      const memory = yield* Idempotency.makeMemory()
      const batches = [500, 500, 3, 0, 0]
      let calls = 0
      yield* Idempotency.makeStore({ ...memory, prune: Effect.sync(() => batches[calls++] ?? 0) })
      yield* TestClock.adjust("59 seconds")
      expect(calls).toBe(0)
      yield* TestClock.adjust("1 seconds")
      expect(calls).toBe(4)
      yield* TestClock.adjust("1 minutes")
      expect(calls).toBe(5)
    }))

  it.scoped("keeps a bounded number of records and bytes in memory, and never drops a request that runs", () =>
    Effect.gen(function*() {
      const { claim, complete } = yield* Idempotency.makeMemory({ maxRecords: 3, maxBytes: 10_000 })
      const of = (id: string, token = id) => claim({ id, token, fingerprint: "f", leaseMillis: 1000 })
      const end = (id: string, size = 0) =>
        complete({
          id,
          token: id,
          ttlMillis: 60_000,
          response: { status: 200, headers: {}, body: new Uint8Array(size) }
        })
      yield* of("running")
      for (const id of ["1", "2", "3"]) {
        yield* of(id)
        yield* end(id)
      }
      expect((yield* of("1", "x"))._tag).toBe("Claimed")
      expect((yield* of("3", "x"))._tag).toBe("Completed")
      expect((yield* of("running", "x"))._tag).toBe("InFlight")
      yield* end("running", 9000)
      expect((yield* of("3", "y"))._tag).toBe("Claimed")
    }))

  it.scoped("takes no further key into a memory that is full of requests that run", () =>
    Effect.gen(function*() {
      const { claim } = yield* Idempotency.makeMemory({ maxRecords: 1 })
      const of = (id: string) => claim({ id, token: id, fingerprint: "f", leaseMillis: 1000 })
      yield* of("1")
      expect((yield* Effect.flip(of("2"))).operation).toBe("claim")
      expect((yield* of("1"))._tag).toBe("Claimed")
      yield* TestClock.adjust(Duration.seconds(2))
      expect((yield* of("2"))._tag).toBe("Claimed")
    }))
})
