/**
 * An intent as a row of the outbox, and back.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import type { InvalidPayloadError } from "../../AirlockError.js"
import type { Handlers } from "../../Executor.js"
import type { EnqueueOptions, Intent, IntentId } from "../../Intent.js"
import { decode, encode } from "../payload.js"
import type { Cascade } from "../scope.js"
import type { ClaimedRow, NewRow } from "./row.js"

/** @internal */
export const rowOf = (intent: Intent): NewRow => {
  const { encoded, enqueuedAt, id, options, payload, span, task } = intent
  return {
    id,
    task: task.name,
    version: task.version ?? 1,
    payload: encoded ?? encode(task, payload),
    options: kept({ origin: options.origin, native: options.native, cascade: chainOf(intent) }),
    queue: options.queue ?? null,
    priority: options.priority ?? 0,
    dedupeKey: options.dedupeKey ?? null,
    orderingKey: options.orderingKey ?? null,
    maxAttempts: options.maxAttempts ?? null,
    availableAt: options.runAt?.getTime() ?? null,
    delayMillis: options.delay === undefined ? null : Duration.toMillis(options.delay),
    enqueuedAt,
    traceId: span?.traceId ?? null,
    spanId: span?.spanId ?? null
  }
}

/** What the relay passes on, beside what has a column. */
interface Kept extends Pick<EnqueueOptions, "origin" | "native"> {
  /** The handlers that led to it, the last one first. */
  readonly cascade?: ReadonlyArray<string>
}

const kept = (options: { readonly [Name in keyof Kept]: Kept[Name] | undefined }): string | null =>
  Object.values(options).every((value) => value === undefined) ? null : JSON.stringify(options)

const chainOf = (intent: Intent & { readonly cascade?: Cascade | undefined }): ReadonlyArray<string> | undefined => {
  const tasks: Array<string> = []
  for (let at = intent.cascade; at !== undefined; at = at.outer) {
    tasks.push(at.task)
  }
  return tasks.length === 0 ? undefined : tasks
}

const cascadeOf = (tasks: ReadonlyArray<string> = []): Cascade | undefined =>
  tasks.reduceRight<Cascade | undefined>(
    (outer, task) => ({ task, depth: outer === undefined ? 1 : outer.depth + 1, outer }),
    undefined
  )

/** Fails where the payload is not, or no longer, what its task describes. @internal */
export const intentOf = (row: ClaimedRow, handlers: Handlers): Effect.Effect<Intent, InvalidPayloadError> => {
  // Without a handler it is left as it is: to run it is then an `UnknownTaskError`, after which it comes again.
  const task = handlers.task(row.task) ?? { name: row.task, payloadSchema: Schema.Unknown }
  const passed: Kept = row.options === null ? {} : JSON.parse(row.options)
  const { cascade, ...options } = passed
  return Effect.map(decode(task, row.payload), (payload) => ({
    // It was an intent's when it was written.
    id: row.id as IntentId,
    task,
    payload,
    encoded: row.payload,
    options: { ...options, ...optionsOf(row) },
    cascade: cascadeOf(cascade),
    enqueuedAt: row.enqueuedAt,
    scopeId: 0,
    span: row.traceId === null || row.spanId === null
      ? undefined
      : Tracer.externalSpan({ traceId: row.traceId, spanId: row.spanId })
  }))
}

const optionsOf = (row: ClaimedRow): EnqueueOptions => ({
  priority: row.priority,
  ...(row.queue !== null && { queue: row.queue }),
  ...(row.dedupeKey !== null && { dedupeKey: row.dedupeKey }),
  ...(row.orderingKey !== null && { orderingKey: row.orderingKey }),
  ...(row.maxAttempts !== null && { maxAttempts: row.maxAttempts })
})
