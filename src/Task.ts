/**
 * A task is a named kind of side effect: a name, a Schema for its payload and, given by the application, a handler.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { AirlockScope } from "./AirlockScope.js"
import type { IntentId } from "./Intent.js"
import { Airlock } from "./internal/airlock.js"
import type { Handler } from "./internal/handlers.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-airlock/Task")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * What a handler learns of the run beside the payload.
 *
 * @since 0.1.0
 * @category models
 */
export interface HandlerContext {
  /** The same at every attempt: the key to recognise a duplicate by. */
  readonly intentId: IntentId
  /** From 1. */
  readonly attempt: number
  /** Milliseconds since the epoch. */
  readonly enqueuedAt: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Task<out Name extends string, in out Payload extends Schema.Schema.Any> {
  readonly [TypeId]: TypeId
  readonly name: Name
  readonly payloadSchema: Payload
  /** Of the payload's shape: it travels with each intent that is kept. */
  readonly version: number
  /**
   * Says what the task does. The handler runs in a root scope of its own (what it enqueues leaves if it succeeds) and in
   * the context that the Layer was given, not in that of whoever enqueued. When the Layer closes, it takes no new
   * runs and waits for the running ones.
   *
   * A second handler for the same name, in the same Airlock, is a `DuplicateTaskError`.
   */
  readonly toLayer: <E, R>(
    handler: (payload: Schema.Schema.Type<Payload>, context: HandlerContext) => Effect.Effect<unknown, E, R>
  ) => Layer.Layer<never, never, Airlock | Exclude<R, AirlockScope | Scope.Scope>>
  /**
   * As {@link toLayer}, for a handler that takes many payloads in one call. It gets all those of a flush, in order, in as few
   * calls as `maxSize` allows, after the handlers of other tasks; sooner, where one of those has an intent of the same
   * `orderingKey`. If a call fails, each of its intents has failed.
   */
  readonly toLayerBatched: <E, R>(
    handler: (
      payloads: NonEmptyReadonlyArray<Schema.Schema.Type<Payload>>,
      contexts: NonEmptyReadonlyArray<HandlerContext>
    ) => Effect.Effect<unknown, E, R>,
    options?: BatchOptions<Schema.Schema.Type<Payload>>
  ) => Layer.Layer<never, never, Airlock | Exclude<R, AirlockScope | Scope.Scope>>
}

/**
 * How the payloads of a flush are gathered for a handler that takes many.
 *
 * @since 0.1.0
 * @category options
 */
export interface BatchOptions<Payload> {
  /** How many payloads a call gets at most. Default: not limited. */
  readonly maxSize?: number
  /**
   * Payloads of one flush with the same key, compared as the keys of a `Map` are, become one. It takes the place, and its
   * context is that, of the last of them. Default: each payload stays.
   */
  readonly key?: (payload: Payload) => unknown
  /** Makes one of two payloads with the same key. Default: the later one wins. */
  readonly merge?: (earlier: Payload, later: Payload) => Payload
}

/**
 * Any task, where the payload's type does not matter.
 *
 * @since 0.1.0
 * @category models
 */
export interface Any {
  readonly name: string
  readonly payloadSchema: Schema.Schema.Any
  readonly version?: number
}

/**
 * Defines a task.
 *
 * `payload` is a Schema, or the fields of a `Schema.Struct`; it may not need services. The name identifies the task
 * wherever an intent waits (a table, a queue), so choose it once: a deployed name is renamed like a column is.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", {
 *   payload: { orderId: Schema.Number, email: Schema.String }
 * })
 *
 * const SendReceiptLive = SendReceipt.toLayer(({ email, orderId }) => Effect.log(`receipt ${orderId} to ${email}`))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const Name extends string, Payload extends PayloadFields | Schema.Schema.AnyNoContext>(
  name: Name,
  options: {
    readonly payload: Payload
    /** Raised when the payload's shape changes, it tells intents apart that were kept before. Default: 1. */
    readonly version?: number
  }
): Task<Name, PayloadSchema<Payload>> => {
  if (name.length === 0) {
    throw new TypeError("Task.make needs a name that is not empty")
  }
  const { version = 1 } = options
  const payloadSchema = Schema.isSchema(options.payload) ? options.payload : Schema.Struct(options.payload)
  const register = <E, R>(
    handler: (payload: never, context: never) => Effect.Effect<unknown, E, R>,
    batched: BatchOptions<never> | undefined
  ) =>
    Layer.scopedDiscard(Effect.gen(function*() {
      const airlock = yield* Airlock
      const context = yield* Effect.context<Exclude<R, AirlockScope | Scope.Scope>>()
      // What `R` excludes is what a run adds to this context: the handler finds in it all that it asks for.
      yield* airlock.handlers.register(
        { name, payloadSchema, version },
        handler as Handler,
        batched,
        Context.omit(AirlockScope)(context) as Context.Context<never>
      )
    }))
  const toLayer = <E, R>(handler: (payload: never, context: never) => Effect.Effect<unknown, E, R>) =>
    register(handler, undefined)
  const toLayerBatched = <E, R>(
    handler: (payloads: never, contexts: never) => Effect.Effect<unknown, E, R>,
    batched: BatchOptions<never> = {}
  ) => {
    const { maxSize } = batched
    if (maxSize !== undefined && !(maxSize >= 1)) {
      throw new RangeError(`toLayerBatched of "${name}" needs a maxSize of at least 1, and got ${maxSize}`)
    }
    return register(handler, batched)
  }
  // The Schema is the one that `Payload` describes: TypeScript does not follow a narrowed generic into the conditional
  // type `PayloadSchema`.
  return { [TypeId]: TypeId, name, payloadSchema, version, toLayer, toLayerBatched } as unknown as Task<
    Name,
    PayloadSchema<Payload>
  >
}

/**
 * The fields of a payload that `Task.make` accepts: those of a `Schema.Struct`, none of which needs services.
 *
 * @since 0.1.0
 * @category utility types
 */
export interface PayloadFields {
  readonly [field: PropertyKey]: Schema.Schema.AnyNoContext | AnySignature<any> | AnySignature<never>
}

type AnySignature<T> = Schema.PropertySignature<
  Schema.PropertySignature.Token,
  T,
  PropertyKey,
  Schema.PropertySignature.Token,
  any,
  boolean,
  never
>

/**
 * The Schema that `Task.make` makes of its `payload` option.
 *
 * @since 0.1.0
 * @category utility types
 */
export type PayloadSchema<Payload extends PayloadFields | Schema.Schema.AnyNoContext> = Payload extends
  Schema.Schema.AnyNoContext ? Payload
  : Payload extends Schema.Struct.Fields ? Schema.Struct<Payload>
  : never

/**
 * Whether a value is a task.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTask = (u: unknown): u is Task<string, Schema.Schema.Any> =>
  typeof u === "object" && u !== null && TypeId in u
