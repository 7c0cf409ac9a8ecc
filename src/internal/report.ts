/**
 * What settling says in the log: which intents did not leave, and why. Intents are named by task and id; payloads are
 * not logged.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as AirlockMetrics from "../AirlockMetrics.js"
import type { Verdict } from "./decide.js"
import type { IntentRecord } from "./intent.js"
import type { Scope } from "./scope.js"

/** A log line names no more intents than this; it always counts them all. */
const maxNamed = 100

const log = <A>(
  level: LogLevel.LogLevel,
  scope: Scope,
  items: ReadonlyArray<A>,
  describe: (item: A) => string,
  message: string
): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) =>
    items.length === 0 || LogLevel.greaterThan(fiber.getFiberRef(FiberRef.currentMinimumLogLevel), level)
      ? Effect.void
      : Effect.logWithLevel(level, `Airlock ${message}`).pipe(
        Effect.annotateLogs({
          "airlock.scope": scope.name,
          "airlock.count": items.length,
          "airlock.intents": items.slice(0, maxNamed).map(describe)
        })
      )
  )

const named = (intent: IntentRecord): string => `${intent.task.name} ${intent.id}`

/** @internal */
export const discarded = (scope: Scope, intents: ReadonlyArray<IntentRecord>) =>
  log(LogLevel.Debug, scope, intents, named, "discarded intents: their scope did not succeed")

/** @internal */
export const undone = (scope: Scope, intents: ReadonlyArray<IntentRecord>) =>
  log(
    LogLevel.Debug,
    scope,
    intents,
    named,
    "discarded intents: the fibers that enqueued them failed or were interrupted"
  )

/** @internal */
export const stopped = (scope: Scope, intents: ReadonlyArray<IntentRecord>) =>
  log(
    LogLevel.Warning,
    scope,
    intents,
    named,
    "discarded intents: the fibers that enqueued them ran unsupervised and were interrupted, as is a stage of a Stream " +
      "that feeds a concurrent one. Enqueue in a fiber that ends by itself"
  )

/** @internal */
export const running = (scope: Scope, intents: ReadonlyArray<IntentRecord>) =>
  log(
    LogLevel.Warning,
    scope,
    intents,
    named,
    "discarded intents: the fibers that enqueued them still run though their scope ends. " +
      "Join those fibers, or give them a scope of their own"
  )

/** @internal */
export const disapproved = (scope: Scope, intents: ReadonlyArray<IntentRecord>) =>
  log(LogLevel.Debug, scope, intents, named, "discarded intents: their plan was not approved")

/** @internal */
export const dropped = (scope: Scope, intents: ReadonlyArray<Verdict>) =>
  log(
    LogLevel.Debug,
    scope,
    intents,
    ({ intent, policy, reason }) => `${named(intent)} by ${policy}: ${reason}`,
    "dropped intents: a policy does not let them leave"
  )

/** @internal */
export const late = (scope: Scope, intents: ReadonlyArray<IntentRecord>) =>
  Effect.zipRight(
    Metric.incrementBy(AirlockMetrics.lateIntents, intents.length),
    log(LogLevel.Error, scope, intents, named, "refused intents: the scope that they were meant for has settled")
  )
