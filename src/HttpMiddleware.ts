/**
 * A request is a scope: what its handlers enqueue leaves if the answer is a success, and is gone if it is not.
 *
 * This module has all of the platform's own `HttpMiddleware` too, so that one import serves.
 *
 * @since 0.1.0
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type { AirlockScope, Exact, OptionsContext } from "./AirlockScope.js"
import type { Executor } from "./Executor.js"
import { Airlock } from "./internal/airlock.js"
import { openScope } from "./internal/open.js"
import { enter } from "./internal/position.js"
import type { Scope } from "./internal/scope.js"
import { failureOf, settle, settleEmpty } from "./internal/settle.js"
import type { Policy } from "./Policy.js"

export * from "@effect/platform/HttpMiddleware"

/**
 * @since 0.1.0
 * @category options
 */
export interface AirlockHttpOptions {
  /** For logs and errors. Default: the request's method and path. */
  readonly name?: string
  /** Holds beside all other policies in force. */
  readonly policy?: Policy<unknown>
  /** How the intents of requests leave. Default: as Airlock was built. */
  readonly executor?: Executor
  /** Whether the intents of a request leave. Default: if the status of the response is below 400. */
  readonly shouldFlush?: (
    request: HttpServerRequest.HttpServerRequest,
    response: HttpServerResponse.HttpServerResponse
  ) => boolean
}

/**
 * {@link airlock}, changed.
 *
 * @since 0.1.0
 * @category middleware
 */
export const airlockWith =
  <const Options extends AirlockHttpOptions>(options: Options & Exact<Options, AirlockHttpOptions>) =>
  <E, R>(
    app: HttpApp.Default<E, R>
  ): HttpApp.Default<E, Exclude<R, AirlockScope> | Airlock | OptionsContext<Options>> => {
    const { shouldFlush, ...scopeOptions }: AirlockHttpOptions = options
    return Effect.withFiberRuntime((fiber, { runtimeFlags }) =>
      RuntimeFlags.interruptible(runtimeFlags)
        ? Effect.uninterruptibleMask((restore) => inScope(restore(app), fiber, scopeOptions, shouldFlush, false))
        : inScope(app, fiber, scopeOptions, shouldFlush, true)
    )
  }

/** For an uninterruptible region. */
const inScope = <E, R>(
  app: HttpApp.Default<E, R>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  options: Omit<AirlockHttpOptions, "shouldFlush">,
  shouldFlush: AirlockHttpOptions["shouldFlush"],
  mayBeServer: boolean
): HttpApp.Default<E, Exclude<R, AirlockScope>> => {
  const request = Context.unsafeGet(fiber.currentContext, HttpServerRequest.HttpServerRequest)
  const airlock = Context.unsafeGet(fiber.currentContext, Airlock)
  // The fiber of a request may stand in a scope that the server was built in: that one must not be fed. One that was
  // opened for this request, by middleware around or by a transaction a request, has the say that it should.
  const scope = openScope(fiber, airlock, options, (parent) => isOf(parent, request.source))
  scope.request = request
  const settleFor = settleBefore(scope, shouldFlush)
  // Given to `HttpServer.serve`, where nothing can be interrupted, a middleware ends only after the response was sent:
  // there, this handler is what settles in time. On a route it is the end of the app below. Whoever comes second finds the
  // scope settled.
  const handled = mayBeServer ? Effect.flatMap(appendHandler(fiber, settleFor), () => app) : app
  // What `R` loses is the marker, which has a value at run time wherever it is asked for.
  return Effect.flatMap(
    enter(fiber, scope),
    () =>
      Effect.matchCauseEffect(handled as HttpApp.Default<E, Exclude<R, AirlockScope>>, {
        onSuccess: (response) => settleFor(request, response),
        onFailure: (cause) =>
          scope.settlement !== undefined
            ? Effect.failCause(cause)
            : Effect.flatMap(
              HttpServerError.causeResponse(cause),
              ([response]) => Effect.zipRight(settleFor(request, response), Effect.failCause(cause))
            )
      })
  )
}

/**
 * Makes each request a scope. It settles before the response is sent, wherever the middleware stands (given to
 * `HttpServer.serve`, to `HttpRouter.use`, or both), by the status of the response: 1xx to 3xx let the intents leave, 4xx
 * and 5xx discard them; a failure counts by the response that it becomes. Response and error pass through unchanged.
 *
 * An intent that could not leave is logged as an error, and the answer stands.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
 * import { Effect, Schema } from "effect"
 * import { Airlock, HttpMiddleware, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Server = HttpRouter.empty.pipe(
 *   HttpRouter.post("/orders", Effect.as(Airlock.enqueue(SendReceipt, { orderId: 1 }), HttpServerResponse.empty())),
 *   HttpServer.serve(HttpMiddleware.airlock)
 * )
 * ```
 *
 * @since 0.1.0
 * @category middleware
 */
export const airlock: <E, R>(
  app: HttpApp.Default<E, R>
) => HttpApp.Default<E, Exclude<R, AirlockScope> | Airlock> = airlockWith({})

const isOf = (scope: Scope, source: unknown): boolean => {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer?.scope) {
    if (at.requestSource === source) {
      return true
    }
  }
  return false
}

/** As `HttpApp.appendPreResponseHandler`, with less to do where it is the first. */
const appendHandler = (fiber: Fiber.RuntimeFiber<unknown, unknown>, handler: HttpApp.PreResponseHandler) =>
  Option.isNone(fiber.getFiberRef(HttpApp.currentPreResponseHandlers))
    ? FiberRef.set(HttpApp.currentPreResponseHandlers, Option.some(handler))
    : HttpApp.appendPreResponseHandler(handler)

const settleBefore = (scope: Scope, shouldFlush: AirlockHttpOptions["shouldFlush"]) =>
(
  request: HttpServerRequest.HttpServerRequest,
  response: HttpServerResponse.HttpServerResponse
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  if (scope.settlement !== undefined) {
    return Effect.succeed(response)
  }
  const flush = shouldFlush === undefined ? response.status < 400 : () => shouldFlush(request, response)
  if (typeof flush === "boolean" && settleEmpty(scope, flush) !== undefined) {
    return Effect.succeed(response)
  }
  return Effect.uninterruptible(
    Effect.flatMap(settle(scope, Exit.succeed(response), { flush }), (settlement) => {
      const exit = failureOf(scope, Exit.succeed(response), settlement)
      return Exit.isSuccess(exit)
        ? Effect.succeed(response)
        : Effect.as(Effect.logError("Airlock answered, but not all intents of the request left", exit.cause), response)
    })
  )
}
