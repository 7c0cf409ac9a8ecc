/**
 * A task is a named kind of side effect. It has a name, a Schema for its payload, and a handler that the application
 * provides.
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
import type { AnyTask, RetryOptions, Upcasts } from "./Intent.js"
import { Airlock } from "./internal/contract/airlock.js"
import type { BatchOptions, Handler, HandlerContext, HandlerOptions } from "./internal/contract/task.js"
import { checkedRetry, checkedUpcast, checkedVersion } from "./internal/support/taskOptions.js"

export type { RetryOptions, Upcasts } from "./Intent.js"
export type { BatchOptions, HandlerContext, HandlerOptions } from "./internal/contract/task.js"

/**
 * The symbol that marks a task.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-airlock/Task")

/**
 * The type of {@link TypeId}.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A task: its name, the Schema of its payload, and the functions that make a Layer of its handler.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * // runs once for each intent
 * const SendReceiptLive = SendReceipt.toLayer(({ orderId }, { intentId }) => Effect.log(`receipt ${orderId}`, intentId))
 *
 * const Index = Task.make("Index", { payload: { documentId: Schema.String } })
 *
 * // runs once for up to 100 different documents
 * const IndexLive = Index.toLayerBatched(
 *   (documents) => Effect.log(`index ${documents.length} documents`),
 *   { maxSize: 100, key: ({ documentId }) => documentId }
 * )
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface Task<out Name extends string, in out Payload extends Schema.Schema.Any> {
  readonly [TypeId]: TypeId
  /** Identifies the task in logs, in policies, and wherever an intent is stored. */
  readonly name: Name
  readonly payloadSchema: Payload
  /** The version of the payload's shape. The outbox stores it with each intent. */
  readonly version: number
  /** How stored payloads of older versions become payloads of this version. Absent if there is no function for any of them. */
  readonly upcast?: Upcasts | undefined
  /** How often, when and how long durable executors run the handler. */
  readonly retry?: RetryOptions | undefined
  /**
   * Makes a Layer that registers the handler of the task. The handler runs in a root scope of its own: the intents that it
   * enqueues leave if it succeeds. It has the services of this Layer, and none of the enqueue. When the Layer closes, no
   * new run begins, and the Layer waits for the running ones within `shutdownTimeout`.
   *
   * A second handler for the same name in the same Airlock is a defect (`DuplicateTaskError`).
   */
  readonly toLayer: <E, R>(
    handler: (payload: Schema.Schema.Type<Payload>, context: HandlerContext) => Effect.Effect<unknown, E, R>,
    options?: HandlerOptions
  ) => Layer.Layer<never, never, Airlock | Exclude<R, AirlockScope | Scope.Scope>>
  /**
   * Makes a Layer that registers a handler which takes many payloads in one call: all payloads of a flush, in order, in as
   * few calls as `maxSize` allows. The calls run after the handlers of the flush's other tasks, but before a later intent
   * of another task with the same `orderingKey`. If a call fails, all of its intents fail.
   *
   * Throws a `RangeError` if `maxSize` is below 1.
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
 * A task whose payload may have any type.
 *
 * @since 0.1.0
 * @category models
 */
export type Any = AnyTask

/**
 * Defines a task. `payload` is a Schema, or the fields of a `Schema.Struct`, without required services.
 *
 * The name identifies the task wherever an intent is stored, such as in a table or a queue. So renaming a deployed task
 * needs a migration, as renaming a column does.
 *
 * A stored intent can be older than the task that runs it. If today's Schema does not accept what an older one has written,
 * raise `version` and give `upcast` a function for the old version. A relay runs no intent of a newer version than its own.
 *
 * Throws a `TypeError` if the name is empty or an upcast is no function, and a `RangeError` if a number is out of its range.
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
 *
 * // version 1 had one address
 * const Invite = Task.make("Invite", {
 *   payload: { emails: Schema.Array(Schema.String) },
 *   version: 2,
 *   upcast: { 1: (old: { readonly email: string }) => ({ emails: [old.email] }) },
 *   retry: { maxAttempts: 5, timeout: "1 minute" }
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const Name extends string, Payload extends PayloadFields | Schema.Schema.AnyNoContext>(
  name: Name,
  options: {
    /** The Schema of the payload, or the fields of a `Schema.Struct`. */
    readonly payload: Payload
    /**
     * The version of the payload's shape: a positive integer. Raise it when today's Schema does not accept what it has accepted
     * before, or when a process of the last deploy could not run today's payloads. Default: 1.
     */
    readonly version?: number
    /**
     * For each older version n, a function that makes an encoded payload of version n + 1 of one of version n. A stored payload
     * goes through all of them from its version on, and is then decoded. A version without a function has changed in a
     * compatible way: its payloads go on as they are.
     *
     * The functions get and return what was stored, which is JSON, because the Schema of an old version is no longer there to
     * decode it. Nothing checks that a stored payload has the type that a function declares for it: declare `unknown` and
     * decode it with a Schema, if you want that. If a function throws, the intent is a dead letter with the error. Default: none.
     */
    readonly upcast?: Upcasts
    /** How often, when and how long durable executors run the handler. Default: as the relay of the outbox says. */
    readonly retry?: RetryOptions
  }
): Task<Name, PayloadSchema<Payload>> => {
  if (name.length === 0) {
    throw new TypeError("Task.make needs a name that is not empty")
  }
  const version = checkedVersion(name, options.version ?? 1)
  const payloadSchema = Schema.isSchema(options.payload) ? options.payload : Schema.Struct(options.payload)
  const task = {
    name,
    payloadSchema,
    version,
    ...(options.upcast !== undefined && { upcast: checkedUpcast(name, version, options.upcast) }),
    ...(options.retry !== undefined && { retry: checkedRetry(name, options.retry) })
  } satisfies AnyTask
  const register = <E, R>(
    handler: (payload: never, context: never) => Effect.Effect<unknown, E, R>,
    batched: BatchOptions<never> | undefined,
    transactional: boolean
  ) =>
    Layer.scopedDiscard(Effect.gen(function*() {
      const airlock = yield* Airlock
      const context = yield* Effect.context<Exclude<R, AirlockScope | Scope.Scope>>()
      yield* airlock.register({
        task,
        // The context has the services of `R`, and a run adds what `R` excludes.
        handler: handler as Handler,
        batched,
        transactional,
        context: Context.omit(AirlockScope)(context) as Context.Context<never>
      })
    }))
  const toLayer = <E, R>(
    handler: (payload: never, context: never) => Effect.Effect<unknown, E, R>,
    { transactional = false }: HandlerOptions = {}
  ) => register(handler, undefined, transactional)
  const toLayerBatched = <E, R>(
    handler: (payloads: never, contexts: never) => Effect.Effect<unknown, E, R>,
    batched: BatchOptions<never> = {}
  ) => {
    const { maxSize } = batched
    if (maxSize !== undefined && !(maxSize >= 1)) {
      throw new RangeError(`toLayerBatched of "${name}" needs a maxSize of at least 1, and got ${maxSize}`)
    }
    return register(handler, batched, false)
  }
  // The Schema is the one of `PayloadSchema`: TypeScript does not narrow a conditional type by a test of its value.
  return Object.freeze({ [TypeId]: TypeId, ...task, toLayer, toLayerBatched }) as unknown as Task<
    Name,
    PayloadSchema<Payload>
  >
}

/**
 * The fields that `Task.make` accepts as a payload: the fields of a `Schema.Struct` that requires no services.
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
 * The type of the Schema that `Task.make` makes from its option `payload`.
 *
 * @since 0.1.0
 * @category utility types
 */
export type PayloadSchema<Payload extends PayloadFields | Schema.Schema.AnyNoContext> = Payload extends
  Schema.Schema.AnyNoContext ? Payload
  : Payload extends Schema.Struct.Fields ? Schema.Struct<Payload>
  : never

/**
 * Checks whether a value is a task.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTask = (u: unknown): u is Task<string, Schema.Schema.Any> =>
  typeof u === "object" && u !== null && TypeId in u
