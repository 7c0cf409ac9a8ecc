/**
 * Runs the jobs of an engine with the handlers of their tasks, and ends them when the worker stops.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Tracer from "effect/Tracer"
import { Airlock } from "../contract/airlock.js"
import type { Handlers } from "../contract/executor.js"
import { signalOf } from "../outbox/signal.js"
import { asEither } from "../support/asEither.js"
import { intentOfJob, type StoredJob } from "./job.js"
import { Runs } from "./runs.js"

/**
 * The options of all workers of engines.
 *
 * @since 0.1.0
 * @category options
 */
export interface WorkerSettings {
  /**
   * The names of the tasks that the worker runs. Default: all tasks that have a handler in this process. A job of another task
   * fails.
   */
  readonly tasks?: ReadonlyArray<string>
  /** How many jobs run at a time. It is a defect if it is not an integer of at least 1. Default: 10. */
  readonly concurrency?: number
  /** The time limit of a handler, unless its task has one of its own. Default: 15 minutes. */
  readonly timeout?: Duration.DurationInput
  /**
   * The time that running handlers have to end when the Layer closes. Then they are interrupted, and their jobs are left to other
   * workers. Default: 10 seconds.
   */
  readonly drainTimeout?: Duration.DurationInput
}

/**
 * A job that an engine has given to a worker.
 *
 * @since 0.1.0
 * @category models
 */
export interface EngineJob extends StoredJob {
  /** The number of the attempt, from 1. */
  readonly attempt: number
}

/**
 * Runs the jobs that an engine gives to a worker.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobRunner {
  readonly concurrency: number
  /** The names of the tasks whose jobs it can run. */
  readonly tasks: ReadonlyArray<string>
  /**
   * Runs the handler of a job in a scope of its own. The Promise is rejected with the error that the engine has to store.
   * `stopped` means that the worker stops: the job goes back to the engine, and no attempt is counted.
   */
  readonly process: (job: EngineJob) => Promise<"ended" | "stopped">
  /** Runs an Effect of the worker, such as a log, apart from jobs. */
  readonly fork: (effect: Effect.Effect<void>) => void
  /**
   * Stops the worker. `close` begins no further job, and waits for those that run; at the `drainTimeout` they are interrupted, and
   * `close` has 5 more seconds.
   */
  readonly drain: (close: () => Promise<unknown>) => Effect.Effect<void>
}

/** @internal */
export const jobRunner = (
  { concurrency = 10, drainTimeout = "10 seconds", tasks, timeout = "15 minutes" }: WorkerSettings
): Effect.Effect<JobRunner, never, Airlock> =>
  Effect.gen(function*() {
    yield* checkConcurrency(concurrency)
    const { handlers } = yield* Airlock
    const served = yield* servedOf(handlers, tasks)
    // The span in which the Layer is built is not the parent of the jobs.
    const runtime = yield* Effect.mapInputContext(
      Effect.runtime(),
      (context: Context.Context<never>) => Context.omit(Tracer.ParentSpan)(context) as Context.Context<never>
    )
    const fork = Runtime.runFork(runtime)
    const runs = new Runs(handlers, yield* Effect.clock, fork)
    const limit = Duration.decode(timeout)
    let isStopping = false

    return {
      concurrency,
      get tasks() {
        return served.names
      },
      process: async (job) => {
        if (isStopping) {
          // It was on its way to the worker when that was stopped.
          return "stopped"
        }
        const decoded = intentOfJob(job, served)
        const intent = asEither(decoded) ?? (await Effect.runPromise(Effect.either(decoded)))
        const ended = Either.isLeft(intent)
          ? Exit.fail(intent.left)
          : await runs.run(intent.right, {
            attempt: job.attempt,
            limit: Duration.decode(intent.right.task.retry?.timeout ?? limit)
          })
        if (ended === "stopped" || Exit.isSuccess(ended)) {
          return ended === "stopped" ? ended : "ended"
        }
        throw errorOf(ended.cause)
      },
      fork: (effect) => void fork(effect),
      drain: (close) =>
        Effect.gen(function*() {
          isStopping = true
          const closed = yield* Effect.forkDaemon(Effect.ignore(Effect.tryPromise(close)))
          const inTime = yield* Effect.timeoutOption(Effect.interruptible(Fiber.await(closed)), drainTimeout)
          if (Option.isNone(inTime)) {
            runs.stop()
            yield* Effect.ignore(Effect.timeout(Effect.interruptible(Fiber.await(closed)), "5 seconds"))
          }
          runs.end()
        })
    }
  })

/** With none at a time a worker would do nothing, or take all messages and run none. @internal */
export const checkConcurrency = (concurrency: number): Effect.Effect<void> =>
  Number.isSafeInteger(concurrency) && concurrency >= 1 ? Effect.void : Effect.die(
    new RangeError(`A worker needs an integer of at least 1 as its option \`concurrency\`, and got ${concurrency}`)
  )

/** The handlers that the worker uses. @internal */
export const servedOf = (
  handlers: Handlers,
  tasks: ReadonlyArray<string> | undefined
): Effect.Effect<Pick<Handlers, "names" | "task">> => {
  if (tasks === undefined) {
    return Effect.succeed(handlers)
  }
  const missing = tasks.filter((name) => !handlers.names.includes(name))
  return missing.length > 0
    ? Effect.dieMessage(`The worker has no handler for these of its \`tasks\`: ${missing.join(", ")}`)
    : Effect.succeed({ names: tasks, task: (name) => tasks.includes(name) ? handlers.task(name) : undefined })
}

/** What an engine stores of a failure. */
const errorOf = (cause: Cause.Cause<unknown>): Error => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error : new Error(String(error))
}

/** Whether no further attempt can succeed, or the handler asks for none (`Outbox.discard`). @internal */
export const isForGood = (error: Error & { readonly _tag?: unknown }): boolean =>
  error._tag === "StoredPayloadError" || signalOf(Cause.fail(error))?._tag === "Discard"

/** Logs that an attempt has failed. @internal */
export const attemptFailed = (
  { attempt, id, maxAttempts, name }: Omit<EngineJob, "data"> & { readonly maxAttempts?: number | undefined },
  error: unknown
): Effect.Effect<void> =>
  Effect.logWarning(
    `Attempt ${attempt}${maxAttempts === undefined ? "" : ` of ${maxAttempts}`} of intent ${id} of "${name}" failed: ${
      error instanceof Error ? error.message : String(error)
    }`
  ).pipe(Effect.annotateLogs({ "airlock.task": name, "airlock.intent": id }))
