/**
 * The ready rows that no live relay can run: no handler of their task, only handlers of older versions, or a queue that no relay
 * serves.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { OutboxTable } from "./outboxTable.js"
import { type ReadyLane, readyLanes } from "./readyLanes.js"
import { isServed, liveRelays } from "./relays.js"

/** The lanes that no live relay serves, and whose next rows wait for longer than a time. Costs two cheap statements. @internal */
export const unroutable = (
  table: Pick<OutboxTable, "dialect" | "statement" | "tables">,
  { olderThanMillis }: { readonly olderThanMillis: number }
): Effect.Effect<ReadonlyArray<ReadyLane>, SqlError> =>
  Effect.gen(function*() {
    const lanes = (yield* readyLanes(table)).filter(({ ageMillis }) => ageMillis >= olderThanMillis)
    if (lanes.length === 0) {
      return lanes
    }
    const relays = yield* liveRelays(table)
    return lanes.filter((lane) => !isServed(relays, lane))
  })
