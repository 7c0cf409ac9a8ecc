/**
 * A queue whose jobs do nothing, beside the outbox and its relay. All of them have the same payload, and a process for each
 * worker of its own is not needed: one contestant works at a time.
 */
import type { Effect, Scope } from "effect"

export interface Payload {
  /** When the job was written, in microseconds of this machine's monotonic clock (`now`). 0 if that is not measured. */
  readonly at: number
  readonly email: string
}

export const email = "ada@example.com"

/** The time in microseconds. All processes of a machine have the same clock. */
export const now = (): number => Number(process.hrtime.bigint() / 1000n)

/** A queue that can be written and worked one job at a time. */
export interface Channel {
  /** Creates the tables. */
  readonly setup: Effect.Effect<void>
  /** Runs a worker until the scope closes. The handler of a job does nothing but call `onJob`. */
  readonly work: (onJob: (payload: Payload) => void) => Effect.Effect<void, never, Scope.Scope>
  /**
   * Gives an Effect that writes one job, in a transaction as an application would: BEGIN, the insert, COMMIT. `at` is taken
   * right before the insert.
   */
  readonly writer: Effect.Effect<Effect.Effect<void>, never, Scope.Scope>
}

export interface Peer extends Omit<Channel, "writer"> {
  /** Adds jobs in bulk. */
  readonly fill: (jobs: number) => Effect.Effect<void>
  /** Removes all jobs, and what is left of them. */
  readonly clear: Effect.Effect<void>
  /** How many jobs have not been acknowledged. */
  readonly left: Effect.Effect<number>
}

/** A peer that keeps its jobs in PostgreSQL. */
export interface SqlPeer extends Peer {
  /** The tables whose rows a job leaves behind. */
  readonly tables: ReadonlyArray<string>
}
