/**
 * What PostgreSQL stores of an intent. Its JSON and its text have no NUL, and its JSON has no half of a surrogate pair.
 *
 * @internal
 */
import type { Intent } from "../../Intent.js"
import { encode } from "../support/payload.js"
import { type JobData, jobOf, type StoredJob } from "./job.js"

/** The data of a job in PostgreSQL. @internal */
export interface PostgresJobData extends Omit<JobData, "payload"> {
  /** The id of the intent. */
  readonly id: string
  /** The name of the task. */
  readonly task: string
  /** The encoded payload. Absent if PostgreSQL cannot store it. */
  readonly payload?: unknown
  /** The text of such a payload. */
  readonly text?: string
}

/** `JSON.stringify` escapes nothing else in this way. A backslash in the payload only makes it a text that need be none. */
const unstorable = /\\u(?:0000|d[89a-f])/

/** @internal */
export const postgresDataOf = (intent: Intent): PostgresJobData => {
  const { encoded = encode(intent.task, intent.payload), id, task } = intent
  const { origin, payload, ...data } = jobOf({ ...intent, encoded })
  return {
    id,
    task: task.name,
    ...(unstorable.test(encoded) ? { text: encoded } : { payload }),
    ...data,
    ...(origin !== undefined && { origin: storableText(origin) })
  }
}

/** The job that an engine has stored. Data that is not ours makes a job that fails. @internal */
export const jobOfPostgres = (
  stored: unknown,
  engineJob: { readonly id: string, readonly name: string }
): StoredJob => {
  // Each of them may be absent in data that is not ours.
  const { id = engineJob.id, task = engineJob.name, text, ...data } = { ...stored as Partial<PostgresJobData> }
  const { enqueuedAt = 0, payload = textOrNothing(text), version = 1 } = data
  return { id, name: task, data: { ...data, payload, version, enqueuedAt } }
}

const textOrNothing = (text: unknown): unknown => {
  try {
    return typeof text === "string" ? JSON.parse(text) : undefined
  } catch {
    return undefined
  }
}

/** A text without what PostgreSQL cannot store. @internal */
export const storableText = (text: string): string =>
  new TextDecoder().decode(new TextEncoder().encode(text)).replaceAll("\0", "\ufffd")

/**
 * Orders the intents of a batch by their keys, and keeps the first one of each key. Transactions that insert the same keys in
 * opposite orders would wait for each other.
 *
 * @internal
 */
export const firstOfEachKey = <A>(jobs: ReadonlyArray<A>, keyOf: (job: A) => string | undefined): ReadonlyArray<A> => {
  const unkeyed: Array<A> = []
  const keyed = new Map<string, A>()
  for (const job of jobs) {
    const key = keyOf(job)
    if (key === undefined) {
      unkeyed.push(job)
    } else if (!keyed.has(key)) {
      keyed.set(key, job)
    }
  }
  return keyed.size === 0
    ? jobs
    : [...unkeyed, ...[...keyed].sort(([a], [b]) => a < b ? -1 : 1).map(([, job]) => job)]
}
