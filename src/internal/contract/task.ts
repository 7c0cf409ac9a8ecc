/**
 * The handler of a task, and its options. The public names stand in `Task`.
 */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { AnyTask, IntentId } from "../../Intent.js"

/**
 * The second argument of a handler: the id of the intent, and the attempt.
 *
 * @since 0.1.0
 * @category models
 */
export interface HandlerContext {
  /** The id of the intent. It is the same at every attempt: use it to recognise a duplicate. */
  readonly intentId: IntentId
  /** The number of this attempt, from 1. */
  readonly attempt: number
  /** When the intent was enqueued, in milliseconds since the epoch. */
  readonly enqueuedAt: number
}

/**
 * The options of a handler.
 *
 * @since 0.1.0
 * @category options
 */
export interface HandlerOptions {
  /**
   * Whether the relay of the outbox runs the handler in a transaction of the outbox's database, and acknowledges the intent in
   * it. Then what the handler writes with this `SqlClient` and the end of the intent are committed together: exactly one effect
   * in that database, and still at least one everywhere else. It changes nothing in executors of this process, which have no row
   * to acknowledge. Default: `false`.
   */
  readonly transactional?: boolean
}

/**
 * The options of a batched handler: how the payloads of a flush are grouped into calls.
 *
 * @since 0.1.0
 * @category options
 */
export interface BatchOptions<Payload> {
  /** The maximum number of payloads in one call. Default: no limit. */
  readonly maxSize?: number
  /**
   * Payloads of one flush whose keys are equal (as keys of a `Map`) become one payload, at the place and with the context
   * of the last of them. Default: every payload stays.
   */
  readonly key?: (payload: Payload) => unknown
  /** Combines two payloads with the same key. Default: the later one replaces the earlier one. */
  readonly merge?: (earlier: Payload, later: Payload) => Payload
}

/** A handler: takes a payload and its context, or, if it is batched, arrays of both. @internal */
export type Handler = (payload: never, context: never) => Effect.Effect<unknown, unknown, never>

/** A handler, and what its runs need. @internal */
export interface HandlerDefinition {
  readonly task: AnyTask
  readonly handler: Handler
  /** Present if the handler takes many payloads in one call. */
  readonly batched: BatchOptions<never> | undefined
  /** Whether a relay runs the handler and acknowledges its intent in one transaction. */
  readonly transactional: boolean
  /** The context of the handler's Layer. A run adds a scope to it, and nothing else. */
  readonly context: Context.Context<never>
}
