/**
 * Reports decisions about intents, in a log line, a metric and events of the current span. Intents are named by task and
 * id. Payloads are never shown.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as LogLevel from "effect/LogLevel"
import type * as Metric from "effect/Metric"
import * as MetricLabel from "effect/MetricLabel"
import { type FlushFailure, printReason } from "../../AirlockError.js"
import * as AirlockMetrics from "../../AirlockMetrics.js"
import type { Intent } from "../../Intent.js"
import { addEvents } from "./spans.js"

/** The maximum number of intents that a log line names. It always counts all of them. */
const maxNamed = 100

/** @internal */
export interface Decision<A> {
  readonly level: LogLevel.LogLevel
  readonly message: string
  /** Names one item in the log line and the span event. */
  readonly describe: (item: A) => string
  readonly metric?: Metric.Metric.Counter<number>
  /** The name of the span events, without the prefix `airlock.`. */
  readonly event?: string
  readonly labels?: (item: A) => Readonly<Record<string, string>>
}

/** Logs, counts and traces a decision about some items. @internal */
export const tell = <A>(
  { describe, event, labels, level, message, metric }: Decision<A>,
  items: ReadonlyArray<A>,
  scope?: string
): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    if (items.length === 0) {
      return Effect.void
    }
    if (metric !== undefined) {
      count(metric, items, labels)
    }
    if (event !== undefined) {
      addEvents(fiber, event, items, (item) => ({ intent: describe(item), ...labels?.(item) }))
    }
    return LogLevel.greaterThan(fiber.getFiberRef(FiberRef.currentMinimumLogLevel), level)
      ? Effect.void
      : Effect.logWithLevel(level, `Airlock ${message}`).pipe(
        Effect.annotateLogs({
          ...(scope === undefined ? {} : { "airlock.scope": scope }),
          "airlock.count": items.length,
          "airlock.intents": items.slice(0, maxNamed).map(describe)
        })
      )
  })

/** Logs a decision in as many lines as it takes to name every item. @internal */
export const tellAll = <A>(decision: Decision<A>, items: ReadonlyArray<A>): Effect.Effect<void> =>
  Effect.forEach(
    Chunk.chunksOf(Chunk.unsafeFromArray(items), maxNamed),
    (some) => tell(decision, Chunk.toReadonlyArray(some)),
    { discard: true }
  )

/** @internal */
export const count = <A>(
  metric: Metric.Metric.Counter<number>,
  items: ReadonlyArray<A>,
  labels?: (item: A) => Readonly<Record<string, string>>
): void => {
  if (labels === undefined) {
    metric.unsafeUpdate(items.length, [])
    return
  }
  for (const item of items) {
    metric.unsafeUpdate(1, Object.entries(labels(item)).map(([key, value]) => MetricLabel.make(key, value)))
  }
}

/** @internal */
export const nameOf = (intent: Intent): string => `${intent.task.name} ${intent.id}`

/** @internal */
export const failed: Decision<FlushFailure> = {
  level: LogLevel.Error,
  message: "could not dispatch intents, after their scope had settled",
  describe: ({ intentId, reason, task }) => `${task} ${intentId}: ${printReason(reason)}`,
  metric: AirlockMetrics.failed,
  labels: ({ reason, task }) => ({ task, reason: reason._tag })
}

/** @internal */
export const unfinished: Decision<FlushFailure> = {
  ...failed,
  message: "shut down before these intents had left",
  describe: ({ intentId, task }) => `${task} ${intentId}`
}

/** @internal */
export const undue: Decision<FlushFailure> = {
  ...unfinished,
  message:
    "shut down before the time of these intents had come, and they are lost: Executor.background keeps them in memory"
}

/** @internal */
export const late: Decision<Intent> = {
  level: LogLevel.Error,
  message:
    "refused intents: the scope that they were meant for has settled. Wrap the work of a fiber that outlives its " +
    "scope in Airlock.scoped({ independent: true })",
  describe: nameOf,
  metric: AirlockMetrics.lateIntents
}

/** @internal */
export const unfinishedHandlers = (task: string, count: number): Effect.Effect<void> =>
  Effect.logError("Airlock shut down while handlers still ran").pipe(
    Effect.annotateLogs({ "airlock.task": task, "airlock.count": count })
  )
