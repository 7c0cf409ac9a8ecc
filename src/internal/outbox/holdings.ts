/**
 * The rows that this process renews: held rows of its open scopes, and rows that it could not yet release or discard.
 *
 * So no held row expires while this process decides about it.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Group } from "./group.js"
import type { Store } from "./store/store.js"

/** The operations of the store that a process does on its held rows. @internal */
export type HoldingsStore = Pick<Store, "release" | "discard" | "renew">

/** What identifies a row in errors. @internal */
export interface HeldIntent {
  readonly id: string
  readonly task: { readonly name: string }
}

/** @internal */
export interface HoldingsOptions {
  readonly heldMillis: number
  /** Notifies relays that rows are ready. */
  readonly notify: () => void
}

/** The least time between two releases that no scope waits for. */
const pause = Duration.millis(5)

interface HeldRow {
  readonly task: string
  /** What becomes of the row if it expires. */
  readonly onExpiry: "release" | "discard"
  /** What its scope decided, until that is done. `undefined` while the scope is open. */
  operation: "release" | "discard" | undefined
}

/** @internal */
export class Holdings {
  private readonly rows = new Map<string, HeldRow>()
  private isClosed = false

  private readonly releases = new Group<string>((ids) => this.releaseGroup(ids), pause)

  constructor(private readonly store: HoldingsStore, private readonly options: HoldingsOptions) {}

  /** Releases rows, until it is interrupted. */
  get releasing(): Effect.Effect<never> {
    return this.releases.run
  }

  hold(intents: ReadonlyArray<HeldIntent>, onExpiry: "release" | "discard"): void {
    for (const { id, task } of intents) {
      this.rows.set(id, { task: task.name, onExpiry, operation: undefined })
    }
  }

  has({ id }: HeldIntent): boolean {
    return this.rows.has(id)
  }

  forget(ids: ReadonlyArray<string>): void {
    for (const id of ids) {
      this.rows.delete(id)
    }
  }

  /**
   * Releases held rows, together with those of other scopes. If that fails, `maintain` retries it. Returns an Effect that
   * completes when it was tried.
   */
  release(
    intents: ReadonlyArray<HeldIntent>,
    options: { readonly isAwaited: boolean }
  ): Effect.Effect<void> {
    const ids = intents.map(({ id }) => id)
    for (const id of ids) {
      this.rows.get(id)!.operation = "release"
    }
    return this.isClosed ? this.releaseGroup(ids) : this.releases.add(ids, options)
  }

  private releaseGroup(ids: ReadonlyArray<string>): Effect.Effect<void> {
    return Effect.suspend(() => this.store.release(ids)).pipe(
      Effect.zipRight(Effect.sync(() => {
        this.forget(ids)
        this.options.notify()
      })),
      Effect.catchAllCause((cause) =>
        Effect.logWarning("The outbox could not release rows, renews them, and will try again", cause)
      )
    )
  }

  /** Discards rows, held or not. If that fails, `maintain` retries it. */
  discard(intents: ReadonlyArray<HeldIntent>): Effect.Effect<void> {
    for (const { id, task } of intents) {
      const row = this.rows.get(id) ?? { task: task.name, onExpiry: "release" }
      this.rows.set(id, { ...row, operation: "discard" })
    }
    return Effect.catchAllCause(
      this.discardNow(intents.map(({ id }) => id), reportLate),
      (cause) => Effect.logWarning("The outbox could not discard rows, renews them, and will try again", cause)
    )
  }

  private discardNow(
    ids: ReadonlyArray<string>,
    report: (tooLate: ReadonlyArray<string>) => Effect.Effect<void>
  ): Effect.Effect<void, SqlError> {
    return Effect.flatMap(Effect.interruptible(Effect.suspend(() => this.store.discard(ids))), (discarded) => {
      const gone = new Set(discarded)
      const tooLate = ids.flatMap((id) => {
        const row = this.rows.get(id)
        // A row that is discarded when it expires has not left.
        return row === undefined || gone.has(id) || row.onExpiry === "discard" ? [] : [`${row.task} ${id}`]
      })
      this.forget(ids)
      return tooLate.length === 0 ? Effect.void : report(tooLate)
    })
  }

  /**
   * Renews all rows, and retries discards and releases. Discards come first: a late release only delays a row, but a late
   * discard can let it leave.
   */
  readonly maintain: Effect.Effect<void> = Effect.suspend(() =>
    this.store.renew([...this.rows.keys()], this.options.heldMillis)
  )
    .pipe(
      Effect.zipRight(Effect.suspend(() => this.discardNow(this.idsOf("discard"), reportUnknown))),
      Effect.catchAllCause((cause) =>
        Effect.logWarning("The outbox could not renew or discard rows, and will try again", cause)
      ),
      Effect.zipRight(Effect.suspend(() => {
        const ids = this.idsOf("release")
        return ids.length === 0 ? Effect.void : this.releases.add(ids, { isAwaited: true })
      }))
    )

  /**
   * Waits for the releases, and retries once what has failed, when the Layer closes. Rows of scopes that are still open then
   * expire.
   */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.isClosed = true
    return this.releases.drained
  }).pipe(
    Effect.zipRight(
      Effect.suspend(() =>
        this.idsOf("discard").length + this.idsOf("release").length === 0 ? Effect.void : this.maintain
      )
    )
  )

  private idsOf(operation: "release" | "discard"): ReadonlyArray<string> {
    return [...this.rows].flatMap(([id, row]) => row.operation === operation ? [id] : [])
  }
}

const reportLate = (tooLate: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.logError(
    `The outbox could not discard ${tooLate.length} intent(s), because their rows had expired and left: ${
      tooLate.join(", ")
    }. ` +
      "Their process was paused or cut off from the database for longer than heldTimeout."
  )

/** An earlier discard of the same rows failed, and it may have been its answer that was lost. */
const reportUnknown = (tooLate: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.logWarning(
    `The outbox does not know what became of ${tooLate.length} intent(s): an earlier attempt to discard them failed, and now ` +
      `their rows are gone or claimed: ${tooLate.join(", ")}`
  )
