/**
 * Running handlers, and what they enqueue, until nothing is queued or running.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { SettleTimeoutError } from "../AirlockError.js"
import type { DispatchReason, Executor, Handlers, Outcome, RunOptions } from "../Executor.js"
import type { Intent } from "../Intent.js"
import { bounded } from "./bounded.js"
import { outcomeOf, reasonOf, wasNotAttempted } from "./dispatch.js"

interface Failure {
  readonly intentId: string
  readonly task: string
  readonly reason: DispatchReason
}

/** The account of one scope. @internal */
export class Drain {
  private readonly accepted: Array<Intent> = []
  private readonly outcomes = new Map<Intent, Outcome>()
  private queue: Array<Intent> = []
  /** Done when nothing is queued or running; there is none where that is so. */
  private idle: Deferred.Deferred<void> | undefined
  private worker: Fiber.RuntimeFiber<void> | undefined

  constructor(
    private readonly executor: Executor,
    private readonly timeout: Duration.Duration,
    private readonly options: RunOptions
  ) {}

  /** Begins, and does not wait. */
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
    // What handlers enqueue joins the queue that is being worked off.
    const options = { ...this.options, executor: { ...this.executor, dispatch: this.join } }
    return Effect.whileLoop({
      while: () => this.hasMore(idle),
      body: () => {
        const batch = this.queue
        this.queue = []
        return Effect.map(handlers.run(batch, options), (outcomes) => {
          batch.forEach((intent, index) => this.outcomes.set(intent, outcomes[index]!))
        })
      },
      step: () => {}
    })
  }

  /** Waits, and gives every failure since it began. An interruption ends the wait, as the timeout does. */
  readonly close = (): Effect.Effect<ReadonlyArray<Failure>> =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (since) =>
        bounded(this.ended, undefined, "", this.timeout, { onInterruption: "leave" }).pipe(
          Effect.flatMap(({ exit, timeout }) =>
            exit !== undefined && timeout === undefined ? Effect.succeed(undefined) : Effect.zipRight(
              this.cut,
              Effect.map(Clock.currentTimeMillis, (now) => now - since)
            )
          ),
          Effect.map((millis) => {
            const cut = millis === undefined
              ? undefined
              : new SettleTimeoutError({ what: `The executor "${this.executor.name}"`, millis })
            return this.accepted.flatMap((intent) => this.failureOf(intent, cut))
          })
        )
    )

  private readonly join = (intents: ReadonlyArray<Intent>) => Effect.sync(() => this.accept(intents))

  private accept(intents: ReadonlyArray<Intent>): ReadonlyArray<Outcome> {
    for (const intent of intents) {
      this.accepted.push(intent)
      this.queue.push(intent)
    }
    return intents.map(() => Exit.void)
  }

  /** Whoever comes once this was false begins anew. */
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

  /** What runs is interrupted and left to itself, what waits is not begun. */
  private readonly cut = Effect.suspend(() => {
    this.queue = []
    return this.worker === undefined ? Effect.void : Fiber.interruptFork(this.worker)
  })

  private failureOf(intent: Intent, cut: SettleTimeoutError | undefined): ReadonlyArray<Failure> {
    const outcome = this.outcomes.get(intent) ?? outcomeOf(intent)
    if (outcome !== undefined && Exit.isSuccess(outcome)) {
      return []
    }
    const reason = cut !== undefined && wasNotAttempted(outcome)
      ? cut
      : reasonOf(this.executor, intent, undefined, outcome)
    return [{ intentId: intent.id, task: intent.task.name, reason }]
  }
}
