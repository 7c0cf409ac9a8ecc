/**
 * Adds an intent to the current scope, or dies with an error that says why not.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
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
  UnseenTransactionError,
  UnsupportedOptionError
} from "../../AirlockError.js"
import type { AnyTask, EnqueueOptions, IntentId } from "../../Intent.js"
import type { AirlockService } from "../contract/airlock.js"
import { capabilitiesOf } from "../contract/executor.js"
import { callSite, withCallersStack } from "../support/callSite.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { makeId } from "../support/id.js"
import { bytesOf, encodeOrIssues, issuesOf, isValid } from "../support/payload.js"
import { yieldToEventLoop } from "../support/yieldToEventLoop.js"
import { late, tell } from "../telemetry/decision.js"
import { addEnqueueEvent } from "../telemetry/spans.js"
import { tasksOf } from "./cascade.js"
import { currentOf, notedFork } from "./currentScope.js"
import { frameOf, innermostSavepoint } from "./frame.js"
import { type Closure, closureOf, IntentRecord } from "./intentRecord.js"
import { freezeOptions, issuesOfOptions, noOptions, unsupportedOptions } from "./options.js"
import { evaluateOnEnqueue, insidePolicy } from "./policies.js"
import type { Scope } from "./scope.js"
import { transactionIn } from "./transactionTag.js"
import { reportUnusedOutboxes, unusedOutboxes } from "./wiring.js"

/** One call of `Airlock.enqueue`. */
interface EnqueueCall {
  readonly task: AnyTask
  readonly payload: unknown
  readonly options: EnqueueOptions
  /** The stack frame of the call, if it was captured. */
  readonly site: string | undefined
  readonly closure: Closure | undefined
  /** The payload as JSON, if it was encoded already. */
  readonly encoded: string | undefined
}

/** @internal */
export const enqueue = (
  task: AnyTask,
  payload: unknown,
  options: EnqueueOptions = noOptions
): Effect.Effect<IntentId> => {
  if (!isValid(task, payload)) {
    const site = callSite(enqueue)
    return Effect.suspend(() => misuse(new InvalidPayloadError({ ...at(task, site), issues: issuesOf(task, payload) })))
  }
  // The caller is on the stack only now, and not when the Effect runs. Capturing the stack costs more than the rest of the
  // enqueue, so it is done only if the enqueue would fail.
  const preflight = preflightOf(task, payload, options)
  const site = preflight === undefined ? callSite(enqueue) : undefined
  return add({ task, payload, options, site, closure: undefined, encoded: preflight?.encoded })
}

/** @internal */
export const enqueueEffect = <A, E, R>(
  name: string,
  effect: Effect.Effect<A, E, R>,
  options: EnqueueOptions = noOptions
): Effect.Effect<IntentId> => {
  const site = callSite(enqueueEffect)
  return Effect.withFiberRuntime((fiber) => {
    const task: AnyTask = Object.freeze({ name, payloadSchema: Schema.Void })
    const closure = closureOf(effect, fiber.currentContext)
    return add({ task, payload: undefined, options, site, closure, encoded: undefined })
  })
}

const add = (request: EnqueueCall): Effect.Effect<IntentId> =>
  Effect.withFiberRuntime((fiber) => {
    const { closure, options, payload, site, task } = request
    const current = currentOf(fiber)
    const scope = current?.scope
    if (current === undefined || scope === undefined) {
      return misuse(
        current === insidePolicy ? new PolicyEnqueueError(at(task, site)) : new NoScopeError(at(task, site))
      )
    }
    const transaction = transactionIn(fiber.currentContext)
    const frame = transaction === undefined ? undefined : frameOf(transaction, current)
    if (transaction !== undefined && frame === undefined) {
      return misuse(new UnseenTransactionError(at(task, site)))
    }
    const now = Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeMillis()
    const intent = new IntentRecord({
      id: makeId(now),
      task,
      payload,
      options: freezeOptions(options),
      enqueuedAt: now,
      scopeId: scope.id,
      depth: scope.depth,
      cascade: scope.cascade,
      span: fiber.currentSpan,
      policies: current.policies,
      fork: notedFork(fiber, current),
      savepoint: innermostSavepoint(frame),
      closure
    })
    return current.policies?.onEnqueue === true && scope.state === "open"
      ? evaluateOnEnqueue(scope, intent).pipe(
        Effect.catchTags({
          PolicyViolation: ({ policy, reason }) => misuse(new PolicyViolation({ ...at(task, site), policy, reason })),
          SettleTimeoutError: (error) => misuse(error)
        }),
        Effect.zipRight(Effect.suspend(() => accept(scope, intent, request, fiber)))
      )
      : accept(scope, intent, request, fiber)
  })

const accept = (scope: Scope, intent: IntentRecord, request: EnqueueCall, fiber: AnyFiber): Effect.Effect<IntentId> => {
  const { buffer, cascade, executor, limits, state } = scope
  const { closure, options, payload, site, task } = request
  if (state !== "open") {
    return Effect.zipRight(
      tell(late, [intent], scope.name),
      misuse(new ScopeClosedError({ ...at(task, site), scope: scope.name, state }))
    )
  }
  const isDurable = executor.isDurable(intent)
  if (isDurable && closure !== undefined) {
    return misuse(new NotSerializableError({ ...at(task, site), executor: executor.name }))
  }
  if (buffer.length >= limits.maxIntents) {
    return misuse(new BufferFullError({ ...at(task, site), scope: scope.name, limit: limits.maxIntents }))
  }
  if (cascade !== undefined && cascade.depth >= limits.maxCascade) {
    return misuse(new CascadeTooDeepError({ ...at(task, site), chain: tasksOf(cascade), limit: limits.maxCascade }))
  }
  const unsupported = options === noOptions
    ? noUnsupported
    : unsupportedOptions(options, capabilitiesOf(executor, intent))
  if (unsupported.length > 0 && scope.airlock.unsupportedOptions === "refuse") {
    return misuse(new UnsupportedOptionError({ ...at(task, site), options: unsupported, executor: executor.name }))
  }
  const issues = issuesOfOptions(options, isDurable)
  if (issues.length > 0) {
    return misuse(new InvalidPayloadError({ ...at(task, site), issues }))
  }
  if (isDurable || (limits.maxPayloadBytes !== Infinity && closure === undefined)) {
    // A durable executor stores the payload as it is now. It may change later, and only here can an error reach the caller.
    const encoded = request.encoded ?? encodeOrIssues(task, payload, isDurable)
    if (typeof encoded !== "string") {
      return misuse(new InvalidPayloadError({ ...at(task, site), issues: encoded }))
    }
    const limit = limits.maxPayloadBytes
    const bytes = limit === Infinity ? 0 : bytesOf(encoded)
    if (bytes > limit) {
      return misuse(new PayloadTooLargeError({ ...at(task, site), bytes, limit }))
    }
    if (isDurable) {
      intent.durable = { encoded, dropped: undefined, outbox: undefined }
    }
  }
  buffer.push(intent)
  if (intent.span !== undefined) {
    addEnqueueEvent(fiber, intent, scope)
  }
  if (unsupported.length > 0 || unusedOutboxes.size > 0) {
    return reportIgnored(scope, unsupported).pipe(
      Effect.zipRight(reportUnusedOutboxes(executor)),
      Effect.as(intent.id)
    )
  }
  return (buffer.length & 0x3ff) === 0 ? Effect.as(yieldToEventLoop, intent.id) : Effect.succeed(intent.id)
}

const noUnsupported: ReadonlyArray<string> = []

/** The options that each Airlock has ignored and warned of, with the executor. */
const ignored = new WeakMap<AirlockService, Set<string>>()

/** Warns of options that the executor of a scope cannot carry out, once for each. */
const reportIgnored = ({ airlock, executor }: Scope, options: ReadonlyArray<string>): Effect.Effect<void> => {
  const told = ignored.get(airlock) ?? new Set<string>()
  ignored.set(airlock, told)
  const untold = options.filter((option) => !told.has(`${executor.name}/${option}`))
  for (const option of untold) {
    told.add(`${executor.name}/${option}`)
  }
  return untold.length === 0 ? Effect.void : Effect.logWarning(
    `Airlock ignores options of enqueues that the executor "${executor.name}" cannot carry out: ${
      untold.join(", ")
    }. ` +
      "Their intents run as if they had none."
  )
}

interface Preflight {
  readonly encoded: string | undefined
}

const passed: Preflight = { encoded: undefined }

/**
 * Checks an enqueue in the running fiber, before its Effect runs. `undefined` if it would fail, if that is not certain, or
 * if no fiber runs. A payload for an outbox is encoded on this occasion.
 */
const preflightOf = (task: AnyTask, payload: unknown, options: EnqueueOptions): Preflight | undefined => {
  const running = Fiber.getCurrentFiber()
  if (running._tag === "None") {
    return undefined
  }
  const current = currentOf(running.value)
  const scope = current?.scope
  if (
    current === undefined || scope === undefined || scope.state !== "open" || current.policies?.onEnqueue === true ||
    scope.cascade !== undefined || scope.limits.maxPayloadBytes !== Infinity ||
    scope.buffer.length >= scope.limits.maxIntents
  ) {
    return undefined
  }
  const transaction = transactionIn(running.value.currentContext)
  if (transaction !== undefined && frameOf(transaction, current) === undefined) {
    return undefined
  }
  const { capabilities, durable, transactional } = scope.executor
  if (
    options !== noOptions &&
    // Which executor a route chooses is known only when there is an intent.
    (typeof capabilities === "function" || unsupportedOptions(options, capabilities).length > 0 ||
      issuesOfOptions(options, durable !== false).length > 0)
  ) {
    return undefined
  }
  if (transactional === undefined) {
    return passed
  }
  const encoded = encodeOrIssues(task, payload, true)
  return typeof encoded === "string" ? { encoded } : undefined
}

const at = (task: AnyTask, site: string | undefined) =>
  site === undefined ? { task: task.name } : { task: task.name, site }

const misuse = (error: Error & { readonly site?: string }): Effect.Effect<never> => Effect.die(withCallersStack(error))
