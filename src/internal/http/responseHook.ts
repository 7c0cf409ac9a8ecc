/**
 * The hook that runs before the response of a request is sent.
 *
 * The platform runs the pre-response handlers of outer middleware first, but a scope must settle before its outer scope. So
 * all scopes of a request share one hook, which runs the handlers of the innermost scope first.
 *
 * @internal
 */
import * as HttpApp from "@effect/platform/HttpApp"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Option from "effect/Option"
import { findScope, type Scope } from "../scope/scope.js"
import type { AnyFiber, RefUpdate } from "../support/effectInternals.js"

/** The pre-response handlers of a request, the outermost first. Each scope of the request that has a handler maps to them. */
const handlersOf = globalValue(
  Symbol.for("effect-airlock/preResponseHandlers"),
  () => new WeakMap<Scope, Array<HttpApp.PreResponseHandler>>()
)

/**
 * Identifies the request in whose context a scope was opened: the request object of the host, which stays the same when
 * middleware and routers wrap the request of the platform.
 *
 * @internal
 */
export const requestSourceOf = ({ context }: Scope): unknown => {
  const request: HttpServerRequest | undefined = context.unsafeMap.get(HttpServerRequest.key)
  return request?.source
}

/** Registers a handler that runs before the response is sent. Returns the updates of FiberRefs that this needs. @internal */
export const hookFor = (
  fiber: AnyFiber,
  scope: Scope,
  handler: HttpApp.PreResponseHandler
): ReadonlyArray<RefUpdate> => {
  const source = requestSourceOf(scope)
  const hooked = findScope(scope.outer?.scope, (outer) => handlersOf.has(outer) && requestSourceOf(outer) === source)
  const shared = hooked && handlersOf.get(hooked)
  if (shared !== undefined) {
    shared.push(handler)
    handlersOf.set(scope, shared)
    return []
  }
  const handlers = [handler]
  handlersOf.set(scope, handlers)
  // A server that this request calls inherits the hook, and its responses are none of this request.
  const all: HttpApp.PreResponseHandler = (request, response) =>
    request.source !== source
      ? Effect.succeed(response)
      : handlers.length === 1
      ? handler(request, response)
      : innermostFirst(handlers, request, response)
  const before = fiber.getFiberRef(HttpApp.currentPreResponseHandlers)
  const hook: HttpApp.PreResponseHandler = before._tag === "None"
    ? all
    : (request, response) => Effect.flatMap(before.value(request, response), (response) => all(request, response))
  return [[HttpApp.currentPreResponseHandlers, Option.some(hook)]]
}

const innermostFirst = (
  handlers: ReadonlyArray<HttpApp.PreResponseHandler>,
  request: HttpServerRequest,
  response: HttpServerResponse
) =>
  handlers.reduceRight<ReturnType<HttpApp.PreResponseHandler>>(
    (before, handler) => Effect.flatMap(before, (response) => handler(request, response)),
    Effect.succeed(response)
  )
