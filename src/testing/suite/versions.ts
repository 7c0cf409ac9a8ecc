/**
 * Versions of a task, side by side during a deploy.
 *
 * @internal
 */
import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Airlock from "../../Airlock.js"
import * as Task from "../../Task.js"
import { type DefineTest, mail, request } from "./application.js"
import { delivered, startMailRelay, startRelay, untilStates } from "./relay.js"
import { until } from "./rows.js"

const SecondMail = Task.make("Mail", {
  payload: { address: Schema.String },
  version: 2,
  upcast: { 1: (old: { readonly to: string }) => ({ address: old.to }) }
})

const secondMail = (address: string) => request(Airlock.enqueue(SecondMail, { address }))

const startSecondRelay = Effect.gen(function*() {
  const runs: Array<string> = []
  const relay = yield* startRelay(SecondMail.toLayer(({ address }) => Effect.sync(() => runs.push(address))))
  return { ...relay, runs }
})

/** @internal */
export const versions = (test: DefineTest): void => {
  describe("a relay of version 1 of a task", () => {
    test(
      "leaves intents of version 2 to a relay of version 2",
      Effect.gen(function*() {
        const first = yield* startMailRelay(() => Effect.void)
        yield* secondMail("new")
        yield* request(mail("old"))
        yield* untilStates({ ready: 1 })
        expect(first.runs).toEqual(["old"])
        const second = yield* startSecondRelay
        yield* delivered
        expect([first.runs, second.runs]).toEqual([["old"], ["new"]])
      }),
      { live: true }
    )

    test(
      "loses nothing beside one of version 2, and makes no dead letters",
      Effect.gen(function*() {
        const first = yield* startMailRelay(() => Effect.void)
        const second = yield* startSecondRelay
        const names = Array.from({ length: 20 }, (_, n) => n)
        yield* Effect.forEach(names, (n) => Effect.zipRight(request(mail(`old ${n}`)), secondMail(`new ${n}`)))
        yield* delivered
        yield* first.stop
        expect([...first.runs, ...second.runs].sort()).toEqual(names.flatMap((n) => [`new ${n}`, `old ${n}`]).sort())
        expect(first.logs).toEqual([])
        expect(second.logs).toEqual([])
      }),
      { live: true }
    )
  })

  describe("a relay of version 2 of a task", () => {
    test(
      "runs intents of version 1 with the upcast",
      Effect.gen(function*() {
        yield* request(mail("old"))
        const { runs } = yield* startSecondRelay
        yield* until(Effect.sync(() => runs.length === 1))
        yield* delivered
        expect(runs).toEqual(["old"])
      }),
      { live: true }
    )
  })
}
