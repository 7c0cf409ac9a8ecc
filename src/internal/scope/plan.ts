/**
 * Makes the plan of a scope, and the view of a scope that can read it.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { PolicyFailedError, SettleTimeoutError } from "../../AirlockError.js"
import { Entry, Plan } from "../../Plan.js"
import type { ScopeView } from "../contract/scope.js"
import { discardByFate, dispatch, type Disposition, Dispositions, reasonOf } from "./disposition.js"
import { fatesSeenFrom } from "./fork.js"
import type { IntentRecord } from "./intentRecord.js"
import { evaluate } from "./policies.js"
import type { Scope } from "./scope.js"
import { makeView } from "./view.js"

/** Makes the plan of a scope from the dispositions of its intents. Undecided intents count as dispatched. @internal */
export const planOf = (scope: Scope, dispositions: Dispositions): Plan =>
  new Plan({
    scope: scope.name,
    entries: dispositions.map((intent, disposition = dispatch) => entryOf(scope, intent, disposition))
  })

const entryOf = (scope: Scope, intent: IntentRecord, disposition: Disposition): Entry | undefined => {
  const decided = shownAs(disposition)
  return decided && new Entry({
    intentId: intent.id,
    task: intent.task.name,
    policy: undefined,
    reason: undefined,
    ...decided,
    provenance: intent.scopeId === scope.id ? "own" : "captured",
    depth: intent.depth - scope.depth,
    origin: intent.options.origin,
    enqueuedAt: intent.enqueuedAt,
    traceId: intent.span?.traceId,
    spanId: intent.span?.spanId
  })
}

/** The decision of an entry. Intents that an outer scope captures are in the plan of that scope. */
const shownAs = (
  disposition: Disposition
): Pick<Entry, "decision"> & Partial<Pick<Entry, "policy" | "reason">> | undefined => {
  switch (disposition._tag) {
    case "Dispatch":
    case "Committed":
      return { decision: "dispatch" }
    case "Drop":
      return { decision: "drop", ...disposition.by }
    case "Discard":
      return { decision: "aside", reason: reasonOf(disposition.why) }
    case "HandOver":
    case "Fail":
      return undefined
  }
}

/** The plan of a scope if it succeeded now. @internal */
export const preview = (scope: Scope): Effect.Effect<Plan, PolicyFailedError | SettleTimeoutError> =>
  Effect.withFiberRuntime((fiber) => {
    const fateOf = fatesSeenFrom(fiber)
    const dispositions = new Dispositions(scope.buffer.slice(), (intent) => {
      const fate = fateOf(intent.fork)
      // A fiber that still runs may succeed before the scope settles, and an unknown one may be joined.
      return discardByFate(intent, fate === "running" || fate === "unknown" ? "succeeded" : fate)
    })
    return Effect.map(evaluate(scope, dispositions.undecided), (dropped) => {
      dispositions.drop(dropped)
      return planOf(scope, dispositions)
    })
  })

/** @internal */
export const viewOf = (scope: Scope): ScopeView => scope.view ??= makeView(scope, preview)
