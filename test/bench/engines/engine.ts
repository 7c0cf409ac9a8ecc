/**
 * An engine, used by our adapter and by its own calls. Both sides have the same settings, and the jobs the same options.
 */
import type { Effect, Layer, Scope } from "effect"
import type { Airlock, Executor } from "effect-airlock"

export const email = "ada@example.com"

/** How many jobs are added in one call. */
export const batchSize = 1000

/** How many jobs a worker runs at a time. */
export const concurrency = 10

export interface BenchEngine {
  /** How many jobs there are in a round. */
  readonly jobs: number
  /** Makes the engine ready. */
  readonly setup: Effect.Effect<void>
  /** Removes all jobs, and what is left of them. */
  readonly clear: Effect.Effect<void>
  readonly ours: {
    readonly executor: Effect.Effect<Executor.Executor, unknown, Scope.Scope>
    readonly worker: Layer.Layer<never, unknown, Airlock.Airlock>
  }
  readonly own: {
    /**
     * Gives the engine's own call that adds these many jobs, with the payload `{ email }` and the ids and options that our
     * jobs have. It is connected already.
     */
    readonly add: Effect.Effect<(jobs: number) => Promise<unknown>, never, Scope.Scope>
    /** The same with jobs that have the data which ours store, where that costs the engine much. */
    readonly addWithOurData?: Effect.Effect<(jobs: number) => Promise<unknown>, never, Scope.Scope>
    /** Runs the engine's own worker until the scope closes. The handler of a job does nothing but call `onJob`. */
    readonly work: (onJob: () => void) => Effect.Effect<void, never, Scope.Scope>
  }
}
