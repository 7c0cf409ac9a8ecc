/**
 * Stores what became of rows: acknowledges those whose handlers succeeded, and schedules the next attempt of the others or makes
 * them dead letters.
 *
 * One statement at a time stores all results that have come in since the last one. If the database does not answer, it is
 * asked again for as long as the rows are the relay's own.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { groupBy } from "../../support/groupBy.js"
import { errorsOf, printHeadline } from "../../support/printError.js"
import { Wakeup } from "../../support/wakeup.js"
import { addAttempt } from "../store/history.js"
import type { ClaimedRow } from "../store/row.js"
import type { Failure } from "../store/settle.js"
import * as report from "./report.js"
import type { Session } from "./session.js"
import type { RelayState } from "./state.js"
import { type Failed, type Verdict, verdictOf } from "./verdict.js"

interface Succeeded {
  readonly session: Session
  readonly row: ClaimedRow
}

/**
 * The maximum number of failures that one statement stores. Each can have 26 KiB of errors, and MySQL refuses a statement that is
 * larger than `max_allowed_packet`.
 */
const maxFailures = 50

/** How often a statement fails between two warnings: it is about 10 seconds until the first one. */
const perWarning = 10

/** @internal */
export class Results {
  private succeeded: Array<Succeeded> = []
  private failed: Array<Failed> = []
  /** How many results are not stored. */
  private unstored = 0
  private readonly wakeup = new Wakeup()
  private readonly stored = new Wakeup()

  constructor(private readonly state: RelayState) {}

  get size(): number {
    return this.unstored
  }

  succeed(succeeded: Succeeded): void {
    this.succeeded.push(succeeded)
    this.unstored++
    this.wakeup.wake()
  }

  fail(failed: Failed): void {
    this.failed.push(failed)
    this.unstored++
    this.wakeup.wake()
  }

  /** Runs until it is interrupted, which does not cut a statement off. */
  readonly run: Effect.Effect<never> = Effect.suspend(() =>
    Effect.forever(Effect.zipRight(this.wakeup.wait, Effect.uninterruptible(this.storeAll)))
  )

  /** Waits until all results are stored. */
  readonly drained: Effect.Effect<void> = Effect.suspend(() =>
    this.size === 0 ? Effect.void : Effect.zipRight(this.stored.wait, this.drained)
  )

  private readonly storeAll: Effect.Effect<void> = Effect.suspend(() => {
    const { failed, succeeded } = this
    this.succeeded = []
    this.failed = []
    return Effect.ensuring(
      Effect.zipRight(
        Effect.forEach(bySession(succeeded), ([session, some]) => this.acknowledge(session, some), { discard: true }),
        Effect.forEach(bySession(failed), ([session, some]) => this.storeInParts(session, some), { discard: true })
      ),
      Effect.sync(() => {
        this.unstored -= succeeded.length + failed.length
        this.forget([...succeeded, ...failed])
        this.stored.wake()
      })
    )
  })

  /** The results of these rows are stored, or given up. */
  forget(results: ReadonlyArray<{ readonly row: ClaimedRow }>): void {
    for (const { row } of results) {
      this.state.rows.delete(row)
    }
    this.state.claiming.wake()
    if (results.some(({ row }) => row.keyed)) {
      // A row that waited for one of these can be ready now.
      this.state.look()
    }
  }

  private acknowledge(session: Session, succeeded: ReadonlyArray<Succeeded>): Effect.Effect<void> {
    const { parts: { store }, settings: { keepDone } } = this.state
    const ids = succeeded.map(({ row }) => row.id)
    return Effect.flatMap(
      this.whileOwn(session, succeeded, store.acknowledge(session.id, ids, { keepDone: keepDone !== undefined })),
      (changed) => report.acknowledged(changed.length)
    )
  }

  private storeInParts(session: Session, failed: ReadonlyArray<Failed>): Effect.Effect<void> {
    return Effect.forEach(Arr.chunksOf(failed, maxFailures), (some) => this.storeFailures(session, some), {
      discard: true
    })
  }

  private storeFailures(session: Session, failed: ReadonlyArray<Failed>): Effect.Effect<void> {
    return Effect.flatMap(Effect.forEach(failed, (each) => this.judge(each)), (judged) =>
      Effect.zipRight(
        this.whileOwn(session, failed, this.state.parts.store.fail(session.id, judged.map(({ failure }) => failure))),
        Effect.forEach(judged, ({ failed, failure, verdict }) => {
          if (failure.next._tag === "Retry") {
            this.state.lookWithin(failure.next.delayMillis)
          }
          return report.attemptFailed(failed.row, failure.attempt, verdict)
        }, { discard: true })
      ))
  }

  private judge(failed: Failed): Effect.Effect<Judged> {
    const { parts: { handlers }, settings } = this.state
    const { cause, row } = failed
    const judge = (failed: Failed) => Effect.suspend(() => verdictOf(failed, handlers.task(row.task), settings))
    return Effect.zipWith(
      // An error of the application can do anything when it is looked at. No error may keep the results of other rows back.
      Effect.catchAllCause(judge(failed), () => judge({ ...failed, cause: Cause.die(unreadable) })),
      Clock.currentTimeMillis,
      (verdict, at): Judged => {
        const attempt = row.attempt + (verdict.counts ? 1 : 0)
        const { error, next } = verdict
        const history = error === null || !verdict.counts
          ? null
          : addAttempt(row.history, { attempt, at, error: printHeadline(errorsOf(cause)[0]), relay: settings.name })
        // Without an attempt of its own, the row keeps the error of the last one.
        return {
          failed,
          verdict,
          failure: { id: row.id, attempt, error: verdict.counts ? error : null, history, next }
        }
      }
    )
  }

  /**
   * Repeats a statement until it succeeds or the rows may be those of another relay. Reports the rows that it did not change, and
   * returns the others.
   */
  private whileOwn(
    session: Session,
    results: ReadonlyArray<{ readonly row: ClaimedRow }>,
    statement: Effect.Effect<ReadonlyArray<string>, SqlError>
  ): Effect.Effect<ReadonlyArray<string>> {
    const ids = results.map(({ row }) => row.id)
    let failures = 0
    return statement.pipe(
      Effect.tapErrorCause((cause) =>
        ++failures % perWarning === 0 ? report.statementFailed("store the results of handlers", cause) : Effect.void
      ),
      Effect.retry({ schedule: retries, while: () => session.isAlive(this.state.now()) }),
      Effect.matchCauseEffect({
        onFailure: (cause) => {
          // If no other relay takes the rows over, and the session is renewed later, they are given back.
          results.forEach(({ row }) => this.state.rows.delete(row))
          this.state.hasUnknownRows = true
          return Effect.as(report.resultsNotStored(ids, cause), [])
        },
        onSuccess: (changed) => {
          if (changed.length === ids.length) {
            return Effect.succeed(changed)
          }
          const stored = new Set(changed)
          return Effect.as(report.rowsLost(ids.filter((id) => !stored.has(id)), { hasFailed: failures > 0 }), changed)
        }
      })
    )
  }
}

const unreadable = new Error("The handler failed with an error that throws when it is read")

interface Judged {
  readonly failed: Failed
  readonly verdict: Verdict
  readonly failure: Failure
}

const bySession = <A extends { readonly session: Session }>(results: ReadonlyArray<A>) =>
  groupBy(results, ({ session }) => session)

/** After 100 ms, then twice as long each time, up to 2 seconds. */
const retries = Schedule.union(Schedule.exponential(100), Schedule.spaced(2000))
