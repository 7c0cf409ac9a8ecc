/**
 * Converts an intent to a row of the outbox, and a claimed row back to an intent.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import type { InvalidPayloadError } from "../../AirlockError.js"
import type { EnqueueOptions, Intent, IntentId } from "../../Intent.js"
import type { Handlers } from "../contract/executor.js"
import { type Cascade, cascadeOf, tasksOf } from "../scope/cascade.js"
import { decode, encode } from "../support/payload.js"
import type { ClaimedRow, NewRow } from "./store/row.js"

/** @internal */
export const rowOf = (intent: Intent & { readonly cascade?: Cascade | undefined }): NewRow => {
  const { cascade, encoded, enqueuedAt, id, options, payload, span, task } = intent
  return {
    id,
    task: task.name,
    version: task.version ?? 1,
    payload: encoded ?? encode(task, payload),
    options: encodeOptions({
      origin: options.origin,
      native: options.native,
      cascade: cascade && Arr.reverse(tasksOf(cascade))
    }),
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

/** The options that have no column of their own. */
interface EncodedOptions extends Pick<EnqueueOptions, "origin" | "native"> {
  /** The tasks of the intent's cascade, the last one first. */
  readonly cascade?: ReadonlyArray<string>
}

const encodeOptions = (
  options: { readonly [Name in keyof EncodedOptions]: EncodedOptions[Name] | undefined }
): string | null => Object.values(options).every((value) => value === undefined) ? null : JSON.stringify(options)

/** Fails if the payload does not fit the task's Schema, which may have changed since the row was written. @internal */
export const intentOf = (row: ClaimedRow, handlers: Handlers): Effect.Effect<Intent, InvalidPayloadError> => {
  // If the handler has closed since the claim, its run fails with an `UnknownTaskError`, and the row is retried.
  const task = handlers.task(row.task) ?? { name: row.task, payloadSchema: Schema.Unknown }
  const encoded: EncodedOptions = row.options === null ? {} : JSON.parse(row.options)
  const { cascade, ...options } = encoded
  return Effect.map(decode(task, row.payload), (payload) => ({
    // `rowOf` wrote the id of an intent.
    id: row.id as IntentId,
    task,
    payload,
    encoded: row.payload,
    options: { ...options, ...optionsOf(row) },
    cascade: cascade && cascadeOf(Arr.reverse(cascade)),
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
