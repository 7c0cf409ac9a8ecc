/**
 * Runs a stream in a scope, which settles when the stream has ended.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as EffectScope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { FlushError } from "../../AirlockError.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { flatMapExit } from "../support/flatMapExit.js"
import { locally } from "./currentScope.js"
import type { Scope } from "./scope.js"
import { failureOf, settle } from "./settle.js"

/** @internal */
export interface StreamOptions {
  /** Opens the scope when the stream starts. */
  readonly open: (fiber: AnyFiber) => Scope
  /** The exit of a stream whose reader stopped before the end, without a failure. */
  readonly stopped: Exit.Exit<void>
}

/** A stream that runs, with the `Scope` of its fibers and its resources. */
interface Run {
  readonly scope: Scope
  readonly resources: EffectScope.CloseableScope
}

/**
 * Runs a stream in a scope. It settles when the fibers of concurrent stages have ended, and the resources of the stream are
 * released, so these can enqueue too.
 *
 * @internal
 */
export const streamInScope = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  { open, stopped }: StreamOptions
): Stream.Stream<A, E | FlushError, R> =>
  Stream.suspend(() => {
    let run: Run | undefined
    const begin = Effect.withFiberRuntime<Run>((fiber) =>
      Effect.map(EffectScope.make(), (resources) => run = { scope: open(fiber), resources })
    )
    const end = (exit: Exit.Exit<void, unknown>): Effect.Effect<void, FlushError> => {
      const ended = run === undefined ? Effect.void : close(run, exit)
      run = undefined
      return ended
    }
    const pulls = Effect.gen(function*() {
      const { resources, scope } = yield* Effect.uninterruptible(begin)
      // The finalizers of the stream run with the FiberRefs of this place.
      const pull = yield* locally(EffectScope.extend(Stream.toPull(self), resources), scope)
      return Effect.catchAllCause(
        locally(pull, scope),
        (cause): Effect.Effect<never, Option.Option<E | FlushError>> => {
          // An interruption of a pull may be an early end. The exit of the whole stream tells.
          if (Cause.isInterrupted(cause)) {
            return Effect.failCause(cause)
          }
          const exit = Option.match(Cause.flipCauseOption(cause), { onNone: () => Exit.void, onSome: Exit.failCause })
          return flatMapExit(Effect.suspend(() => end(exit)), (ended) => {
            const result: Exit.Exit<void, E | FlushError> = Exit.zipRight(exit, ended)
            return Exit.isSuccess(result)
              ? Effect.fail(Option.none())
              : Effect.failCause(Cause.map(result.cause, Option.some))
          })
        }
      )
    })
    return Stream.ensuringWith(Stream.fromPull(pulls), (exit) =>
      // A reader that has stopped may ignore a defect.
      Effect.orDie(Effect.tapErrorCause(
        Effect.suspend(() => end(Exit.isSuccess(exit) ? stopped : exit)),
        (cause) => Effect.logError("Airlock: not all intents of the stream left", cause)
      )))
  })

/** Closes the resources of a stream, and settles its scope after that. Fails only with what failed here. */
const close = ({ resources, scope }: Run, exit: Exit.Exit<void, unknown>): Effect.Effect<void, FlushError> =>
  Effect.uninterruptible(
    flatMapExit(EffectScope.close(resources, exit), (closed) => {
      const ended = Exit.zipRight(exit, closed)
      return Effect.flatMap(
        settle(scope, ended),
        (settlement) => Exit.zipRight(closed, failureOf(scope, ended, settlement))
      )
    })
  )
