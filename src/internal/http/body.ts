/**
 * The scope of a streamed body, which runs after the scope of its request has settled.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type FlushError, NoScopeError } from "../../AirlockError.js"
import type { AirlockScope } from "../../AirlockScope.js"
import type { ScopeOptions } from "../contract/scope.js"
import { currentOf, locally } from "../scope/currentScope.js"
import { openBeside } from "../scope/open.js"
import { failureOf, settle } from "../scope/settle.js"
import { withoutTransaction } from "../scope/transactionTag.js"
import { withCallersStack } from "../support/callSite.js"

/** @internal */
export const bodyScope = <A, E, R>(
  body: Stream.Stream<A, E, R>,
  options: ScopeOptions
): Effect.Effect<Stream.Stream<A, E | FlushError>, never, R | AirlockScope> =>
  Effect.withFiberRuntime((fiber) => {
    const current = currentOf(fiber)
    const outer = current?.scope
    if (current === undefined || outer === undefined) {
      return Effect.die(withCallersStack(new NoScopeError({})))
    }
    // The body runs after the current transaction. The fiber's context has the services of `R`.
    const context = withoutTransaction(fiber.currentContext) as Context.Context<R>
    const name = `body of ${outer.name}`
    return Effect.succeed(Stream.fromPull(Effect.gen(function*() {
      const scope = openBeside(
        { policies: current.policies, fork: current.fork, scope: outer },
        context as Context.Context<never>,
        { name, ...options }
      )
      // If the reader stops before the end, the body counts as interrupted.
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
