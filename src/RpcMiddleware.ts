/**
 * A call is a scope: what its handler enqueues leaves if the call succeeds, and is gone if it does not.
 *
 * This module has all of `@effect/rpc`'s own `RpcMiddleware` too, so that one import serves.
 *
 * @since 0.1.0
 */
import * as RpcMiddleware from "@effect/rpc/RpcMiddleware"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { AirlockScope, type Exact, type OptionsContext, type ScopeOptions } from "./AirlockScope.js"
import { Airlock } from "./internal/airlock.js"
import { openScope } from "./internal/open.js"
import { exitWithin } from "./internal/position.js"
import { failureOf, settle } from "./internal/settle.js"

export * from "@effect/rpc/RpcMiddleware"

/**
 * Makes each call of the procedures that it is put on a scope. The scope is the call's own: over HTTP it settles before
 * the call is answered, whatever scope the request has, and over a socket it does not wait for the socket to close. A
 * stream's scope settles when the stream has ended.
 *
 * The exit decides: a call that fails, dies or is interrupted lets nothing out. Where an intent could not leave that is
 * logged as an error; if the executor is durable, the call then dies of the `FlushError`, and else its answer stands.
 *
 * @example
 * ```ts
 * import { Rpc, RpcGroup } from "@effect/rpc"
 * import { Effect, Layer, Schema } from "effect"
 * import { Airlock, Task } from "effect-airlock"
 * import * as RpcMiddleware from "effect-airlock/RpcMiddleware"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * class Orders extends RpcGroup.make(Rpc.make("CreateOrder")).middleware(RpcMiddleware.AirlockCall) {}
 *
 * const Handlers = Orders.toLayer({
 *   CreateOrder: () => Effect.asVoid(Airlock.enqueue(SendReceipt, { orderId: 1 }))
 * }).pipe(Layer.provideMerge(RpcMiddleware.airlockCall))
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export class AirlockCall extends RpcMiddleware.Tag<AirlockCall>()("effect-airlock/RpcMiddleware/AirlockCall", {
  wrap: true,
  provides: AirlockScope
}) {}

const inCallScope = <A, E>(
  next: Effect.Effect<A, E, AirlockScope>,
  built: Context.Context<Airlock>,
  options: ScopeOptions
): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((fiber) => {
      const context = Context.merge(built, fiber.currentContext)
      const scope = openScope(fiber, Context.get(context, Airlock), options, undefined, context)
      return Effect.flatMap(exitWithin(restore(next), fiber, scope), (exit) =>
        Effect.flatMap(settle(scope, exit), (settlement) => {
          const failure = failureOf(scope, exit, settlement)
          return Exit.isSuccess(failure) ? exit : Effect.zipRight(
            Effect.logError("Airlock: not all intents of the call left", failure.cause),
            settlement.isLost && Exit.isSuccess(exit) ? Effect.die(Cause.squash(failure.cause)) : exit
          )
        }))
    })
  )

/**
 * {@link airlockCall}, changed. The options are those of a scope; its name is by default that of the procedure.
 *
 * @since 0.1.0
 * @category layers
 */
export const airlockCallWith = <const Options extends ScopeOptions>(
  options: Options & Exact<Options, ScopeOptions>
): Layer.Layer<AirlockCall, never, Airlock | OptionsContext<Options>> =>
  Layer.effect(
    AirlockCall,
    Effect.map(
      Effect.context<Airlock | OptionsContext<Options>>(),
      (context) => ({ next, rpc }) => inCallScope(next, context, { name: rpc._tag, ...options, independent: true })
    )
  )

/**
 * Gives {@link AirlockCall} to the handlers of the procedures that it was put on.
 *
 * @since 0.1.0
 * @category layers
 */
export const airlockCall: Layer.Layer<AirlockCall, never, Airlock> = airlockCallWith({})
