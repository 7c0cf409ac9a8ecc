/**
 * What there is in the outbox: how many rows in which state, how long they wait, and who runs them.
 *
 * @internal
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { boundedCounts, exactCounts, type LaneCount } from "./counts.js"
import { limitOf } from "./limit.js"
import { type OutboxState, states } from "./outboxRow.js"
import { outboxTable } from "./outboxTable.js"
import { type PausedQueue, pausedQueues } from "./queues.js"
import { readyLanes } from "./readyLanes.js"
import { isServed, type LiveRelay, liveRelays } from "./relays.js"

/**
 * A number of rows.
 *
 * @since 0.1.0
 * @category models
 */
export interface RowCount {
  readonly count: number
  /** If this is `false`, there are at least `count` rows. */
  readonly isExact: boolean
}

/**
 * The rows of one task, version and queue.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaneStats {
  readonly queue: string
  readonly task: string
  readonly version: number
  /** The number of rows in each state. A state without rows is absent. */
  readonly states: { readonly [State in OutboxState]?: RowCount }
  /** How long the next ready row has waited, in milliseconds. Absent if none is ready. */
  readonly readyMillis?: number
  /** Whether a live relay can run these rows: it has a handler of this version or a newer one, and serves the queue. */
  readonly isServed: boolean
  /** Whether the queue is paused. */
  readonly isPaused: boolean
}

/**
 * The state of an outbox. It is read in several statements, between which rows can change.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutboxStats {
  /** The time of the database. */
  readonly at: Date
  /** The number of rows in each state. */
  readonly states: { readonly [State in OutboxState]: RowCount }
  readonly lanes: ReadonlyArray<LaneStats>
  /** How long the oldest rows have waited, in milliseconds. Absent if there are none. */
  readonly ages: {
    /** Of the rows that are next in their lanes. A row with a delay or a failed attempt counts from the later of these. */
    readonly ready?: number
    /** Since the enqueue. If the number of held rows is not exact, there may be an older one. */
    readonly held?: number
    /** Of scheduled rows, since the time at which they should have become ready. */
    readonly overdue?: number
    /** Of ready rows that no live relay can run. */
    readonly unroutable?: number
  }
  /** The relays that live. */
  readonly relays: ReadonlyArray<LiveRelay>
  /** The paused queues. */
  readonly paused: ReadonlyArray<PausedQueue>
}

/** @internal */
export interface StatsOptions {
  readonly table: string
  readonly exact: boolean
  readonly limit: number
}

/** @internal */
export const stats = ({ exact, limit, table: name }: StatsOptions): Effect.Effect<OutboxStats, SqlError, SqlClient> =>
  Effect.gen(function*() {
    const size = limitOf("stats", "limit", limit)
    const table = yield* outboxTable(name)
    const [clock] = yield* table.statement(`SELECT ${table.dialect.now} AS now`)({})
    const now = Number(clock?.["now"])
    const relays = yield* liveRelays(table)
    const paused = yield* pausedQueues(table)
    const ready = yield* readyLanes(table)
    const { inexact, lanes } = exact ? yield* exactCounts(table) : yield* boundedCounts(table, ready, size)

    const countOf = (state: OutboxState, counts: ReadonlyArray<LaneCount>): RowCount => ({
      count: counts.reduce((sum, lane) => lane.state === state ? sum + lane.count : sum, 0),
      isExact: !inexact.has(state)
    })
    // A row can become ready, or be claimed, between the statements.
    const groups = new Map<string, Array<LaneCount>>()
    for (const count of lanes) {
      const key = JSON.stringify([count.queue, count.task, count.version])
      groups.set(key, [...groups.get(key) ?? [], count])
    }
    const statsOf = (counts: ReadonlyArray<LaneCount>, { queue, task, version }: LaneCount): LaneStats => {
      const found = ready.find((lane) => lane.queue === queue && lane.task === task && lane.version === version)
      return {
        queue,
        task,
        version,
        states: Object.fromEntries(counts.map(({ state }) => [state, countOf(state, counts)])),
        ...(found !== undefined && { readyMillis: found.ageMillis }),
        isServed: isServed(relays, { queue, task, version }),
        isPaused: paused.some((paused) => paused.queue === queue)
      }
    }
    const oldest = (ages: ReadonlyArray<number>) => ages.length === 0 ? undefined : Math.max(...ages)
    const held = oldest(lanes.flatMap(({ enqueuedAt, state }) => state === "held" ? [now - enqueuedAt] : []))
    const overdue = oldest(
      lanes.flatMap(({ dueAt, state }) => state === "scheduled" && dueAt !== null && dueAt <= now ? [now - dueAt] : [])
    )
    const readyAge = oldest(ready.map(({ ageMillis }) => ageMillis))
    const unroutable = oldest(ready.filter((lane) => !isServed(relays, lane)).map(({ ageMillis }) => ageMillis))
    return {
      at: new Date(now),
      // The entries are those of all states.
      states: Object.fromEntries(states.map((state) => [state, countOf(state, lanes)])) as OutboxStats["states"],
      lanes: [...groups.values()].map((counts) => statsOf(counts, counts[0]!)),
      ages: {
        ...(readyAge !== undefined && { ready: readyAge }),
        ...(held !== undefined && { held: Math.max(0, held) }),
        ...(overdue !== undefined && { overdue }),
        ...(unroutable !== undefined && { unroutable })
      },
      relays,
      paused
    }
  })
