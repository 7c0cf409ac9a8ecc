/**
 * Opens the scope of a request, and settles it before the response is sent.
 *
 * @internal
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import { RouteContext } from "@effect/platform/HttpRouter"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type { FlushError } from "../../AirlockError.js"
import { type AirlockScope, withoutMarker } from "../../AirlockScope.js"
import { Airlock } from "../contract/airlock.js"
import type { ScopeOptions } from "../contract/scope.js"
import { enter, enterForGood, isOpenedBy } from "../scope/currentScope.js"
import { openScope } from "../scope/open.js"
import { findScope, type Scope, type Settlement } from "../scope/scope.js"
import { failureOf, settle, settleEmpty } from "../scope/settle.js"
import type { AnyFiber } from "../support/effectInternals.js"
import { hookFor, requestSourceOf } from "./responseHook.js"

/** @internal */
export interface RequestOptions {
  readonly scope: ScopeOptions
  readonly shouldFlush:
    | ((
      request: HttpServerRequest.HttpServerRequest,
      response: HttpServerResponse.HttpServerResponse,
      exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>
    ) => boolean)
    | undefined
  readonly onFlushError:
    | ((
      error: FlushError<HttpServerResponse.HttpServerResponse>,
      response: HttpServerResponse.HttpServerResponse
    ) => HttpServerResponse.HttpServerResponse)
    | undefined
  /**
   * Where the middleware stands. `anywhere`: the app below the middleware may send the response. `router`: the response is
   * sent after the middleware. `api`: as with `router`, but failures become responses outside of the middleware.
   */
  readonly place: "anywhere" | "router" | "api"
  /** The context in which the middleware was built, if an Effect built it: added to that of the request. */
  readonly context: Context.Context<never> | undefined
}

/** Runs an app in the scope of its request. @internal */
export const inRequestScope = <E, R>(
  app: HttpApp.Default<E, R>,
  options: RequestOptions
): HttpApp.Default<E, Exclude<R, AirlockScope> | Airlock> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
    const hooked = options.place !== "router" && maySend(fiber, runtimeFlags)
    return RuntimeFlags.interruptible(runtimeFlags)
      ? Effect.uninterruptibleMask((restore) => inScope(restore(app), fiber, options, hooked))
      : inScope(app, fiber, options, hooked)
  })

/**
 * Whether the app below a middleware may send the response. A route does not. The fiber of a route is interruptible and has
 * a `RouteContext`; the fiber of a server is not interruptible, unless the server is built inside a route of another one.
 *
 * @internal
 */
export const maySend = (fiber: AnyFiber, flags: RuntimeFlags.RuntimeFlags): boolean =>
  !(RuntimeFlags.interruptible(flags) && fiber.currentContext.unsafeMap.has(RouteContext.key))

/** For an uninterruptible region. */
const inScope = <E, R>(
  app: HttpApp.Default<E, R>,
  fiber: AnyFiber,
  options: RequestOptions,
  hooked: boolean
): HttpApp.Default<E, Exclude<R, AirlockScope>> => {
  const context = options.context === undefined
    ? fiber.currentContext
    : Context.merge(options.context, fiber.currentContext)
  const request = Context.unsafeGet(context, HttpServerRequest.HttpServerRequest)
  const scope = openScope(fiber, {
    airlock: Context.unsafeGet(context, Airlock),
    options: options.scope,
    context,
    // The outer scope gets the intents only if it belongs to the same request: outer middleware or a transaction per request
    // has opened it. It may also be a scope in which the server was built, which must not get the intents of requests.
    mayBeOuter: (outer) => findScope(outer, (scope) => requestSourceOf(scope) === request.source) !== undefined
  })
  scope.defaultName = () => `${request.method} ${request.url.split("?")[0]}`
  const settleByOutcome = {
    onSuccess: (response: HttpServerResponse.HttpServerResponse) =>
      settleBefore(scope, options, request, response, undefined),
    onFailure: (cause: Cause.Cause<E>): Effect.Effect<HttpServerResponse.HttpServerResponse, E> =>
      // If the failure becomes a response outside of the middleware, the hook settles by that response.
      scope.settlement !== undefined || (options.place === "api" && !Cause.isInterruptedOnly(cause))
        ? Effect.failCause(cause)
        : Effect.flatMap(HttpServerError.causeResponse(cause), ([response]) =>
          Effect.flatMap(
            settleBefore(scope, options, request, response, cause),
            (answer) => answer === response ? Effect.failCause(cause) : Effect.succeed(answer)
          ))
  }
  // A middleware that is given to `HttpServer.serve` ends after the response was sent, so there the hook settles. Elsewhere the
  // end of the app settles. If both happen, the second finds the scope settled.
  const hook = hooked
    ? hookFor(fiber, scope, (request, response) => settleBefore(scope, options, request, response, undefined))
    : []
  // A scope that goes on in this fiber is that of outer middleware, or of code that runs the app itself. Any other scope around
  // is one in which the server was built. It must get nothing of this request.
  const enterScope = scope.outer === undefined && !isOpenedBy(fiber) ? enterForGood : enter
  enterScope(fiber, scope, ...hook)
  return withoutMarker(Effect.matchCauseEffect(app, settleByOutcome))
}

/** Settles the scope by a response, and returns the response to send. */
const settleBefore = (
  scope: Scope,
  options: RequestOptions,
  request: HttpServerRequest.HttpServerRequest,
  response: HttpServerResponse.HttpServerResponse,
  cause: Cause.Cause<unknown> | undefined
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  if (scope.settlement !== undefined) {
    return Effect.succeed(response)
  }
  const { shouldFlush } = options
  if (shouldFlush === undefined && settleEmpty(scope, response.status < 400) !== undefined) {
    return Effect.succeed(response)
  }
  const exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown> = cause === undefined
    ? Exit.succeed(response)
    : Exit.failCause(cause)
  const settling = shouldFlush === undefined
    ? settle(scope, exitByStatus(response, exit))
    : settle(scope, exit, { flush: (exit) => shouldFlush(request, response, exit) })
  return Effect.uninterruptible(
    Effect.flatMap(settling, (settlement) => {
      const failure = failureOf(scope, exit, settlement)
      return Exit.isSuccess(failure) ? Effect.succeed(response) : Effect.map(
        Effect.logError("Airlock: not all intents of the request left", failure.cause),
        () => responseAfterFailure(settlement, options, response, failure.cause)
      )
    })
  )
}

/** The status decides: below 400 a request is a success with its response, and otherwise a failure. */
const exitByStatus = (
  response: HttpServerResponse.HttpServerResponse,
  exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>
): Exit.Exit<HttpServerResponse.HttpServerResponse, unknown> =>
  response.status < 400
    ? Exit.isSuccess(exit) ? exit : Exit.succeed(response)
    : Exit.isSuccess(exit)
    ? Exit.fail(response)
    : exit

/** The response to send if some intents of the request should have left and did not. */
const responseAfterFailure = (
  { isLost }: Settlement,
  { onFlushError }: RequestOptions,
  response: HttpServerResponse.HttpServerResponse,
  cause: Cause.Cause<FlushError<HttpServerResponse.HttpServerResponse>>
): HttpServerResponse.HttpServerResponse => {
  const error = Cause.failureOption(cause)
  return onFlushError !== undefined && Option.isSome(error)
    ? onFlushError(error.value, response)
    : isLost
    ? HttpServerResponse.empty({ status: 500 })
    : response
}
