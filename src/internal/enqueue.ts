/**
 * Putting an intent into the scope around, or saying why not.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
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
import { bytesOf, encode, issuesOf, isValid } from "./payload.js"
import { noteFiber, positionOf } from "./position.js"
import * as report from "./report.js"
import type { Cascade, Scope } from "./scope.js"
import * as tracing from "./tracing.js"
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
  const foreseen = valid ? foresee(task, payload, options) : undefined
  const site = foreseen === undefined ? callSite(enqueue) : undefined
  return valid
    ? offer(task, payload, options, site, undefined, foreseen?.encoded)
    : Effect.suspend(() => misuse(new InvalidPayloadError({ ...at(task, site), issues: issuesOf(task, payload) })))
}

/** @internal */
export const enqueueEffect = <A, E, R>(
  name: string,
  effect: Effect.Effect<A, E, R>,
  options: EnqueueOptions = noOptions
): Effect.Effect<IntentId, never, AirlockScope | Exclude<R, AirlockScope | EffectScope.Scope>> => {
  const site = callSite(enqueueEffect)
  return Effect.withFiberRuntime((fiber) => {
    const task: Task.Any = { name, payloadSchema: Schema.Void }
    return offer(task, undefined, options, site, closureOf(effect, fiber.currentContext), undefined)
  })
}

/**
 * It runs when the transaction that is open now has ended. What the context lacks of `R`, a run gives it.
 *
 * @internal
 */
export const closureOf = <A, E, R>(effect: Effect.Effect<A, E, R>, context: Context.Context<never>): Closure => ({
  effect: effect as Effect.Effect<A, E>,
  context: withoutTransaction(Context.omit(EffectScope.Scope)(context))
})

const offer = (
  task: Task.Any,
  payload: unknown,
  options: EnqueueOptions,
  site: string | undefined,
  closure: Closure | undefined,
  /** The payload, where it was encoded already. */
  encoded: string | undefined
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
        Effect.zipRight(Effect.suspend(() => accept(scope, intent, site, encoded, fiber)))
      )
      : accept(scope, intent, site, encoded, fiber)
  })

const accept = (
  scope: Scope,
  intent: IntentRecord,
  site: string | undefined,
  encoded: string | undefined,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Effect.Effect<IntentId> => {
  const { buffer, cascade } = scope
  if (scope.state !== "open") {
    const { name, state } = scope
    const error = new ScopeClosedError({ ...at(intent.task, site), scope: name, state })
    return Effect.zipRight(report.late(scope, [intent]), misuse(error))
  }
  const isDurable = scope.executor.isDurable(intent)
  if (isDurable && intent.closure !== undefined) {
    return misuse(new NotSerializableError({ ...at(intent.task, site), executor: scope.executor.name }))
  }
  if (buffer.length >= scope.maxIntents) {
    return misuse(new BufferFullError({ ...at(intent.task, site), scope: scope.name, limit: scope.maxIntents }))
  }
  if (cascade !== undefined && cascade.depth >= scope.maxCascade) {
    const chain = namesOf(cascade)
    return misuse(new CascadeTooDeepError({ ...at(intent.task, site), chain, limit: scope.maxCascade }))
  }
  if (isDurable || (scope.maxPayloadBytes !== Infinity && intent.closure === undefined)) {
    const wrong = isDurable ? issuesOfOptions(intent.options) : []
    if (wrong.length > 0) {
      return misuse(new InvalidPayloadError({ ...at(intent.task, site), issues: wrong }))
    }
    const text = encoded ?? encodedOr(intent.task, intent.payload)
    if (typeof text !== "string") {
      return misuse(new InvalidPayloadError({ ...at(intent.task, site), issues: text }))
    }
    const limit = scope.maxPayloadBytes
    const bytes = limit === Infinity ? 0 : bytesOf(text)
    if (bytes > limit) {
      return misuse(new PayloadTooLargeError({ ...at(intent.task, site), bytes, limit }))
    }
    if (isDurable) {
      intent.durable = { encoded: text, verdict: undefined, parked: undefined }
    }
  }
  buffer.push(intent)
  if (intent.span !== undefined) {
    tracing.enqueued(fiber, intent, scope)
  }
  return (buffer.length & 0x3ff) === 0 ? Effect.as(breathe, intent.id) : Effect.succeed(intent.id)
}

/** What is kept elsewhere is encoded now: its payload may change, and it is here that someone can be told of a fault. */
const encodedOr = (task: Task.Any, payload: unknown): string | ReadonlyArray<string> => {
  try {
    return encode(task, payload)
  } catch (error) {
    return [`payload: cannot be encoded (${error instanceof Error ? error.name : "its Schema threw"})`]
  }
}

/** What would be kept as something else, or not at all. */
const issuesOfOptions = (options: EnqueueOptions): ReadonlyArray<string> => {
  if (options === noOptions) {
    return []
  }
  const { dedupeKey, delay, maxAttempts, native, orderingKey, origin, priority, queue, runAt } = options
  const issues: Array<string> = []
  const expect = (isSo: boolean, what: string) => isSo ? undefined : issues.push(`options.${what}`)
  expect(delay === undefined || isFiniteDuration(delay), "delay: expected a finite duration")
  expect(
    runAt === undefined || (runAt instanceof Date && !Number.isNaN(runAt.getTime())),
    "runAt: expected a valid Date"
  )
  expect(priority === undefined || Number.isSafeInteger(priority), "priority: expected a whole number")
  expect(
    maxAttempts === undefined || (Number.isSafeInteger(maxAttempts) && maxAttempts > 0),
    "maxAttempts: expected a whole number above 0"
  )
  for (const [name, key] of Object.entries({ queue, dedupeKey, orderingKey })) {
    expect(
      key === undefined || (key.length <= 255 && !key.includes("\0")),
      `${name}: expected at most 255 characters, none of them NUL`
    )
  }
  try {
    JSON.stringify({ native, origin })
  } catch {
    issues.push("options.native: expected what JSON can hold")
  }
  return issues
}

/** A text may look like a duration and be none. */
const isFiniteDuration = (input: Duration.DurationInput): boolean =>
  Option.exists(Duration.decodeUnknown(input), Duration.isFinite)

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

interface Foreseen {
  readonly encoded: string | undefined
}

const nothingToEncode: Foreseen = { encoded: undefined }

/** What an enqueue would need that ran now, in the fiber that calls; nothing is foreseen where it would not be accepted. */
const foresee = (task: Task.Any, payload: unknown, options: EnqueueOptions): Foreseen | undefined => {
  const current = Fiber.getCurrentFiber()
  if (current._tag === "None") {
    return undefined
  }
  const position = positionOf(current.value)
  const scope = position?.scope
  if (
    position === undefined || scope === undefined || scope.state !== "open" || position.policies?.onEnqueue === true ||
    scope.cascade !== undefined || scope.maxPayloadBytes !== Infinity || scope.buffer.length >= scope.maxIntents
  ) {
    return undefined
  }
  const transaction = transactionIn(current.value.currentContext)
  if (transaction !== undefined && frameOf(transaction, position) === undefined) {
    return undefined
  }
  if (scope.executor.transactional === undefined) {
    return nothingToEncode
  }
  const encoded = issuesOfOptions(options).length > 0 ? undefined : encodedOr(task, payload)
  return typeof encoded === "string" ? { encoded } : undefined
}
