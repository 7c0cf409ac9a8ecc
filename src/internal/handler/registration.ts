/**
 * A registered handler, and the number of its runs.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Schema from "effect/Schema"
import { InvalidPayloadError } from "../../AirlockError.js"
import type { HandlerDefinition } from "../contract/task.js"
import type { Closure, IntentRecord } from "../scope/intentRecord.js"
import { withCallersStack } from "../support/callSite.js"
import { issuesOf, isValid } from "../support/payload.js"

/** @internal */
export class Registration {
  /** Whether its Layer has closed, so that no further run begins. */
  closed = false
  /** Completes when the last run ends after the Layer has closed. */
  readonly ended = Deferred.unsafeMake<void>(FiberId.none)
  private runs = 0

  constructor(readonly definition: HandlerDefinition) {}

  get running(): number {
    return this.runs
  }

  begin(): void {
    this.runs++
  }

  end(): void {
    this.runs--
    if (this.closed && this.runs === 0) {
      Deferred.unsafeDone(this.ended, Exit.void)
    }
  }
}

/** A closure is its own handler, with a registration for one run: no Layer waits for it. @internal */
export const registrationOfClosure = (name: string, { context, effect }: Closure): Registration =>
  new Registration({
    task: { name, payloadSchema: Schema.Void },
    handler: () => effect,
    batched: undefined,
    transactional: false,
    context
  })

/**
 * The error of an intent whose payload its handler does not accept: a task of the same name, but with another Schema, was
 * enqueued. `undefined` if the handler accepts the payload.
 *
 * @internal
 */
export const mismatchOf = ({ definition }: Registration, intent: IntentRecord): InvalidPayloadError | undefined => {
  const { task } = definition
  return intent.task.payloadSchema === task.payloadSchema || intent.closure !== undefined ||
      isValid(task, intent.payload)
    ? undefined
    : withCallersStack(new InvalidPayloadError({ task: task.name, issues: issuesOf(task, intent.payload) }))
}
