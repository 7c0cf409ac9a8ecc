/**
 * Checks the options of a task when it is defined, and copies them.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { RetryOptions, Upcasts } from "../../Intent.js"

/** The largest number that the columns of an outbox take. */
const maxInteger = 2_147_483_647

const isInteger = (n: unknown, max: number = maxInteger): n is number =>
  typeof n === "number" && Number.isInteger(n) && n >= 1 && n <= max

/** @internal */
export const checkedVersion = (task: string, version: number): number => {
  if (!isInteger(version)) {
    throw new RangeError(`The task "${task}" needs a version that is a positive integer, and got ${version}`)
  }
  return version
}

/** @internal */
export const checkedUpcast = (task: string, version: number, upcast: Upcasts): Upcasts => {
  for (const [key, f] of Object.entries(upcast)) {
    if (!/^[1-9]\d*$/.test(key) || !isInteger(Number(key), version - 1)) {
      throw new RangeError(
        `The task "${task}" has an upcast for "${key}". Its version is ${version}, so it can have upcasts for ${
          version === 1
            ? "no version: raise its version"
            : version === 2
            ? "version 1"
            : `the versions 1 to ${version - 1}`
        }`
      )
    }
    if (typeof f !== "function") {
      throw new TypeError(`The upcast of the task "${task}" for version ${key} is no function`)
    }
  }
  return Object.freeze({ ...upcast })
}

/** @internal */
export const checkedRetry = (task: string, retry: RetryOptions): RetryOptions => {
  const { maxAttempts, schedule, timeout } = retry
  if (maxAttempts !== undefined && !isInteger(maxAttempts)) {
    throw new RangeError(`The task "${task}" needs a maxAttempts that is a positive integer, and got ${maxAttempts}`)
  }
  if (schedule !== undefined && !Schedule.isSchedule(schedule)) {
    throw new TypeError(`The task "${task}" has a retry.schedule that is no Schedule`)
  }
  if (timeout !== undefined && !isPositive(timeout)) {
    throw new RangeError(`The task "${task}" needs a retry.timeout that is a duration above 0`)
  }
  return Object.freeze({ ...retry })
}

const isPositive = (timeout: unknown): boolean => {
  const duration = Duration.decodeUnknown(timeout)
  return duration._tag === "Some" && Duration.greaterThan(duration.value, Duration.zero)
}
