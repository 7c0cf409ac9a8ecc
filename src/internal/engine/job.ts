/**
 * What an engine stores of an intent, and the intent that a worker makes of it.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import { type StoredPayloadError, UnknownTaskError } from "../../AirlockError.js"
import type { Intent, IntentId } from "../../Intent.js"
import type { Handlers } from "../contract/executor.js"
import { decodeText, NewerVersionError } from "../outbox/intentRow.js"
import { type Cascade, cascadeOf, tasksOf } from "../scope/cascade.js"
import { recordOf } from "../scope/intentRecord.js"
import { encode } from "../support/payload.js"

/** The data of a job, as JSON. Its name is that of the task, and its id that of the intent. @internal */
export interface JobData {
  /** The encoded payload. */
  readonly payload: unknown
  /** The version of the task that has encoded it. */
  readonly version: number
  readonly enqueuedAt: number
  readonly origin?: string
  /** The span of the enqueue. */
  readonly trace?: { readonly traceId: string, readonly spanId: string, readonly sampled: boolean }
  /** The tasks of the intent's cascade, the last one first. */
  readonly cascade?: ReadonlyArray<string>
}

/** @internal */
export const jobOf = (intent: Intent & { readonly cascade?: Cascade | undefined }): JobData => {
  const { cascade, encoded, enqueuedAt, options: { origin }, payload, span, task } = intent
  return {
    payload: JSON.parse(encoded ?? encode(task, payload)),
    version: task.version ?? 1,
    enqueuedAt,
    ...(origin !== undefined && { origin }),
    ...(span !== undefined && { trace: { traceId: span.traceId, spanId: span.spanId, sampled: span.sampled } }),
    ...(cascade !== undefined && { cascade: Arr.reverse(tasksOf(cascade)) })
  }
}

/** The intent of a job. Only a `StoredPayloadError` says that no attempt can ever succeed. @internal */
export const intentOfJob = (
  { data, id, name }: { readonly id: string, readonly name: string, readonly data: JobData },
  handlers: Pick<Handlers, "names" | "task">
): Effect.Effect<Intent, UnknownTaskError | NewerVersionError | StoredPayloadError> => {
  const task = handlers.task(name)
  if (task === undefined) {
    return Effect.fail(new UnknownTaskError({ task: name, known: handlers.names }))
  }
  const { version = 1 } = task
  if (data.version > version) {
    return Effect.fail(new NewerVersionError({ task: name, storedVersion: data.version, version }))
  }
  return decodeText(data, task, JSON.stringify(data.payload) ?? "null", (payload) =>
    recordOf({
      // The executor gave the job the id of an intent.
      id: id as IntentId,
      task,
      payload,
      options: data.origin === undefined ? {} : { origin: data.origin },
      cascade: data.cascade && cascadeOf(Arr.reverse(data.cascade)),
      enqueuedAt: data.enqueuedAt,
      span: data.trace && Tracer.externalSpan(data.trace)
    }))
}
