/**
 * Carries rows of the outbox to their handlers: claims those whose turn it is, runs them, and acknowledges them; those that
 * fail come again later, and in the end are dead letters.
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
import type { ClaimedRow } from "./row.js"
import type { Store } from "./store.js"

/** @internal */
export interface RelayHandlers<Intent> {
  /** The names of the tasks that have a handler. */
  readonly names: ReadonlyArray<string>
  /** Gives an outcome for each intent. */
  readonly run: (
    intents: ReadonlyArray<Intent>,
    options: { readonly attempt: number }
  ) => Effect.Effect<ReadonlyArray<Exit.Exit<void, unknown>>>
}

/** @internal */
export interface RelayOptions<Intent> {
  /** How many rows are claimed at once. Default: 100. */
  readonly batchSize?: number
  /** How many handlers run at a time. Default: 10. */
  readonly concurrency?: number
  /** How long others leave a claimed row alone. It is extended while the handler runs. Default: 30 seconds. */
  readonly lease?: Duration.DurationInput
  /** How long it waits where nothing wakes it. Default: 1 second. */
  readonly pollInterval?: Duration.DurationInput
  /** How often a row is tried that does not say so itself. Default: 25. */
  readonly maxAttempts?: number
  /** How long handlers that run may take when it is interrupted. Default: 10 seconds. */
  readonly drainTimeout?: Duration.DurationInput
  /** Completes when there may be work. One that comes while nobody waits must be remembered. */
  readonly wake: Effect.Effect<void>
  readonly decode: (row: ClaimedRow) => Effect.Effect<Intent, unknown>
}

/**
 * Never ends. Interrupted, it begins nothing more: what runs is finished and acknowledged, what was not begun is given back.
 *
 * @internal
 */
export const relay = <Intent>(
  store: Store,
  handlers: RelayHandlers<Intent>,
  options: RelayOptions<Intent>
): Effect.Effect<never> => {
  const { batchSize = 100, drainTimeout = "10 seconds", pollInterval = "1 second", wake } = options
  const leaseMillis = Duration.toMillis(options.lease ?? "30 seconds")
  const pause = Effect.raceFirst(wake, Effect.sleep(pollInterval))

  // Handlers come and go while it runs.
  const claim = Effect.suspend(() => store.claim({ tasks: handlers.names, limit: batchSize, leaseMillis }))
  const take = Effect.zipRight(store.expire, claim)
    .pipe(
      Effect.catchAllCause((cause) =>
        Effect.as(Effect.logWarning("The relay could not claim from the outbox", cause), [])
      )
    )

  const turn = (restore: <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>) =>
    Effect.flatMap(take, (rows) => {
      if (rows.length === 0) {
        return restore(pause)
      }
      const batch = new Batch(store, handlers, options, leaseMillis, rows)
      // Not a child: an interruption reaches children at once.
      return Effect.flatMap(Effect.forkDaemon(batch.run), (fiber) =>
        Effect.onInterrupt(restore(Fiber.join(fiber)), () => {
          batch.isStopping = true
          const limit = Effect.interruptible(Effect.delay(Fiber.interrupt(fiber), drainTimeout))
          return Effect.flatMap(Effect.fork(limit), (limiting) =>
            Effect.zipRight(Fiber.await(fiber), Fiber.interrupt(limiting)))
        }))
    })

  return Effect.uninterruptibleMask((restore) => Effect.forever(Effect.zipRight(restore(Effect.void), turn(restore))))
}

class Batch<Intent> {
  isStopping = false
  /** Those that are still claimed. */
  private readonly open: Set<ClaimedRow>
  private done: Array<ClaimedRow> = []
  private isAcknowledging = false

  constructor(
    readonly store: Store,
    readonly handlers: RelayHandlers<Intent>,
    readonly options: RelayOptions<Intent>,
    readonly leaseMillis: number,
    readonly rows: ReadonlyArray<ClaimedRow>
  ) {
    this.open = new Set(rows)
  }

  get run(): Effect.Effect<void> {
    const extend = Effect.suspend(() => {
      const rows = [...this.open]
      const extended = Effect.map(this.store.extend(rows, this.leaseMillis), (ids) => {
        const own = new Set(ids)
        // The others are another relay's by now: those that have not begun do not begin here.
        for (const row of rows) {
          if (!own.has(row.id)) {
            this.close(row)
          }
        }
      })
      return this.logged("extend leases", extended)
    })
    const extending = extend.pipe(
      Effect.delay(this.leaseMillis / 3),
      Effect.forever,
      Effect.interruptible,
      Effect.fork
    )
    const carrying = Effect.forEach(this.rows, (row) => Effect.uninterruptible(this.carry(row)), {
      concurrency: this.options.concurrency ?? 10,
      discard: true
    })
    return Effect.flatMap(extending, (fiber) =>
      Effect.exit(Effect.interruptible(carrying)).pipe(
        Effect.zipRight(Effect.suspend(() => this.logged("give rows back", this.store.giveBack([...this.open])))),
        Effect.ensuring(Fiber.interrupt(fiber))
      ))
  }

  private carry(row: ClaimedRow): Effect.Effect<void> {
    if (this.isStopping || !this.open.has(row)) {
      return Effect.void
    }
    const maxAttempts = row.maxAttempts ?? this.options.maxAttempts ?? 25
    if (row.attempt > maxAttempts) {
      return this.bury(
        row,
        `Its lease ended ${maxAttempts} times: each process that ran its handler was gone before it ended.`
      )
    }
    const intent = Effect.exit(Effect.suspend(() => this.options.decode(row)))
    return Effect.flatMap(intent, (decoded) =>
      Exit.isFailure(decoded)
        ? this.bury(row, Cause.pretty(decoded.cause))
        : Effect.flatMap(this.outcome(decoded.value, row), (outcome) => {
          if (Exit.isSuccess(outcome)) {
            return this.acknowledge(row)
          }
          if (this.isStopping && Cause.isInterrupted(outcome.cause)) {
            // Nobody knows how far it came. It comes again when its lease has ended.
            return Effect.sync(() => this.close(row))
          }
          const error = Cause.pretty(outcome.cause)
          return row.attempt >= maxAttempts ? this.bury(row, error) : this.retry(row, error)
        }))
  }

  private outcome(intent: Intent, { attempt }: ClaimedRow): Effect.Effect<Exit.Exit<void, unknown>> {
    return Effect.map(
      Effect.exit(Effect.interruptible(this.handlers.run([intent], { attempt }))),
      (exit) => Exit.isSuccess(exit) ? exit.value[0] ?? Exit.die(new Error("The handlers gave no outcome")) : exit
    )
  }

  /** One at a time writes for all that were done meanwhile. */
  private acknowledge(row: ClaimedRow): Effect.Effect<void> {
    this.close(row)
    this.done.push(row)
    if (this.isAcknowledging) {
      return Effect.void
    }
    this.isAcknowledging = true
    return Effect.whileLoop({
      while: () => this.done.length > 0,
      body: () => {
        const rows = this.done
        this.done = []
        return this.logged("acknowledge", this.store.acknowledge(rows))
      },
      step: () => {}
    }).pipe(Effect.ensuring(Effect.sync(() => {
      this.isAcknowledging = false
    })))
  }

  private retry(row: ClaimedRow, error: string): Effect.Effect<void> {
    this.close(row)
    return Effect.flatMap(
      backoff(row.attempt),
      (delayMillis) => this.logged("put a row back that failed", this.store.retry(row, { delayMillis, error }))
    )
  }

  private bury(row: ClaimedRow, error: string): Effect.Effect<void> {
    this.close(row)
    return Effect.zipRight(
      Effect.logError(`"${row.task}" ${row.id} is a dead letter after ${row.attempt} attempt(s): ${error}`),
      this.logged("bury a row", this.store.bury(row, error))
    )
  }

  private close(row: ClaimedRow): void {
    this.open.delete(row)
  }

  /** Where the database does not answer, the lease ends, and the row comes again. */
  private logged(what: string, self: Effect.Effect<unknown, SqlError>): Effect.Effect<void> {
    return self.pipe(
      Effect.retry({ times: 3, schedule: Schedule.exponential(100) }),
      Effect.catchAllCause((cause) => Effect.logWarning(`The relay could not ${what}`, cause)),
      Effect.asVoid
    )
  }
}

/** One second, doubled each time up to an hour, of which a part between half and all. */
const backoff = (attempt: number): Effect.Effect<number> =>
  Effect.map(Random.next, (random) => Math.min(1000 * 2 ** (attempt - 1), 3_600_000) * (0.5 + random / 2))
