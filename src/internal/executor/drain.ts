/**
 * Runs handlers, and what they enqueue, until nothing is queued or running.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { SettleTimeoutError } from "../../AirlockError.js"
import type { Intent } from "../../Intent.js"
import type { DispatchReason, Executor, Handlers, Outcome, RunOptions } from "../contract/executor.js"
import { outcomeOf, reasonOf, wasNotAttempted } from "../scope/dispatch.js"
import { runWithDeadline } from "../support/deadline.js"
import { failed, tellAll } from "../telemetry/decision.js"
import { inThisProcess, shownOptions } from "./make.js"

/** @internal */
export const drain = (
  { run = {}, timeout = "30 seconds" }: {
    readonly timeout?: Duration.DurationInput
    readonly run?: Omit<RunOptions, "executor">
  } = {}
): Executor => {
  const limit = Duration.decode(timeout)
  const options = { ...shownOptions(run), drainTimeout: Duration.format(limit) }
  const executor = inThisProcess("drain", options, (intents, handlers) => {
    const queue = new DrainQueue(executor, limit, run)
    return Effect.flatMap(Effect.zipRight(queue.begin(intents, handlers), queue.close()), (failures) => {
      const reasons = new Map(failures.map(({ intentId, reason }) => [intentId, reason]))
      const batch = new Set<string>(intents.map(({ id }) => id))
      return Effect.as(
        tellAll(failed, failures.filter(({ intentId }) => !batch.has(intentId))),
        intents.map(({ id }) => reasons.has(id) ? Exit.fail(reasons.get(id)!) : Exit.void)
      )
    })
  })
  const forScope = (): Executor => {
    const { begin, close } = new DrainQueue(executor, limit, run)
    return { ...executor, dispatch: begin, close }
  }
  return { ...executor, forScope }
}

interface Failure {
  readonly intentId: string
  readonly task: string
  readonly reason: DispatchReason
}

/** The queue of one scope, and the outcomes of its intents. */
class DrainQueue {
  private readonly accepted: Array<Intent> = []
  private readonly outcomes = new Map<Intent, Outcome>()
  private queue: Array<Intent> = []
  /** Completes when no intent is queued or running. Absent in that state. */
  private idle: Deferred.Deferred<void> | undefined
  private worker: Fiber.RuntimeFiber<void> | undefined

  constructor(
    private readonly executor: Executor,
    private readonly timeout: Duration.Duration,
    private readonly options: RunOptions
  ) {}

  /** Adds intents to the queue, and starts the worker if it does not run. Does not wait for it. */
  readonly begin: Executor["dispatch"] = (intents, handlers) =>
    Effect.suspend(() => {
      const accepted = this.accept(intents)
      if (this.idle !== undefined) {
        return Effect.succeed(accepted)
      }
      const idle = Deferred.unsafeMake<void>(FiberId.none)
      this.idle = idle
      return Effect.map(Effect.forkDaemon(this.work(handlers, idle)), (worker) => {
        this.worker = worker
        return accepted
      })
    })

  private work(handlers: Handlers, idle: Deferred.Deferred<void>): Effect.Effect<void> {
    // Intents that the handlers enqueue are added to the queue.
    const options = { ...this.options, executor: { ...this.executor, dispatch: this.join } }
    return Effect.whileLoop({
      while: () => this.hasMore(idle),
      body: () => {
        const intents = this.queue
        this.queue = []
        return Effect.map(handlers.run(intents, options), (outcomes) => {
          intents.forEach((intent, index) => this.outcomes.set(intent, outcomes[index]!))
        })
      },
      step: () => {}
    })
  }

  /** Waits for the worker and returns all failures. An interruption ends the wait, as the time limit does. */
  readonly close = (): Effect.Effect<ReadonlyArray<Failure>> =>
    Effect.gen(this, function*() {
      const since = yield* Clock.currentTimeMillis
      const what = `The executor "${this.executor.name}"`
      const { exit, timeout } = yield* runWithDeadline(this.ended, {
        what,
        limit: this.timeout,
        onInterrupt: "abandon"
      })
      if (exit !== undefined && timeout === undefined) {
        return this.accepted.flatMap((intent) => this.failureOf(intent, undefined))
      }
      yield* this.stop
      const millis = (yield* Clock.currentTimeMillis) - since
      const stopped = new SettleTimeoutError({ what, millis })
      return this.accepted.flatMap((intent) => this.failureOf(intent, stopped))
    })

  private readonly join = (intents: ReadonlyArray<Intent>) => Effect.sync(() => this.accept(intents))

  private accept(intents: ReadonlyArray<Intent>): ReadonlyArray<Outcome> {
    for (const intent of intents) {
      this.accepted.push(intent)
      this.queue.push(intent)
    }
    return intents.map(() => Exit.void)
  }

  /** When this has returned `false`, the worker ends, and `begin` starts another one. */
  private hasMore(idle: Deferred.Deferred<void>): boolean {
    if (this.queue.length === 0) {
      this.idle = this.worker = undefined
      Deferred.unsafeDone(idle, Exit.void)
    }
    return this.queue.length > 0
  }

  private readonly ended = Effect.interruptible(Effect.whileLoop({
    while: () => this.idle !== undefined,
    body: () => Deferred.await(this.idle!),
    step: () => {}
  }))

  /** Interrupts the worker without waiting for it, and empties the queue. */
  private readonly stop = Effect.suspend(() => {
    this.queue = []
    return this.worker === undefined ? Effect.void : Fiber.interruptFork(this.worker)
  })

  private failureOf(intent: Intent, stopped: SettleTimeoutError | undefined): ReadonlyArray<Failure> {
    const outcome = this.outcomes.get(intent) ?? outcomeOf(intent)
    if (outcome !== undefined && Exit.isSuccess(outcome)) {
      return []
    }
    const reason = stopped !== undefined && wasNotAttempted(outcome)
      ? stopped
      : reasonOf(this.executor, intent, undefined, outcome)
    return [{ intentId: intent.id, task: intent.task.name, reason }]
  }
}
