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
import * as Option from "effect/Option"
import * as EffectScope from "effect/Scope"
import * as AirlockMetrics from "../../AirlockMetrics.js"
import { outermostHook, requestSourceOf } from "../http/responseHook.js"
import { currentOf } from "../scope/currentScope.js"
import { journalKey } from "../scope/journal.js"
import type { Scope } from "../scope/scope.js"
import {
  type AnyFiber,
  refsOf,
  type RefUpdate,
  runningFiber,
  setRefs,
  updatedRefs
} from "../support/effectInternals.js"
import { fingerprintOf, recordId } from "./fingerprint.js"
import { isRepeated, parseKey } from "./key.js"
import type { Settings } from "./options.js"
import { problem, type ProblemCode, type ProblemOptions } from "./problem.js"
import { currentIn, type CurrentRequest, ProtectedRequest, replayedKey } from "./protectedRequest.js"
import { replay, unknownResponse } from "./replay.js"
import { readBody, serveBody } from "./requestBody.js"
import type { FindSettings } from "./routes.js"
import { type Claim, IdempotencyStore, type IdempotencyStoreService, type StoredResponse } from "./store.js"

type Response = HttpServerResponse

const safeMethods = new Set(["GET", "HEAD", "OPTIONS", "TRACE"])

/** Counts a request, and says in its span what became of it. */
const note = (outcome: string): void => {
  AirlockMetrics.idempotency.unsafeUpdate(outcome, [])
  const span = runningFiber().currentSpan
  if (span?._tag === "Span") {
    span.attribute("airlock.idempotency", outcome)
  }
}

/** A response of the middleware itself. */
const refuse = (settings: Settings, code: ProblemCode, options: ProblemOptions): Effect.Effect<Response> => {
  note(code)
  return Effect.succeed(problem(settings, code, options))
}

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
    if (settings.mode === "exempt" || currentIn(own)?.source === request.source) {
      return app
    }
    const header = request.headers[settings.header]
    if (header === undefined) {
      return settings.mode === "optional"
        ? app
        : refuse(settings, "key-missing", { detail: `Send the header ${settings.header} with a unique key.` })
    }
    const parsed = isRepeated(request.source, settings.header, header)
      ? { problem: "It was sent more than once." }
      : parseKey(header)
    return "problem" in parsed
      ? refuse(settings, "key-invalid", { detail: parsed.problem })
      : withKey(app, request, parsed.key, settings, context)
  })

const withKey = <E, R>(
  app: HttpApp.Default<E, R>,
  request: HttpServerRequest,
  key: string,
  settings: Settings,
  context: Context.Context<never>
): HttpApp.Default<E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(readBody(request, settings.maxRequestBytes)), (body): HttpApp.Default<E, R> => {
      if (body._tag === "TooLarge") {
        return refuse(settings, "request-too-large", { detail: `It may have ${settings.maxRequestBytes} bytes.` })
      }
      if (body._tag === "Unreadable") {
        return refuse(settings, "body-unreadable", { detail: body.detail })
      }
      serveBody(request, body.bytes)
      const store = settings.store ?? Context.unsafeGet(context as Context.Context<IdempotencyStore>, IdempotencyStore)
      const id = recordId(request, key, settings)
      const fingerprint = fingerprintOf(request, body.bytes, settings)
      const claim = (store: IdempotencyStoreService, id: string, fingerprint: string) =>
        claimed(app, restore, { request, key, settings, store, id, fingerprint })
      return !Effect.isEffect(store) && typeof id === "string" && typeof fingerprint === "string"
        ? claim(store, id, fingerprint)
        : Effect.flatMap(
          Effect.mapInputContext(
            Effect.all([settled(store), settled(id), settled(fingerprint)]),
            (own: Context.Context<never>) => Context.merge(context, own)
          ),
          (parts) => claim(...parts)
        )
    })
  )

const settled = <A extends object | string>(value: A | Effect.Effect<A>): Effect.Effect<A> =>
  Effect.isEffect(value) ? value as Effect.Effect<A> : Effect.succeed(value)

interface Attempt {
  readonly request: HttpServerRequest
  readonly key: string
  readonly settings: Settings
  readonly store: IdempotencyStoreService
  readonly id: string
  readonly fingerprint: string
}

type Restore = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Claims a key, and answers by what the store found. */
const claimed = <E, R>(
  app: HttpApp.Default<E, R>,
  restore: Restore,
  { fingerprint, id, key, request, settings, store }: Attempt
): HttpApp.Default<E, R> => {
  const token = globalThis.crypto.randomUUID()
  const attempt = store.claim({ id, token, fingerprint, leaseMillis: settings.leaseMillis })
  /** Runs the app although the key exists, and lets it know. */
  const again = (response: StoredResponse | undefined): HttpApp.Default<E, R> => {
    note("manual")
    return knowing(restore(app), { key, exists: true, response, source: request.source })
  }
  return Effect.matchCauseEffect(settings.waitMillis === 0 ? attempt : waitFor(attempt, settings, restore), {
    onFailure: (cause): HttpApp.Default<E, R> =>
      // The claim may have come through.
      Effect.flatMap(Effect.forkDaemon(Effect.ignore(store.release({ id, token }))), () => {
        if (Option.isNone(Cause.failureOption(cause))) {
          // An interruption, or a defect such as wrong wiring, which no retry mends. The cause holds no failure.
          return Effect.failCause(cause as Cause.Cause<never>)
        }
        note("store-failed")
        const answer: HttpApp.Default<E, R> = settings.isOpen ? restore(app) : Effect.succeed(
          problem(settings, "store-unavailable", {
            detail: "The request was not carried out. Try again later.",
            retryAfterMillis: settings.retryAfterMillis
          })
        )
        return Effect.zipRight(Effect.logError("Airlock could not check an idempotency key", cause), answer)
      }),
    onSuccess: (claim): HttpApp.Default<E, R> => {
      switch (claim._tag) {
        case "Claimed":
          note("executed")
          return owning(restore(app), new ProtectedRequest(request, settings, store, key, id, token), request)
        case "InFlight":
          return settings.mode === "manual" ? again(undefined) : refuse(settings, "in-flight", {
            status: settings.inFlightStatus,
            detail: "Its response is not known yet. Try again later.",
            retryAfterMillis: settings.retryAfterMillis
          })
        case "Mismatch":
          return refuse(settings, "key-reused", {
            detail: "A key is for one request and its retries, which have the same query and the same body."
          })
        case "Unanswered":
        case "Completed": {
          const response = claim._tag === "Completed" ? claim.response : unknownResponse
          if (settings.mode === "manual") {
            return again(response)
          }
          note("replayed")
          return Effect.succeed(replay(response, settings))
        }
      }
    }
  })
}

/** Claims again until the request that owns the key has ended, or until the time is over. */
const waitFor = <E>(
  attempt: Effect.Effect<Claim, E>,
  { waitMillis }: Settings,
  restore: Restore
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
    setRefs(fiber, updatedRefs(refsOf(fiber), fiber, [withService(fiber, journalKey, owner), ...hook]))
    const scope: EffectScope.Scope | undefined = fiber.currentContext.unsafeMap.get(EffectScope.Scope.key)
    // If code around the app cuts it off, no hook runs.
    return scope === undefined ? app : Effect.zipRight(EffectScope.addFinalizer(scope, owner.abandon), app)
  })

/** Runs an app that finds out that its key exists. */
const knowing = <E, R>(app: HttpApp.Default<E, R>, replayed: CurrentRequest): HttpApp.Default<E, R> =>
  Effect.withFiberRuntime((fiber) => {
    setRefs(fiber, updatedRefs(refsOf(fiber), fiber, [withService(fiber, replayedKey, replayed)]))
    return app
  })

/** Adds a service to the context of the request, until its response is sent. */
const withService = (fiber: AnyFiber, key: string, service: unknown): RefUpdate => [
  FiberRef.currentContext,
  Context.unsafeMake(new Map(fiber.currentContext.unsafeMap).set(key, service))
]
