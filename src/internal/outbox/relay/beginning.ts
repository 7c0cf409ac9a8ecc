/**
 * Lets the handlers of waiting rows begin, as many as there are free slots.
 *
 * Before that, one statement notes the rows in the session. So if the process dies, the next relay knows which handlers had begun,
 * and counts an attempt for these and no others. The same statement tells whether other relays have taken over the rows.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { SettleTimeoutError } from "../../../AirlockError.js"
import type { Intent } from "../../../Intent.js"
import { asEither } from "../../support/asEither.js"
import { flatMapExit } from "../../support/flatMapExit.js"
import type { RowError } from "../intentRow.js"
import type { ClaimedRow } from "../store/row.js"
import type { Renewing } from "./renewing.js"
import * as report from "./report.js"
import type { Results } from "./results.js"
import { Run } from "./run.js"
import type { RelayState } from "./state.js"
import { AttemptsUsedUp, maxAttemptsOf } from "./verdict.js"
import type { Workers } from "./workers.js"

/** How long to wait after a statement that failed. */
const retryAfter = Duration.millis(500)

/** The time limit of a codec: while it decodes, no other handler begins. */
const decodeLimit = Duration.seconds(10)

/** @internal */
export class Beginning {
  constructor(
    private readonly state: RelayState,
    private readonly results: Results,
    private readonly workers: Workers,
    private readonly renewing: Renewing
  ) {}

  /** Runs until it is interrupted. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => Effect.forever(this.round))

  private readonly round: Effect.Effect<void> = Effect.uninterruptibleMask((restore) => {
    const { session } = this.state
    const { intents, wave } = this.takeWave()
    const noted = Effect.suspend(() => this.state.parts.store.begin(session.id, this.state.begun))
    return wave.length === 0 ? restore(this.state.beginning.wait) : flatMapExit(
      restore(Effect.zipRight(intents, noted)),
      (exit) => {
        if (Exit.isSuccess(exit) && exit.value) {
          wave.filter((run) => !hasRows(run)).forEach((run) => run.freeSlot())
          return this.workers.start(wave.filter(hasRows))
        }
        // From the last one on, so that they wait in their order.
        for (let i = wave.length - 1; i >= 0; i--) {
          this.state.giveBack(wave[i]!)
        }
        return Exit.isSuccess(exit)
          ? restore(this.renewing.replaceOrRetry(session))
          : Cause.isInterruptedOnly(exit.cause)
          ? Effect.interrupt
          : Effect.zipRight(
            report.statementFailed("note which handlers begin", exit.cause),
            restore(Effect.sleep(retryAfter))
          )
      }
    )
  })

  /** Takes waiting rows for the free slots, and decodes them. */
  private takeWave(): { readonly wave: ReadonlyArray<Run>, readonly intents: Effect.Effect<void> } {
    const { parts: { handlers }, pools, session, settings } = this.state
    const now = this.state.now()
    const wave: Array<Run> = []
    const slow: Array<Effect.Effect<void>> = []
    const mayBegin = this.state.mayBegin(session, now)
    for (let pool = mayBegin ? pools.next() : undefined; pool !== undefined; pool = pools.next()) {
      const rows = pool.takeRun(handlers, now)
      const run = new Run(
        session,
        pool,
        // A hand-over limits its time itself: an engine that does not answer fails no attempt.
        settings.handsOver ? Duration.infinity : handlers.task(rows[0]!.task)?.retry?.timeout ?? settings.timeout
      )
      const decoding = rows.flatMap((row) => this.decode(run, row))
      slow.push(...decoding)
      if (hasRows(run) || decoding.length > 0) {
        wave.push(run)
      } else {
        // None of its rows can be run. The slot is free for the next one.
        run.freeSlot(rows.length)
      }
    }
    return {
      wave,
      intents: slow.length === 0 ? Effect.void : Effect.all(slow, { concurrency: "unbounded", discard: true })
    }
  }

  /** Decodes a row of a run. If its codec or Schema needs a fiber, returns the Effect that does it. */
  private decode(run: Run, row: ClaimedRow): ReadonlyArray<Effect.Effect<void>> {
    const { handlers } = this.state.parts
    const maxAttempts = maxAttemptsOf(row, handlers.task(row.task), this.state.settings)
    if (row.attempt >= maxAttempts) {
      this.results.fail({ session: run.session, row, cause: Cause.fail(new AttemptsUsedUp(maxAttempts)) })
      return []
    }
    const decoding = this.state.parts.decode(row)
    const decoded = asEither(decoding)
    if (decoded !== undefined) {
      this.decoded(run, row, Either.isRight(decoded) ? Exit.succeed(decoded.right) : Exit.fail(decoded.left))
      return []
    }
    const limited = Effect.timeoutFail(Effect.disconnect(decoding), {
      duration: decodeLimit,
      onTimeout: () =>
        new SettleTimeoutError({ what: `The codec of "${row.task}"`, millis: Duration.toMillis(decodeLimit) })
    })
    return [Effect.map(Effect.exit(limited), (decoded) => this.decoded(run, row, decoded))]
  }

  private decoded(run: Run, row: ClaimedRow, decoded: Exit.Exit<Intent, RowError | SettleTimeoutError>): void {
    if (Exit.isSuccess(decoded)) {
      run.add(row, decoded.value)
    } else {
      this.results.fail({ session: run.session, row, cause: decoded.cause })
    }
  }
}

const hasRows = ({ rows }: Run): boolean => rows.length > 0
