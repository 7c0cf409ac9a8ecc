/**
 * What Airlock counts and measures. All names begin with `airlock_`; counters are of intents.
 *
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

const counter = (name: string, description: string) =>
  Metric.counter(`airlock_${name}`, { description, incremental: true })

/**
 * Accepted by a scope; counted when it settles.
 *
 * @since 0.1.0
 * @category metrics
 */
export const enqueued = counter("enqueued_intents", "Intents accepted by a scope")

/**
 * Handed to a scope by one inside it, once for each scope on the way out.
 *
 * @since 0.1.0
 * @category metrics
 */
export const captured = counter("captured_intents", "Intents handed to a scope by one inside it")

/**
 * Not let through by a policy; tagged with the `policy` and the `task`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const dropped = counter("dropped_intents", "Intents not let through by a policy")

/**
 * Gone because their scope did not succeed, was not approved of, or because the fiber that enqueued them did not end well.
 *
 * @since 0.1.0
 * @category metrics
 */
export const discarded = counter("discarded_intents", "Intents gone with their scope or fiber")

/**
 * Taken by an executor. What `background` or `drain` have taken may still fail, and then counts as failed too.
 *
 * @since 0.1.0
 * @category metrics
 */
export const dispatched = counter("dispatched_intents", "Intents taken by an executor")

/**
 * Should have left, and did not; tagged with the `reason` (the tag of the error) and the `task`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const failed = counter("failed_intents", "Intents that should have left and did not")

/**
 * Came too late: enqueued in a scope that had settled, or handed to one by a scope inside it. Each is also a
 * `ScopeClosedError`; in a daemon fiber, this is where it can be seen.
 *
 * @since 0.1.0
 * @category metrics
 */
export const lateIntents = counter("late_intents", "Intents refused because their scope had settled")

/**
 * How many intents scopes held when they settled; those that held none do not count.
 *
 * @since 0.1.0
 * @category metrics
 */
export const scopeSize = Metric.histogram(
  "airlock_scope_intents",
  MetricBoundaries.exponential({ start: 1, factor: 4, count: 8 }),
  "Intents held by a scope when it settled"
)

/**
 * How long the settlement of such a scope took, in milliseconds: policies, approval and executor.
 *
 * @since 0.1.0
 * @category metrics
 */
export const flushMillis = Metric.histogram(
  "airlock_flush_millis",
  MetricBoundaries.exponential({ start: 0.25, factor: 4, count: 10 }),
  "Milliseconds that a scope with intents took to settle"
)
