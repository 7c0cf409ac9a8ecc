/**
 * An intent is one request to run a task. `Airlock.enqueue` adds it to the current scope.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import type * as Duration from "effect/Duration"
import type * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import type * as Tracer from "effect/Tracer"
import type { DispatchReason } from "./AirlockError.js"

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
 * Functions that carry stored payloads of older versions over to newer ones. The function at version n gets the encoded payload
 * of version n, which is JSON, and returns the encoded payload of version n + 1. See `Task.make`.
 *
 * @since 0.1.0
 * @category options
 */
export interface Upcasts {
  // The type of a method: its parameter may have the type that payloads of that version had.
  readonly [version: number]: { upcast(old: unknown): NonNullable<unknown> | null }["upcast"]
}

/**
 * How often, when and how long a durable executor runs the handler of an intent. The relay of the outbox does as these options
 * say. Executors in this process ignore them: see `RunOptions` of `Executor.inProcess`.
 *
 * @since 0.1.0
 * @category options
 */
export interface RetryOptions {
  /**
   * The maximum number of attempts of an intent without `maxAttempts` of its own. After the last one it is a dead letter.
   * Default: that of the relay.
   */
  readonly maxAttempts?: number
  /**
   * The delay after each failed attempt, with the error of the attempt as its input. When the schedule ends, the intent is a
   * dead letter. Default: one second, doubled after each attempt, at most one hour, reduced by a random part of up to half.
   *
   * The attempts of an intent may run in different processes, so the schedule keeps no state. After attempt n it is run from
   * its start for n steps, each with the error of attempt n, and the delay of its last step counts. Its clock runs by its own
   * delays, so a limit in time (`Schedule.upTo`) limits the sum of the delays, without the time in which handlers ran.
   */
  readonly schedule?: Schedule.Schedule<unknown, DispatchReason>
  /** The time limit of one attempt. Default: that of the relay. */
  readonly timeout?: Duration.DurationInput
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
  /** The version of the payload's shape. Default: 1. */
  readonly version?: number
  readonly upcast?: Upcasts | undefined
  readonly retry?: RetryOptions | undefined
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
