/**
 * Putting an intent into the scope around, or saying why not.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as EffectScope from "effect/Scope"
import {
  BufferFullError,
  CascadeTooDeepError,
  InvalidPayloadError,
  NoScopeError,
  NotSerializableError,
  PayloadTooLargeError,
  PolicyEnqueueError,
  PolicyViolation,
  ScopeClosedError,
  UnseenTransactionError
} from "../AirlockError.js"
import type { AirlockScope } from "../AirlockScope.js"
import type { EnqueueOptions, IntentId } from "../Intent.js"
import type * as Task from "../Task.js"
import { breathe } from "./breathe.js"
import { callSite, withCallersStack } from "./callSite.js"
import { askOnEnqueue, insidePolicy } from "./decide.js"
import { makeId } from "./id.js"
import { type Closure, IntentRecord } from "./intent.js"
import { bytesOf, issuesOf, isValid } from "./payload.js"
import { noteFiber, positionOf } from "./position.js"
import * as report from "./report.js"
import type { Cascade, Scope } from "./scope.js"
import { deepestSavepoint, frameOf, transactionIn, withoutTransaction } from "./transactionConnection.js"

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
  return valid
    ? offer(task, payload, options, site, undefined)
    : Effect.suspend(() => misuse(new InvalidPayloadError({ ...at(task, site), issues: issuesOf(task, payload) })))
}

/** @internal */
export const enqueueEffect = <A, E, R>(
  name: string,
  effect: Effect.Effect<A, E, R>,
  options: EnqueueOptions = noOptions
): Effect.Effect<IntentId, never, AirlockScope | Exclude<R, AirlockScope | EffectScope.Scope>> => {
  const site = seemsWell() ? undefined : callSite(enqueueEffect)
  return Effect.withFiberRuntime((fiber) => {
    const task: Task.Any = { name, payloadSchema: Schema.Void }
    const executor = positionOf(fiber)?.scope?.executor
    if (executor?.durable === true) {
      return misuse(new NotSerializableError({ ...at(task, site), executor: executor.name }))
    }
    // It runs when the transaction that is open now has ended. What this context lacks of `R`, a run gives it.
    const context = withoutTransaction(Context.omit(EffectScope.Scope)(fiber.currentContext as Context.Context<never>))
    return offer(task, undefined, options, site, { effect: effect as Effect.Effect<A, E>, context })
  })
}

const offer = (
  task: Task.Any,
  payload: unknown,
  options: EnqueueOptions,
  site: string | undefined,
  closure: Closure | undefined
): Effect.Effect<IntentId, never, AirlockScope> =>
  Effect.withFiberRuntime((fiber) => {
    const position = positionOf(fiber)
    const scope = position?.scope
    if (position === undefined || scope === undefined) {
      return misuse(
        position === insidePolicy ? new PolicyEnqueueError(at(task, site)) : new NoScopeError(at(task, site))
      )
    }
    const transaction = transactionIn(fiber.currentContext)
    const frame = transaction === undefined ? undefined : frameOf(transaction, position)
    if (transaction !== undefined && frame === undefined) {
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
      scope.depth,
      scope.cascade,
      fiber.currentSpan,
      position.policies,
      position.fork,
      deepestSavepoint(frame),
      closure
    )
    noteFiber(position.fork, fiber)
    return position.policies?.onEnqueue === true && scope.state === "open"
      ? askOnEnqueue(scope, intent).pipe(
        Effect.catchTags({
          PolicyViolation: ({ policy, reason }) => misuse(new PolicyViolation({ ...at(task, site), policy, reason })),
          SettleTimeoutError: (error) => misuse(error)
        }),
        Effect.zipRight(Effect.suspend(() => accept(scope, intent, site)))
      )
      : accept(scope, intent, site)
  })

const accept = (scope: Scope, intent: IntentRecord, site: string | undefined): Effect.Effect<IntentId> => {
  const { buffer, cascade } = scope
  if (scope.state !== "open") {
    const { name, state } = scope
    const error = new ScopeClosedError({ ...at(intent.task, site), scope: name, state })
    return Effect.zipRight(report.late(scope, [intent]), misuse(error))
  }
  if (buffer.length >= scope.maxIntents) {
    return misuse(new BufferFullError({ ...at(intent.task, site), scope: scope.name, limit: scope.maxIntents }))
  }
  if (cascade !== undefined && cascade.depth >= scope.maxCascade) {
    const chain = namesOf(cascade)
    return misuse(new CascadeTooDeepError({ ...at(intent.task, site), chain, limit: scope.maxCascade }))
  }
  if (scope.maxPayloadBytes !== Infinity && intent.closure === undefined) {
    const bytes = bytesOf(intent.task, intent.payload)
    if (bytes > scope.maxPayloadBytes) {
      return misuse(new PayloadTooLargeError({ ...at(intent.task, site), bytes, limit: scope.maxPayloadBytes }))
    }
  }
  buffer.push(intent)
  return (buffer.length & 0x3ff) === 0 ? Effect.as(breathe, intent.id) : Effect.succeed(intent.id)
}

/** The tasks whose handlers led here, the first one first. */
const namesOf = (cascade: Cascade): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (let at: Cascade | undefined = cascade; at !== undefined; at = at.outer) {
    names.unshift(at.task)
  }
  return names
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
    position === undefined || scope === undefined || scope.state !== "open" || position.policies?.onEnqueue === true ||
    scope.cascade !== undefined || scope.maxPayloadBytes !== Infinity
  ) {
    return false
  }
  const transaction = transactionIn(current.value.currentContext)
  return scope.buffer.length < scope.maxIntents &&
    (transaction === undefined || frameOf(transaction, position) !== undefined)
}
