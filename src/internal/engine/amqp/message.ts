/**
 * Intents as messages of RabbitMQ, and back. The headers of a message tell its attempt.
 *
 * @internal
 */
import type { ConsumeMessage, MessagePropertyHeaders, Options } from "amqplib"
import * as Duration from "effect/Duration"
import type { Intent } from "../../../Intent.js"
import { type JobData, jobOf } from "../job.js"
import type { EngineJob } from "../worker.js"
import type { Message } from "./publisher.js"
import { deadQueue, type Queue, retryQueue } from "./queues.js"

const header = {
  /** The number of the attempt. Absent: 1. */
  attempt: "airlock-attempt",
  maxAttempts: "airlock-max-attempts",
  /** Why the last attempt failed. */
  error: "airlock-error",
  /** Of a dead letter: how many attempts were made. */
  attempts: "airlock-attempts"
}

/** @internal */
export const defaultMaxAttempts = 10

/** @internal */
export const messageOf = (
  intent: Intent,
  queue: Queue,
  { maxAttempts, native }: { readonly maxAttempts: number, readonly native: Options.Publish | undefined }
): Message => ({
  queue,
  content: () => Buffer.from(JSON.stringify(jobOf(intent))),
  options: {
    ...native,
    ...guarantees,
    headers: native?.headers === undefined
      ? headersWith(maxAttempts)
      : { ...native.headers, [header.maxAttempts]: maxAttempts },
    contentType: "application/json",
    messageId: intent.id,
    type: intent.task.name,
    // AMQP has seconds.
    timestamp: Math.floor(intent.enqueuedAt / 1000)
  }
})

/** RabbitMQ keeps a message when it restarts, and sends it back if no queue takes it. */
const guarantees: Options.Publish = { persistent: true, mandatory: true }

/** amqplib derives an object from it for each message, which is slow the first time. */
const headersWith = (maxAttempts: number): Readonly<Record<string, number>> => {
  if (lastHeaders[header.maxAttempts] !== maxAttempts) {
    lastHeaders = { [header.maxAttempts]: maxAttempts }
  }
  return lastHeaders
}

let lastHeaders: Readonly<Record<string, number>> = {}

/** @internal */
export interface MessageJob extends EngineJob {
  readonly maxAttempts: number
}

/** The job of a message, if an executor has published it. @internal */
export const jobOfMessage = ({ content, properties }: ConsumeMessage): MessageJob | undefined => {
  const { headers = {}, messageId, type } = properties
  const data = dataIn(content)
  return typeof messageId === "string" && typeof type === "string" && data !== undefined
    ? {
      id: messageId,
      name: type,
      data,
      attempt: countIn(headers, header.attempt, 1),
      maxAttempts: countIn(headers, header.maxAttempts, defaultMaxAttempts)
    }
    : undefined
}

const dataIn = (content: Buffer): JobData | undefined => {
  try {
    const data: unknown = JSON.parse(content.toString())
    return typeof data === "object" && data !== null && "version" in data && typeof data.version === "number"
      // An executor has written what else is in it.
      ? data as JobData
      : undefined
  } catch {
    return undefined
  }
}

const countIn = (headers: MessagePropertyHeaders, name: string, standard: number): number => {
  const count: unknown = headers[name]
  // Anybody can publish a message with any headers.
  return typeof count === "number" && Number.isSafeInteger(count) && count > 0 ? count : standard
}

/** The longest delay of a retry. */
const maxDelayMillis = 3_600_000

/** All headers of a message together have 64 KB. */
const maxErrorLength = 4000

/** The message of the next attempt. It waits for a delay that is twice as long after each attempt. @internal */
export const retryOf = (
  message: ConsumeMessage,
  { attempt, delay, error, queue }: {
    readonly queue: string
    readonly attempt: number
    readonly error: Error
    readonly delay: Duration.DurationInput
  }
): Message => {
  const first = Math.max(Math.round(Duration.toMillis(delay)), 1)
  const millis = Math.min(first * 2 ** (attempt - 1), Math.max(first, maxDelayMillis))
  return republished(message, retryQueue(queue, millis), error, { [header.attempt]: attempt + 1 })
}

/** Its attempts begin again if somebody puts it back into its queue. @internal */
export const deadLetterOf = (
  message: ConsumeMessage,
  { attempt, error, queue }: { readonly queue: string, readonly attempt: number, readonly error: Error }
): Message => republished(message, deadQueue(queue), error, { [header.attempts]: attempt })

const republished = (
  { content, properties }: ConsumeMessage,
  queue: Queue,
  error: Error,
  count: Readonly<Record<string, number>>
): Message => {
  const { appId, contentEncoding, contentType, correlationId, messageId, priority, replyTo, timestamp, type } =
    properties
  return {
    queue,
    content: () => content,
    options: {
      ...guarantees,
      appId,
      contentEncoding,
      contentType,
      correlationId,
      messageId,
      priority,
      replyTo,
      timestamp,
      type,
      headers: { ...ownHeaders(properties.headers), [header.error]: error.message.slice(0, maxErrorLength), ...count }
    }
  }
}

/** Without those that RabbitMQ has added, or would act upon again, and those of the last attempt. */
const ownHeaders = (headers: MessagePropertyHeaders = {}): MessagePropertyHeaders =>
  Object.fromEntries(
    Object.entries(headers).filter(([name]) =>
      !/^x-(death|first-death|last-death|delivery-count|acquired-count|opt-)|^B?CC$/.test(name) &&
      name !== header.attempt && name !== header.attempts
    )
  )
