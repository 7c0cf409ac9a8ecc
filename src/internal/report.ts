/**
 * Every decision about an intent can be seen: in a log line, a metric and an event of the flush's span. Intents are named by
 * task and id; payloads are not told.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as LogLevel from "effect/LogLevel"
import type * as Metric from "effect/Metric"
import * as MetricLabel from "effect/MetricLabel"
import type { FlushFailure } from "../AirlockError.js"
import * as AirlockMetrics from "../AirlockMetrics.js"
import type { Intent } from "../Intent.js"
import type { Verdict } from "./decide.js"
import type { IntentRecord } from "./intent.js"
import type { Scope } from "./scope.js"
import * as tracing from "./tracing.js"

/** A log line names no more intents than this; it always counts them all. */
const maxNamed = 100

interface Decision<A> {
  readonly level: LogLevel.LogLevel
  readonly message: string
  readonly describe: (item: A) => string
  readonly metric?: Metric.Metric.Counter<number>
  /** How the span calls it. */
  readonly event?: string
  readonly labels?: (item: A) => Readonly<Record<string, string>>
}

/** Items are told of only where someone listens; counters count them all. */
const tell = <A>(
  { describe, event, labels, level, message, metric }: Decision<A>,
  scope: Scope | undefined,
  items: ReadonlyArray<A>
): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    if (items.length === 0) {
      return Effect.void
    }
    if (metric !== undefined) {
      count(metric, items, labels)
    }
    if (event !== undefined) {
      tracing.decided(fiber, event, items, (item) => ({ intent: describe(item), ...labels?.(item) }))
    }
    return LogLevel.greaterThan(fiber.getFiberRef(FiberRef.currentMinimumLogLevel), level)
      ? Effect.void
      : Effect.logWithLevel(level, `Airlock ${message}`).pipe(
        Effect.annotateLogs({
          ...(scope === undefined ? {} : { "airlock.scope": scope.name }),
          "airlock.count": items.length,
          "airlock.intents": items.slice(0, maxNamed).map(describe)
        })
      )
  })

const count = <A>(
  metric: Metric.Metric.Counter<number>,
  items: ReadonlyArray<A>,
  labels: ((item: A) => Readonly<Record<string, string>>) | undefined
): void => {
  if (labels === undefined) {
    metric.unsafeUpdate(items.length, [])
    return
  }
  for (const item of items) {
    metric.unsafeUpdate(1, Object.entries(labels(item)).map(([key, value]) => MetricLabel.make(key, value)))
  }
}

const named = (intent: Intent): string => `${intent.task.name} ${intent.id}`

const ofIntents = (level: LogLevel.LogLevel, message: string): Decision<IntentRecord> => ({
  level,
  message,
  describe: named,
  metric: AirlockMetrics.discarded,
  event: "discarded"
})

const telling = <A>(decision: Decision<A>) => (scope: Scope, items: ReadonlyArray<A>): Effect.Effect<void> =>
  tell(decision, scope, items)

/** @internal */
export const discarded = telling(ofIntents(LogLevel.Debug, "discarded intents: their scope did not succeed"))

/** @internal */
export const undone = telling(
  ofIntents(LogLevel.Debug, "discarded intents: the fibers that enqueued them failed or were interrupted")
)

/** @internal */
export const stopped = telling(ofIntents(
  LogLevel.Warning,
  "discarded intents: the fibers that enqueued them ran unsupervised and were interrupted, as is a stage of a Stream " +
    "that feeds a concurrent one. Enqueue in a fiber that ends by itself"
))

/** @internal */
export const running = telling(ofIntents(
  LogLevel.Warning,
  "discarded intents: the fibers that enqueued them still run though their scope ends. " +
    "Join those fibers, or give them a scope of their own"
))

/** @internal */
export const disapproved = telling(ofIntents(LogLevel.Debug, "discarded intents: their plan was not approved"))

/** @internal */
export const dropped = telling<Verdict>({
  level: LogLevel.Debug,
  message: "dropped intents: a policy does not let them leave",
  describe: ({ intent, policy, reason }) => `${named(intent)} by ${policy}: ${reason}`,
  metric: AirlockMetrics.dropped,
  event: "dropped",
  labels: ({ intent, policy }) => ({ task: intent.task.name, policy: policy ?? "" })
})

/** @internal */
export const late = telling<IntentRecord>({
  level: LogLevel.Error,
  message: "refused intents: the scope that they were meant for has settled",
  describe: named,
  metric: AirlockMetrics.lateIntents
})

/** What an executor took: nothing to log. @internal */
export const dispatched = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  intents: ReadonlyArray<Intent>,
  failures: ReadonlyArray<FlushFailure>
): void => {
  AirlockMetrics.dispatched.unsafeUpdate(intents.length - failures.length, [])
  if (tracing.isTraced(fiber)) {
    const left = new Set(failures.map(({ intentId }) => intentId))
    tracing.decided(fiber, "dispatched", intents.filter(({ id }) => !left.has(id)), (intent) => ({
      intent: named(intent)
    }))
  }
}

/** Counted when the scope settles: an enqueue has enough to do. @internal */
export const enqueued = (scope: Scope): void => {
  let own = 0
  for (const intent of scope.buffer) {
    own += intent.scopeId === scope.id ? 1 : 0
  }
  if (own > 0) {
    AirlockMetrics.enqueued.unsafeUpdate(own, [])
  }
}

/** A settlement as a whole. What failed is in the `FlushError`: it is not logged here. @internal */
export const settled = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  size: number,
  since: number,
  failures: ReadonlyArray<FlushFailure>
): void => {
  if (size > 0) {
    AirlockMetrics.scopeSize.unsafeUpdate(size, [])
    AirlockMetrics.flushMillis.unsafeUpdate(now(fiber) - since, [])
  }
  if (failures.length > 0) {
    count(AirlockMetrics.failed, failures, ofFailures.labels)
    tracing.decided(fiber, "failed", failures, (failure) => ({
      intent: `${failure.task} ${failure.intentId}`,
      ...ofFailures.labels?.(failure)
    }))
  }
}

/** Milliseconds, with fractions. @internal */
export const now = (fiber: Fiber.RuntimeFiber<unknown, unknown>): number =>
  Number(Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeNanos()) / 1e6

/** Where nobody else will tell, each is named, in as many lines as it takes. */
const tellAll = <A>(decision: Decision<A>, items: ReadonlyArray<A>): Effect.Effect<void> =>
  Effect.forEach(
    Chunk.chunksOf(Chunk.unsafeFromArray(items), maxNamed),
    (some) => tell(decision, undefined, Chunk.toReadonlyArray(some)),
    { discard: true }
  )

const ofFailures: Decision<FlushFailure> = {
  level: LogLevel.Error,
  message: "could not let intents leave, after their scope had settled",
  describe: ({ intentId, reason, task }) => `${task} ${intentId}: ${reason.message}`,
  metric: AirlockMetrics.failed,
  labels: ({ reason, task }) => ({ task, reason: reason._tag })
}

/** Failures of a scope that has settled long since. @internal */
export const failed = (failures: ReadonlyArray<FlushFailure>): Effect.Effect<void> => tellAll(ofFailures, failures)

/** @internal */
export const unfinished = (failures: ReadonlyArray<FlushFailure>): Effect.Effect<void> =>
  tellAll({
    ...ofFailures,
    message: "shut down before these intents had left",
    describe: ({ intentId, task }) => `${task} ${intentId}`
  }, failures)

/** @internal */
export const unfinishedHandlers = (task: string, count: number): Effect.Effect<void> =>
  Effect.logError("Airlock shut down while handlers still ran").pipe(
    Effect.annotateLogs({ "airlock.task": task, "airlock.count": count })
  )
