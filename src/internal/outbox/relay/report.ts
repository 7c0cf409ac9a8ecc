/**
 * What the relay tells people: log lines that name tasks and ids, and metrics.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as AirlockMetrics from "../../../AirlockMetrics.js"
import type { Capability, DispatchReason } from "../../contract/executor.js"
import type { ClaimedRow } from "../store/row.js"
import type { Reaped } from "../store/session.js"
import type { UnroutableLane } from "./state.js"
import type { Verdict } from "./verdict.js"

/** @internal */
export const attemptFailed = (
  { id, task }: ClaimedRow,
  attempt: number,
  { counts, error, maxAttempts, next }: Verdict
): Effect.Effect<void> => {
  const name = `Intent ${id} of "${task}"`
  const annotations = { "airlock.task": task, "airlock.intent": id, "airlock.attempt": attempt }
  if (!counts) {
    return next._tag === "Dead"
      ? deadLetter(`${name} is a dead letter, and stays in the outbox: ${error}`, annotations)
      : Effect.annotateLogs(Effect.logDebug(`${name} waits for ${printMillis(next.delayMillis)}`), annotations)
  }
  return Effect.zipRight(
    Metric.increment(Metric.tagged(AirlockMetrics.failedAttempts, "task", task)),
    next._tag === "Dead"
      ? deadLetter(
        `${name} is a dead letter after attempt ${attempt}${outOf(maxAttempts)}, and stays in the outbox: ${error}`,
        annotations
      )
      : Effect.annotateLogs(
        Effect.logWarning(
          `Attempt ${attempt}${outOf(maxAttempts)} of intent ${id} of "${task}" failed. The next one is in ${
            printMillis(next.delayMillis)
          }: ${error}`
        ),
        annotations
      )
  )
}

const outOf = (maxAttempts: number): string => Number.isFinite(maxAttempts) ? ` of ${maxAttempts}` : ""

const deadLetter = (message: string, annotations: Record<string, unknown> & { readonly "airlock.task": string }) =>
  Effect.zipRight(
    Metric.increment(Metric.tagged(AirlockMetrics.deadLetters, "task", annotations["airlock.task"])),
    Effect.annotateLogs(Effect.logError(message), annotations)
  )

/** @internal */
export const acknowledged = (count: number): Effect.Effect<void> =>
  Metric.incrementBy(AirlockMetrics.acknowledged, count)

/** @internal */
export const reaped = (sessions: ReadonlyArray<Reaped>): Effect.Effect<void> =>
  Effect.forEach(sessions, ({ attempts, relay, rows }) =>
    Effect.logWarning(
      `The relay "${relay}" died or was cut off. ${rows} intent(s) that it had claimed can be claimed again. ` +
        `An attempt is counted for the ${attempts} that it ran.`
    ), { discard: true })

/** @internal */
export const unroutable = ({ ageMillis, queue, task, version }: UnroutableLane): Effect.Effect<void> =>
  Effect.annotateLogs(
    Effect.logWarning(
      `No live relay can run the intents of "${task}" version ${version} in the queue "${queue}": none has its handler, knows this ` +
        `version and serves this queue. The next one has waited for ${printMillis(ageMillis)}.`
    ),
    { "airlock.task": task }
  )

/** @internal */
export const engineDown = (
  executor: string,
  intents: number,
  pauseMillis: number,
  reason: DispatchReason
): Effect.Effect<void> =>
  Effect.logWarning(
    `The executor "${executor}" took none of ${intents} intent(s). They wait in the outbox, and no attempt is counted. The relay ` +
      `tries again in ${printMillis(pauseMillis)}.`,
    Cause.fail(reason)
  )

/** @internal */
export const optionsIgnored = (executor: string, options: ReadonlyArray<Capability>): Effect.Effect<void> =>
  Effect.forEach(options, (option) =>
    Effect.logWarning(
      `The executor "${executor}" does not carry out the option \`${option}\`, with which intents of the outbox were enqueued. ` +
        (option === "orderingKey"
          ? "They were handed over in the order of their keys, and may run in another one."
          : "They run as if they did not have it.")
    ), { discard: true })

const printMillis = (millis: number): string => Duration.format(Duration.millis(Math.round(millis)))

/** @internal */
export const statementFailed = (what: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.logWarning(`The relay could not ${what}, and will try again`, cause)

/** @internal */
export const partDied = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.logError("A part of the relay died, and begins anew. This is a bug in effect-airlock.", cause)

/** @internal */
export const resultsNotStored = (ids: ReadonlyArray<string>, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.annotateLogs(
    Effect.logError(
      `The relay could not store the results of ${ids.length} intent(s) before its lease ended. They run again.`,
      cause
    ),
    { "airlock.intents": ids.slice(0, maxNamed) }
  )

/** @internal */
export const rowsLost = (
  ids: ReadonlyArray<string>,
  { hasFailed }: {
    /** Whether the same statement has failed before: then it may have been its answer that was lost. */
    readonly hasFailed: boolean
  }
): Effect.Effect<void> =>
  ids.length === 0 ? Effect.void : Effect.annotateLogs(
    hasFailed
      ? Effect.logWarning(
        `The relay does not know what became of ${ids.length} intent(s) that it ran: an earlier attempt to store their results ` +
          "failed, and now their rows are gone or claimed by another relay."
      )
      : Effect.logWarning(
        `${ids.length} intent(s) that the relay ran were no longer its own: its lease had ended, and another relay claimed them, ` +
          "or they were cancelled. What they did may be done twice."
      ),
    { "airlock.intents": ids.slice(0, maxNamed) }
  )

/** @internal */
export const leaseLost = (
  { name, running, waiting }: { readonly name: string, readonly running: number, readonly waiting: number }
): Effect.Effect<void> =>
  Effect.zipRight(
    Metric.increment(AirlockMetrics.lostLeases),
    Effect.logError(
      `The relay "${name}" has lost its lease: it was paused, or cut off from the database, for too long. Other relays take over ` +
        `the ${running} intent(s) that it runs, which then run twice, and ${waiting} that it had not begun.`
    )
  )

/** The maximum number of intents that a log line names. */
const maxNamed = 100
