/**
 * A request's scope: where it opens, and how it settles before the response is sent.
 *
 * @internal
 */
import * as HttpApp from "@effect/platform/HttpApp"
import { RouteContext } from "@effect/platform/HttpRouter"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type { FlushError } from "../AirlockError.js"
import type { AirlockScope, ScopeOptions } from "../AirlockScope.js"
import { Airlock } from "./airlock.js"
import type { RefUpdate } from "./fiberRefs.js"
import { openScope } from "./open.js"
import { enter } from "./position.js"
import type { Scope } from "./scope.js"
import { failureOf, settle, settleEmpty, type Settlement } from "./settle.js"

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
      error: FlushError,
      response: HttpServerResponse.HttpServerResponse
    ) => HttpServerResponse.HttpServerResponse)
    | undefined
  /**
   * What is known of the place. `anywhere`: perhaps what is below sends the response. `router`: it is sent after all that
   * stands here. `api`: as `router`, but failures become responses outside.
   */
  readonly place: "anywhere" | "router" | "api"
  /** What the middleware was built with, where that was done by an Effect: it holds beside what the request has. */
  readonly context: Context.Context<never> | undefined
}

/** @internal */
export const inRequestScope = <E, R>(
  app: HttpApp.Default<E, R>,
  options: RequestOptions
): HttpApp.Default<E, Exclude<R, AirlockScope> | Airlock> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
    const hooked = options.place !== "router" && maySend(fiber, runtimeFlags)
    return RuntimeFlags.interruptible(runtimeFlags)
      ? Effect.uninterruptibleMask((restore) => run(restore(app), fiber, options, hooked))
      : run(app, fiber, options, hooked)
  })

/**
 * Whether the app below a middleware may send the response: not if it is a route. A route's fiber is interruptible and knows
 * its route; a server's is not, unless someone made it so, or built it in a route of another server.
 *
 * @internal
 */
export const maySend = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  flags: RuntimeFlags.RuntimeFlags
): boolean => !(RuntimeFlags.interruptible(flags) && fiber.currentContext.unsafeMap.has(RouteContext.key))

/** For an uninterruptible region. */
const run = <E, R>(
  app: HttpApp.Default<E, R>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  options: RequestOptions,
  hooked: boolean
): HttpApp.Default<E, Exclude<R, AirlockScope>> => {
  const context = options.context === undefined
    ? fiber.currentContext
    : Context.merge(options.context, fiber.currentContext)
  const request = Context.unsafeGet(context, HttpServerRequest.HttpServerRequest)
  const airlock = Context.unsafeGet(context, Airlock)
  // The fiber of a request may stand in a scope that the server was built in: that one must not be fed. One that was
  // opened for this request, by middleware around or by a transaction a request, has the say that it should.
  const scope = openScope(fiber, airlock, options.scope, (parent) => isOf(parent, request.source), context)
  scope.request = request
  const ended = {
    onSuccess: (response: HttpServerResponse.HttpServerResponse) =>
      settleBefore(scope, options, request, response, undefined),
    onFailure: (cause: Cause.Cause<E>): Effect.Effect<HttpServerResponse.HttpServerResponse, E> =>
      // Where a failure becomes a response only outside of here, that response is for the hook to judge.
      scope.settlement !== undefined || (options.place === "api" && !Cause.isInterruptedOnly(cause))
        ? Effect.failCause(cause)
        : Effect.flatMap(HttpServerError.causeResponse(cause), ([response]) =>
          Effect.flatMap(
            settleBefore(scope, options, request, response, cause),
            (answer) => answer === response ? Effect.failCause(cause) : Effect.succeed(answer)
          ))
  }
  // Given to `HttpServer.serve`, a middleware ends only after the response was sent: there, a hook is what settles in
  // time. Elsewhere it is the end of the app below. Whoever comes second finds the scope settled.
  const hook = hooked
    ? hookFor(fiber, scope, (request, response) => settleBefore(scope, options, request, response, undefined))
    : []
  enter(fiber, scope, ...hook)
  // What `R` loses is the marker, which has a value at run time wherever it is asked for.
  return Effect.matchCauseEffect(app as HttpApp.Default<E, Exclude<R, AirlockScope>>, ended)
}

const isOf = (scope: Scope, source: unknown): boolean => {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer?.scope) {
    if (at.requestSource === source) {
      return true
    }
  }
  return false
}

/**
 * What is to be set so that a handler runs before the response is sent. The platform runs those of outer middleware first,
 * but a scope must settle before the one around it: so those of a request share one hook, which runs the innermost first.
 *
 * @internal
 */
export const hookFor = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  scope: Scope,
  handler: HttpApp.PreResponseHandler
): ReadonlyArray<RefUpdate> => {
  for (let at = scope.outer?.scope; at !== undefined; at = at.outer?.scope) {
    if (at.beforeResponse !== undefined && at.requestSource === scope.requestSource) {
      scope.beforeResponse = at.beforeResponse
      at.beforeResponse.push(handler)
      return []
    }
  }
  const handlers: Array<HttpApp.PreResponseHandler> = scope.beforeResponse = [handler]
  const all: HttpApp.PreResponseHandler = (request, response) =>
    handlers.length === 1 ? handler(request, response) : innermostFirst(handlers, request, response)
  const before = fiber.getFiberRef(HttpApp.currentPreResponseHandlers)
  const hook: HttpApp.PreResponseHandler = before._tag === "None"
    ? all
    : (request, response) => Effect.flatMap(before.value(request, response), (response) => all(request, response))
  return [[HttpApp.currentPreResponseHandlers, Option.some(hook)]]
}

const innermostFirst = (
  handlers: ReadonlyArray<HttpApp.PreResponseHandler>,
  request: HttpServerRequest.HttpServerRequest,
  response: HttpServerResponse.HttpServerResponse
) =>
  handlers.reduceRight<ReturnType<HttpApp.PreResponseHandler>>(
    (before, handler) => Effect.flatMap(before, (response) => handler(request, response)),
    Effect.succeed(response)
  )

/** Settles by a response, and gives the one that is to be sent. */
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
  const exit = cause === undefined ? Exit.succeed(response) : Exit.failCause(cause)
  const flush = shouldFlush === undefined ? response.status < 400 : () => shouldFlush(request, response, exit)
  return Effect.uninterruptible(
    Effect.flatMap(settle(scope, exit, { flush }), (settlement) => {
      const failure = failureOf(scope, exit, settlement)
      return Exit.isSuccess(failure) ? Effect.succeed(response) : Effect.map(
        Effect.logError("Airlock: not all intents of the request left", failure.cause),
        () => answerInstead(settlement, options, response, failure.cause)
      )
    })
  )
}

/** What the client gets where not all has left that should have. */
const answerInstead = (
  { isLost }: Settlement,
  { onFlushError }: RequestOptions,
  response: HttpServerResponse.HttpServerResponse,
  cause: Cause.Cause<FlushError>
): HttpServerResponse.HttpServerResponse => {
  const error = Cause.failureOption(cause)
  return onFlushError !== undefined && Option.isSome(error)
    ? onFlushError(error.value, response)
    : isLost
    ? HttpServerResponse.empty({ status: 500 })
    : response
}
