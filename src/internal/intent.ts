/**
 * The intent as the buffer holds it: what others may see, and what settling needs.
 *
 * @internal
 */
import type * as Tracer from "effect/Tracer"
import type { EnqueueOptions, Intent, IntentId } from "../Intent.js"
import type * as Task from "../Task.js"
import type { PolicyChain } from "./policyChain.js"
import type { Fork } from "./position.js"

/** @internal */
export class IntentRecord implements Intent {
  constructor(
    readonly id: IntentId,
    readonly task: Task.Any,
    readonly payload: unknown,
    readonly options: EnqueueOptions,
    readonly enqueuedAt: number,
    readonly scopeId: number,
    readonly span: Tracer.AnySpan | undefined,
    readonly policies: PolicyChain | undefined,
    /** The branch it belongs to in the scope that holds it now: a capture moves it to that of the captured scope. */
    public fork: Fork
  ) {}
}
