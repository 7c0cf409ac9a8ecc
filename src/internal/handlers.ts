/**
 * The handlers of an application's tasks, and how one runs: in a root scope and a context of its own.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as FiberRefs from "effect/FiberRefs"
import * as Schema from "effect/Schema"
import * as EffectScope from "effect/Scope"
import { DispatchError, DuplicateTaskError, InvalidPayloadError, UnknownTaskError } from "../AirlockError.js"
import type { Handlers, Outcome } from "../Executor.js"
import type { Intent } from "../Intent.js"
import type * as Task from "../Task.js"
import type { AirlockService } from "./airlock.js"
import { breathe } from "./breathe.js"
import { withCallersStack } from "./callSite.js"
import type { Closure, IntentRecord } from "./intent.js"
import { openRoot } from "./open.js"
import { issuesOf, isValid } from "./payload.js"
import { refsOf, standAt, standBack } from "./position.js"
import type { Scope } from "./scope.js"
import { giveBack, settle } from "./settle.js"

/** @internal */
export type Handler = (payload: never, context: Task.HandlerContext) => Effect.Effect<unknown, unknown, never>

interface Registration {
  readonly task: string
  readonly payloadSchema: Schema.Schema.Any
  readonly handler: Handler
  /** What the handler's Layer was given: all that the handler sees, beside its scopes. */
  readonly context: Context.Context<never>
  running: number
  idle: Deferred.Deferred<void> | undefined
}

/** @internal */
export class HandlerRegistry implements Handlers {
  private readonly registrations = new Map<string, Registration>()

  constructor(private readonly airlock: () => AirlockService) {}

  get names(): ReadonlyArray<string> {
    return [...this.registrations.keys()].sort()
  }

  /** Registers a handler for as long as a Layer lives. When it closes, no run begins any more, and the running ones end. */
  register(
    { name: task, payloadSchema }: Task.Any,
    handler: Handler,
    context: Context.Context<never>
  ): Effect.Effect<void, never, EffectScope.Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => {
        if (this.registrations.has(task)) {
          return Effect.die(withCallersStack(new DuplicateTaskError({ task })))
        }
        const registration: Registration = { task, payloadSchema, handler, context, running: 0, idle: undefined }
        this.registrations.set(task, registration)
        return Effect.succeed(registration)
      }),
      (registration) =>
        Effect.suspend(() => {
          this.registrations.delete(task)
          if (registration.running === 0) {
            return Effect.void
          }
          registration.idle = Deferred.unsafeMake(FiberId.none)
          return Deferred.await(registration.idle)
        })
    )
  }

  run(
    intents: ReadonlyArray<Intent>,
    onOutcome: (outcome: Outcome) => boolean
  ): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      const seat = new Seat(this.airlock(), fiber)
      let index = 0
      let stopped = intents.length === 0
      // Whoever calls this has them from a scope, where they are records.
      const records = intents as ReadonlyArray<IntentRecord>
      const loop = Effect.whileLoop({
        while: () => !stopped,
        body: () => {
          const intent = records[index]!
          const registration = intent.closure === undefined
            ? this.registrations.get(intent.task.name)
            : registrationOf(intent.task.name, intent.closure)
          return registration === undefined
            ? Effect.succeed(Exit.fail(new UnknownTaskError({ task: intent.task.name, known: this.names })))
            : (index & 0xff) === 0xff
            ? Effect.zipRight(breathe, Effect.suspend(() => seat.run(registration, intent)))
            : seat.run(registration, intent)
        },
        step: (outcome: Outcome) => {
          records[index]!.outcome = outcome
          stopped = onOutcome(outcome) || ++index === intents.length
        }
      })
      // Whether the loop ends or is interrupted, the seat is left, and the fiber stands where it stood.
      return Effect.uninterruptibleMask((restore) =>
        Effect.onExit(restore(loop), (exit) => Effect.zipRight(seat.leave(exit), seat.back))
      )
    })
  }
}

/**
 * Where a fiber runs one handler after the other. To set a scope and a context up costs more than the steps of most
 * handlers, so a handler takes over those of the last one where that one can have left nothing behind: it was of the
 * same task, enqueued nothing, added no finalizer, and the FiberRefs are as they were. They are not if it forked, changed
 * one, or captured its runtime.
 */
class Seat {
  private registration: Registration | undefined
  private scope: Scope | undefined
  private finalizers: EffectScope.CloseableScope | undefined
  private busy = false
  /** The FiberRefs of the fiber: as it came, and as they are while it is seated. */
  private readonly before: FiberRefs.FiberRefs
  private seated: unknown
  readonly back: Effect.Effect<void>

  constructor(
    private readonly airlock: AirlockService,
    private readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  ) {
    this.before = fiber.getFiberRefs()
    this.back = standBack(fiber)
  }

  run(registration: Registration, intent: IntentRecord): Effect.Effect<Outcome> {
    if (this.registration === registration && this.scope?.cascade?.outer === intent.cascade && this.isUnused()) {
      return this.call(registration, intent)
    }
    return Effect.zipRight(
      Effect.uninterruptible(this.take(registration, intent)),
      Effect.suspend(() => this.call(registration, intent))
    )
  }

  private call(registration: Registration, intent: IntentRecord): Effect.Effect<Outcome> {
    this.scope!.state = "open"
    this.busy = true
    registration.running++
    return Effect.matchCauseEffect(handle(registration, intent), this.ended)
  }

  private readonly ended = {
    onFailure: (cause: Cause.Cause<unknown>): Effect.Effect<Outcome> => this.finish(Exit.failCause(cause)),
    onSuccess: (): Effect.Effect<Outcome> => {
      if (this.isUnused()) {
        // Between two handlers the scope is closed, so that whoever held on to it is refused.
        this.scope!.state = "flushed"
        this.end()
        return succeeded
      }
      return this.finish(Exit.void)
    }
  }

  private finish(exit: Exit.Exit<void, unknown>): Effect.Effect<Outcome> {
    const { task } = this.registration!
    return Effect.map(Effect.uninterruptible(this.leave(exit)), (exit) =>
      Exit.isSuccess(exit)
        ? Exit.void
        : Exit.fail(new DispatchError({ task, cause: Cause.squash(exit.cause) })))
  }

  private end(): void {
    if (this.busy) {
      this.busy = false
      const registration = this.registration!
      registration.running--
      if (registration.running === 0 && registration.idle !== undefined) {
        Deferred.unsafeDone(registration.idle, Exit.void)
      }
    }
  }

  private isUnused(): boolean {
    const { finalizers, scope } = this
    return scope !== undefined && finalizers !== undefined && scope.buffer.length === 0 &&
      hasNoFinalizers(finalizers) && this.seated === refsOf(this.fiber)
  }

  private take(registration: Registration, { cascade }: IntentRecord): Effect.Effect<void> {
    return Effect.zipRight(
      this.leave(Exit.void),
      Effect.flatMap(EffectScope.make(), (finalizers) => {
        const name = `handler of ${registration.task}`
        const scope = openRoot(this.airlock, registration.context, undefined, { name })
        scope.cascade = {
          task: registration.task,
          depth: cascade === undefined ? 1 : cascade.depth + 1,
          outer: cascade
        }
        this.registration = registration
        this.scope = scope
        this.finalizers = finalizers
        return Effect.map(
          standAt(this.before, scope, Context.add(registration.context, EffectScope.Scope, finalizers)),
          () => {
            this.seated = refsOf(this.fiber)
          }
        )
      })
    )
  }

  /** Closes what the last handler had: its resources first, then its intents leave, or are gone. */
  leave(exit: Exit.Exit<void, unknown>): Effect.Effect<Exit.Exit<void, unknown>> {
    const { busy, finalizers, scope } = this
    if (scope === undefined || finalizers === undefined) {
      return Effect.succeed(exit)
    }
    if (!busy) {
      this.scope = this.finalizers = this.registration = undefined
      return Effect.as(EffectScope.close(finalizers, exit), exit)
    }
    return Effect.exit(EffectScope.close(finalizers, exit)).pipe(
      Effect.map((closed) => Exit.zipLeft(exit, closed)),
      Effect.flatMap((result) =>
        Effect.map(settle(scope, result), (settlement) => giveBack(scope, result, settlement))
      ),
      Effect.ensuring(Effect.sync(() => {
        this.end()
        this.scope = this.finalizers = this.registration = undefined
      }))
    )
  }
}

const succeeded: Effect.Effect<Outcome> = Effect.succeed(Exit.void)

/** A closure is the handler of its own run, and has no Layer that would wait for it. */
const registrationOf = (task: string, { context, effect }: Closure): Registration => ({
  task,
  payloadSchema: Schema.Void,
  handler: () => effect,
  context,
  running: 0,
  idle: undefined
})

const handle = (registration: Registration, intent: IntentRecord): Effect.Effect<unknown, unknown> => {
  const { payload, task } = intent
  if (task.payloadSchema !== registration.payloadSchema && intent.closure === undefined) {
    // Another task of this name was enqueued: what its Schema let pass may be nothing for this handler.
    const own = { name: registration.task, payloadSchema: registration.payloadSchema }
    if (!isValid(own, payload)) {
      return Effect.die(
        withCallersStack(new InvalidPayloadError({ task: registration.task, issues: issuesOf(own, payload) }))
      )
    }
  }
  try {
    // The payload fits the handler: it was checked against the Schema, above or at the enqueue.
    return registration.handler(intent.payload as never, {
      intentId: intent.id,
      attempt: 1,
      enqueuedAt: intent.enqueuedAt
    })
  } catch (defect) {
    return Effect.die(defect)
  }
}

/**
 * Whether no finalizer was added. `Effect.forkIn` reads the same fields of Effect's own Scope; where they are not what
 * is expected, the answer is the one that costs only time.
 */
const hasNoFinalizers = (scope: EffectScope.CloseableScope): boolean => {
  const state: unknown = "state" in scope ? scope.state : undefined
  return typeof state === "object" && state !== null && "finalizers" in state && state.finalizers instanceof Map &&
    state.finalizers.size === 0
}
