/**
 * Lets code that is not Effect find the scope of the fiber that called it.
 *
 * A supervisor notes the running fiber in an `AsyncLocalStorage` while the fiber takes a turn, which is its run from one wait to the
 * next. Promises, timers and listeners that are made in the turn carry the note on. When the turn ends, the note gets the
 * FiberRefs of the fiber: what `Effect.runtime()` would have captured there.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import { globalValue } from "effect/GlobalValue"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as EffectScope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import { AsyncLocalStorage } from "node:async_hooks"
import type { Airlock } from "../../contract/airlock.js"
import { locally } from "../../scope/currentScope.js"
import { type AnyFiber, refsOf, runningFiber, wrapScheduling } from "../../support/effectInternals.js"

interface Turn {
  /** The fiber, until the turn ends. */
  fiber: AnyFiber | undefined
  /** What was noted before the turn, until the turn ends. A longer memory would keep all turns of a fiber. */
  before: Turn | undefined
  /** The FiberRefs of the fiber at the end of the turn. Before that, the fiber runs, and has them itself. */
  refs: FiberRefs.FiberRefs | undefined
}

const notes = globalValue(
  Symbol.for("effect-airlock/plainCode"),
  () => new AsyncLocalStorage<Turn | undefined>()
)

/**
 * A fiber whose turns are not noted has nothing to replace the note of the turn that wakes it. So what is scheduled in a turn does not
 * get its note.
 */
const scheduleOutsideTurns = (): void =>
  globalValue(
    Symbol.for("effect-airlock/scheduleOutsideTurns"),
    () => wrapScheduling((schedule) => notes.run(undefined, schedule))
  )

const beginTurn = (fiber: AnyFiber): void => notes.enterWith({ fiber, before: notes.getStore(), refs: undefined })

const endTurn = (fiber: AnyFiber): void => {
  const turn = notes.getStore()
  // The supervisor can have been added twice.
  if (turn?.fiber === fiber) {
    notes.enterWith(turn.before)
    turn.refs = refsOf(fiber)
    turn.fiber = undefined
    turn.before = undefined
  }
}

class TurnSupervisor extends Supervisor.AbstractSupervisor<void> {
  readonly value = Effect.void

  override onResume(fiber: AnyFiber): void {
    beginTurn(fiber)
  }

  override onSuspend(fiber: AnyFiber): void {
    endTurn(fiber)
  }
}

const supervisor = new TurnSupervisor()

/**
 * Whether the turns of a fiber are noted. A fiber that gets the supervisor by a join, as from `Layer.merge`, is in the middle of a
 * turn, for which the supervisor comes too late.
 */
const isNoted = globalValue(Symbol.for("effect-airlock/isNoted"), () =>
  FiberRef.unsafeMake(false, {
    join: (parent, child) => {
      if (child && !parent) {
        beginTurn(runningFiber())
      }
      return child
    }
  }))

/** Notes the turns of this fiber and of those that it forks, until the Scope closes. @internal */
export const noteTurns: Effect.Effect<void, never, EffectScope.Scope> = Effect.locallyScopedWith(
  FiberRef.currentSupervisor,
  (current) => current.zip(supervisor)
).pipe(
  Effect.zipRight(Effect.locallyScoped(isNoted, true)),
  Effect.zipRight(Effect.acquireRelease(
    Effect.sync(() => {
      scheduleOutsideTurns()
      beginTurn(runningFiber())
    }),
    // The supervisor is gone when the fiber waits next.
    () => Effect.sync(() => endTurn(runningFiber()))
  ))
)

/**
 * The runtime of the fiber that runs, or else of the fiber that called the running code. `undefined` if no fiber did, or if its
 * turns are not noted.
 *
 * @internal
 */
export const callersRuntime = (): Runtime.Runtime<never> | undefined => {
  const running = Fiber.getCurrentFiber()
  const refs = Option.isSome(running) ? refsOf(running.value) : notes.getStore()?.refs
  return refs && Runtime.make({
    context: FiberRefs.getOrDefault(refs, FiberRef.currentContext),
    runtimeFlags: Runtime.defaultRuntimeFlags,
    fiberRefs: refs
  })
}

/**
 * Wraps a function that is not Effect, so that each call has a scope of its own. A call that fails is rejected with the very error
 * of the function, because engines tell errors apart by their identity. An error that is no failure, but tells the engine how to go on
 * with the job, is one with which the scope succeeds.
 *
 * @internal
 */
export const wrapInScope = <Args extends ReadonlyArray<unknown>, A>(
  call: (...args: Args) => A | PromiseLike<A>,
  scoped: <B>(self: Effect.Effect<B, unknown>) => Effect.Effect<B, unknown, Airlock>,
  isControlFlow: (error: unknown) => boolean = () => false
): Effect.Effect<(...args: Args) => Promise<A>, never, Airlock> =>
  Effect.map(Effect.runtime<Airlock>(), (runtime) => {
    const wrapped = async (...args: Args): Promise<A> => {
      const called = Effect.tryPromise({ try: async () => call(...args), catch: (error) => error }).pipe(
        Effect.map(Either.right),
        Effect.catchIf(isControlFlow, (error) => Effect.succeed(Either.left(error)))
      )
      // The scope in which the function was wrapped is not that of its calls.
      const inScope = locally(scoped(called), undefined)
      const exit = await Runtime.runPromiseExit(runtime)(Effect.scoped(Effect.zipRight(noteTurns, inScope)))
      // A scope that could not flush has another error than the function.
      const outcome = Exit.isSuccess(exit) ? exit.value : Either.left(Cause.squash(exit.cause))
      if (Either.isRight(outcome)) {
        return outcome.right
      }
      throw outcome.left
    }
    // BullMQ gives a signal only to a function that has a parameter for it.
    return Object.defineProperty(wrapped, "length", { value: call.length })
  })
