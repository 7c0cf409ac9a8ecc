/**
 * The registry of an application's handlers. It runs them, and lets executors complete their intents before handlers close.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as EffectScope from "effect/Scope"
import { DuplicateTaskError } from "../../AirlockError.js"
import type { AnyTask, Intent } from "../../Intent.js"
import type { AirlockService } from "../contract/airlock.js"
import type { Handlers, Outcome, RunOptions, Work, WorkSource } from "../contract/executor.js"
import type { HandlerDefinition } from "../contract/task.js"
import type { IntentRecord } from "../scope/intentRecord.js"
import { withCallersStack } from "../support/callSite.js"
import { runWithDeadline } from "../support/deadline.js"
import { unfinishedHandlers } from "../telemetry/decision.js"
import { batchCalls, BatchedCall, type Call } from "./calls.js"
import { mismatchOf, Registration, registrationOfClosure } from "./registration.js"
import { runHandlers } from "./run.js"
import type { RunnerHandlers } from "./runner.js"
import { runWork } from "./worker.js"

/** If a handler begins to close within this many milliseconds after another one has closed, both belong to one shutdown. */
const shutdownGap = 1000

/** @internal */
export class HandlerRegistry implements Handlers, RunnerHandlers {
  private readonly registrations = new Map<string, Registration>()
  private readonly finishers = new Set<(limit: Duration.Duration) => Effect.Effect<void>>()
  private batched = 0
  /** The times at which the first handler of this shutdown began to close, and at which the last one had closed. */
  private closing: { readonly since: number, readonly last: number | undefined } | undefined

  constructor(readonly airlock: () => AirlockService) {}

  get names(): ReadonlyArray<string> {
    return [...this.registrations.keys()].sort()
  }

  task(name: string): AnyTask | undefined {
    return this.registrations.get(name)?.definition.task
  }

  maxBatch(name: string): number {
    const batched = this.registrations.get(name)?.definition.batched
    return batched === undefined ? 1 : batched.maxSize ?? Infinity
  }

  /** Registers a handler for as long as its Layer lives. */
  register(definition: HandlerDefinition): Effect.Effect<void, never, EffectScope.Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => {
        const { batched, task } = definition
        if (this.registrations.has(task.name)) {
          return Effect.die(withCallersStack(new DuplicateTaskError({ task: task.name })))
        }
        const registration = new Registration(definition)
        this.registrations.set(task.name, registration)
        this.batched += batched === undefined ? 0 : 1
        return Effect.succeed(registration)
      }),
      (registration) => this.unregister(registration)
    )
  }

  onClose(finish: (limit: Duration.Duration) => Effect.Effect<void>): () => void {
    this.finishers.add(finish)
    return () => this.finishers.delete(finish)
  }

  registrationOf(call: Call): Registration | undefined {
    if (call instanceof BatchedCall) {
      return call.registration.closed ? undefined : call.registration
    }
    return call.closure === undefined
      ? this.registrations.get(call.task.name)
      : registrationOfClosure(call.task.name, call.closure)
  }

  run(intents: ReadonlyArray<Intent>, options: RunOptions = {}): Effect.Effect<ReadonlyArray<Outcome>> {
    return runHandlers(this, (intents) => this.callsOf(intents), intents, options)
  }

  work<W extends Work>(source: WorkSource<W>): Effect.Effect<void> {
    return runWork(this, (intents) => this.callsOf(intents), source)
  }

  private callsOf(intents: ReadonlyArray<IntentRecord>): ReadonlyArray<Call> {
    return this.batched === 0 ? intents : batchCalls(intents, (intent) => {
      const registration = this.registrationOf(intent)
      return registration?.definition.batched === undefined || mismatchOf(registration, intent) !== undefined
        ? undefined
        : registration
    })
  }

  /** All handlers of one shutdown share its time limit, which begins with the first of them. */
  private readonly beginClosing: Effect.Effect<void> = Effect.map(Clock.currentTimeMillis, (now) => {
    const isNext = this.closing?.last !== undefined && now - this.closing.last > shutdownGap
    this.closing = { since: this.closing === undefined || isNext ? now : this.closing.since, last: undefined }
  })

  private readonly endClosing: Effect.Effect<void> = Effect.map(Clock.currentTimeMillis, (now) => {
    this.closing = { since: now, ...this.closing, last: now }
  })

  private readonly timeLeft: Effect.Effect<Duration.Duration> = Effect.map(
    Clock.currentTimeMillis,
    (now) => Duration.subtract(this.airlock().shutdownTimeout, Duration.millis(now - (this.closing?.since ?? now)))
  )

  /** Lets executors complete the intents that they hold. */
  readonly close: Effect.Effect<void> = Effect.zipRight(
    this.beginClosing,
    Effect.suspend(() =>
      Effect.forEach(this.finishers, (finish) => Effect.flatMap(this.timeLeft, finish), { discard: true })
    )
  )

  /** Lets executors finish while all handlers are registered. Then waits for the running runs of this handler, and begins none. */
  private unregister(registration: Registration): Effect.Effect<void> {
    const { batched, task } = registration.definition
    const drained = Effect.suspend(() => {
      registration.closed = true
      this.registrations.delete(task.name)
      this.batched -= batched === undefined ? 0 : 1
      return registration.running === 0 ? Effect.void : this.awaitRuns(registration)
    })
    return this.close.pipe(Effect.zipRight(drained), Effect.zipRight(this.endClosing))
  }

  private awaitRuns(registration: Registration): Effect.Effect<void> {
    const ended = Effect.interruptible(Deferred.await(registration.ended))
    return this.timeLeft.pipe(
      Effect.flatMap((limit) => runWithDeadline(ended, { what: "A handler", limit })),
      Effect.flatMap(({ timeout }) =>
        timeout === undefined
          ? Effect.void
          : unfinishedHandlers(registration.definition.task.name, registration.running)
      )
    )
  }
}
