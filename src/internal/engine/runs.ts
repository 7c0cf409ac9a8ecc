/**
 * Runs the handlers of jobs that an engine hands out one by one, and limits the time of each.
 *
 * The fibers that run handlers wait for the next job when they have none. A new fiber and a new environment for each handler would
 * cost half as much as all that the engine does for a job.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { SettleTimeoutError } from "../../AirlockError.js"
import type { Intent } from "../../Intent.js"
import type { Handlers, Work, WorkSource } from "../contract/executor.js"
import { type AnyFiber, runningFiber } from "../support/effectInternals.js"
import { Watch } from "../support/timeLimit.js"

/** What became of a job. `stopped`: its handler was interrupted, because the worker stops. @internal */
export type Ended = Exit.Exit<void, unknown> | "stopped"

class Run implements Work {
  readonly intents: ReadonlyArray<Intent>
  /** The fiber of its handler, once that has begun. */
  fiber: AnyFiber | undefined
  endLimit: (() => void) | undefined

  constructor(
    readonly intent: Intent,
    readonly attempt: number,
    readonly limit: Duration.Duration,
    readonly end: (ended: Ended) => void
  ) {
    this.intents = [intent]
  }

  readonly attemptOf = (): number => this.attempt
}

/** @internal */
export class Runs {
  /** The runs that begin next. */
  private readonly next: Array<Run> = []
  private readonly running = new Set<Run>()
  /** Each lets a waiting fiber look for a run again, or ends it. */
  private readonly waiting: Array<(more: boolean) => void> = []
  private readonly limits = new Map<number, Watch>()
  private isStopped = false

  constructor(
    private readonly handlers: Handlers,
    private readonly clock: Clock.Clock,
    private readonly fork: (effect: Effect.Effect<void>) => void
  ) {}

  /** Runs the handler of an intent. */
  run(intent: Intent, options: { readonly attempt: number, readonly limit: Duration.Duration }): Promise<Ended> {
    return this.isStopped ? Promise.resolve("stopped") : new Promise((resolve) => {
      this.next.push(new Run(intent, options.attempt, options.limit, resolve))
      const wake = this.waiting.pop()
      if (wake !== undefined) {
        wake(true)
      } else {
        this.fork(this.handlers.work(this.source))
      }
    })
  }

  /** Interrupts the handlers that run. No further one begins. */
  stop(): void {
    this.isStopped = true
    for (const run of this.running) {
      run.fiber?.unsafeInterruptAsFork(FiberId.none)
    }
  }

  /** Ends the timers, and the fibers that wait. No handler runs any more, or will end in time. */
  end(): void {
    this.isStopped = true
    this.limits.forEach((watch) => watch.end())
    this.waiting.splice(0).forEach((wake) => wake(false))
  }

  private readonly source: WorkSource<Run> = {
    next: () => this.begun(this.next.shift()),
    more: Effect.async((resume) => {
      const wake = (more: boolean) => resume(Effect.succeed(more))
      this.waiting.push(wake)
      return Effect.sync(() => {
        this.waiting.splice(this.waiting.indexOf(wake), 1)
      })
    }),
    ended: (run, [outcome]) => this.ended(run, outcome!)
  }

  private begun(run: Run | undefined): Run | undefined {
    if (run !== undefined) {
      run.fiber = runningFiber()
      run.endLimit = this.limitOf(run.limit)?.add(() => this.timeOut(run))
      this.running.add(run)
    }
    return run
  }

  /** Ends a run, unless its time was up before. */
  private ended(run: Run, outcome: Exit.Exit<void, unknown>): void {
    if (this.running.delete(run)) {
      run.endLimit?.()
      run.end(this.isStopped && Exit.isInterrupted(outcome) ? "stopped" : outcome)
    }
  }

  private timeOut(run: Run): void {
    const what = `The handler of "${run.intent.task.name}"`
    this.ended(run, Exit.fail(new SettleTimeoutError({ what, millis: Duration.toMillis(run.limit) })))
    run.fiber?.unsafeInterruptAsFork(FiberId.none)
  }

  private limitOf(limit: Duration.Duration): Watch | undefined {
    const millis = Duration.toMillis(limit)
    const known = this.limits.get(millis)
    if (known !== undefined || !Number.isFinite(millis)) {
      return known
    }
    const made = new Watch(this.clock, millis, true)
    this.limits.set(millis, made)
    return made
  }
}
