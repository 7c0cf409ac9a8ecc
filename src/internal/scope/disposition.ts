/**
 * What becomes of each intent of a scope, and why. `decide.ts` computes one disposition for each intent, `apply.ts` applies
 * them; plans, logs, metrics, span events and the `FlushError` are readings of them.
 *
 * @internal
 */
import type { FlushFailure, FlushReason } from "../../AirlockError.js"
import type { Fate } from "./fork.js"
import type { IntentRecord } from "./intentRecord.js"
import type { Dropped } from "./policyChain.js"
import type { CurrentInside } from "./scope.js"
import { isRolledBack } from "./transactionTag.js"

/** @internal */
export type Disposition =
  /** It goes to the executor. */
  | { readonly _tag: "Dispatch" }
  /** Its row was committed with its transaction, and is released. */
  | { readonly _tag: "Committed" }
  /** An outer scope captures it. */
  | { readonly _tag: "HandOver", readonly to: CurrentInside }
  /** A policy does not let it leave. */
  | { readonly _tag: "Drop", readonly by: Dropped }
  /** It is discarded. */
  | { readonly _tag: "Discard", readonly why: DiscardReason }
  /** It should have left, and did not. */
  | { readonly _tag: "Fail", readonly reason: FlushReason }

/**
 * Why an intent is discarded: its scope did not succeed, its plan was not approved, it was
 * only planned, a savepoint beside it was rolled back, or
 * its branch of fibers did not succeed.
 *
 * @internal
 */
export type DiscardReason =
  | "ScopeFailed"
  | "NotApproved"
  | "Planned"
  | "RolledBack"
  | "FiberFailed"
  | "FiberInterrupted"
  | "FiberRunning"
  | "FiberUnknown"

const reasons: { readonly [Why in DiscardReason]: string } = {
  ScopeFailed: "its scope did not succeed",
  NotApproved: "its plan was not approved",
  Planned: "a plan dispatches nothing",
  RolledBack: "a savepoint beside it was rolled back",
  FiberFailed: "its fiber failed",
  FiberInterrupted: "its fiber was interrupted",
  FiberRunning: "its fiber still runs",
  FiberUnknown: "its fiber is unknown"
}

/** The reason in words, for a plan and a log. @internal */
export const reasonOf = (why: DiscardReason): string => reasons[why]

/** @internal */
export const dispatch: Disposition = { _tag: "Dispatch" }

/** @internal */
export const committed: Disposition = { _tag: "Committed" }

const discards: { readonly [Why in DiscardReason]: Disposition } = {
  ScopeFailed: { _tag: "Discard", why: "ScopeFailed" },
  NotApproved: { _tag: "Discard", why: "NotApproved" },
  Planned: { _tag: "Discard", why: "Planned" },
  RolledBack: { _tag: "Discard", why: "RolledBack" },
  FiberFailed: { _tag: "Discard", why: "FiberFailed" },
  FiberInterrupted: { _tag: "Discard", why: "FiberInterrupted" },
  FiberRunning: { _tag: "Discard", why: "FiberRunning" },
  FiberUnknown: { _tag: "Discard", why: "FiberUnknown" }
}

/** @internal */
export const discard = (why: DiscardReason): Disposition => discards[why]

const discardsByFate: { readonly [F in Fate]: Disposition | undefined } = {
  succeeded: undefined,
  failed: discards.FiberFailed,
  interrupted: discards.FiberInterrupted,
  running: discards.FiberRunning,
  unknown: discards.FiberUnknown
}

/**
 * The disposition of an intent that does not leave though its scope succeeds, because of its branch of fibers or of a savepoint
 * beside it; else `undefined`.
 *
 * @internal
 */
export const discardByFate = (intent: IntentRecord, fate: Fate): Disposition | undefined =>
  isRolledBack(intent.savepoint) ? discards.RolledBack : discardsByFate[fate]

/** One disposition for each intent of a scope, in order. @internal */
export class Dispositions {
  /** `undefined` while an intent is undecided. */
  private readonly list: Array<Disposition | undefined>
  /** Whether the scope flushes. If not, none of its intents is dispatched. */
  flushes = true

  constructor(
    readonly intents: ReadonlyArray<IntentRecord>,
    decided: (intent: IntentRecord) => Disposition | undefined
  ) {
    this.list = intents.map(decided)
  }

  /** The intents without a disposition. */
  get undecided(): ReadonlyArray<IntentRecord> {
    return this.intents.filter((_, index) => this.list[index] === undefined)
  }

  /** Decides about the undecided intents. One for which `f` returns `undefined` stays undecided. */
  decide(f: (intent: IntentRecord) => Disposition | undefined): void {
    for (let index = 0; index < this.list.length; index++) {
      this.list[index] ??= f(this.intents[index]!)
    }
  }

  /** Drops the undecided intents that a policy drops. */
  drop(dropped: ReadonlyMap<IntentRecord, Dropped>): void {
    this.decide((intent) => {
      const by = dropped.get(intent)
      return by && { _tag: "Drop", by }
    })
  }

  /** Maps each intent and its disposition, and leaves out results that are `undefined`. */
  map<A>(f: (intent: IntentRecord, disposition: Disposition | undefined) => A | undefined): ReadonlyArray<A> {
    return this.intents.flatMap((intent, index) => f(intent, this.list[index]) ?? [])
  }

  /** The intents of one kind of disposition, each with its disposition. */
  where<Tag extends Disposition["_tag"]>(tag: Tag): ReadonlyArray<Disposed<Tag>> {
    const found: Array<Disposed<Tag>> = []
    this.intents.forEach((intent, index) => {
      const disposition = this.list[index]
      if (disposition?._tag === tag) {
        // The tag was compared.
        found.push({ intent, disposition: disposition as Disposed<Tag>["disposition"] })
      }
    })
    return found
  }

  /** Whether every intent goes to the executor, as in most scopes. */
  get areAllDispatched(): boolean {
    return this.list.every((disposition) => disposition?._tag === "Dispatch")
  }

  /** The intents of some kinds of disposition. */
  intentsWhere(...tags: ReadonlyArray<Disposition["_tag"]>): ReadonlyArray<IntentRecord> {
    return this.intents.filter((_, index) => {
      const disposition = this.list[index]
      return disposition !== undefined && tags.includes(disposition._tag)
    })
  }

  /** Changes the disposition of some intents to a failure. */
  fail(reasons: ReadonlyMap<IntentRecord, FlushReason>): void {
    if (reasons.size > 0) {
      this.intents.forEach((intent, index) => {
        const reason = reasons.get(intent)
        if (reason !== undefined) {
          this.list[index] = { _tag: "Fail", reason }
        }
      })
    }
  }

  /** The failures that a `FlushError` lists. */
  get failures(): ReadonlyArray<FlushFailure> {
    return this.where("Fail").map(({ disposition, intent }) => ({
      intentId: intent.id,
      task: intent.task.name,
      reason: disposition.reason
    }))
  }
}

/** An intent with its disposition. @internal */
export interface Disposed<Tag extends Disposition["_tag"] = Disposition["_tag"]> {
  readonly intent: IntentRecord
  readonly disposition: Extract<Disposition, { readonly _tag: Tag }>
}
