/**
 * Relays that share a table, and kinds of handlers.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type DefineTest, Mail, mail, orders, request, table } from "./application.js"
import { delivered, startMailRelay, startRelay, storedMails, untilStates } from "./relay.js"
import { leasesPass, rows, timePasses, until } from "./rows.js"

/** @internal */
export const relays = (test: DefineTest): void => {
  describe("two relays", () => {
    test(
      "share the intents, and run each once",
      Effect.gen(function*() {
        const names = Array.from({ length: 100 }, (_, n) => `${n}`)
        yield* request(Effect.forEach(names, (name) => mail(name)))
        // Neither can run all, so that both must have some.
        const gate = yield* Effect.makeLatch(false)
        const start = startMailRelay(() => gate.await, { concurrency: 3, batchSize: 3 })
        const [one, other] = [yield* start, yield* start]
        yield* until(Effect.sync(() => one.runs.length === 3 && other.runs.length === 3))
        yield* gate.open
        yield* delivered
        expect([...one.runs, ...other.runs].sort()).toEqual(names.sort())
      }),
      { live: true }
    )

    test(
      "take over from each other when a lease has ended, and the late acknowledgement changes nothing",
      Effect.gen(function*() {
        const late = yield* Effect.makeLatch(false)
        const slow = yield* startMailRelay(() => late.await, { concurrency: 1 })
        yield* request(Effect.all([mail("a"), mail("b")]))
        yield* until(Effect.sync(() => slow.runs.length === 1))
        yield* leasesPass
        const quick = yield* Effect.makeLatch(false)
        const other = yield* startMailRelay(() => Effect.zipRight(quick.await, Effect.fail(new Error("no"))))
        yield* until(Effect.sync(() => other.runs.length === 2))
        yield* late.open
        yield* until(Effect.sync(() => slow.logs.some((line) => line.includes("no longer its own"))))
        expect(yield* rows).toEqual({ claimed: 2 })
        yield* quick.open
        yield* untilStates({ scheduled: 2 })
        expect(other.runs.sort()).toEqual(["a, attempt 2", "b"])
        expect((yield* storedMails).map(({ attempt, history }) => [attempt, history.length])).toEqual([[2, 2], [1, 1]])
        expect(slow.runs).toEqual(["a"])
      }),
      { live: true }
    )
  })

  describe("a relay that stops", () => {
    test(
      "waits for its handlers, acknowledges them, and gives back what it had not begun",
      Effect.gen(function*() {
        const gate = yield* Effect.makeLatch(false)
        yield* request(Effect.forEach(["a", "b", "c"], (name) => mail(name)))
        const relay = yield* startMailRelay(() => gate.await, { concurrency: 1, drainTimeout: "10 seconds" })
        yield* until(Effect.sync(() => relay.runs.length === 1))
        yield* Effect.all([relay.stop, gate.open], { concurrency: 2 })
        expect([relay.runs, yield* rows]).toEqual([["a"], { ready: 2 }])
      }),
      { live: true }
    )

    test(
      "interrupts handlers after drainTimeout, and counts no attempt",
      Effect.gen(function*() {
        yield* request(mail("a"))
        const relay = yield* startMailRelay(() => Effect.never)
        yield* until(Effect.sync(() => relay.runs.length === 1))
        yield* relay.stop
        expect(yield* storedMails).toMatchObject([{ state: "ready", attempt: 0, history: [], error: null }])
      }),
      { live: true }
    )
  })

  describe("a relay with keepDone", () => {
    test(
      "keeps the rows of what it ran",
      Effect.gen(function*() {
        yield* request(Effect.all([mail("a"), mail("b", { orderingKey: "key" })]))
        yield* startMailRelay(() => Effect.void, { keepDone: "1 day" })
        yield* untilStates({ done: 2 })
      }),
      { live: true }
    )
  })

  describe("a batched handler", () => {
    test(
      "gets several intents in one call, and all of them fail together",
      Effect.gen(function*() {
        yield* request(Effect.forEach(["a", "b", "c", "d", "e"], (name) => mail(name)))
        const calls: Array<ReadonlyArray<string>> = []
        yield* startRelay(
          Mail.toLayerBatched(
            (mails) => {
              calls.push(mails.map(({ to }) => to))
              return mails.length === 2 ? Effect.fail(new Error("no")) : Effect.void
            },
            { maxSize: 3 }
          ),
          { concurrency: 1 }
        )
        yield* untilStates({ scheduled: 2 })
        expect(calls).toEqual([["a", "b", "c"], ["d", "e"]])
      }),
      { live: true }
    )
  })

  describe("a transactional handler", () => {
    test(
      "commits with its acknowledgement, and is rolled back if it fails",
      Effect.gen(function*() {
        yield* request(Effect.all([mail("a"), mail("fails")]))
        yield* startRelay(Mail.toLayer(({ to }) =>
          Effect.gen(function*() {
            const sql = yield* SqlClient
            yield* sql`INSERT INTO airlock_suite_orders (name) VALUES (${to})`
            return to === "fails" ? yield* Effect.fail(new Error("no")) : undefined
          }), { transactional: true }))
        yield* untilStates({ scheduled: 1 })
        expect(yield* orders).toEqual(["a"])
      }),
      { live: true }
    )

    test(
      "is rolled back if its intent is no longer the relay's own",
      Effect.gen(function*() {
        yield* request(mail("a"))
        yield* startRelay(
          Mail.toLayer((_, { attempt, intentId }) =>
            Effect.gen(function*() {
              const sql = yield* SqlClient
              yield* sql`INSERT INTO airlock_suite_orders (name) VALUES (${`attempt ${attempt}`})`
              if (attempt === 1) {
                // As if another relay had claimed it.
                yield* sql`UPDATE ${sql(table)} SET lease = ${crypto.randomUUID()} WHERE id = ${intentId}`
              }
            }), { transactional: true })
        )
        yield* untilStates({ scheduled: 1 })
        expect(yield* orders).toEqual([])
        expect((yield* storedMails)[0]!.error).toContain("lease")
        yield* timePasses
        yield* delivered
        expect(yield* orders).toEqual(["attempt 2"])
      }),
      { live: true }
    )
  })
}
