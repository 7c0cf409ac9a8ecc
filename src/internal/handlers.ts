/**
 * The handlers of an application's tasks.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Schema from "effect/Schema"
import type * as EffectScope from "effect/Scope"
import { DuplicateTaskError } from "../AirlockError.js"
import type { Handlers, Outcome, RunOptions } from "../Executor.js"
import type { Intent } from "../Intent.js"
import type * as Task from "../Task.js"
import type { AirlockService } from "./airlock.js"
import { bounded } from "./bounded.js"
import { withCallersStack } from "./callSite.js"
import { Batch, type Call, gather } from "./gather.js"
import type { Closure, IntentRecord } from "./intent.js"
import * as report from "./report.js"
import { run } from "./run.js"
import { misfitOf } from "./seat.js"

/** Takes a payload and its context; a batched one, many of both. @internal */
export type Handler = (payload: never, context: never) => Effect.Effect<unknown, unknown, never>

/** @internal */
export interface Registration {
  readonly task: string
  readonly payloadSchema: Schema.Schema.Any
  readonly version: number
  readonly handler: Handler
  readonly batched: Task.BatchOptions<never> | undefined
  /** What the handler's Layer was given: all that the handler sees, beside its scopes. */
  readonly context: Context.Context<never>
  running: number
  /** Whether its Layer has closed: no run begins any more. */
  gone: boolean
  idle: Deferred.Deferred<void> | undefined
}

/** @internal */
export class HandlerRegistry implements Handlers {
  private readonly registrations = new Map<string, Registration>()
  private readonly finishers = new Set<(limit: Duration.Duration) => Effect.Effect<void>>()
  private batched = 0
  /** Since when handlers go, and when one went last; while one is about to go, there is no last. */
  private closing: { readonly since: number, last: number | undefined } | undefined

  constructor(readonly airlock: () => AirlockService) {}

  get names(): ReadonlyArray<string> {
    return [...this.registrations.keys()].sort()
  }

  task(name: string): Task.Any | undefined {
    const registration = this.registrations.get(name)
    return registration && { name, payloadSchema: registration.payloadSchema, version: registration.version }
  }

  /** Registers a handler for as long as a Layer lives. */
  register(
    task: Task.Any,
    handler: Handler,
    batched: Task.BatchOptions<never> | undefined,
    context: Context.Context<never>
  ): Effect.Effect<void, never, EffectScope.Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => {
        if (this.registrations.has(task.name)) {
          return Effect.die(withCallersStack(new DuplicateTaskError({ task: task.name })))
        }
        const registration = registrationOf(task, handler, batched, context)
        this.registrations.set(task.name, registration)
        this.batched += batched === undefined ? 0 : 1
        return Effect.succeed(registration)
      }),
      (registration) => this.release(registration)
    )
  }

  onClose(finish: (limit: Duration.Duration) => Effect.Effect<void>): () => void {
    this.finishers.add(finish)
    return () => this.finishers.delete(finish)
  }

  /** The time for all handlers that go one right after the other, as in a shutdown, runs from the first of them. */
  private readonly begins: Effect.Effect<void> = Effect.map(Clock.currentTimeMillis, (now) => {
    const isLater = this.closing?.last !== undefined && now - this.closing.last > 1000
    this.closing = { since: this.closing === undefined || isLater ? now : this.closing.since, last: undefined }
  })

  private readonly timeLeft: Effect.Effect<Duration.Duration> = Effect.map(
    Clock.currentTimeMillis,
    (now) => Duration.subtract(this.airlock().shutdownTimeout, Duration.millis(now - (this.closing?.since ?? now)))
  )

  private readonly hasGone: Effect.Effect<void> = Effect.map(Clock.currentTimeMillis, (now) => {
    this.closing = { since: now, ...this.closing, last: now }
  })

  /** Lets executors finish what they hold. */
  readonly close: Effect.Effect<void> = Effect.zipRight(
    this.begins,
    Effect.suspend(() =>
      Effect.forEach(this.finishers, (finish) => Effect.flatMap(this.timeLeft, finish), { discard: true })
    )
  )

  /** First what executors hold is finished, while all handlers are there; then no run begins any more, and the running ones end. */
  private release(registration: Registration): Effect.Effect<void> {
    const { task } = registration
    const idle = Effect.suspend(() => {
      registration.gone = true
      this.registrations.delete(task)
      this.batched -= registration.batched === undefined ? 0 : 1
      if (registration.running === 0) {
        return Effect.void
      }
      registration.idle = Deferred.unsafeMake(FiberId.none)
      const ended = Effect.interruptible(Deferred.await(registration.idle))
      return Effect.flatMap(this.timeLeft, (limit) => bounded(ended, undefined, "A handler", limit)).pipe(
        Effect.flatMap(({ timeout }) =>
          timeout === undefined ? Effect.void : report.unfinishedHandlers(task, registration.running)
        )
      )
    })
    return this.close.pipe(Effect.zipRight(idle), Effect.zipRight(this.hasGone))
  }

  handlerOf(call: Call): Registration | undefined {
    if (call instanceof Batch) {
      return call.registration.gone ? undefined : call.registration
    }
    return call.closure === undefined ? this.registrations.get(call.task.name) : ofClosure(call.task, call.closure)
  }

  calls(intents: ReadonlyArray<IntentRecord>): ReadonlyArray<Call> {
    return this.batched === 0 ? intents : gather(intents, (intent) => {
      const registration = this.handlerOf(intent)
      return registration?.batched === undefined || misfitOf(registration, intent) !== undefined
        ? undefined
        : registration
    })
  }

  run(intents: ReadonlyArray<Intent>, options?: RunOptions): Effect.Effect<ReadonlyArray<Outcome>> {
    return run(this, intents, options ?? {})
  }
}

const registrationOf = (
  { name, payloadSchema, version = 1 }: Task.Any,
  handler: Handler,
  batched: Task.BatchOptions<never> | undefined,
  context: Context.Context<never>
): Registration => ({
  task: name,
  payloadSchema,
  version,
  handler,
  batched,
  context,
  running: 0,
  gone: false,
  idle: undefined
})

/** A closure is the handler of its own run, and has no Layer that would wait for it. */
const ofClosure = (task: Task.Any, { context, effect }: Closure): Registration =>
  registrationOf({ name: task.name, payloadSchema: Schema.Void }, () => effect, undefined, context)
