/**
 * An intent is one wish to run a task: what `Airlock.enqueue` puts into a scope.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import type * as Duration from "effect/Duration"
import type * as Tracer from "effect/Tracer"
import type * as Task from "./Task.js"

/**
 * The id of an intent: a UUID of version 7 (RFC 9562), so unique across processes and sorted by time. It stays the same
 * over retries, and reaches the handler: the key to recognise a duplicate by.
 *
 * @since 0.1.0
 * @category models
 */
export type IntentId = string & Brand.Brand<"effect-airlock/IntentId">

/**
 * How an intent is to be carried. The executor in the process ignores all but `origin`: the other options speak to
 * durable executors.
 *
 * @since 0.1.0
 * @category models
 */
export interface EnqueueOptions {
  /** Run no earlier than this after the intent left. Default: at once. */
  readonly delay?: Duration.DurationInput
  /** Run no earlier than this moment. */
  readonly runAt?: Date
  /** The queue of the engine. Default: the engine's own. */
  readonly queue?: string
  /** Lower runs first. Default: 0. */
  readonly priority?: number
  /** While an intent with this key waits, another one with it is not added. */
  readonly dedupeKey?: string
  /** Intents with the same key run in order. */
  readonly orderingKey?: string
  /** How often the task is tried in all. Default: the executor's. */
  readonly maxAttempts?: number
  /** Who wanted it, for people who look: a screen, a command, a signal's name. */
  readonly origin?: string
  /** One engine's own options, passed to it as they are. */
  readonly native?: Readonly<Record<string, unknown>>
}

/**
 * What policies, executors and plans see of an intent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Intent {
  readonly id: IntentId
  readonly task: Task.Any
  readonly payload: unknown
  /** The payload as JSON, encoded by its Schema at the enqueue, where a durable executor will keep it. */
  readonly encoded?: string | undefined
  readonly options: EnqueueOptions
  /** Milliseconds since the epoch, by the Effect `Clock`. */
  readonly enqueuedAt: number
  /** The id of the scope it was enqueued in; in a scope that captured it, not that scope's own. */
  readonly scopeId: number
  /** The span that was current at the enqueue. */
  readonly span: Tracer.AnySpan | undefined
}
