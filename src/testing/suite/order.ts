/**
 * Which intents a relay runs, in which order: keys, times, priorities and queues.
 *
 * @internal
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { tableNames } from "../../internal/outbox/store/tables.js"
import { type DefineTest, mail, request, table } from "./application.js"
import { delivered, startMailRelay, untilStates } from "./relay.js"
import { rows, timePasses, until } from "./rows.js"

type EnqueueOptions = Parameters<typeof mail>[1]

/** Enqueues mails, each in a scope of its own. */
const mails = (options: Readonly<Record<string, EnqueueOptions>>) =>
  Effect.forEach(Object.entries(options), ([to, options]) => request(mail(to, options)), { discard: true })

const key = { orderingKey: "key" }

/** Intents that are stored before the relay starts, and the order in which a relay with one slot runs them. */
const orders: Readonly<
  Record<string, { readonly given: Readonly<Record<string, EnqueueOptions>>, readonly runs: string }>
> = {
  "in the order in which they were stored": { given: { a: {}, b: {}, c: {} }, runs: "a b c" },
  "by priority, the lowest number first": {
    given: { a: { priority: 1 }, b: {}, c: { priority: -1 }, d: {} },
    runs: "c b d a"
  },
  "of one orderingKey in the order in which they were stored": { given: { a: key, b: key, c: key }, runs: "a b c" },
  "of one dedupeKey once": {
    given: { a: { dedupeKey: "key" }, b: { dedupeKey: "key" }, c: { dedupeKey: "other" } },
    runs: "a c"
  }
}

/** @internal */
export const orderOfIntents = (test: DefineTest): void => {
  describe("a relay runs intents", () => {
    for (const [title, { given, runs }] of Object.entries(orders)) {
      test(
        title,
        Effect.gen(function*() {
          yield* mails(given)
          const relay = yield* startMailRelay(() => Effect.void, { concurrency: 1 })
          yield* delivered
          expect(relay.runs.join(" ")).toBe(runs)
        }),
        { live: true }
      )
    }

    test(
      "of other keys while an orderingKey is stuck, and keeps the order of that one over the retry",
      Effect.gen(function*() {
        const { runs } = yield* startMailRelay(
          (to, attempt) => to === "a" && attempt === 1 ? Effect.fail(new Error("no")) : Effect.void,
          { concurrency: 4 }
        )
        yield* mails({ a: key, b: key, c: key, d: { orderingKey: "other" }, e: {} })
        yield* untilStates({ scheduled: 1, blocked: 2 })
        expect([runs[0], [...runs].sort()]).toEqual(["a", ["a", "d", "e"]])
        yield* timePasses
        yield* delivered
        expect(runs.slice(3)).toEqual(["a, attempt 2", "b", "c"])
      }),
      { live: true }
    )

    test(
      "of an orderingKey after one of them became a dead letter",
      Effect.gen(function*() {
        const { runs } = yield* startMailRelay((to) => to === "a" ? Effect.fail(new Error("no")) : Effect.void, {
          maxAttempts: 1
        })
        yield* mails({ a: key, b: key })
        yield* untilStates({ dead: 1 })
        expect(runs).toEqual(["a", "b"])
      }),
      { live: true }
    )

    test(
      "of a dedupeKey that were stored while another one of it runs, once and after it",
      Effect.gen(function*() {
        const gate = yield* Effect.makeLatch(false)
        const { runs } = yield* startMailRelay((to) => to === "a" ? gate.await : Effect.void)
        const keyed = { dedupeKey: "key" }
        yield* mails({ a: keyed })
        yield* until(Effect.sync(() => runs.length === 1))
        yield* mails({ b: keyed, c: keyed })
        yield* gate.open
        yield* delivered
        expect(runs.length).toBe(2)
        expect(runs[0]).toBe("a")
      }),
      { live: true }
    )

    test(
      "with a delay or a runAt when it has passed",
      Effect.gen(function*() {
        yield* mails({ a: { delay: "1 hour" }, b: { runAt: new Date(Date.now() + 3_600_000) }, c: {} })
        const { runs } = yield* startMailRelay(() => Effect.void)
        yield* untilStates({ scheduled: 2 })
        expect(runs).toEqual(["c"])
        yield* timePasses
        yield* delivered
        expect(runs.sort()).toEqual(["a", "b", "c"])
      }),
      { live: true }
    )

    test(
      "of the queues that it serves, within their limits, and none of a paused queue",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const { queue } = tableNames(table)
        yield* sql.unsafe(`INSERT INTO ${queue} (queue, paused_at) VALUES ('paused', 1)`)
        const in_ = (queue: string) => ({ queue })
        yield* mails({ a: in_("slow"), b: in_("slow"), c: in_("paused"), d: in_("other"), e: in_("quick") })
        const gate = yield* Effect.makeLatch(false)
        const { runs } = yield* startMailRelay((to) => to < "c" ? gate.await : Effect.void, {
          queues: { slow: 1, quick: 5, paused: 5 }
        })
        yield* until(Effect.map(rows, ({ claimed, ready }) => claimed === 1 && ready === 3))
        expect([...runs].sort()).toEqual(["a", "e"])
        yield* gate.open
        yield* untilStates({ ready: 2 })
        yield* sql.unsafe(`UPDATE ${queue} SET paused_at = NULL`)
        yield* untilStates({ ready: 1 })
        expect([...runs].sort()).toEqual(["a", "b", "c", "e"])
      }),
      { live: true }
    )
  })
}
