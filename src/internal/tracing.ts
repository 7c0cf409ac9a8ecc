/**
 * The spans of Airlock. They cost more than all that they tell of, so there are none unless a tracer of the application's
 * own is there to see them.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"
import type { Outcome } from "../Executor.js"
import { type Call, intentsOf } from "./gather.js"
import type { IntentRecord } from "./intent.js"
import type { Scope } from "./scope.js"

/** The tracer that Effect has where none was given: nobody sees its spans. */
const unseen = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** Whether the spans of a fiber go anywhere. @internal */
export const isTraced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.currentTracer !== undefined && fiber.currentTracer !== unseen &&
  fiber.getFiberRef(FiberRef.currentTracerEnabled)

/** More events than this say nothing more: most collectors keep no more than 128. */
const maxEvents = 100

/** Where a fiber runs handlers: the span that they belong to, if any. @internal */
export interface Trace {
  readonly parent: Tracer.AnySpan | undefined
}

/** @internal */
export const traceOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Trace | undefined =>
  isTraced(fiber) ? { parent: fiber.currentSpan } : undefined

/** A body and the settlement of its scope. @internal */
export const scope = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  scope: Scope
): Effect.Effect<A, E, R> =>
  isTraced(fiber)
    // The parent is the fiber's own span: nothing of it is asked of `R`.
    ? Effect.withSpan(self, "airlock.scope", { attributes: { "airlock.scope": scope.name } }) as Effect.Effect<A, E, R>
    : self

/** A settlement that has something to settle. @internal */
export const flush = <A>(
  self: Effect.Effect<A>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  scope: Scope
): Effect.Effect<A> =>
  isTraced(fiber) && scope.buffer.length > 0
    ? Effect.withSpan(self, "airlock.flush", {
      attributes: {
        "airlock.scope": scope.name,
        "airlock.own": scope.own.length,
        "airlock.captured": scope.captured.length
      }
    })
    : self

/** One run of a handler and the settlement of its scope: a child of the flush, linked to the spans that enqueued. @internal */
export const task = (
  self: Effect.Effect<Outcome>,
  { parent }: Trace,
  call: Call,
  attempt: number
): Effect.Effect<Outcome> => {
  const intents = intentsOf(call)
  const { task } = intents[0]!
  // The span is to end as the run did: its outcome is the exit of the span, and a value again outside of it.
  return Effect.exit(Effect.withSpan(Effect.flatten(self), "airlock.task", {
    kind: "consumer",
    ...(parent === undefined ? { root: true } : { parent }),
    links: intents.slice(0, maxEvents).flatMap(({ id, span }) =>
      span === undefined ? [] : [{ _tag: "SpanLink", span, attributes: { "airlock.intent": id } } as const]
    ),
    attributes: {
      "airlock.task": task.name,
      "airlock.attempt": attempt,
      ...(intents.length === 1 ? { "airlock.intent": intents[0]!.id } : { "airlock.intents": intents.length })
    }
  }))
}

/** Tells the span around that an intent was enqueued. @internal */
export const enqueued = (fiber: Fiber.RuntimeFiber<unknown, unknown>, intent: IntentRecord, scope: Scope): void => {
  if (intent.span?._tag === "Span" && isTraced(fiber)) {
    intent.span.event("airlock.enqueue", now(fiber), {
      "airlock.task": intent.task.name,
      "airlock.intent": intent.id,
      "airlock.scope": scope.name
    })
  }
}

/** Tells the span around, which is that of the flush, what was decided about intents. @internal */
export const decided = <A>(
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  decision: string,
  items: ReadonlyArray<A>,
  attributesOf: (item: A) => Record<string, unknown>
): void => {
  const span = fiber.currentSpan
  if (items.length === 0 || span?._tag !== "Span" || !isTraced(fiber)) {
    return
  }
  span.attribute(`airlock.${decision}`, items.length)
  for (const item of items.slice(0, maxEvents)) {
    span.event(`airlock.${decision}`, now(fiber), attributesOf(item))
  }
}

const now = (fiber: Fiber.RuntimeFiber<unknown, unknown>): bigint =>
  Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeNanos()
