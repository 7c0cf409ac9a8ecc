/**
 * Where a fiber runs one handler after the other, each in a root scope and a context of its own.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import type * as FiberRefs from "effect/FiberRefs"
import * as EffectScope from "effect/Scope"
import { DispatchError, InvalidPayloadError, UnknownTaskError } from "../AirlockError.js"
import type { Executor, Outcome } from "../Executor.js"
import { withCallersStack } from "./callSite.js"
import { type AnyFiber, refsOf, runningFiber } from "./fiberRefs.js"
import { flatMapExit } from "./flatMapExit.js"
import { Batch, type Call, contextOf, intentsOf } from "./gather.js"
import type { HandlerRegistry, Registration } from "./handlers.js"
import type { IntentRecord } from "./intent.js"
import { openRoot } from "./open.js"
import { issuesOf, isValid } from "./payload.js"
import { standAs, standing } from "./position.js"
import type { Scope } from "./scope.js"
import { giveBack, settle } from "./settle.js"
import * as tracing from "./tracing.js"

/**
 * To set a scope and a context up costs more than the steps of most handlers, so a handler takes over those of the last one
 * where that one can have left nothing behind: it was of the same task, enqueued nothing, added no finalizer, and the
 * FiberRefs are as they were. They are not if it forked, changed one, or captured its runtime.
 *
 * @internal
 */
export class Seat {
  private registration: Registration | undefined
  private scope: Scope | undefined
  private finalizers: EffectScope.CloseableScope | undefined
  private busy = false
  /** The FiberRefs of the fiber: as it came, and as they are while it is seated. */
  private readonly before: FiberRefs.FiberRefs
  private seated: FiberRefs.FiberRefs | undefined
  private readonly trace: tracing.Trace | undefined

  constructor(
    private readonly handlers: HandlerRegistry,
    fiber: AnyFiber,
    /** How what the handlers enqueue leaves. Where none is given: as Airlock was built. */
    private readonly executor: Executor | undefined
  ) {
    this.before = refsOf(fiber)
    this.trace = tracing.traceOf(fiber)
  }

  run(call: Call, attempt: number): Effect.Effect<Outcome> {
    const registration = this.handlers.handlerOf(call)
    if (registration === undefined) {
      return this.unknown(call)
    }
    if (this.registration === registration && this.scope?.cascade?.outer === call.cascade && this.isUnused()) {
      return this.call(registration, call, attempt)
    }
    const begun = Effect.flatMap(EffectScope.make(), (finalizers) => {
      // Its Layer may have closed meanwhile; from here on, until it counts as running, nothing can come between.
      if (registration.gone) {
        return this.unknown(call)
      }
      this.take(registration, call, finalizers)
      return this.call(registration, call, attempt)
    })
    return this.scope === undefined ? begun : Effect.zipRight(Effect.uninterruptible(this.leave(Exit.void)), begun)
  }

  private unknown(call: Call): Effect.Effect<Outcome> {
    const { name: task } = intentsOf(call)[0]!.task
    return Effect.succeed(Exit.fail(new UnknownTaskError({ task, known: this.handlers.names })))
  }

  /**
   * Whether the work ends or is interrupted, the seat is left, and the fiber stands where it stood. Only for an
   * uninterruptible region, which the work is not.
   */
  during<A, B>(work: Effect.Effect<A>, ended: (exit: Exit.Exit<A>) => Effect.Effect<B>): Effect.Effect<B> {
    return flatMapExit(Effect.interruptible(work), (exit) =>
      flatMapExit(this.leave(Exit.asVoid(exit)), (left) => {
        standAs(runningFiber(), this.before)
        return ended(Exit.zipLeft(exit, left))
      }))
  }

  private call(registration: Registration, call: Call, attempt: number): Effect.Effect<Outcome> {
    this.scope!.state = "open"
    this.busy = true
    registration.running++
    const ended = Effect.matchCauseEffect(handle(registration, call, attempt), this.ended)
    return this.trace === undefined ? ended : tracing.task(ended, this.trace, call, attempt)
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
      hasNoFinalizers(finalizers) && this.seated === refsOf(runningFiber())
  }

  private take(registration: Registration, { cascade }: Call, finalizers: EffectScope.CloseableScope): void {
    const scope = openRoot(this.handlers.airlock(), registration.context, undefined, {
      name: `handler of ${registration.task}`,
      ...(this.executor === undefined ? {} : { executor: this.executor })
    })
    scope.cascade = {
      task: registration.task,
      depth: cascade === undefined ? 1 : cascade.depth + 1,
      outer: cascade
    }
    this.registration = registration
    this.scope = scope
    this.finalizers = finalizers
    const context = Context.add(registration.context, EffectScope.Scope, finalizers)
    const fiber = runningFiber()
    standAs(fiber, this.before, standing(scope), [FiberRef.currentContext, context])
    this.seated = refsOf(fiber)
  }

  /** Closes what the last handler had: its resources first, then its intents leave, or are gone. */
  private leave(exit: Exit.Exit<void, unknown>): Effect.Effect<Exit.Exit<void, unknown>> {
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

const handle = (registration: Registration, call: Call, attempt: number): Effect.Effect<unknown, unknown> => {
  try {
    if (call instanceof Batch) {
      if (call.defect !== undefined) {
        return Effect.die(call.defect.thrown)
      }
      // The payloads were found to fit when they were gathered.
      return registration.handler(call.payloads as never, call.contexts(attempt) as never)
    }
    const misfit = misfitOf(registration, call)
    if (misfit !== undefined) {
      return Effect.die(misfit)
    }
    // The payload fits the handler: it was checked against the Schema, here or at the enqueue.
    return registration.batched === undefined
      ? registration.handler(call.payload as never, contextOf(call, attempt) as never)
      : registration.handler([call.payload] as never, [contextOf(call, attempt)] as never)
  } catch (defect) {
    return Effect.die(defect)
  }
}

/**
 * Why a payload is nothing for a handler: another task of its name was enqueued, whose Schema let it pass.
 *
 * @internal
 */
export const misfitOf = (registration: Registration, intent: IntentRecord): InvalidPayloadError | undefined => {
  if (intent.task.payloadSchema === registration.payloadSchema || intent.closure !== undefined) {
    return undefined
  }
  const own = { name: registration.task, payloadSchema: registration.payloadSchema }
  return isValid(own, intent.payload)
    ? undefined
    : withCallersStack(new InvalidPayloadError({ task: own.name, issues: issuesOf(own, intent.payload) }))
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
