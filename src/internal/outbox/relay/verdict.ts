/**
 * Decides what becomes of a row whose run failed: another attempt, when, or a dead letter.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { DispatchReason } from "../../../AirlockError.js"
import type { AnyTask } from "../../../Intent.js"
import { dispatchError } from "../../scope/dispatch.js"
import { printCause, shortenBytes } from "../../support/printError.js"
import type { RowError } from "../intentRow.js"
import { backoff, delayAfter, toDelayMillis } from "../retry.js"
import { signalOf } from "../signal.js"
import type { ClaimedRow } from "../store/row.js"
import type { Failure } from "../store/settle.js"
import type { Session } from "./session.js"
import type { RelaySettings } from "./settings.js"

/** A run of a row that did not succeed. @internal */
export interface Failed {
  readonly session: Session
  readonly row: ClaimedRow
  readonly cause: Cause.Cause<DispatchReason | RowError | AttemptsUsedUp>
}

/** The process of the relay died in the last attempt of a row, or an earlier relay had a higher limit. @internal */
export class AttemptsUsedUp extends Error {
  readonly _tag = "AttemptsUsedUp"
  constructor(attempts: number) {
    super(
      `It has used its ${attempts} attempt(s): the process of a relay died, or lost its lease, in the last one, or the limit is ` +
        "lower than before."
    )
  }
}

/** @internal */
export interface Verdict {
  readonly next: Failure["next"]
  /** Whether the run counts as an attempt. */
  readonly counts: boolean
  readonly maxAttempts: number
  /** As the row stores it. `null` if nothing failed. */
  readonly error: string | null
}

/** The maximum size of a stored error, in bytes of UTF-8. */
const maxErrorBytes = 16_384

/** The longest delay between two attempts to hand a row over, in milliseconds: an engine that is down comes back soon. */
const lastHandOverDelay = 30_000

/** @internal */
export const maxAttemptsOf = (
  row: ClaimedRow,
  task: AnyTask | undefined,
  { handsOver, maxAttempts: standard }: Pick<RelaySettings, "handsOver" | "maxAttempts">
): number =>
  // The limits of a row and its task are those of its runs, and an engine that takes it carries them out.
  handsOver ? standard : row.maxAttempts ?? task?.retry?.maxAttempts ?? standard

/** @internal */
export const verdictOf = (
  { cause, row }: Failed,
  task: AnyTask | undefined,
  settings: Pick<RelaySettings, "handsOver" | "maxAttempts" | "pollInterval">
): Effect.Effect<Verdict> => {
  const maxAttempts = maxAttemptsOf(row, task, settings)
  const error = shortenBytes(printCause(cause), maxErrorBytes)
  const fails = (next: Failure["next"]): Verdict => ({ next, counts: true, maxAttempts, error })
  const waits = (delay: Duration.Duration): Verdict => ({ next: after(delay), counts: false, maxAttempts, error: null })
  const signal = signalOf(cause)
  if (signal?._tag === "Snooze") {
    return Effect.succeed(waits(signal.duration))
  }
  const reason = Option.getOrUndefined(Cause.failureOption(cause))
  switch (reason?._tag) {
    // The handler has closed meanwhile, or a newer relay has to run the row.
    case "UnknownTaskError":
    case "NewerVersionError":
      return Effect.succeed(waits(settings.pollInterval))
    case "AttemptsUsedUp":
      return Effect.succeed({ ...fails(dead), counts: false })
    // No further attempt can help.
    case "StoredPayloadError":
      return Effect.succeed(fails(dead))
  }
  if (signal?._tag === "Discard" || row.attempt + 1 >= maxAttempts) {
    return Effect.succeed(fails(dead))
  }
  return signal?._tag === "RetryAfter"
    ? Effect.succeed(fails(after(signal.duration)))
    : Effect.map(
      reason?._tag === "PayloadCodecError" || settings.handsOver
        ? Effect.asSome(backoff(row.attempt + 1, settings.handsOver ? lastHandOverDelay : undefined))
        : delayAfter(task?.retry?.schedule, row.attempt + 1, reason ?? dispatchError(row.task, cause)),
      Option.match({ onNone: () => fails(dead), onSome: (delay) => fails(after(delay)) })
    )
}

const dead: Failure["next"] = { _tag: "Dead" }

const after = (delay: Duration.Duration): Failure["next"] => ({ _tag: "Retry", delayMillis: toDelayMillis(delay) })
