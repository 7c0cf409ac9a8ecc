/**
 * What a relay does once a minute: deletes the rows that are done for longer than `keepDone`, warns of rows that no live relay can
 * run, and gives back the rows of its session that it does not know, such as those of a claim that was committed very late.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as report from "./report.js"
import type { RelayState } from "./state.js"

const interval = Duration.minutes(1)

/** The maximum number of rows that one statement deletes, so that no transaction is long. */
const batch = 500

/** A lane is warned of again after this many milliseconds. */
const silence = Duration.toMillis("1 hour")

/** Runs until it is interrupted. @internal */
export const upkeep = (state: RelayState): Effect.Effect<never> => {
  const { parts: { store, unroutable }, settings: { keepDone, unroutableAfter } } = state
  const prune: Effect.Effect<void, SqlError> = keepDone === undefined || !Duration.isFinite(keepDone)
    ? Effect.void
    : Effect.flatMap(
      store.prune(Duration.toMillis(keepDone), batch),
      (pruned) => pruned < batch ? Effect.void : prune
    )
  /** When each lane was last warned of, by the monotonic clock. */
  const warnedAt = new Map<string, number>()
  const warn = Effect.flatMap(
    Effect.suspend(() => unroutable(Duration.toMillis(unroutableAfter))),
    (lanes) =>
      Effect.forEach(lanes, (lane) => {
        const now = state.now()
        const name = JSON.stringify([lane.queue, lane.task, lane.version])
        if (now - (warnedAt.get(name) ?? -Infinity) < silence) {
          return Effect.void
        }
        warnedAt.set(name, now)
        return report.unroutable(lane)
      }, { discard: true })
  )
  const giveBackUnknown = Effect.sync(() => {
    state.hasUnknownRows = true
    state.claiming.wake()
  })
  const orReport = (self: Effect.Effect<void, SqlError>, what: string) =>
    Effect.catchAllCause(self, (cause) => report.statementFailed(what, cause))
  const round = Effect.zipRight(
    orReport(prune, "delete the rows that are done"),
    orReport(warn, "look for rows that no relay can run")
  )
  return Effect.forever(Effect.zipRight(round, Effect.delay(giveBackUnknown, interval)))
}
