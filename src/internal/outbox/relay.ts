/**
 * Claims rows of the outbox, runs their handlers, and acknowledges the rows. A row whose handler fails is retried, and after
 * its last attempt it is a dead letter.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { printCause, shortenBytes } from "../support/printError.js"
import type { ClaimedRow } from "./store/row.js"
import type { Store } from "./store/store.js"

/** @internal */
export interface RelayHandlers<Intent> {
  /** The names of the tasks that have a handler now. */
  readonly names: ReadonlyArray<string>
  /** Runs handlers, and returns one outcome for each intent. */
  readonly run: (
    intents: ReadonlyArray<Intent>,
    options: { readonly attempt: number }
  ) => Effect.Effect<ReadonlyArray<Exit.Exit<void, unknown>>>
}

/** @internal */
export interface RelayOptions<Intent> {
  /** The maximum number of rows of one claim. Default: 100. */
  readonly batchSize?: number
  /** How many handlers run at a time. Default: 10. */
  readonly concurrency?: number
  /** The lease of a claim. The relay extends it until the handler ends. Default: 30 seconds. */
  readonly lease?: Duration.DurationInput
  /** The time between two claims if no row could be claimed and the relay is not notified. Default: 1 second. */
  readonly pollInterval?: Duration.DurationInput
  /** The attempts of a row that has no `maxAttempts` of its own. Default: 25. */
  readonly maxAttempts?: number
  /** The time that running handlers have to end after the relay is interrupted. Default: 10 seconds. */
  readonly drainTimeout?: Duration.DurationInput
  /** Completes at the next notification, or at once if there was one since it last completed. */
  readonly notified: Effect.Effect<void>
  /** Makes the intent of a row. A row for which it fails is a dead letter. */
  readonly decode: (row: ClaimedRow) => Effect.Effect<Intent, unknown>
}

/**
 * Runs until it is interrupted. Then it begins no further handler, waits for the running ones, acknowledges their rows, and
 * unclaims the rows whose handlers have not begun.
 *
 * @internal
 */
export const relay = <Intent>(
  store: Store,
  handlers: RelayHandlers<Intent>,
  options: RelayOptions<Intent>
): Effect.Effect<never> => {
  const { batchSize = 100, drainTimeout = "10 seconds", notified, pollInterval = "1 second" } = options
  const leaseMillis = Duration.toMillis(options.lease ?? "30 seconds")
  const pause = Effect.raceFirst(notified, Effect.sleep(pollInterval))

  // Handlers are registered and closed while the relay runs, so each claim reads their names.
  const claim = Effect.suspend(() => store.claim({ tasks: handlers.names, limit: batchSize, leaseMillis }))
  const expireAndClaim = Effect.zipRight(store.expire, claim)
    .pipe(
      Effect.catchAllCause((cause) =>
        Effect.as(Effect.logWarning("The relay could not claim rows of the outbox, and will try again", cause), [])
      )
    )

  const round = (restore: <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>) =>
    Effect.flatMap(expireAndClaim, (rows) => {
      if (rows.length === 0) {
        return restore(pause)
      }
      const batch = new ClaimedBatch(store, handlers, options, leaseMillis, rows)
      // A daemon, because an interruption of the relay would interrupt a child at once.
      return Effect.flatMap(
        Effect.forkDaemon(batch.run),
        (fiber) =>
          Effect.onInterrupt(restore(Fiber.join(fiber)), () => {
            batch.isStopping = true
            const interruptLate = Effect.interruptible(Effect.delay(Fiber.interrupt(fiber), drainTimeout))
            return Effect.flatMap(
              Effect.fork(interruptLate),
              (timer) => Effect.zipRight(Fiber.await(fiber), Fiber.interrupt(timer))
            )
          })
      )
    })

  return Effect.uninterruptibleMask((restore) => Effect.forever(Effect.zipRight(restore(Effect.void), round(restore))))
}

/** The rows of one claim. */
class ClaimedBatch<Intent> {
  /** Whether the relay was interrupted: then no further handler begins. */
  isStopping = false
  /** The rows whose leases are extended: their handlers have not begun, or still run. */
  private readonly leased: Set<ClaimedRow>
  /** Rows whose handlers succeeded, and that no acknowledgement contains yet. */
  private succeeded: Array<ClaimedRow> = []
  private isAcknowledging = false

  constructor(
    readonly store: Store,
    readonly handlers: RelayHandlers<Intent>,
    readonly options: RelayOptions<Intent>,
    readonly leaseMillis: number,
    readonly rows: ReadonlyArray<ClaimedRow>
  ) {
    this.leased = new Set(rows)
  }

  get run(): Effect.Effect<void> {
    const extend = Effect.suspend(() => {
      const rows = [...this.leased]
      const extended = Effect.map(this.store.extend(rows, this.leaseMillis), (ids) => {
        const stillClaimed = new Set(ids)
        // The other rows were deleted, or another relay has claimed them. Handlers of theirs that have not begun do not begin.
        for (const row of rows) {
          if (!stillClaimed.has(row.id)) {
            this.forget(row)
          }
        }
      })
      return this.withRetries("extend leases", extended)
    })
    const extending = extend.pipe(
      Effect.delay(this.leaseMillis / 3),
      Effect.forever,
      Effect.interruptible,
      Effect.fork
    )
    const running = Effect.forEach(this.rows, (row) => Effect.uninterruptible(this.runRow(row)), {
      concurrency: this.options.concurrency ?? 10,
      discard: true
    })
    return Effect.flatMap(extending, (fiber) =>
      Effect.exit(Effect.interruptible(running)).pipe(
        Effect.zipRight(Effect.suspend(() => this.withRetries("unclaim rows", this.store.unclaim([...this.leased])))),
        Effect.ensuring(Fiber.interrupt(fiber))
      ))
  }

  /** Runs the handler of a row, and then acknowledges or retries the row, or makes it a dead letter. */
  private runRow(row: ClaimedRow): Effect.Effect<void> {
    if (this.isStopping || !this.leased.has(row)) {
      return Effect.void
    }
    const maxAttempts = row.maxAttempts ?? this.options.maxAttempts ?? 25
    if (row.attempt > maxAttempts) {
      return this.deadLetter(
        row,
        `Its lease expired in the last of ${maxAttempts} attempts, before the result of the handler was stored.`
      )
    }
    const intent = Effect.exit(Effect.suspend(() => this.options.decode(row)))
    return Effect.flatMap(intent, (decoded) =>
      Exit.isFailure(decoded)
        ? this.deadLetter(row, stored(decoded.cause))
        : Effect.flatMap(this.runHandler(decoded.value, row), (outcome) => {
          if (Exit.isSuccess(outcome)) {
            return this.acknowledge(row)
          }
          if (this.isStopping && Cause.isInterrupted(outcome.cause)) {
            // The outcome is unknown. The row is claimed again when its lease has expired.
            return Effect.sync(() => this.forget(row))
          }
          const error = stored(outcome.cause)
          return row.attempt >= maxAttempts ? this.deadLetter(row, error) : this.retry(row, error)
        }))
  }

  private runHandler(intent: Intent, { attempt }: ClaimedRow): Effect.Effect<Exit.Exit<void, unknown>> {
    return Effect.map(
      Effect.exit(Effect.interruptible(this.handlers.run([intent], { attempt }))),
      (exit) =>
        Exit.isSuccess(exit)
          ? exit.value[0] ?? Exit.die(new Error("The handlers returned no outcome for the intent"))
          : exit
    )
  }

  /** One statement at a time acknowledges all rows whose handlers have succeeded since the last one. */
  private acknowledge(row: ClaimedRow): Effect.Effect<void> {
    this.forget(row)
    this.succeeded.push(row)
    if (this.isAcknowledging) {
      return Effect.void
    }
    this.isAcknowledging = true
    return Effect.whileLoop({
      while: () => this.succeeded.length > 0,
      body: () => {
        const rows = this.succeeded
        this.succeeded = []
        return this.withRetries("acknowledge rows", this.store.acknowledge(rows))
      },
      step: () => {}
    }).pipe(Effect.ensuring(Effect.sync(() => {
      this.isAcknowledging = false
    })))
  }

  private retry(row: ClaimedRow, error: string): Effect.Effect<void> {
    this.forget(row)
    return Effect.flatMap(
      backoff(row.attempt),
      (delayMillis) => this.withRetries("retry a row", this.store.retry(row, { delayMillis, error }))
    )
  }

  private deadLetter(row: ClaimedRow, error: string): Effect.Effect<void> {
    this.forget(row)
    return Effect.zipRight(
      Effect.logError(
        `Intent ${row.id} of "${row.task}" is a dead letter after ${row.attempt} attempt(s), and stays in the outbox: ${error}`
      ),
      this.withRetries("make a row a dead letter", this.store.deadLetter(row, error))
    )
  }

  /** Extends the lease of a row no longer. */
  private forget(row: ClaimedRow): void {
    this.leased.delete(row)
  }

  /** Retries a statement three times. If all fail, it logs a warning: the leases expire, and the rows are claimed again. */
  private withRetries(what: string, statement: Effect.Effect<unknown, SqlError>): Effect.Effect<void> {
    return statement.pipe(
      Effect.retry({ times: 3, schedule: Schedule.exponential(100) }),
      Effect.catchAllCause((cause) =>
        Effect.logWarning(`The relay could not ${what}. Rows are claimed again when their leases expire.`, cause)
      ),
      Effect.asVoid
    )
  }
}

/** The maximum size of a stored error, in bytes of UTF-8. */
const maxErrorBytes = 16_384

/** The errors of a Cause as a row stores them. */
const stored = (cause: Cause.Cause<unknown>): string => shortenBytes(printCause(cause), maxErrorBytes)

/**
 * The delay before the next attempt, in milliseconds: one second, doubled after each attempt, at most one hour, reduced by a
 * random part of up to half.
 */
const backoff = (attempt: number): Effect.Effect<number> =>
  Effect.map(Random.next, (random) => Math.min(1000 * 2 ** (attempt - 1), 3_600_000) * (0.5 + random / 2))
