/**
 * The scope of a streamed body, which runs when the request's own has settled.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type FlushError, NoScopeError } from "../AirlockError.js"
import type { AirlockScope, ScopeOptions } from "../AirlockScope.js"
import { withCallersStack } from "./callSite.js"
import { openBeside } from "./open.js"
import { locally, positionOf } from "./position.js"
import { failureOf, settle } from "./settle.js"
import { withoutTransaction } from "./transactionConnection.js"

/** @internal */
export const bodyScope = <A, E, R>(
  body: Stream.Stream<A, E, R>,
  options: ScopeOptions
): Effect.Effect<Stream.Stream<A, E | FlushError>, never, R | AirlockScope> =>
  Effect.withFiberRuntime((fiber) => {
    const position = positionOf(fiber)
    const beside = position?.scope
    if (position === undefined || beside === undefined) {
      return Effect.die(withCallersStack(new NoScopeError({})))
    }
    // It runs when the transaction that is open now has ended. That the context is that of `R` its type does not say; the
    // marker has a value wherever it is asked for.
    const context = withoutTransaction(fiber.currentContext) as Context.Context<R>
    const name = `body of ${beside.name}`
    return Effect.succeed(Stream.fromPull(Effect.gen(function*() {
      const scope = openBeside(position, beside, context as Context.Context<never>, { name, ...options })
      // Whoever reads no further has left, which is no success of the body.
      yield* Effect.addFinalizer((exit) => settle(scope, Exit.isFailure(exit) ? exit : Exit.interrupt(fiber.id())))
      const pull = yield* Stream.toPull(Stream.provideContext(body, context))
      const ended = Effect.uninterruptible(Effect.flatMap(settle(scope, Exit.void), (settlement) => {
        const flush = failureOf(scope, Exit.void, settlement)
        return Effect.zipRight(Effect.mapError(flush, Option.some<FlushError>), Effect.fail(Option.none<FlushError>()))
      }))
      return Effect.catchAll(
        locally(pull, scope),
        (end): Effect.Effect<never, Option.Option<E | FlushError>> => Option.isSome(end) ? Effect.fail(end) : ended
      )
    })))
  })
