/**
 * What the relay does before a handler begins: it notes the row in its session, and decodes it.
 */
import { SqlClient } from "@effect/sql"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { settingsOf } from "../../../../src/internal/outbox/relay/settings.js"
import { RelayState } from "../../../../src/internal/outbox/relay/state.js"
import type { ClaimedRow } from "../../../../src/internal/outbox/store/row.js"
import type { Begun } from "../../../../src/internal/outbox/store/session.js"
import { until } from "../../../support/until.js"
import {
  insert,
  isEmpty,
  later,
  passBackoff,
  reapSessionOf,
  rowsUpTo,
  running,
  settle,
  stored,
  test
} from "../testRelay.js"
import { claim, claimed, idOf, numberOf, otherSession, Outbox, row, session, states } from "../testStore.js"

const gone = new SqlError({ cause: "gone", message: "gone" })

describe("before a handler begins", () => {
  test(
    "the session names its row, beside those that still run",
    Effect.gen(function*() {
      let noted: Begun = { upTo: 0, except: [], last: 0, also: [] }
      const claims = new Map<number, number>()
      const isNoted = (n: number) =>
        noted.also.includes(idOf(n)) || claims.get(n)! <= noted.upTo && !noted.except.includes(idOf(n))
      const wasNoted: Array<boolean> = []
      yield* insert(...rowsUpTo(20))
      const { ran } = yield* running(
        (n) => {
          wasNoted.push(isNoted(n) && isNoted(1))
          return n === 1 ? Effect.never : Effect.void
        },
        {
          concurrency: 2,
          change: (store) => ({
            ...store,
            claim: (options) =>
              Effect.tap(store.claim(options), (rows) => {
                rows.forEach((row) => claims.set(numberOf(row), row.claimNumber))
              }),
            begin: (lease, begun) =>
              Effect.tap(store.begin(lease, begun), () => {
                noted = begun
              })
          })
        }
      )
      yield* until(Effect.sync(() => ran.length === 20))
      expect(wasNoted).toEqual(Array.from({ length: 20 }, () => true))
    })
  )

  test(
    "a note that fails is made again, and nothing begins meanwhile",
    Effect.gen(function*() {
      let notes = 0
      yield* insert(...rowsUpTo(3))
      const { logs, ran } = yield* running(() => Effect.void, {
        change: (store) => ({
          ...store,
          begin: (lease, ids) => Effect.suspend(() => ++notes <= 2 ? Effect.fail(gone) : store.begin(lease, ids))
        })
      })
      yield* until(Effect.sync(() => notes === 1))
      yield* settle
      expect(ran).toEqual([])
      yield* later(isEmpty)
      expect(ran).toEqual([1, 2, 3].map((n) => ({ n, attempt: 1 })))
      expect(logs.filter((line) => line.includes("could not note which handlers begin")).length).toBe(2)
    })
  )

  test(
    "a lost session is seen, nothing begins, and a new session claims the rows",
    Effect.gen(function*() {
      const context = yield* Effect.context<Outbox | SqlClient.SqlClient>()
      let notes = 0
      yield* insert(...rowsUpTo(3))
      const { logs, ran } = yield* running(() => Effect.void, {
        change: (store) => ({
          ...store,
          begin: (lease, ids) =>
            Effect.zipRight(
              Effect.suspend(() =>
                ++notes === 1 ? Effect.provide(Effect.orDie(reapSessionOf("r")), context) : Effect.void
              ),
              store.begin(lease, ids)
            )
        })
      })
      yield* later(isEmpty)
      expect(ran).toEqual([1, 2, 3].map((n) => ({ n, attempt: 1 })))
      expect(logs.length).toBe(1)
      expect(logs[0]).toMatch(
        /^ERROR The relay "r" has lost its lease: .* the 0 intent\(s\) that it runs.* 3 that it had not begun/
      )
    })
  )

  for (const answer of [true, false]) {
    test(
      `nothing begins if the lease was lost before the answer to the note (${answer})`,
      Effect.gen(function*() {
        const context = yield* Effect.context<Outbox | SqlClient.SqlClient>()
        const gate = yield* Effect.makeLatch(false)
        let notes = 0
        yield* insert(...rowsUpTo(3))
        const { logs, ran } = yield* running(() => Effect.void, {
          change: (store) => ({
            ...store,
            begin: (lease, ids) =>
              ++notes > 1 ? store.begin(lease, ids) : Effect.orDie(
                Effect.gen(function*() {
                  yield* store.begin(lease, ids)
                  yield* reapSessionOf("r")
                  yield* claim(3, otherSession)
                  yield* gate.await
                  return answer
                }).pipe(Effect.provide(context))
              )
          })
        })
        // The heartbeat finds out, and a new session takes over.
        yield* later(Effect.sync(() => logs.some((line) => line.includes("has lost its lease"))))
        yield* settle
        yield* gate.open
        yield* insert(row(4))
        yield* later(Effect.map(states, ({ ready }) => ready === undefined))
        yield* settle
        expect(ran.map(({ n }) => n)).toEqual([4])
        expect(yield* states).toEqual({ claimed: [1, 2, 3] })
      })
    )
  }
})

describe("when the process of a relay dies", () => {
  it.effect("the session does not name rows that are being given back", () =>
    Effect.gen(function*() {
      const state = new RelayState({} as never, settingsOf({}), yield* Effect.clock)
      const claimedRow = (n: number, claimNumber: number): ClaimedRow => ({
        ...row(n),
        attempt: 0,
        history: null,
        keyed: false,
        readyAt: n,
        lease: session,
        claimNumber
      })
      state.rows.add(claimedRow(1, 1))
      state.rows.add(claimedRow(3, 2))
      state.givenBack = [claimedRow(2, 1)]
      expect(state.begun).toEqual({ upTo: 2, except: [idOf(2)], last: 2, also: [] })
    }))

  test(
    "an attempt counts for the rows that had begun, and for no others",
    Effect.gen(function*() {
      const store = yield* Outbox
      const sql = yield* SqlClient.SqlClient
      yield* insert(...rowsUpTo(48))
      expect((yield* claimed(48, session)).length).toBe(48)
      yield* store.begin(session, { upTo: 0, except: [], last: 1, also: [idOf(1), idOf(2)] })
      yield* sql`UPDATE airlock_outbox_relay SET expires_at = 0 WHERE id = ${session}`
      const { logs, ran } = yield* running(() => Effect.void, { maxAttempts: 1 })
      yield* later(Effect.map(states, ({ claimed, ready }) => claimed === undefined && ready === undefined))
      expect(yield* states).toEqual({ dead: [1, 2] })
      expect(ran.map(({ n }) => n)).toEqual(rowsUpTo(48).slice(2).map((_, index) => index + 3))
      expect(new Set(ran.map(({ attempt }) => attempt))).toEqual(new Set([1]))
      expect(logs[0]).toContain(`The relay "${session}" died or was cut off. 48 intent(s)`)
      expect(logs[0]).toContain("An attempt is counted for the 2 that it ran")
      expect(logs.slice(1).map((line) => line.slice(0, 5))).toEqual(["ERROR", "ERROR"])
      const dead = (yield* stored(1))!
      expect(dead).toMatchObject({ attempt: 1, error: expect.stringContaining("process died or lost its lease") })
      expect(JSON.parse(dead.history!)).toMatchObject([{ attempt: 1, relay: session }])
    })
  )
})

describe("a row that cannot be decoded", () => {
  test(
    "is a dead letter at once, and 10 000 of them do not delay the others",
    Effect.gen(function*() {
      const all = Array.from({ length: 10_000 }, (_, n) => row(n + 1, n % 1_000 === 999 ? {} : { payload: "{" }))
      for (let from = 0; from < all.length; from += 1_000) {
        yield* insert(...all.slice(from, from + 1_000))
      }
      let notes = 0
      const { logs, ran } = yield* running(() => Effect.void, {
        change: (store) => ({ ...store, begin: (...args) => (notes++, store.begin(...args)) })
      })
      yield* until(Effect.sync(() => ran.length + logs.length === 10_000))
      yield* until(Effect.map(states, ({ claimed }) => claimed === undefined))
      expect(ran.length).toBe(10)
      expect((yield* states)["dead"]!.length).toBe(9_990)
      expect(yield* stored(1)).toMatchObject({ attempt: 1, error: expect.stringContaining("StoredPayloadError") })
      expect(logs.length).toBe(9_990)
      // There is nothing to note for them.
      expect(notes).toBeLessThanOrEqual(10)
    }),
    60_000
  )

  test(
    "because its codec fails is tried again, as an attempt",
    Effect.gen(function*() {
      let decodes = 0
      yield* insert(row(1, { options: "{\"codec\":true}" }), row(2))
      const { logs, ran } = yield* running(() => Effect.void, {
        codec: {
          encode: (payload) => payload,
          decode: (payload) => ++decodes === 1 ? Effect.fail("no key") : Effect.succeed(payload)
        }
      })
      yield* until(Effect.map(states, ({ scheduled }) => scheduled?.length === 1))
      expect(yield* stored(1)).toMatchObject({ attempt: 1, error: expect.stringContaining("no key") })
      expect(logs).toEqual([expect.stringMatching(/^WARN Attempt 1 of 25 .*no key/s)])
      yield* passBackoff
      yield* later(isEmpty)
      expect(ran).toEqual([{ n: 2, attempt: 1 }, { n: 1, attempt: 2 }])
    })
  )

  test(
    "because its codec does not answer holds the others up for 10 seconds at most",
    Effect.gen(function*() {
      yield* insert(row(1, { options: "{\"codec\":true}" }), row(2))
      const { ran } = yield* running(() => Effect.void, {
        codec: { encode: (payload) => payload, decode: () => Effect.never }
      })
      yield* until(Effect.map(states, ({ claimed }) => claimed?.length === 2))
      yield* settle
      yield* TestClock.adjust("10 seconds")
      yield* until(Effect.map(states, ({ claimed }) => claimed === undefined))
      expect(ran.map(({ n }) => n)).toEqual([2])
      expect(yield* stored(1)).toMatchObject({ state: "scheduled", attempt: 1 })
    })
  )

  test(
    "because it is of a newer version waits for another relay, and no attempt counts",
    Effect.gen(function*() {
      let claims = 0
      yield* insert(row(1))
      const { logs, ran } = yield* running(() => Effect.void, {
        change: (store) => ({
          ...store,
          claim: (options) =>
            Effect.map(
              store.claim(options),
              (rows) => ++claims > 1 ? rows : rows.map((row) => Object.assign(row, { version: 2 }))
            )
        })
      })
      yield* until(Effect.map(states, ({ scheduled }) => scheduled?.length === 1))
      expect(yield* stored(1)).toMatchObject({ attempt: 0, error: null, history: null, failed_at: null })
      expect([ran, logs]).toEqual([[], []])
    })
  )
})
