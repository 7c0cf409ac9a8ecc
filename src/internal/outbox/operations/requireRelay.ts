/**
 * Warns a process that writes intents when no relay runs them. Each outage is one warning, and its end is logged too.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as EffectScope from "effect/Scope"
import { type OutboxTable, outboxTable } from "./outboxTable.js"
import { type ReadyLane, readyLanes } from "./readyLanes.js"
import { isServed, liveRelays } from "./relays.js"

/** What was found so far. */
interface Watch {
  /** When the first look found no relay, since the last one that found any. In milliseconds, by the clock of this process. */
  missingSince: number | undefined
  /** Whether the missing relay was warned about. */
  isMissing: boolean
  /** The names of the lanes that were warned about. */
  readonly unserved: Set<string>
}

/** @internal */
export const laneName = ({ queue, task, version }: ReadyLane): string =>
  `"${task}" version ${version} in queue "${queue}"`

const look = (table: OutboxTable, withinMillis: number, watch: Watch): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    const name = `the outbox "${table.tables.name}"`
    const relays = yield* liveRelays(table)
    const now = yield* Clock.currentTimeMillis
    if (relays.length === 0) {
      watch.missingSince ??= now
      if (!watch.isMissing && now - watch.missingSince >= withinMillis) {
        watch.isMissing = true
        yield* Effect.logWarning(
          `No relay of ${name} has lived for ${Duration.format(Duration.millis(now - watch.missingSince))}. ` +
            "Its intents wait until one starts: see Outbox.relay."
        )
      }
      return
    }
    watch.missingSince = undefined
    if (watch.isMissing) {
      watch.isMissing = false
      yield* Effect.logInfo(`A relay of ${name} lives again.`)
    }
    const lanes = (yield* readyLanes(table)).filter((lane) => !isServed(relays, lane))
    for (const lane of lanes) {
      if (lane.ageMillis >= withinMillis && !watch.unserved.has(laneName(lane))) {
        watch.unserved.add(laneName(lane))
        yield* Effect.logWarning(
          `No relay of ${name} can run ${laneName(lane)}, which has waited for ${
            Duration.format(Duration.millis(lane.ageMillis))
          }. Start a relay that has a handler of this version, and serves this queue.`
        )
      }
    }
    const unserved = new Set(lanes.map(laneName))
    for (const lane of [...watch.unserved].filter((lane) => !unserved.has(lane))) {
      watch.unserved.delete(lane)
      yield* Effect.logInfo(`Intents of ${lane} no longer wait for a relay of ${name}.`)
    }
  })

/** @internal */
export const requireRelay = (
  tableName: string,
  within: Duration.DurationInput
): Effect.Effect<void, never, SqlClient | EffectScope.Scope> =>
  Effect.gen(function*() {
    const table = yield* outboxTable(tableName)
    const withinMillis = Duration.toMillis(within)
    const watch: Watch = { missingSince: undefined, isMissing: false, unserved: new Set() }
    yield* look(table, withinMillis, watch).pipe(
      Effect.catchAllCause((cause) =>
        Effect.logWarning(`Could not find out whether a relay of the outbox "${tableName}" lives.`, cause)
      ),
      Effect.zipRight(Effect.sleep(withinMillis / 4)),
      Effect.forever,
      Effect.interruptible,
      Effect.forkScoped
    )
  })
