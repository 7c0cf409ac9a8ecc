/**
 * Putting an intent into the scope around, or saying why not.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import {
  BufferFullError,
  InvalidPayloadError,
  NoScopeError,
  PolicyEnqueueError,
  PolicyViolation,
  ScopeClosedError,
  UnseenTransactionError
} from "../AirlockError.js"
import type { AirlockScope } from "../AirlockScope.js"
import type { EnqueueOptions, IntentId } from "../Intent.js"
import type * as Task from "../Task.js"
import { callSite, withCallersStack } from "./callSite.js"
import { askOnEnqueue, insidePolicy } from "./decide.js"
import { makeId } from "./id.js"
import { IntentRecord } from "./intent.js"
import { issuesOf, isValid } from "./payload.js"
import { noteFiber, positionOf } from "./position.js"
import * as report from "./report.js"
import type { Scope } from "./scope.js"
import { frameOf, transactionIn } from "./transactionConnection.js"

const noOptions: EnqueueOptions = {}

/** @internal */
export const enqueue = <Name extends string, Payload extends Schema.Schema.Any>(
  task: Task.Task<Name, Payload>,
  payload: NoInfer<Schema.Schema.Type<Payload>>,
  options: EnqueueOptions = noOptions
): Effect.Effect<IntentId, never, AirlockScope> => {
  const valid = isValid(task, payload)
  // The caller is on the stack only now, before the Effect runs; and a stack is too dear to take where all seems well.
  const site = valid && seemsWell() ? undefined : callSite(enqueue)
  return Effect.withFiberRuntime((fiber) => {
    if (!valid) {
      return misuse(new InvalidPayloadError({ ...at(task, site), issues: issuesOf(task, payload) }))
    }
    const position = positionOf(fiber)
    const scope = position?.scope
    if (position === undefined || scope === undefined) {
      return misuse(
        position === insidePolicy ? new PolicyEnqueueError(at(task, site)) : new NoScopeError(at(task, site))
      )
    }
    const transaction = transactionIn(fiber.currentContext)
    if (transaction !== undefined && frameOf(transaction, position) === undefined) {
      return misuse(new UnseenTransactionError(at(task, site)))
    }
    const now = Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeMillis()
    const intent = new IntentRecord(
      makeId(now),
      task,
      payload,
      options,
      now,
      scope.id,
      fiber.currentSpan,
      position.policies,
      position.fork
    )
    noteFiber(position.fork, fiber)
    return position.policies?.onEnqueue === true && scope.state === "open"
      ? askOnEnqueue(intent).pipe(
        Effect.catchAll(({ policy, reason }) => misuse(new PolicyViolation({ ...at(task, site), policy, reason }))),
        Effect.zipRight(Effect.suspend(() => accept(scope, intent, site)))
      )
      : accept(scope, intent, site)
  })
}

const accept = (scope: Scope, intent: IntentRecord, site: string | undefined): Effect.Effect<IntentId> => {
  if (scope.state !== "open") {
    const { name, state } = scope
    const error = new ScopeClosedError({ ...at(intent.task, site), scope: name, state })
    return Effect.zipRight(report.late(scope, [intent]), misuse(error))
  }
  if (scope.buffer.length >= scope.maxIntents) {
    return misuse(new BufferFullError({ ...at(intent.task, site), scope: scope.name, limit: scope.maxIntents }))
  }
  scope.buffer.push(intent)
  return Effect.succeed(intent.id)
}

const at = (task: Task.Any, site: string | undefined) =>
  site === undefined ? { task: task.name } : { task: task.name, site }

const misuse = (error: Error & { readonly site?: string }): Effect.Effect<never> => Effect.die(withCallersStack(error))

/** Whether an enqueue that ran now, in the fiber that calls, would be accepted without a question. */
const seemsWell = (): boolean => {
  const current = Fiber.getCurrentFiber()
  if (current._tag === "None") {
    return false
  }
  const position = positionOf(current.value)
  const scope = position?.scope
  if (
    position === undefined || scope === undefined || scope.state !== "open" || position.policies?.onEnqueue === true
  ) {
    return false
  }
  const transaction = transactionIn(current.value.currentContext)
  return scope.buffer.length < scope.maxIntents &&
    (transaction === undefined || frameOf(transaction, position) !== undefined)
}
