/**
 * The plan of a scope: what would become of each intent, if it succeeded now.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { PolicyFailedError, SettleTimeoutError } from "../AirlockError.js"
import { Entry, Plan } from "../Plan.js"
import { decide, type Verdict } from "./decide.js"
import type { IntentRecord } from "./intent.js"
import { fateOfBranch } from "./position.js"
import type { Scope } from "./scope.js"

/** @internal */
export const makePlan = (scope: Scope, verdicts: ReadonlyArray<Verdict>): Plan =>
  new Plan({ scope: scope.name, entries: verdicts.map((verdict) => entryOf(scope, verdict)) })

const entryOf = (scope: Scope, { decision, intent, policy, reason }: Verdict): Entry =>
  new Entry({
    intentId: intent.id,
    task: intent.task.name,
    decision,
    policy,
    reason,
    provenance: intent.scopeId === scope.id ? "own" : "captured",
    depth: intent.depth - scope.depth,
    origin: intent.options.origin,
    enqueuedAt: intent.enqueuedAt,
    traceId: intent.span?.traceId,
    spanId: intent.span?.spanId
  })

/** @internal */
export const planOf = (scope: Scope): Effect.Effect<Plan, PolicyFailedError | SettleTimeoutError> =>
  Effect.withFiberRuntime((fiber) => {
    const intents = scope.buffer.slice()
    const fates = new Map(intents.map((intent) => [intent, fateOfBranch(intent.fork, fiber)]))
    // A fiber that still runs may yet end well: that is known only when the scope settles.
    const isAside = (intent: IntentRecord) => fates.get(intent) === "failed" || fates.get(intent) === "interrupted"
    return Effect.map(decide(scope, intents.filter((intent) => !isAside(intent))), (decided) => {
      const verdicts = new Map(decided.map((verdict) => [verdict.intent, verdict]))
      return makePlan(
        scope,
        intents.map((intent) =>
          verdicts.get(intent) ??
            { intent, decision: "aside", policy: undefined, reason: `its fiber ${fates.get(intent)}` }
        )
      )
    })
  })
