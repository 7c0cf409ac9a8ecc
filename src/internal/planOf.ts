/**
 * The plan of a scope: what would become of each intent, if it succeeded now.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { PolicyFailedError, SettleTimeoutError } from "../AirlockError.js"
import { Entry, Plan } from "../Plan.js"
import { asideBy, decide, type Verdict } from "./decide.js"
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
    const aside = new Map<IntentRecord, Verdict>()
    for (const intent of intents) {
      const fate = fateOfBranch(intent.fork, fiber)
      // A fiber that still runs may yet end well: that is known only when the scope settles.
      if (fate === "failed" || fate === "interrupted") {
        aside.set(intent, asideBy(intent, fate))
      }
    }
    return Effect.map(decide(scope, intents.filter((intent) => !aside.has(intent))), (decided) => {
      const verdicts = new Map(decided.map((verdict) => [verdict.intent, verdict]))
      return makePlan(scope, intents.map((intent) => aside.get(intent) ?? verdicts.get(intent)!))
    })
  })
