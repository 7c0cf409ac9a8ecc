/**
 * The relays that live, and whether one of them serves a lane.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { RelaySession } from "../store/session.js"
import type { OutboxTable } from "./outboxTable.js"

/**
 * A relay whose lease has not expired.
 *
 * @since 0.1.0
 * @category models
 */
export interface LiveRelay {
  /** The id of its session, which is the `lease` of the rows that it has claimed. */
  readonly id: string
  readonly name: string
  /** When it started. */
  readonly since: Date
  /**
   * The tasks that it can run, each with the newest version that it knows. A relay that hands intents over to an executor serves
   * every version, so `version` is absent. Absent if it serves all tasks.
   */
  readonly tasks?: ReadonlyArray<{ readonly task: string, readonly version?: number }>
  /** The queues that it serves. Absent if it serves all of them. */
  readonly queues?: ReadonlyArray<string>
}

/** @internal */
export const liveRelays = (
  { dialect, statement, tables }: Pick<OutboxTable, "dialect" | "statement" | "tables">
): Effect.Effect<ReadonlyArray<LiveRelay>, SqlError> =>
  Effect.map(
    statement(
      `SELECT id, name, started_at, tasks, queues FROM ${tables.relay} WHERE expires_at > ${dialect.now} ORDER BY started_at, id`
    )({}),
    (rows) =>
      rows.map(({ id, name, queues, started_at, tasks }): LiveRelay => ({
        id: String(id),
        name: String(name),
        since: new Date(Number(started_at)),
        ...tasksOf(String(tasks)),
        ...(queues !== null && queues !== undefined && { queues: JSON.parse(String(queues)) as ReadonlyArray<string> })
      }))
  )

/** `register` writes this column. */
const tasksOf = (text: string): Pick<LiveRelay, "tasks"> => {
  const tasks = JSON.parse(text) as RelaySession["tasks"]
  return tasks === null
    ? {}
    : { tasks: tasks.map(([task, version]) => version === null ? { task } : { task, version }) }
}

/** Whether one of these relays can run the rows of a lane. @internal */
export const isServed = (
  relays: ReadonlyArray<LiveRelay>,
  lane: { readonly queue: string, readonly task: string, readonly version: number }
): boolean =>
  relays.some(({ queues, tasks }) =>
    (queues === undefined || queues.includes(lane.queue)) &&
    (tasks === undefined ||
      tasks.some(({ task, version = Infinity }) => task === lane.task && lane.version <= version))
  )
