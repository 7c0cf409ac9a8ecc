/**
 * The intent as the buffer holds it: what others may see, and what settling needs.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"
import type { Outcome } from "../Executor.js"
import type { EnqueueOptions, Intent, IntentId } from "../Intent.js"
import type * as Task from "../Task.js"
import type { Verdict } from "./decide.js"
import type { PolicyChain } from "./policyChain.js"
import type { Fork } from "./position.js"
import type { Cascade } from "./scope.js"
import type { Frame } from "./transactionConnection.js"

/** @internal */
export interface Closure {
  readonly effect: Effect.Effect<unknown, unknown>
  readonly context: Context.Context<never>
}

/** What a durable executor needs of an intent. @internal */
export interface Durable {
  readonly encoded: string
  /** What its policies said of it, once they were asked: before the COMMIT of its transaction. */
  verdict: Verdict | undefined
  /** Whether it was written in that transaction: to wait for the say of the scopes around, or to leave with the COMMIT. */
  parked: "held" | "ready" | undefined
}

/** @internal */
export class IntentRecord implements Intent {
  /** What its handler in this process came to, as soon as that is known. */
  outcome: Outcome | undefined = undefined
  durable: Durable | undefined = undefined

  constructor(
    readonly id: IntentId,
    readonly task: Task.Any,
    readonly payload: unknown,
    readonly options: EnqueueOptions,
    readonly enqueuedAt: number,
    readonly scopeId: number,
    /** How many scopes were around it, and the handlers that led there. */
    readonly depth: number,
    readonly cascade: Cascade | undefined,
    readonly span: Tracer.AnySpan | undefined,
    readonly policies: PolicyChain | undefined,
    /** The branch it belongs to in the scope that holds it now: a capture moves it to that of the captured scope. */
    public fork: Fork,
    /**
     * The savepoint that another fiber had open on the same connection when it was enqueued: what was written beside it is
     * undone with it.
     */
    readonly beside: Frame | undefined,
    /** What `Airlock.enqueueEffect` was given: it takes the place of the task's handler. */
    readonly closure: Closure | undefined
  ) {}

  get encoded(): string | undefined {
    return this.durable?.encoded
  }
}
