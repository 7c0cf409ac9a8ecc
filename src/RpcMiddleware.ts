/**
 * RPC middleware that makes each call a scope. The intents of a call leave if the call succeeds, and are discarded
 * otherwise.
 *
 * This module also exports all of `@effect/rpc`'s own `RpcMiddleware`, so that one import is enough.
 *
 * @since 0.1.0
 */
import * as RpcMiddleware from "@effect/rpc/RpcMiddleware"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as RuntimeFlags from "effect/RuntimeFlags"
import { AirlockScope, type Exact, type OptionsContext, type ScopeOptions, withoutMarker } from "./AirlockScope.js"
import { Airlock } from "./internal/contract/airlock.js"
import { exitInside } from "./internal/scope/currentScope.js"
import { openScope } from "./internal/scope/open.js"
import { failureOf, settle } from "./internal/scope/settle.js"

export * from "@effect/rpc/RpcMiddleware"

/**
 * Makes each call of an RPC procedure a scope. This scope is independent of the scope of the request: over HTTP it settles
 * before the response is sent, and over a socket it does not wait for the socket to close. The scope of a streaming
 * procedure settles when the stream has ended.
 *
 * The exit of the call decides: if the call fails, dies or is interrupted, its intents are discarded. If an intent could
 * not leave, this is logged as an error. If it is an intent that a durable executor should have stored, a successful call
 * then dies with the `FlushError`; otherwise the call keeps its exit.
 *
 * Provide the Layer {@link airlockCall} to the handlers.
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
  Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
    const interruptible = RuntimeFlags.interruptible(runtimeFlags)
    return Effect.uninterruptibleMask((restore) => {
      const context = Context.merge(built, fiber.currentContext)
      const scope = openScope(fiber, { airlock: Context.get(context, Airlock), options, context, interruptible })
      return Effect.flatMap(withoutMarker(exitInside(restore(next), fiber, scope)), (exit) =>
        Effect.flatMap(settle(scope, exit), (settlement) => {
          const failure = failureOf(scope, exit, settlement)
          return Exit.isSuccess(failure) ? exit : Effect.zipRight(
            Effect.logError("Airlock: not all intents of the call left", failure.cause),
            settlement.isLost && Exit.isSuccess(exit) ? Effect.die(Cause.squash(failure.cause)) : exit
          )
        }))
    })
  })

/**
 * {@link airlockCall} with the options of a scope. The default name of the scope is the name of the procedure. The option
 * `independent` is always `true`.
 *
 * @example
 * ```ts
 * import { Policy } from "effect-airlock"
 * import * as RpcMiddleware from "effect-airlock/RpcMiddleware"
 *
 * const Live = RpcMiddleware.airlockCallWith({ policy: Policy.limit(10) })
 * ```
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
 * Implements {@link AirlockCall}, with the default options of a scope.
 *
 * @since 0.1.0
 * @category layers
 */
export const airlockCall: Layer.Layer<AirlockCall, never, Airlock> = airlockCallWith({})
