/**
 * For adapters of engines: what an engine stores of an intent, and how a worker runs it. The executors of `effect-airlock/executors`
 * are made with it.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { Intent } from "./Intent.js"
import type { Airlock } from "./internal/contract/airlock.js"
import { jobOf as dataOf, type StoredJob } from "./internal/engine/job.js"
import { isForGood as forGood, type JobRunner, jobRunner, type WorkerSettings } from "./internal/engine/worker.js"

export type {
  /**
   * The data of a job, as JSON.
   *
   * @since 0.1.0
   * @category models
   */
  JobData,
  /**
   * What an engine stores of an intent.
   *
   * @since 0.1.0
   * @category models
   */
  StoredJob
} from "./internal/engine/job.js"

export type {
  /**
   * A job that an engine has given to a worker.
   *
   * @since 0.1.0
   * @category models
   */
  EngineJob,
  /**
   * Runs the jobs that an engine gives to a worker.
   *
   * @since 0.1.0
   * @category models
   */
  JobRunner,
  /**
   * The options of all workers.
   *
   * @since 0.1.0
   * @category options
   */
  WorkerSettings
} from "./internal/engine/worker.js"

/**
 * Returns what an engine has to store of an intent: its id, the name of its task, and its data as JSON. The data holds the encoded
 * payload, the version of the task, and the span of the enqueue.
 *
 * @since 0.1.0
 * @category conversions
 */
export const jobOf = (intent: Intent): StoredJob => ({ id: intent.id, name: intent.task.name, data: dataOf(intent) })

/**
 * Makes what a worker runs jobs with: it decodes a job with the upcasts of its task, and runs the handler in a scope of its own,
 * with a time limit and a span that is linked to the enqueue.
 *
 * It is a defect if one of the `tasks` has no handler.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as Engine from "effect-airlock/Engine"
 *
 * declare const queue: {
 *   readonly consume: (onJob: (job: Engine.EngineJob) => Promise<unknown>) => { readonly close: () => Promise<void> }
 * }
 *
 * const worker = (settings: Engine.WorkerSettings) =>
 *   Layer.scopedDiscard(Effect.gen(function*() {
 *     const { drain, process } = yield* Engine.runner(settings)
 *     const { close } = queue.consume(process)
 *     yield* Effect.addFinalizer(() => drain(close))
 *   }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const runner = (settings: WorkerSettings = {}): Effect.Effect<JobRunner, never, Airlock> => jobRunner(settings)

/**
 * Whether no further attempt of a job can succeed, by the error that {@link JobRunner} gave for it: its payload does not fit its
 * task, or the handler asks for no further attempt (`Outbox.discard`).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isForGood = (error: Error): boolean => forGood(error)
