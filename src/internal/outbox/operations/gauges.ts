/**
 * Updates the gauges of an outbox again and again.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as EffectScope from "effect/Scope"
import * as AirlockMetrics from "../../../AirlockMetrics.js"
import { states } from "./outboxRow.js"
import { stats } from "./stats.js"

const ages = ["ready", "held", "overdue", "unroutable"] as const

/** At most so many rows of a lane, or of a state, are counted. @internal */
export const defaultLimit = 10_000

const update = (table: string): Effect.Effect<void, SqlError, SqlClient> =>
  Effect.flatMap(stats({ table, exact: false, limit: defaultLimit }), (found) =>
    Effect.sync(() => {
      const of = (gauge: Metric.Metric.Gauge<number>) => Metric.tagged(gauge, "table", table)
      for (const state of states) {
        Metric.tagged(of(AirlockMetrics.outboxRows), "state", state).unsafeUpdate(found.states[state].count, [])
      }
      for (const age of ages) {
        Metric.tagged(of(AirlockMetrics.outboxAge), "rows", age).unsafeUpdate(found.ages[age] ?? 0, [])
      }
      of(AirlockMetrics.outboxRelays).unsafeUpdate(found.relays.length, [])
    }))

/** @internal */
export const gauges = (
  table: string,
  every: Duration.DurationInput
): Effect.Effect<void, never, SqlClient | EffectScope.Scope> =>
  update(table).pipe(
    Effect.catchAllCause((cause) =>
      Effect.logWarning(`The gauges of the outbox "${table}" could not be updated.`, cause)
    ),
    Effect.zipRight(Effect.sleep(every)),
    Effect.forever,
    Effect.interruptible,
    Effect.forkScoped,
    Effect.asVoid
  )
