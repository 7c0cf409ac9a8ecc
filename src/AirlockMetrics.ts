/**
 * The metrics of Airlock. All names begin with `airlock_`, and all counters count intents. They are always on.
 *
 * @example
 * ```ts
 * import { Effect, Metric } from "effect"
 * import { AirlockMetrics } from "effect-airlock"
 *
 * const failures = Effect.map(Metric.value(AirlockMetrics.failed), ({ count }) => count)
 * ```
 *
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

const counter = (name: string, description: string) =>
  Metric.counter(`airlock_${name}`, { description, incremental: true })

/**
 * Counts the intents that a scope accepted. They are counted when the scope settles.
 *
 * @since 0.1.0
 * @category metrics
 */
export const enqueued = counter("enqueued_intents", "Intents accepted by a scope")

/**
 * Counts the intents that an outer scope captured from a scope inside it, once for each outer scope.
 *
 * @since 0.1.0
 * @category metrics
 */
export const captured = counter("captured_intents", "Intents captured by an outer scope")

/**
 * Counts the intents that a policy dropped. Tags: `policy` and `task`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const dropped = counter("dropped_intents", "Intents dropped by a policy")

/**
 * Counts the intents that were discarded: their scope did not succeed, its plan was not approved, or the fiber that
 * enqueued them failed, was interrupted or still ran.
 *
 * @since 0.1.0
 * @category metrics
 */
export const discarded = counter("discarded_intents", "Intents discarded with their scope or fiber")

/**
 * Counts the intents that an executor accepted. An intent that `background` or `drain` accepted may still fail. It then
 * counts as failed too.
 *
 * @since 0.1.0
 * @category metrics
 */
export const dispatched = counter("dispatched_intents", "Intents accepted by an executor")

/**
 * Counts the intents that should have left and did not. Tags: `reason`, which is the `_tag` of the error, and `task`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const failed = counter("failed_intents", "Intents that should have left and did not")

/**
 * Counts the intents that came too late: their scope, or the outer scope that should have captured them, had settled. Each
 * of them is also a `ScopeClosedError`. If that error ends a daemon fiber, this counter and an error log show it.
 *
 * @since 0.1.0
 * @category metrics
 */
export const lateIntents = counter("late_intents", "Intents refused because their scope had settled")

/**
 * Measures how many intents a scope held when it settled. Scopes without intents are not measured.
 *
 * @since 0.1.0
 * @category metrics
 */
export const scopeSize: Metric.Metric.Histogram<number> = Metric.histogram(
  "airlock_scope_intents",
  MetricBoundaries.exponential({ start: 1, factor: 4, count: 8 }),
  "Intents held by a scope when it settled"
)

/**
 * Measures how long a scope with intents took to settle, in milliseconds. That includes policies, approval and executor.
 *
 * @since 0.1.0
 * @category metrics
 */
export const flushMillis: Metric.Metric.Histogram<number> = Metric.histogram(
  "airlock_flush_millis",
  MetricBoundaries.exponential({ start: 0.25, factor: 4, count: 10 }),
  "Milliseconds that a scope with intents took to settle"
)

/**
 * Counts the intents that relays of an outbox have run and acknowledged.
 *
 * @since 0.1.0
 * @category metrics
 */
export const acknowledged = Metric.counter("airlock_relay_acknowledged", {
  description: "Intents that a relay ran and acknowledged",
  incremental: true
})

/**
 * Counts the failed attempts of relays, with the label `task`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const failedAttempts = Metric.counter("airlock_relay_failed_attempts", {
  description: "Attempts of intents that failed in a relay",
  incremental: true
})

/**
 * Counts the intents that became dead letters, with the label `task`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const deadLetters = Metric.counter("airlock_relay_dead_letters", {
  description: "Intents that became dead letters in a relay",
  incremental: true
})

/**
 * Counts how often a relay lost its lease, because it was paused or cut off from the database for too long.
 *
 * @since 0.1.0
 * @category metrics
 */
export const lostLeases = Metric.counter("airlock_relay_lost_leases", {
  description: "Leases that a relay lost",
  incremental: true
})

/**
 * The number of rows of an outbox, with the labels `table` and `state`. `Outbox.gauges` updates it. It counts at most 10 000 rows
 * of a state, or of a lane.
 *
 * @since 0.1.0
 * @category metrics
 */
export const outboxRows = Metric.gauge("airlock_outbox_rows", { description: "Rows of the outbox" })

/**
 * The age of the oldest row of an outbox, in milliseconds, with the labels `table` and `rows`: `ready`, `held`, `overdue` or
 * `unroutable`. 0 if there is none. `Outbox.gauges` updates it.
 *
 * @since 0.1.0
 * @category metrics
 */
export const outboxAge = Metric.gauge("airlock_outbox_age_millis", {
  description: "Milliseconds that the oldest row of the outbox has waited"
})

/**
 * The number of relays of an outbox that live, with the label `table`. `Outbox.gauges` updates it.
 *
 * @since 0.1.0
 * @category metrics
 */
export const outboxRelays = Metric.gauge("airlock_outbox_relays", { description: "Relays of the outbox that live" })

/**
 * Counts the requests of `HttpMiddleware.idempotency` by what became of them: `executed`, `replayed`, `manual` (run again
 * on a manual route), `in-flight`, `key-reused`, `key-missing`, `key-invalid`, `body-unreadable`, `request-too-large` and `store-failed`. Those that were executed are counted once
 * more at their end: `stored`, `released`, or `lost` if another request has taken the key over meanwhile.
 *
 * @since 0.1.0
 * @category metrics
 */
export const idempotency = Metric.frequency("airlock_idempotency", {
  description: "Requests with idempotency keys, by what became of them"
})
