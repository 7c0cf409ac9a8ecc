/**
 * What an engine stores of an intent, and the intent that a worker makes of it.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Tracer from "effect/Tracer"
import { StoredPayloadError, UnknownTaskError } from "../../AirlockError.js"
import type { Intent, IntentId } from "../../Intent.js"
import type { Handlers } from "../contract/executor.js"
import { decodeText, NewerVersionError } from "../outbox/intentRow.js"
import { type Cascade, cascadeOf, tasksOf } from "../scope/cascade.js"
import { recordOf } from "../scope/intentRecord.js"
import { encode } from "../support/payload.js"

/**
 * The data of a job, as JSON. Its name is that of the task, and its id that of the intent.
 *
 * @since 0.1.0
 * @category models
 */
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

/**
 * What an engine stores of an intent.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredJob {
  /** The id of the intent. */
  readonly id: string
  /** The name of its task. */
  readonly name: string
  readonly data: JobData
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
  { data, id, name }: StoredJob,
  handlers: Pick<Handlers, "names" | "task">
): Effect.Effect<Intent, UnknownTaskError | NewerVersionError | StoredPayloadError> => {
  const task = handlers.task(name)
  if (task === undefined) {
    return Effect.fail(new UnknownTaskError({ task: name, known: handlers.names }))
  }
  const { version = 1 } = task
  if (!isJobData(data)) {
    const issues = ["data: no data of an intent"]
    return Effect.fail(new StoredPayloadError({ task: name, storedVersion: 1, version, issues }))
  }
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

/** Anybody can add a job to a queue, with any data. */
const isJobData = (data: unknown): boolean =>
  Predicate.isRecord(data) && Predicate.isNumber(data["version"]) &&
  (data["cascade"] === undefined || Array.isArray(data["cascade"]))
