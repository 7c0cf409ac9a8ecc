/**
 * What Airlock counts.
 *
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"

/**
 * Intents that came too late: enqueued in a scope that had settled, or handed to one by a scope inside it. Each is also
 * a `ScopeClosedError`; in a daemon fiber, this is where it can be seen.
 *
 * @since 0.1.0
 * @category metrics
 */
export const lateIntents = Metric.counter("airlock_late_intents", {
  description: "Intents refused because their scope had settled",
  incremental: true
})
