/**
 * The rows that a process answers for, on a store that can fail: which rows it renews, and what it tries again.
 */
import { SqlError } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { Holdings } from "../../../src/internal/outbox/holdings.js"
import type { Store } from "../../../src/internal/outbox/store/store.js"

/** Holdings on a store that records its calls, and fails while `down` is set. */
const make = () => {
  const database = { down: false, calls: [] as Array<string> }
  const call = (name: string) => (ids: ReadonlyArray<string>) =>
    Effect.suspend(() => {
      if (database.down) {
        return Effect.fail(new SqlError.SqlError({ message: "The database is down", cause: undefined }))
      }
      if (ids.length > 0) {
        database.calls.push(`${name} ${ids.join(" ")}`)
      }
      return Effect.void
    })
  const store = { release: call("release"), discard: call("discard"), renew: call("renew") }
  // It calls nothing else of the store.
  return { database, holdings: new Holdings(store as unknown as Store, 60_000) }
}

const quiet = Effect.provide(Logger.remove(Logger.defaultLogger))

describe("Holdings", () => {
  it.effect("renews the rows that it holds, until they are settled or forgotten", () =>
    Effect.gen(function*() {
      const { database, holdings } = make()
      holdings.hold(["a", "b", "c", "d"])
      yield* holdings.maintain
      yield* holdings.perform(["a"], "release")
      yield* holdings.perform(["b"], "discard")
      holdings.forget(["c"])
      yield* holdings.maintain
      expect(database.calls).toEqual(["renew a b c d", "release a", "discard b", "renew d"])
    }))

  it.effect("renews the rows that it could not release or discard, and tries again: discards first", () =>
    Effect.gen(function*() {
      const { database, holdings } = make()
      holdings.hold(["a", "b"])
      database.down = true
      yield* holdings.perform(["a"], "release")
      yield* holdings.perform(["b"], "discard")
      yield* holdings.maintain
      database.down = false
      yield* holdings.maintain
      yield* holdings.maintain
      expect(database.calls).toEqual(["renew a b", "discard b", "release a"])
    }).pipe(quiet))

  it.effect("tries again when it closes, and leaves the rows of open scopes", () =>
    Effect.gen(function*() {
      const { database, holdings } = make()
      holdings.hold(["a", "b"])
      yield* holdings.close
      expect(database.calls).toEqual([])
      database.down = true
      yield* holdings.perform(["a"], "release")
      database.down = false
      yield* holdings.close
      expect(database.calls).toEqual(["renew a b", "release a"])
    }))
})
