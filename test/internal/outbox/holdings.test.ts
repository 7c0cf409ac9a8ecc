/**
 * The rows that a process answers for, on a store that can fail: which rows it renews, what it tries again, which releases share
 * a statement, and what it says of a discard that came too late.
 */
import { SqlError } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { Holdings } from "../../../src/internal/outbox/holdings.js"
import { letOthersRun } from "../../support/letOthersRun.js"
import { recordWarnings, warnings } from "../../support/warnings.js"

const intents = (...ids: ReadonlyArray<string>) => ids.map((id) => ({ id, task: { name: "Mail" } }))

const awaited = { isAwaited: true }

/** Holdings on a store that records its calls, fails while `down` is set, and has lost the rows in `gone`. */
const make = Effect.gen(function*() {
  const gate = yield* Effect.makeLatch(true)
  const database = { down: false, calls: [] as Array<string>, gone: new Set<string>(), notified: 0, gate }
  const call = (name: string) => (ids: ReadonlyArray<string>) =>
    Effect.suspend(() => {
      if (database.down) {
        return Effect.fail(new SqlError.SqlError({ message: "The database is down", cause: undefined }))
      }
      if (ids.length > 0) {
        database.calls.push(`${name} ${ids.join(" ")}`)
      }
      return Effect.as(gate.await, ids.filter((id) => !database.gone.has(id)))
    })
  const store = { release: call("release"), discard: call("discard"), renew: call("renew") }
  const notify = () => {
    database.notified++
  }
  const holdings = new Holdings(store, { heldMillis: 60_000, notify })
  const releasing = yield* Effect.forkScoped(holdings.releasing)
  yield* Effect.yieldNow()
  return { database, holdings, releasing }
})

const test = (name: string, self: Effect.Effect<void, unknown, Effect.Effect.Context<typeof warnings>>) =>
  it.effect(name, () => Effect.scoped(self).pipe(Effect.provide(recordWarnings)))

describe("Holdings", () => {
  test(
    "renews the rows that it holds, until they are settled or forgotten",
    Effect.scoped(Effect.gen(function*() {
      const { database, holdings } = yield* make
      holdings.hold(intents("a", "b", "c", "d"), "release")
      yield* holdings.maintain
      yield* holdings.release(intents("a"), awaited)
      yield* holdings.discard(intents("b"))
      holdings.forget(["c"])
      yield* holdings.maintain
      expect(database.calls).toEqual(["renew a b c d", "release a", "discard b", "renew d"])
      expect([database.notified, yield* warnings]).toEqual([1, []])
    }))
  )

  test(
    "renews the rows that it could not release or discard, and tries again: discards first",
    Effect.scoped(Effect.gen(function*() {
      const { database, holdings } = yield* make
      holdings.hold(intents("a", "b"), "release")
      database.down = true
      yield* holdings.release(intents("a"), awaited)
      yield* holdings.discard(intents("b"))
      yield* holdings.maintain
      database.down = false
      yield* holdings.maintain
      yield* holdings.maintain
      expect(database.calls).toEqual(["renew a b", "discard b", "release a"])
    }))
  )

  test(
    "releases in one statement what came while the last release was on its way",
    Effect.scoped(Effect.gen(function*() {
      const { database, holdings } = yield* make
      holdings.hold(intents("a", "b", "c", "d"), "release")
      yield* database.gate.close
      const first = yield* Effect.fork(holdings.release(intents("a"), awaited))
      yield* letOthersRun
      const others = yield* Effect.fork(
        Effect.all([holdings.release(intents("b"), awaited), holdings.release(intents("c", "d"), awaited)], {
          concurrency: 2
        })
      )
      yield* letOthersRun
      expect([database.calls, first.unsafePoll()]).toEqual([["release a"], null])
      yield* database.gate.open
      yield* Fiber.join(first)
      yield* Fiber.join(others)
      expect(database.calls).toEqual(["release a", "release b c d"])
      expect(database.notified).toBe(2)
    }))
  )

  test(
    "begins a release that nobody waits for",
    Effect.scoped(Effect.gen(function*() {
      const { database, holdings } = yield* make
      holdings.hold(intents("a"), "release")
      void holdings.release(intents("a"), { isAwaited: false })
      yield* letOthersRun
      expect(database.calls).toEqual(["release a"])
    }))
  )

  test(
    "waits a few milliseconds between releases that nobody waits for",
    Effect.scoped(Effect.gen(function*() {
      const { database, holdings } = yield* make
      holdings.hold(intents("a", "b", "c", "d"), "release")
      for (const id of ["a", "b", "c"]) {
        void holdings.release(intents(id), { isAwaited: false })
        yield* letOthersRun
      }
      expect(database.calls).toEqual(["release a"])
      yield* TestClock.adjust("5 millis")
      yield* letOthersRun
      expect(database.calls).toEqual(["release a", "release b c"])
      // One for which somebody waits goes at once.
      yield* holdings.release(intents("d"), awaited)
      expect(database.calls).toEqual(["release a", "release b c", "release d"])
    }))
  )

  test(
    "waits for releases when it closes, tries again what failed, and leaves the rows of open scopes",
    Effect.scoped(Effect.gen(function*() {
      const { database, holdings, releasing } = yield* make
      holdings.hold(intents("a", "b", "c"), "release")
      yield* database.gate.close
      void holdings.release(intents("a"), { isAwaited: false })
      const closing = yield* Effect.fork(holdings.close)
      yield* letOthersRun
      expect([database.calls, closing.unsafePoll()]).toEqual([["release a"], null])
      yield* database.gate.open
      yield* Fiber.join(closing)
      yield* Fiber.interrupt(releasing)
      // A scope settles after its outbox has closed.
      yield* holdings.release(intents("b"), awaited)
      expect(database.calls).toEqual(["release a", "release b"])
    }))
  )

  test(
    "tries a failed release again when it closes",
    Effect.scoped(Effect.gen(function*() {
      const { database, holdings } = yield* make
      holdings.hold(intents("a", "b"), "release")
      yield* holdings.close
      expect(database.calls).toEqual([])
      const next = yield* make
      next.holdings.hold(intents("a", "b"), "release")
      next.database.down = true
      yield* next.holdings.release(intents("a"), awaited)
      next.database.down = false
      yield* next.holdings.close
      expect(next.database.calls).toEqual(["renew a b", "release a"])
    }))
  )

  test(
    "names the intents whose discard came too late, unless their rows are discarded when they expire",
    Effect.scoped(Effect.gen(function*() {
      const { database, holdings } = yield* make
      holdings.hold(intents("a", "b"), "release")
      holdings.hold(intents("c"), "discard")
      database.gone = new Set(["a", "c", "e"])
      yield* holdings.discard(intents("a", "b", "c"))
      expect(yield* warnings).toEqual([
        expect.stringMatching(/could not discard 1 intent\(s\).*had expired.*: Mail a\./)
      ])
      yield* holdings.discard(intents("e"))
      expect((yield* warnings)[1]).toContain("Mail e")
    }))
  )

  test(
    "does not say that a discard came too late if an earlier attempt may have discarded the rows",
    Effect.scoped(Effect.gen(function*() {
      const { database, holdings } = yield* make
      holdings.hold(intents("a"), "release")
      database.down = true
      yield* holdings.discard(intents("a"))
      database.down = false
      database.gone = new Set(["a"])
      yield* holdings.maintain
      expect((yield* warnings).map((line) => line.slice(0, 40))).toEqual([
        "The outbox could not discard rows, renew",
        "The outbox does not know what became of "
      ])
    }))
  )
})
