/**
 * Checks the options of an enqueue: whether the executor carries them out, and whether their values are valid.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { EnqueueOptions } from "../../Intent.js"
import type { Capability } from "../contract/executor.js"
import { issuesOfJson } from "../support/json.js"

/** @internal */
export const noOptions: EnqueueOptions = Object.freeze({})

/** A frozen copy: the caller may change the object later. @internal */
export const freezeOptions = (options: EnqueueOptions): EnqueueOptions =>
  options === noOptions ? options : Object.freeze({ ...options })

/** The options that are no part of the capabilities of an executor. @internal */
export const unsupportedOptions = (
  options: EnqueueOptions,
  capabilities: ReadonlyArray<Capability>
): ReadonlyArray<Capability> => {
  let unsupported: Array<Capability> | undefined
  for (const name in options) {
    // An unknown name is an option of a later version, or no option at all. No executor carries it out.
    const option = name as Capability | "origin"
    if (option !== "origin" && options[option] !== undefined && !capabilities.includes(option)) {
      unsupported = [...unsupported ?? [], option]
    }
  }
  return unsupported ?? none
}

const none: ReadonlyArray<Capability> = []

/**
 * `options.delay: expected a finite duration`, one line for each wrong option. An executor in this process waits for times, and
 * stores nothing.
 *
 * @internal
 */
export const issuesOfOptions = (options: EnqueueOptions, isStored: boolean): ReadonlyArray<string> => {
  if (options === noOptions) {
    return none
  }
  const { dedupeKey, delay, maxAttempts, native, orderingKey, origin, priority, queue, runAt } = options
  const issues: Array<string> = []
  const expect = (isValid: boolean, what: string) => isValid ? undefined : issues.push(`options.${what}`)
  expect(
    delay === undefined || isStorableDuration(delay),
    "delay: expected a finite duration, of at most 8.64e15 milliseconds"
  )
  expect(
    runAt === undefined || (runAt instanceof Date && !Number.isNaN(runAt.getTime())),
    "runAt: expected a valid Date"
  )
  expect(
    maxAttempts === undefined || (isInteger(maxAttempts) && maxAttempts > 0),
    "maxAttempts: expected a whole number above 0, of at most 32 bits"
  )
  if (!isStored) {
    return issues
  }
  expect(priority === undefined || isInteger(priority), "priority: expected a whole number of at most 32 bits")
  expect(origin === undefined || typeof origin === "string", "origin: expected a string")
  for (const [name, key] of Object.entries({ queue, dedupeKey, orderingKey })) {
    expect(
      key === undefined || (typeof key === "string" && key.length <= 255 && !/\0|\p{Surrogate}/u.test(key)),
      `${name}: expected at most 255 characters, none of them NUL or a half of a surrogate pair`
    )
  }
  expect(native === undefined || isJson(native), "native: expected what JSON can hold")
  return issues
}

/** The range of times that a Date can have, in milliseconds. */
const maxTime = 8.64e15

/** A string can have the type of a duration without being one. */
const isStorableDuration = (input: Duration.DurationInput): boolean =>
  !Number.isNaN(input) && Option.exists(Duration.decodeUnknown(input), (delay) => Duration.toMillis(delay) <= maxTime)

/** The columns of the outbox have 32 bits. */
const isInteger = (value: number): boolean => Number.isInteger(value) && value === (value | 0)

const isJson = (value: unknown): boolean => {
  try {
    return issuesOfJson(value).length === 0
  } catch {
    // It refers to itself.
    return false
  }
}
