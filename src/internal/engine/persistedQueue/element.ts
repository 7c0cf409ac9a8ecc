/**
 * Intents as elements of a `PersistedQueue`, and back.
 *
 * @internal
 */
import type { Intent } from "../../../Intent.js"
import { jobOf, type StoredJob } from "../job.js"

/** @internal */
export interface Element extends StoredJob {
  readonly maxAttempts: number
}

/** @internal */
export const elementOf = (intent: Intent, maxAttempts: number): Element => ({
  id: intent.id,
  name: intent.task.name,
  data: jobOf(intent),
  maxAttempts: intent.options.maxAttempts ?? intent.task.retry?.maxAttempts ?? maxAttempts
})

/** Whether an executor has offered it. @internal */
export const isElement = (element: unknown): element is Element => {
  if (!isRecord(element) || !isRecord(element["data"])) {
    return false
  }
  const { data, id, maxAttempts, name } = element
  return typeof id === "string" && typeof name === "string" && typeof maxAttempts === "number" &&
    typeof data["version"] === "number"
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null
