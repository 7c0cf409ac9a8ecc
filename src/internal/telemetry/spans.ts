/**
 * The spans of Airlock and their events. A span costs more than the step that it shows, so there are none unless the
 * application has installed a tracer.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"
import type { Intent } from "../../Intent.js"
import type { Outcome } from "../contract/executor.js"
import type { AnyFiber } from "../support/effectInternals.js"

/** Effect's own tracer: its spans go nowhere. */
const defaultTracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** Whether the application has installed a tracer. @internal */
export const isTraced = (fiber: AnyFiber): boolean =>
  fiber.currentTracer !== undefined && fiber.currentTracer !== defaultTracer &&
  fiber.getFiberRef(FiberRef.currentTracerEnabled)

/** Most collectors keep no more than 128 events of a span. */
const maxEvents = 100

/** The parent span of the handlers that a fiber runs. @internal */
export interface HandlerTrace {
  readonly parent: Tracer.AnySpan | undefined
}

/** @internal */
export const handlerTraceOf = (fiber: AnyFiber): HandlerTrace | undefined =>
  isTraced(fiber) ? { parent: fiber.currentSpan } : undefined

/** The span of a scope: its body and its settlement. @internal */
export const withScopeSpan = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  fiber: AnyFiber,
  scope: { readonly name: string }
): Effect.Effect<A, E, R> =>
  isTraced(fiber)
    // Its parent is the fiber's own span, so it adds nothing to `R`.
    ? Effect.withSpan(self, "airlock.scope", { attributes: { "airlock.scope": scope.name } }) as Effect.Effect<A, E, R>
    : self

/** The span of a settlement. @internal */
export const withFlushSpan = <A>(
  self: Effect.Effect<A>,
  fiber: AnyFiber,
  scope: { readonly name: string, readonly own: ReadonlyArray<Intent>, readonly captured: ReadonlyArray<Intent> }
): Effect.Effect<A> =>
  isTraced(fiber)
    ? Effect.withSpan(self, "airlock.flush", {
      attributes: {
        "airlock.scope": scope.name,
        "airlock.own": scope.own.length,
        "airlock.captured": scope.captured.length
      }
    })
    : self

/**
 * The span of one run of a handler and the settlement of its scope: a child of the flush, linked to the spans of the
 * enqueues.
 *
 * @internal
 */
export const withTaskSpan = (
  self: Effect.Effect<Outcome>,
  { parent }: HandlerTrace,
  intents: ReadonlyArray<Intent>,
  attempt: number
): Effect.Effect<Outcome> =>
  // The span ends with the outcome as its exit. Outside of the span the outcome is a value again.
  Effect.exit(Effect.withSpan(Effect.flatten(self), "airlock.task", {
    kind: "consumer",
    ...(parent === undefined ? { root: true } : { parent }),
    links: intents.slice(0, maxEvents).flatMap(({ id, span }) =>
      span === undefined ? [] : [{ _tag: "SpanLink", span, attributes: { "airlock.intent": id } } as const]
    ),
    attributes: {
      "airlock.task": intents[0]!.task.name,
      "airlock.attempt": attempt,
      ...(intents.length === 1 ? { "airlock.intent": intents[0]!.id } : { "airlock.intents": intents.length })
    }
  }))

/** Adds the event of an enqueue to the span that was current at the enqueue. @internal */
export const addEnqueueEvent = (fiber: AnyFiber, intent: Intent, scope: { readonly name: string }): void => {
  if (intent.span?._tag === "Span" && isTraced(fiber)) {
    intent.span.event("airlock.enqueue", now(fiber), {
      "airlock.task": intent.task.name,
      "airlock.intent": intent.id,
      "airlock.scope": scope.name
    })
  }
}

/** Adds an event for each item to the current span, and the number of items as an attribute. @internal */
export const addEvents = <A>(
  fiber: AnyFiber,
  name: string,
  items: ReadonlyArray<A>,
  attributesOf: (item: A) => Record<string, unknown>
): void => {
  const span = fiber.currentSpan
  if (items.length === 0 || span?._tag !== "Span" || !isTraced(fiber)) {
    return
  }
  span.attribute(`airlock.${name}`, items.length)
  for (const item of items.slice(0, maxEvents)) {
    span.event(`airlock.${name}`, now(fiber), attributesOf(item))
  }
}

/** Nanoseconds since the epoch, by the Effect `Clock`. @internal */
export const now = (fiber: AnyFiber): bigint =>
  Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeNanos()
