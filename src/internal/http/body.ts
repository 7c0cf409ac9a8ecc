/**
 * The scope of a streamed body, which runs after the scope of its request has settled.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { type FlushError, NoScopeError } from "../../AirlockError.js"
import type { AirlockScope } from "../../AirlockScope.js"
import type { ScopeOptions } from "../contract/scope.js"
import { currentOf } from "../scope/currentScope.js"
import { openBeside } from "../scope/open.js"
import { streamInScope } from "../scope/stream.js"
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
    return Effect.succeed(streamInScope(Stream.provideContext(body, context), {
      open: () =>
        openBeside(
          { policies: current.policies, fork: current.fork, scope: outer },
          context as Context.Context<never>,
          { name, ...options }
        ),
      // A reader that stops before the end is a client that disconnects.
      stopped: Exit.interrupt(fiber.id())
    }))
  })
