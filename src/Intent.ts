/**
 * An intent is one request to run a task. `Airlock.enqueue` adds it to the current scope.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import type * as Duration from "effect/Duration"
import type * as Schema from "effect/Schema"
import type * as Tracer from "effect/Tracer"

/**
 * The id of an intent: a UUID of version 7 (RFC 9562), unique across processes and sorted by time. It stays the same over
 * all attempts and is passed to the handler, which can use it to recognise a duplicate.
 *
 * @since 0.1.0
 * @category models
 */
export type IntentId = string & Brand.Brand<"effect-airlock/IntentId">

/**
 * The options of `Airlock.enqueue`. The outbox stores all of them, and its relay carries out all but `queue` and `native`, which
 * are for engines. An executor that cannot carry one out refuses the enqueue: see `Executor.capabilities`. Plans show `origin`.
 *
 * @since 0.1.0
 * @category options
 */
export interface EnqueueOptions {
  /** The minimum time between the moment when the intent leaves and its first run. Default: none. */
  readonly delay?: Duration.DurationInput
  /** The earliest time of its first run. Default: none. */
  readonly runAt?: Date
  /** The queue in which the engine puts the intent. Default: that of the engine. */
  readonly queue?: string
  /** The priority: intents with a lower number run first. Default: 0. */
  readonly priority?: number
  /** While an intent of the same task with this key waits, the outbox ignores further ones. Default: none. */
  readonly dedupeKey?: string
  /** Intents with the same key run one after the other, in order. Default: none. */
  readonly orderingKey?: string
  /** The maximum number of attempts. Default: that of the executor. */
  readonly maxAttempts?: number
  /** The source of the intent, for people who read plans: a screen, a command, a signal. Default: none. */
  readonly origin?: string
  /** Options of one engine, passed to it unchanged. Default: none. */
  readonly native?: Readonly<Record<string, unknown>>
}

/**
 * A task whose payload may have any type. `Task.Any` is the same type.
 *
 * @since 0.1.0
 * @category models
 */
export interface AnyTask {
  readonly name: string
  readonly payloadSchema: Schema.Schema.Any
  readonly version?: number
}

/**
 * An intent, as policies and executors get it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Intent {
  readonly id: IntentId
  readonly task: AnyTask
  readonly payload: unknown
  /** The payload as JSON, encoded by its Schema at the enqueue. Present if the executor is durable. */
  readonly encoded?: string | undefined
  readonly options: EnqueueOptions
  /** When the intent was enqueued, in milliseconds since the epoch, by the Effect `Clock`. */
  readonly enqueuedAt: number
  /** The id of the scope in which the intent was enqueued. It does not change when an outer scope captures the intent. */
  readonly scopeId: number
  /** The span that was current at the enqueue. */
  readonly span: Tracer.AnySpan | undefined
}
