/**
 * Runs handlers one after the other in a fiber, each in a root scope and a context of its own.
 *
 * A new scope and context cost more than the steps of most handlers: with new ones for each handler, enqueue and flush in bulk
 * cost 5.8 times the hand-written floor instead of 2.6 (`npm run bench buffer`). So a handler reuses the environment of the last
 * handler (its scope, its context and its FiberRefs), but only if that handler was of the same task and the same cascade, and
 * left nothing behind: it enqueued nothing, added no finalizer, and did not change the FiberRefs of the fiber. To fork a fiber
 * and to capture the runtime change them too.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import type * as FiberRefs from "effect/FiberRefs"
import * as EffectScope from "effect/Scope"
import { UnknownTaskError } from "../../AirlockError.js"
import type { AirlockService } from "../contract/airlock.js"
import type { Executor, Outcome } from "../contract/executor.js"
import { extendCascade } from "../scope/cascade.js"
import { resetRefs, setCurrent } from "../scope/currentScope.js"
import { dispatchError } from "../scope/dispatch.js"
import type { IntentRecord } from "../scope/intentRecord.js"
import { openRoot } from "../scope/open.js"
import type { Scope } from "../scope/scope.js"
import { exitOf, settle } from "../scope/settle.js"
import { executorOfOtherAirlock } from "../scope/wiring.js"
import { type AnyFiber, hasNoFinalizers, refsOf, runningFiber } from "../support/effectInternals.js"
import { flatMapExit } from "../support/flatMapExit.js"
import { type HandlerTrace, handlerTraceOf, withTaskSpan } from "../telemetry/spans.js"
import { attemptOf, type Attempts, BatchedCall, type Call, contextOf, intentsOf } from "./calls.js"
import { mismatchOf, type Registration } from "./registration.js"

/** The part of the registry that a runner needs. @internal */
export interface RunnerHandlers {
  readonly airlock: () => AirlockService
  readonly names: ReadonlyArray<string>
  readonly registrationOf: (call: Call) => Registration | undefined
}

/** The scope, context and FiberRefs in which a handler runs. */
interface HandlerEnvironment {
  readonly registration: Registration
  readonly scope: Scope
  readonly finalizers: EffectScope.CloseableScope
  /** The FiberRefs at the start of the handler. */
  readonly refs: FiberRefs.FiberRefs
}

/** @internal */
export type Transact = (
  intents: ReadonlyArray<IntentRecord>,
  handler: Effect.Effect<unknown, unknown>
) => Effect.Effect<unknown, unknown>

/** @internal */
export class HandlerRunner {
  private environment: HandlerEnvironment | undefined
  private isRunning = false
  /** The FiberRefs of the fiber outside of handlers. */
  private readonly refs: FiberRefs.FiberRefs
  private readonly trace: HandlerTrace | undefined

  constructor(
    private readonly handlers: RunnerHandlers,
    fiber: AnyFiber,
    /** The executor for what the handlers enqueue. Default: that of Airlock. */
    private readonly executor: Executor | undefined,
    /** Runs a transactional handler in the transaction that acknowledges its intents. */
    private readonly transact?: Transact
  ) {
    this.refs = refsOf(fiber)
    this.trace = handlerTraceOf(fiber)
  }

  /**
   * Does work that runs handlers. However the work ends, it then closes the last environment and restores the FiberRefs of the
   * fiber. For an uninterruptible region; the work is interruptible.
   */
  during<A, B>(work: Effect.Effect<A>, ended: (exit: Exit.Exit<A>) => Effect.Effect<B>): Effect.Effect<B> {
    return flatMapExit(Effect.interruptible(work), (exit) =>
      flatMapExit(this.close(Exit.asVoid(exit)), (closed) => {
        resetRefs(runningFiber(), this.refs)
        return ended(Exit.zipLeft(exit, closed))
      }))
  }

  /** Runs the handler of a call. */
  run(call: Call, attempts: Attempts): Effect.Effect<Outcome> {
    const registration = this.handlers.registrationOf(call)
    if (registration === undefined) {
      return this.unknownTask(call)
    }
    const { environment } = this
    if (
      environment !== undefined && environment.registration === registration &&
      environment.scope.cascade?.outer === call.cascade && isUnused(environment)
    ) {
      return this.runIn(environment, call, attempts)
    }
    const opened = Effect.flatMap(EffectScope.make(), (finalizers) =>
      // The handler's Layer may have closed meanwhile. From here on until the run is counted, no other fiber runs.
      registration.closed
        ? this.unknownTask(call)
        : this.runIn(this.open(registration, call, finalizers), call, attempts))
    return environment === undefined ? opened : Effect.zipRight(Effect.uninterruptible(this.close(Exit.void)), opened)
  }

  private unknownTask(call: Call): Effect.Effect<Outcome> {
    const { name: task } = intentsOf(call)[0]!.task
    const elsewhere = executorOfOtherAirlock(this.handlers, task)
    return Effect.succeed(Exit.fail(
      new UnknownTaskError({ task, known: this.handlers.names, ...(elsewhere !== undefined && { elsewhere }) })
    ))
  }

  private open(
    registration: Registration,
    { cascade }: Call,
    finalizers: EffectScope.CloseableScope
  ): HandlerEnvironment {
    const { context, task } = registration.definition
    const scope = openRoot({
      airlock: this.handlers.airlock(),
      context,
      current: undefined,
      cascade: extendCascade(cascade, task.name),
      options: {
        name: `handler of ${task.name}`,
        ...(this.executor !== undefined && { executor: this.executor })
      }
    })
    const fiber = runningFiber()
    resetRefs(fiber, this.refs, setCurrent(scope), [
      FiberRef.currentContext,
      Context.add(context, EffectScope.Scope, finalizers)
    ])
    this.environment = { registration, scope, finalizers, refs: refsOf(fiber) }
    return this.environment
  }

  private runIn({ registration, scope }: HandlerEnvironment, call: Call, attempts: Attempts): Effect.Effect<Outcome> {
    scope.state = "open"
    this.isRunning = true
    registration.begin()
    const handled = callHandler(registration, call, attempts)
    const run = this.transact === undefined || !registration.definition.transactional
      ? handled
      : this.transact(intentsOf(call), handled)
    const ended = Effect.matchCauseEffect(run, this.ended)
    return this.trace === undefined
      ? ended
      : withTaskSpan(ended, this.trace, intentsOf(call), attemptOf(attempts, intentsOf(call)[0]!))
  }

  private readonly ended = {
    onFailure: (cause: Cause.Cause<unknown>): Effect.Effect<Outcome> => this.finish(Exit.failCause(cause)),
    onSuccess: (): Effect.Effect<Outcome> => {
      const environment = this.environment!
      if (!isUnused(environment)) {
        return this.finish(Exit.void)
      }
      // Between two handlers the scope is closed, so that code which still holds it is refused.
      environment.scope.state = "flushed"
      this.endRun(environment)
      return succeeded
    }
  }

  private finish(exit: Exit.Exit<void, unknown>): Effect.Effect<Outcome> {
    const task = this.environment!.registration.definition.task.name
    return Effect.map(Effect.uninterruptible(this.close(exit)), (exit) =>
      Exit.isSuccess(exit)
        ? Exit.void
        : Exit.fail(dispatchError(task, exit.cause)))
  }

  private endRun({ registration }: HandlerEnvironment): void {
    this.isRunning = false
    registration.end()
  }

  /** Closes the resources of the last handler, and settles its scope if it still counts as running. */
  private close(exit: Exit.Exit<void, unknown>): Effect.Effect<Exit.Exit<void, unknown>> {
    const { environment } = this
    if (environment === undefined) {
      return Effect.succeed(exit)
    }
    const { finalizers, scope } = environment
    if (!this.isRunning) {
      this.environment = undefined
      return Effect.as(EffectScope.close(finalizers, exit), exit)
    }
    return Effect.exit(EffectScope.close(finalizers, exit)).pipe(
      Effect.map((closed) => Exit.zipLeft(exit, closed)),
      Effect.flatMap((result) => Effect.map(settle(scope, result), (settlement) => exitOf(scope, result, settlement))),
      Effect.ensuring(Effect.sync(() => {
        this.endRun(environment)
        this.environment = undefined
      }))
    )
  }
}

const succeeded: Effect.Effect<Outcome> = Effect.succeed(Exit.void)

/** Whether the last handler left nothing behind in its environment. */
const isUnused = ({ finalizers, refs, scope }: HandlerEnvironment): boolean =>
  scope.buffer.length === 0 && hasNoFinalizers(finalizers) && refs === refsOf(runningFiber())

const callHandler = (
  registration: Registration,
  call: Call,
  attempts: Attempts
): Effect.Effect<unknown, unknown> => {
  const { batched, handler } = registration.definition
  try {
    if (call instanceof BatchedCall) {
      return call.defect === undefined
        // The payloads fit the handler: that was checked when they were grouped.
        ? handler(call.payloads as never, call.contexts(attempts) as never)
        : Effect.die(call.defect.thrown)
    }
    const mismatch = mismatchOf(registration, call)
    if (mismatch !== undefined) {
      return Effect.die(mismatch)
    }
    // The payload fits the handler: that was checked here, or at the enqueue.
    return batched === undefined
      ? handler(call.payload as never, contextOf(call, attempts) as never)
      : handler([call.payload] as never, [contextOf(call, attempts)] as never)
  } catch (defect) {
    return Effect.die(defect)
  }
}
