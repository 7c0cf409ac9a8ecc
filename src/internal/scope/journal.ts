/**
 * What a request has done that cannot be undone. An idempotency key puts a journal into the context of its request, and what
 * commits or dispatches there writes into it.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** @internal */
export interface Journal {
  /** Whether a transaction has committed, a statement outside of a transaction has written, or an intent has left. */
  isOut: boolean
  /** Whether intents of the request were discarded. They do not leave, although the request may have succeeded. */
  hasDiscarded: boolean
  /** Notes that a transaction has committed, with what `beforeCommit` wrote into it. */
  readonly hasCommitted: () => void
  /** Runs in each transaction, last before its COMMIT. If it fails, the transaction is rolled back. */
  readonly beforeCommit: Effect.Effect<void, unknown>
  /** Runs before intents leave. Returns whether they may: another request may own the key by now. */
  readonly beforeDispatch: Effect.Effect<boolean>
}

/** The key of the journal in a context. @internal */
export const journalKey = "effect-airlock/Journal"

/** @internal */
export const journalIn = (context: Context.Context<never>): Journal | undefined => context.unsafeMap.get(journalKey)
