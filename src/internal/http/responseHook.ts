/**
 * The hook that runs before the response of a request is sent.
 *
 * The platform runs the pre-response handlers of outer middleware first, but a scope must settle before its outer scope. So
 * all scopes of a request share one hook, which runs the handlers of the innermost scope first. An idempotency key shares it too,
 * and its handler runs last, wherever its middleware stands.
 *
 * @internal
 */
import * as HttpApp from "@effect/platform/HttpApp"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import * as Option from "effect/Option"
import { currentOf } from "../scope/currentScope.js"
import { findScope, type Scope } from "../scope/scope.js"
import type { AnyFiber, RefUpdate } from "../support/effectInternals.js"

/** The pre-response handlers of a request, the outermost first. Each scope of the request that has a handler maps to them. */
const handlersOf = globalValue(
  Symbol.for("effect-airlock/preResponseHandlers"),
  () => new WeakMap<Scope, Array<HttpApp.PreResponseHandler>>()
)

interface RequestHook {
  readonly source: unknown
  readonly handlers: Array<HttpApp.PreResponseHandler>
}

/** The hook of a request that had no scope when the hook was made. */
const currentHook = globalValue(
  Symbol.for("effect-airlock/requestHook"),
  () => FiberRef.unsafeMake<RequestHook | undefined>(undefined)
)

/** The handlers of a request that already has a hook: that of a scope, or that of the fiber. */
const handlersFor = (
  fiber: AnyFiber,
  source: unknown,
  scope: Scope | undefined
): Array<HttpApp.PreResponseHandler> | undefined => {
  const hooked = findScope(scope, (outer) => handlersOf.has(outer) && requestSourceOf(outer) === source)
  if (hooked !== undefined) {
    return handlersOf.get(hooked)
  }
  const hook = fiber.getFiberRef(currentHook)
  return hook?.source === source ? hook?.handlers : undefined
}

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
  const shared = handlersFor(fiber, source, scope.outer?.scope)
  if (shared !== undefined) {
    shared.push(handler)
    handlersOf.set(scope, shared)
    return []
  }
  const handlers = [handler]
  handlersOf.set(scope, handlers)
  return [hookOf(fiber, source, handlers)]
}

/**
 * Registers a handler that runs after those of all scopes of the request, even of scopes that are already open. Returns the
 * updates of FiberRefs that this needs.
 *
 * @internal
 */
export const outermostHook = (
  fiber: AnyFiber,
  source: unknown,
  handler: HttpApp.PreResponseHandler
): ReadonlyArray<RefUpdate> => {
  const shared = handlersFor(fiber, source, currentOf(fiber)?.scope)
  if (shared !== undefined) {
    shared.unshift(handler)
    return []
  }
  const handlers = [handler]
  return [hookOf(fiber, source, handlers), [currentHook, { source, handlers }]]
}

/** Registers a handler without a scope, if the request already has a hook. Returns whether it has. @internal */
export const joinHook = (fiber: AnyFiber, source: unknown, handler: HttpApp.PreResponseHandler): boolean => {
  const shared = handlersFor(fiber, source, currentOf(fiber)?.scope)
  shared?.push(handler)
  return shared !== undefined
}

const hookOf = (
  fiber: AnyFiber,
  source: unknown,
  handlers: ReadonlyArray<HttpApp.PreResponseHandler>
): RefUpdate => {
  // A server that this request calls inherits the hook, and its responses are none of this request.
  const all: HttpApp.PreResponseHandler = (request, response) =>
    request.source !== source
      ? Effect.succeed(response)
      : handlers.length === 1
      ? handlers[0]!(request, response)
      : innermostFirst(handlers, request, response)
  const before = fiber.getFiberRef(HttpApp.currentPreResponseHandlers)
  const hook: HttpApp.PreResponseHandler = before._tag === "None"
    ? all
    : (request, response) => Effect.flatMap(before.value(request, response), (response) => all(request, response))
  return [HttpApp.currentPreResponseHandlers, Option.some(hook)]
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
