/**
 * Claims ready rows of the lanes that a relay names.
 *
 * A claim skips the rows that another transaction has locked, and does not wait for them. It claims nothing if the relay's
 * session was reaped. To check that, it locks the row of the session, so that a relay which is about to reap the session waits,
 * and then finds the rows of this claim.
 *
 * The rows without a key are claimed at once. Those with a key are only found, and `keyed.ts` then decides about them. Each of these
 * transactions is retried by itself: a retry of both would not find what the first one has claimed.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Keyed } from "./keyed.js"
import { byClaimOrder, type ClaimedRow, type Lane } from "./row.js"
import { retryOutsideTransaction } from "./statement.js"

/** @internal */
export interface ClaimOptions {
  /** The id of the relay's session. */
  readonly lease: string
  /** The number of the claim, higher than those of the session's other claims. */
  readonly claimNumber: number
  /** The lanes whose rows are claimed, each with its own maximum number of rows. */
  readonly lanes: ReadonlyArray<Lane & { readonly limit: number }>
  /** The maximum number of rows. */
  readonly limit: number
  /** The maximum size of all payloads together, in bytes. One row is claimed even if its payload is larger. */
  readonly maxBytes: number
}

/** @internal */
export type Claim = (options: ClaimOptions) => Effect.Effect<ReadonlyArray<ClaimedRow>, SqlError>

/** @internal */
export interface Found {
  /** The rows without a key, which are claimed. */
  readonly claimed: ReadonlyArray<ClaimedRow>
  /** The ids of the rows that have a key. */
  readonly keyed: ReadonlyArray<string>
}

/** Claims rows without a key, and finds the others. @internal */
export type Find = (options: ClaimOptions) => Effect.Effect<Found, SqlError>

/** How many keyed rows are blocked at a time, if all rows that a claim found must wait for others. */
const blockedAtATime = 1_000

/** How often a claim that found only such rows looks for others. It leaves the rest to the next claim. */
const maxRounds = 20

/** @internal */
export const makeClaim = (find: Find, keyed: Keyed): Claim => {
  const round = (options: ClaimOptions, rounds: number): Effect.Effect<ReadonlyArray<ClaimedRow>, SqlError> =>
    Effect.flatMap(retryOutsideTransaction(find(options)), (found) =>
      found.keyed.length === 0
        ? Effect.succeed(found.claimed)
        : Effect.flatMap(retryOutsideTransaction(keyed.claim(options, found.keyed)), (heads) =>
          found.claimed.length + heads.length > 0 || rounds === 0
            ? Effect.succeed([...found.claimed, ...heads])
            // One after the other, as each waits for the mutex.
            : Effect.zipRight(
              Effect.forEach(options.lanes, (lane) =>
                retryOutsideTransaction(keyed.block(lane, blockedAtATime)), { discard: true }),
              round(options, rounds - 1)
            )))
  return ({ lanes, limit, ...options }) =>
    Effect.suspend(() => {
      const open = lanes.filter((lane) => lane.limit > 0)
      return open.length === 0 || limit <= 0
        ? Effect.succeed([])
        : Effect.map(round({ ...options, lanes: open, limit }, maxRounds), inClaimOrder)
    })
}

const inClaimOrder = (rows: ReadonlyArray<ClaimedRow>): ReadonlyArray<ClaimedRow> =>
  rows.every((row, i) => i === 0 || byClaimOrder(rows[i - 1]!, row) < 0) ? rows : [...rows].sort(byClaimOrder)
