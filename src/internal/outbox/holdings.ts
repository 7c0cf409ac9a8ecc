/**
 * The rows that this process renews: held rows of its open scopes, and rows that it could not yet release or discard.
 *
 * So no held row expires while this process decides about it.
 *
 * @internal
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Store } from "./store/store.js"

type Operation = "release" | "discard"

/** @internal */
export class Holdings {
  /** For each row, by its id: `held` while its scope is open, then the operation that has failed so far. */
  private readonly rows = new Map<string, "held" | Operation>()

  constructor(private readonly store: Store, private readonly heldMillis: number) {}

  has(id: string): boolean {
    return this.rows.has(id)
  }

  hold(ids: ReadonlyArray<string>): void {
    for (const id of ids) {
      this.rows.set(id, "held")
    }
  }

  forget(ids: ReadonlyArray<string>): void {
    for (const id of ids) {
      this.rows.delete(id)
    }
  }

  /** Releases or discards rows. If that fails, `maintain` retries it. */
  perform(ids: ReadonlyArray<string>, operation: Operation): Effect.Effect<void> {
    return ids.length === 0 ? Effect.void : Effect.map(Effect.exit(this.attempt(ids, operation)), (exit) => {
      if (Exit.isFailure(exit)) {
        for (const id of ids) {
          this.rows.set(id, operation)
        }
      }
    })
  }

  private attempt(ids: ReadonlyArray<string>, operation: Operation): Effect.Effect<void, SqlError> {
    return Effect.map(Effect.interruptible(this.store[operation](ids)), () => this.forget(ids))
  }

  /**
   * Renews all rows, and retries discards and releases. Discards come first: a late release only delays a row, but a late
   * discard can let it leave.
   */
  readonly maintain: Effect.Effect<void> = Effect.suspend(() =>
    this.store.renew([...this.rows.keys()], this.heldMillis)
  )
    .pipe(
      Effect.zipRight(Effect.suspend(() => this.attempt(this.idsOf("discard"), "discard"))),
      Effect.zipRight(Effect.suspend(() => this.attempt(this.idsOf("release"), "release"))),
      Effect.catchAllCause((cause) =>
        Effect.logWarning("The outbox could not renew, discard or release rows, and will try again", cause)
      )
    )

  /** Retries once when the Layer closes. Rows of scopes that are still open then expire. */
  readonly close: Effect.Effect<void> = Effect.suspend(() =>
    this.idsOf("discard").length + this.idsOf("release").length === 0 ? Effect.void : this.maintain
  )

  private idsOf(operation: Operation): ReadonlyArray<string> {
    return [...this.rows].flatMap(([id, state]) => state === operation ? [id] : [])
  }
}
