/**
 * An intent as the buffer of a scope holds it: the public fields, and the fields that settling needs.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as EffectScope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import type { AnyTask, EnqueueOptions, Intent, IntentId } from "../../Intent.js"
import type { Outcome, Transactional } from "../contract/executor.js"
import type { Cascade } from "./cascade.js"
import { type Fork, makeFork } from "./fork.js"
import type { Dropped, PolicyChain } from "./policyChain.js"
import { type Savepoint, withoutTransaction } from "./transactionTag.js"

/** The Effect of `Airlock.enqueueEffect`, with the context in which it was enqueued. @internal */
export interface Closure {
  readonly effect: Effect.Effect<unknown, unknown>
  readonly context: Context.Context<never>
}

/** A closure runs after the open transaction, with an Effect `Scope` of its own, so its context has neither. @internal */
export const closureOf = <A, E, R>(effect: Effect.Effect<A, E, R>, context: Context.Context<never>): Closure => ({
  // The context has the services of `R`, and a run adds the scopes.
  effect: effect as Effect.Effect<A, E>,
  context: withoutTransaction(Context.omit(EffectScope.Scope)(context))
})

/** The fields of an intent that a durable executor stores. @internal */
export interface Durable {
  /** The payload as JSON. */
  readonly encoded: string
  /** The policy that dropped the intent before the COMMIT of its transaction. */
  dropped: Dropped | undefined
  /** The outbox into which its transaction inserted its row. */
  outbox: Transactional | undefined
}

/** @internal */
export interface IntentFields {
  readonly id: IntentId
  readonly task: AnyTask
  readonly payload: unknown
  readonly options: EnqueueOptions
  readonly enqueuedAt: number
  readonly scopeId: number
  /** How many scopes were around the scope of the enqueue. */
  readonly depth: number
  readonly cascade: Cascade | undefined
  readonly span: Tracer.AnySpan | undefined
  readonly policies: PolicyChain | undefined
  /** The fiber of the enqueue, in the scope that holds the intent. A capture changes it to the fiber of the inner scope. */
  readonly fork: Fork
  /**
   * The savepoint that another fiber had open on the same connection. If it is rolled back, so is the work of this fiber.
   */
  readonly savepoint: Savepoint | undefined
  /** Takes the place of the task's handler. */
  readonly closure: Closure | undefined
}

/**
 * Frozen: users cannot change what they see of it, and a copy by spread has it. What settling changes is in private fields.
 *
 * @internal
 */
export class IntentRecord implements Intent, IntentFields {
  readonly id: IntentId
  readonly task: AnyTask
  readonly payload: unknown
  readonly options: EnqueueOptions
  readonly enqueuedAt: number
  readonly scopeId: number
  readonly span: Tracer.AnySpan | undefined
  readonly #fields: IntentFields
  #fork: Fork
  #outcome: Outcome | undefined = undefined
  #durable: Durable | undefined = undefined

  constructor(fields: IntentFields) {
    this.id = fields.id
    this.task = fields.task
    this.payload = fields.payload
    this.options = fields.options
    this.enqueuedAt = fields.enqueuedAt
    this.scopeId = fields.scopeId
    this.span = fields.span
    this.#fields = fields
    this.#fork = fields.fork
    Object.freeze(this)
  }

  /** Whether an intent is a record, and not a copy. @internal */
  static is(intent: Intent): intent is IntentRecord {
    return #fields in intent
  }

  get fork(): Fork {
    return this.#fork
  }

  set fork(fork: Fork) {
    this.#fork = fork
  }

  /** The outcome of its handler in this process, as soon as the handler has ended. */
  get outcome(): Outcome | undefined {
    return this.#outcome
  }

  set outcome(outcome: Outcome | undefined) {
    this.#outcome = outcome
  }

  get durable(): Durable | undefined {
    return this.#durable
  }

  set durable(durable: Durable | undefined) {
    this.#durable = durable
  }

  get depth(): IntentFields["depth"] {
    return this.#fields.depth
  }

  get cascade(): IntentFields["cascade"] {
    return this.#fields.cascade
  }

  get policies(): IntentFields["policies"] {
    return this.#fields.policies
  }

  get savepoint(): IntentFields["savepoint"] {
    return this.#fields.savepoint
  }

  get closure(): IntentFields["closure"] {
    return this.#fields.closure
  }

  get encoded(): string | undefined {
    return this.#durable?.encoded
  }

  // In logs: neither the payload, which may hold secrets, nor what is behind it.
  toString(): string {
    return `Intent(${this.task.name} ${this.id})`
  }

  toJSON(): unknown {
    return { _id: "Intent", task: this.task.name, id: this.id }
  }

  [Inspectable.NodeInspectSymbol](): unknown {
    return this.toJSON()
  }
}

/** Whether a transaction has inserted its row. @internal */
export const isInserted = ({ durable }: IntentRecord): boolean => durable?.outbox !== undefined

/** The fields of an intent that a caller without a scope has. */
interface ForeignIntent extends Pick<Intent, "id" | "task" | "payload" | "enqueuedAt"> {
  readonly options?: EnqueueOptions
  readonly scopeId?: number
  readonly depth?: number
  readonly cascade?: Cascade | undefined
  readonly span?: Tracer.AnySpan | undefined
  readonly closure?: Closure | undefined
}

/** Makes the record of an intent that no scope holds, because it comes from an engine, the outbox or a test. @internal */
export const recordOf = (intent: ForeignIntent): IntentRecord =>
  new IntentRecord({
    id: intent.id,
    task: intent.task,
    payload: intent.payload,
    options: intent.options ?? {},
    enqueuedAt: intent.enqueuedAt,
    scopeId: intent.scopeId ?? 0,
    depth: intent.depth ?? 0,
    cascade: intent.cascade,
    span: intent.span,
    policies: undefined,
    fork: makeFork(undefined),
    savepoint: undefined,
    closure: intent.closure
  })

/** The records of some intents, whose handlers run now. An intent from an engine or an outbox may have no record yet. @internal */
export const recordsOf = (intents: ReadonlyArray<Intent>): ReadonlyArray<IntentRecord> => {
  for (const intent of intents) {
    if (!IntentRecord.is(intent)) {
      return intents.map((intent) => IntentRecord.is(intent) ? intent : recordOf(intent))
    }
    intent.outcome = undefined
  }
  // The loop has checked that each intent is a record.
  return intents as ReadonlyArray<IntentRecord>
}
