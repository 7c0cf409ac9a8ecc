/**
 * The failed attempts of a row, as its column `history` stores them. The history is bounded: it has the latest attempts only,
 * and the beginning of each error. The whole error of the last attempt is in the column `error`.
 *
 * @internal
 */
import { shortenBytes } from "../../support/printError.js"

/** @internal */
export interface Attempt {
  /** Counts from 1. */
  readonly attempt: number
  /** When it ended, in milliseconds since the epoch. */
  readonly at: number
  readonly error: string
  /** The name of the relay. */
  readonly relay: string
}

const maxAttempts = 10

/** The maximum size of one error, in bytes of UTF-8. */
const maxErrorBytes = 1_024

/** @internal */
export const readHistory = (history: string | null): ReadonlyArray<Attempt> =>
  // Only `addAttempt` writes this column.
  history === null ? [] : JSON.parse(history) as ReadonlyArray<Attempt>

/** @internal */
export const addAttempt = (history: string | null, attempt: Attempt): string =>
  JSON.stringify([
    ...readHistory(history),
    { ...attempt, error: shortenBytes(attempt.error, maxErrorBytes) }
  ].slice(-maxAttempts))
