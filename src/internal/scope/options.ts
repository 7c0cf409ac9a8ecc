/**
 * Checks the options of an enqueue for a durable executor, which stores them.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { EnqueueOptions } from "../../Intent.js"

/** @internal */
export const noOptions: EnqueueOptions = Object.freeze({})

/** A frozen copy: the caller may change the object later. @internal */
export const freezeOptions = (options: EnqueueOptions): EnqueueOptions =>
  options === noOptions ? options : Object.freeze({ ...options })

/** `options.delay: expected a finite duration`, one line for each wrong option. @internal */
export const issuesOfOptions = (options: EnqueueOptions): ReadonlyArray<string> => {
  if (options === noOptions) {
    return []
  }
  const { dedupeKey, delay, maxAttempts, native, orderingKey, origin, priority, queue, runAt } = options
  const issues: Array<string> = []
  const expect = (isValid: boolean, what: string) => isValid ? undefined : issues.push(`options.${what}`)
  expect(delay === undefined || isFiniteDuration(delay), "delay: expected a finite duration")
  expect(
    runAt === undefined || (runAt instanceof Date && !Number.isNaN(runAt.getTime())),
    "runAt: expected a valid Date"
  )
  expect(priority === undefined || Number.isSafeInteger(priority), "priority: expected a whole number")
  expect(
    maxAttempts === undefined || (Number.isSafeInteger(maxAttempts) && maxAttempts > 0),
    "maxAttempts: expected a whole number above 0"
  )
  for (const [name, key] of Object.entries({ queue, dedupeKey, orderingKey })) {
    expect(
      key === undefined || (key.length <= 255 && !key.includes("\0")),
      `${name}: expected at most 255 characters, none of them NUL`
    )
  }
  try {
    JSON.stringify({ native, origin })
  } catch {
    issues.push("options.native: expected what JSON can hold")
  }
  return issues
}

/** A string can have the type of a duration without being one. */
const isFiniteDuration = (input: Duration.DurationInput): boolean =>
  Option.exists(Duration.decodeUnknown(input), Duration.isFinite)
