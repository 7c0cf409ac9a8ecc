/**
 * The notes of turns.
 */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { globalValue } from "effect/GlobalValue"
import { AsyncLocalStorage } from "node:async_hooks"
import { noteTurns } from "../../../../src/internal/engine/direct/plainCode.js"

const notes = globalValue(Symbol.for("effect-airlock/plainCode"), () => new AsyncLocalStorage<unknown>())

it("a fiber that stops to note its turns leaves no note to the code that runs after it", () => {
  Effect.runSync(Effect.scoped(noteTurns))
  expect(notes.getStore()).toBeUndefined()
})

it("a fiber whose turns are noted twice keeps its note when one of the two ends", () => {
  const [during, after] = Effect.runSync(Effect.scoped(Effect.gen(function*() {
    yield* noteTurns
    const during = notes.getStore()
    yield* Effect.scoped(noteTurns)
    return [during, notes.getStore()]
  })))
  expect(during).toBeDefined()
  expect(after).toBe(during)
})
