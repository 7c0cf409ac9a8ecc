/**
 * The middleware: checks the key of a request, claims it, and runs the app or replays.
 *
 * @internal
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as EffectScope from "effect/Scope"
import * as AirlockMetrics from "../../AirlockMetrics.js"
import { outermostHook, requestSourceOf } from "../http/responseHook.js"
import { currentOf } from "../scope/currentScope.js"
import { journalKey } from "../scope/journal.js"
import type { Scope } from "../scope/scope.js"
import { type AnyFiber, refsOf, runningFiber, setRefs, updatedRefs, updateRefs } from "../support/effectInternals.js"
import { flatMapExit } from "../support/flatMapExit.js"
import type { IdempotencyRequest } from "./current.js"
import { fingerprintOf, recordId } from "./fingerprint.js"
import { parseKey, timesSent } from "./key.js"
import type { Settings } from "./options.js"
import { problem } from "./problem.js"
import { ProtectedRequest, requestKey } from "./protectedRequest.js"
import { replay, unknownResponse } from "./replay.js"
import { readBody, serveBody } from "./requestBody.js"
import type { FindSettings } from "./routes.js"
import { type Claim, IdempotencyStore, type IdempotencyStoreService } from "./store.js"

type Response = HttpServerResponse

const safeMethods = new Set(["GET", "HEAD", "OPTIONS", "TRACE"])

/** Counts a request, and says in its span what became of it. */
const note = (outcome: string): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    AirlockMetrics.idempotency.unsafeUpdate(outcome, [])
    const span = fiber.currentSpan
    if (span?._tag === "Span") {
      span.attribute("airlock.idempotency", outcome)
    }
    return Effect.void
  })

/** @internal */
export const idempotent = <E, R>(
  app: HttpApp.Default<E, R>,
  findSettings: (context: Context.Context<never>) => FindSettings,
  built?: Context.Context<never>
): HttpApp.Default<E, R> =>
  Effect.withFiberRuntime<Response, E, R | HttpServerRequest>((fiber) => {
    const own = fiber.currentContext
    const request: HttpServerRequest = Context.unsafeGet(own as Context.Context<HttpServerRequest>, HttpServerRequest)
    if (safeMethods.has(request.method)) {
      return app
    }
    const context = built === undefined ? own : Context.merge(built, own)
    const settings = findSettings(context)(request)
    // Two of these middlewares may stand around a request. The outer one protects it.
    const around: IdempotencyRequest & { readonly source?: unknown } | undefined = own.unsafeMap.get(requestKey)
    if (settings.mode === "exempt" || around?.source === request.source) {
      return app
    }
    const header = request.headers[settings.header]
    if (header === undefined) {
      return settings.mode === "optional" ? app : Effect.as(
        note("key-missing"),
        problem(settings, "key-missing", { detail: `Send the header ${settings.header} with a unique key.` })
      )
    }
    const parsed = timesSent(request.source, settings.header) > 1
      ? { problem: "It was sent more than once." }
      : parseKey(header)
    if ("problem" in parsed) {
      return Effect.as(note("key-invalid"), problem(settings, "key-invalid", { detail: parsed.problem }))
    }
    return withKey(app, request, parsed.key, settings, context)
  })

const withKey = <E, R>(
  app: HttpApp.Default<E, R>,
  request: HttpServerRequest,
  key: string,
  settings: Settings,
  context: Context.Context<never>
): HttpApp.Default<E, R> => {
  const inContext = <A>(self: Effect.Effect<A>): Effect.Effect<A> =>
    Effect.mapInputContext(self, (own: Context.Context<never>) => Context.merge(context, own))
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const body = yield* restore(readBody(request, settings.maxRequestBytes))
      if (body._tag !== "Read") {
        const code = body._tag === "TooLarge" ? "request-too-large" : "body-unreadable"
        yield* note(code)
        return problem(settings, code, {
          detail: body._tag === "TooLarge" ? `It may have ${settings.maxRequestBytes} bytes.` : body.detail
        })
      }
      serveBody(request, body.bytes)
      const store: IdempotencyStoreService = settings.store === undefined
        ? Context.unsafeGet(context as Context.Context<IdempotencyStore>, IdempotencyStore)
        : yield* inContext(settings.store)
      const id = yield* inContext(recordId(request, key, settings))
      const fingerprint = yield* inContext(fingerprintOf(request, body.bytes, settings))
      const token = globalThis.crypto.randomUUID()
      const attempt = store.claim({ id, token, fingerprint, leaseMillis: settings.leaseMillis })
      const claim = yield* Effect.exit(settings.waitMillis === 0 ? attempt : waitFor(attempt, settings, restore))
      if (claim._tag === "Failure") {
        // The claim may have come through.
        yield* Effect.forkDaemon(Effect.ignore(store.release({ id, token })))
        if (Cause.isInterruptedOnly(claim.cause)) {
          return yield* Effect.interrupt
        }
        yield* Effect.logError("Airlock could not check an idempotency key", claim.cause)
        yield* note("store-failed")
        return settings.isOpen ? yield* restore(app) : problem(settings, "store-unavailable", {
          detail: "The request was not carried out. Try again later.",
          retryAfterMillis: settings.retryAfterMillis
        })
      }
      switch (claim.value._tag) {
        case "Claimed": {
          yield* note("executed")
          return yield* owning(restore(app), new ProtectedRequest(request, settings, store, key, id, token), request)
        }
        case "InFlight": {
          yield* note("in-flight")
          return problem(settings, "in-flight", {
            status: settings.inFlightStatus,
            detail: "Its response is not known yet. Try again later.",
            retryAfterMillis: settings.retryAfterMillis
          })
        }
        case "Mismatch": {
          yield* note("key-reused")
          return problem(settings, "key-reused", {
            detail: "A key is for one request and its retries, which have the same query and the same body."
          })
        }
        case "Unanswered":
        case "Completed": {
          const response = claim.value._tag === "Completed" ? claim.value.response : unknownResponse
          yield* note("replayed")
          return settings.mode === "manual"
            ? yield* again(restore(app), { key, exists: true, response, source: request.source })
            : replay(response, settings)
        }
      }
    })
  )
}

/** Claims again until the request that owns the key has ended, or until the time is over. */
const waitFor = <E>(
  attempt: Effect.Effect<Claim, E>,
  { waitMillis }: Settings,
  restore: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<Claim, E> =>
  Effect.flatMap(Clock.currentTimeMillis, (start) => {
    const loop = (pause: number): Effect.Effect<Claim, E> =>
      Effect.flatMap(attempt, (claim) =>
        claim._tag !== "InFlight" ? Effect.succeed(claim) : Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const left = start + waitMillis - now
          return left <= 0
            ? Effect.succeed(claim)
            : Effect.zipRight(
              restore(Effect.interruptible(Effect.sleep(Math.min(pause, left)))),
              loop(Math.min(pause * 2, 500))
            )
        }))
    return loop(20)
  })

/** Runs the app of a request that owns its key. Before the response is sent, the hook stores it or frees the key. */
const owning = <E, R>(
  app: HttpApp.Default<E, R>,
  owner: ProtectedRequest,
  request: HttpServerRequest
): HttpApp.Default<E, R> =>
  Effect.withFiberRuntime((fiber) => {
    for (let scope: Scope | undefined = currentOf(fiber)?.scope; scope !== undefined; scope = scope.outer?.scope) {
      // The scopes of outer middleware are a part of the request.
      scope.journal ??= requestSourceOf(scope) === request.source ? owner : undefined
    }
    const hook = outermostHook(fiber, request.source, (_, response) => owner.end(response, runningFiber()))
    setRefs(fiber, updatedRefs(refsOf(fiber), fiber, hook))
    const scope: EffectScope.Scope | undefined = fiber.currentContext.unsafeMap.get(EffectScope.Scope.key)
    const running = withServices(app, fiber, [[journalKey, owner], [requestKey, owner]])
    // If code around the app cuts it off, no hook runs.
    return scope === undefined ? running : Effect.zipRight(EffectScope.addFinalizer(scope, owner.abandon), running)
  })

/** Runs the app once more, with the response that was stored. */
const again = <E, R>(
  app: HttpApp.Default<E, R>,
  current: IdempotencyRequest & { readonly source: unknown }
): HttpApp.Default<E, R> => Effect.withFiberRuntime((fiber) => withServices(app, fiber, [[requestKey, current]]))

/** Adds services to the context of the app, for this uninterruptible region. */
const withServices = <E, R>(
  app: HttpApp.Default<E, R>,
  fiber: AnyFiber,
  services: ReadonlyArray<readonly [key: string, service: unknown]>
): HttpApp.Default<E, R> => {
  const context = Context.unsafeMake(new Map([...fiber.currentContext.unsafeMap, ...services]))
  const restore = updateRefs(fiber, [[FiberRef.currentContext, context]])
  return flatMapExit(app, (exit) => {
    restore()
    return exit
  })
}
