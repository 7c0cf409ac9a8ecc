/**
 * Tools for tests of code that enqueues: Layers that record the intents that leave, assertions, and executors that fail.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Airlock from "./Airlock.js"
import { DispatchError } from "./AirlockError.js"
import { type AirlockScope, withoutMarker } from "./AirlockScope.js"
import * as Executor from "./Executor.js"
import type { Intent } from "./Intent.js"
import { allCapabilities } from "./internal/contract/executor.js"
import { withDispatch } from "./internal/executor/make.js"
import { currentOf, exitInside } from "./internal/scope/currentScope.js"
import { recordOf } from "./internal/scope/intentRecord.js"
import { openRoot } from "./internal/scope/open.js"
import { settle } from "./internal/scope/settle.js"
import { testExecutor } from "./internal/scope/wiring.js"
import { makeId } from "./internal/support/id.js"
import type * as Task from "./Task.js"

/**
 * The intents that have left so far, in order. {@link layer} and {@link inline} provide it.
 *
 * @since 0.1.0
 * @category services
 */
export class Recorded extends Context.Tag("effect-airlock/AirlockTest/Recorded")<Recorded, Array<Intent>>() {}

const recording = (options: Airlock.AirlockOptions | undefined, executor: Executor.Executor) =>
  Layer.unwrapEffect(Effect.map(Recorded, (recorded) =>
    Airlock.layer({
      ...options,
      executor: withDispatch(
        {
          ...executor,
          name: testExecutor,
          durable: undefined,
          capabilities: allCapabilities
        },
        (dispatch) => (intents, handlers) =>
          Effect.suspend(() => {
            recorded.push(...intents)
            return dispatch(intents, handlers)
          })
      )
    }))).pipe(Layer.provideMerge(Layer.sync(Recorded, () => [])))

/**
 * An `Airlock` that records the intents that leave and runs no handlers. It accepts all options of an enqueue.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, AirlockTest, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number, email: Schema.String } })
 * const checkout = Airlock.enqueue(SendReceipt, { orderId: 1, email: "a@b.c" }).pipe(Airlock.scoped)
 *
 * const test = Effect.gen(function*() {
 *   yield* checkout
 *   yield* AirlockTest.expectEnqueued(SendReceipt, { orderId: 1 })
 * }).pipe(Effect.provide(AirlockTest.layer()))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Omit<Airlock.AirlockOptions, "executor">): Layer.Layer<Airlock.Airlock | Recorded> =>
  recording(
    options,
    Executor.make({ name: "nothing", dispatch: (intents) => Effect.succeed(intents.map(() => Exit.void)) })
  )

/**
 * An `Airlock` that records the intents that leave and dispatches them to `options.executor`. Default:
 * `Executor.inProcess()`, which runs their handlers. It accepts all options of an enqueue, and waits for no `delay`.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Airlock, AirlockTest, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 * const SendReceiptLive = SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt ${orderId}`))
 *
 * // the handler has run when the scope has settled
 * const test = Airlock.enqueue(SendReceipt, { orderId: 1 }).pipe(
 *   Airlock.scoped,
 *   Effect.provide(SendReceiptLive.pipe(Layer.provideMerge(AirlockTest.inline())))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const inline = (options?: Airlock.AirlockOptions): Layer.Layer<Airlock.Airlock | Recorded> =>
  recording(options, options?.executor ?? Executor.inProcess())

/**
 * Returns the intents that have left, followed by those that the current scope holds.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { AirlockTest } from "effect-airlock"
 *
 * const names = Effect.map(AirlockTest.enqueued, (intents) => intents.map(({ task }) => task.name))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const enqueued: Effect.Effect<ReadonlyArray<Intent>, never, Recorded> = Effect.zipWith(
  Recorded,
  Airlock.intents,
  (recorded, held) => [...recorded, ...held]
)

/**
 * Runs an Effect and returns the intents that it enqueued, in order, except those of inner scopes that failed. Nothing
 * leaves. Policies do not drop intents here, and the fibers that enqueued them may have failed. To see which intents would
 * leave, use `Airlock.plan`.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, AirlockTest, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const payloads = AirlockTest.enqueuedBy(Airlock.enqueue(SendReceipt, { orderId: 1 })).pipe(
 *   Effect.map((intents) => intents.map(({ payload }) => payload)),
 *   Effect.provide(AirlockTest.layer())
 * )
 * ```
 *
 * @since 0.1.0
 * @category execution
 */
export const enqueuedBy = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<ReadonlyArray<Intent>, E, Exclude<R, AirlockScope> | Airlock.Airlock> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((fiber) => {
      const { currentContext: context } = fiber
      const airlock = Context.unsafeGet(context, Airlock.Airlock)
      const options = { name: "enqueuedBy" }
      const scope = openRoot({ airlock, context, current: currentOf(fiber), options, planning: true })
      return Effect.flatMap(withoutMarker(exitInside(restore(self), fiber, scope)), (exit) => {
        const intents = scope.buffer.slice()
        return Effect.zipRight(settle(scope, exit, { flush: false }), Exit.as(exit, intents))
      })
    })
  )

/**
 * Asserts that an intent of a task was enqueued, as {@link enqueued} shows it. With `payload`, an intent must have these
 * fields with these values; it may have more fields. Otherwise the assertion dies with an error whose difference test
 * runners show.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { AirlockTest, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number, email: Schema.String } })
 *
 * const assertion = AirlockTest.expectEnqueued(SendReceipt, { orderId: 1 })
 * ```
 *
 * @since 0.1.0
 * @category assertions
 */
export const expectEnqueued = <Name extends string, Payload extends Schema.Schema.Any>(
  task: Task.Task<Name, Payload>,
  payload?: NoInfer<PartialOf<Schema.Schema.Type<Payload>>>
): Effect.Effect<void, never, Recorded> =>
  Effect.flatMap(enqueued, (intents) => {
    const candidates = intents.filter((intent) => intent.task.name === task.name)
    const found = payload === undefined
      ? candidates.length > 0
      : candidates.some((intent) => matches(intent.payload, payload))
    return found ? Effect.void : unexpected(
      payload === undefined
        ? `expected "${task.name}" to be enqueued`
        : `expected "${task.name}" to be enqueued with ${Inspectable.toStringUnknown(payload, 0)}`,
      intents,
      candidates.length === 0 ? intents.map(shown) : candidates.map(({ payload }) => payload),
      candidates.length === 0 ? [{ task: task.name, payload }] : [payload]
    )
  })

/**
 * Asserts that no intent of a task was enqueued, as {@link enqueued} shows it. With `payload`, no intent may have these
 * fields with these values. Otherwise the assertion dies with an error that names all intents that were enqueued.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { AirlockTest, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number, email: Schema.String } })
 *
 * const assertion = AirlockTest.expectNotEnqueued(SendReceipt, { email: "nobody@b.c" })
 * ```
 *
 * @since 0.1.0
 * @category assertions
 */
export const expectNotEnqueued = <Name extends string, Payload extends Schema.Schema.Any>(
  task: Task.Task<Name, Payload>,
  payload?: NoInfer<PartialOf<Schema.Schema.Type<Payload>>>
): Effect.Effect<void, never, Recorded> =>
  Effect.flatMap(enqueued, (intents) => {
    const found = intents.filter((intent) =>
      intent.task.name === task.name && (payload === undefined || matches(intent.payload, payload))
    )
    return found.length === 0
      ? Effect.void
      : unexpected(`expected "${task.name}" not to be enqueued`, intents, found.map(shown), [])
  })

/**
 * Runs the handler of a task with a payload as a queue would deliver it: encoded to JSON by its Schema and decoded again.
 *
 * Fails with a `DispatchError` if the handler fails, or if the payload cannot be encoded and decoded, and with an
 * `UnknownTaskError` if the task has no handler.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { AirlockTest, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 * const SendReceiptLive = SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt ${orderId}`))
 *
 * const test = AirlockTest.perform(SendReceipt, { orderId: 1 }).pipe(
 *   Effect.provide(SendReceiptLive.pipe(Layer.provideMerge(AirlockTest.layer())))
 * )
 * ```
 *
 * @since 0.1.0
 * @category execution
 */
export const perform = <Name extends string, Payload extends Schema.Schema.Any>(
  task: Task.Task<Name, Payload>,
  payload: NoInfer<Schema.Schema.Type<Payload>>
): Effect.Effect<void, Executor.DispatchReason, Airlock.Airlock> =>
  Effect.gen(function*() {
    const { handlers } = yield* Airlock.Airlock
    const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    const { payloadSchema }: Task.Any = task
    // A task's payload needs no services: `Task.make` accepts no other Schema.
    const schema = Schema.parseJson(Schema.Struct({ payload: payloadSchema as Schema.Schema.AnyNoContext }))
    const arrived = yield* Schema.encodeUnknown(schema)({ payload }).pipe(
      Effect.flatMap(Schema.decodeUnknown(schema)),
      Effect.mapBoth({
        onFailure: (cause) => new DispatchError({ task: task.name, cause }),
        onSuccess: (message) => message.payload as unknown
      })
    )
    const intent = recordOf({ id: makeId(now), task, payload: arrived, enqueuedAt: now })
    const [outcome] = yield* handlers.run([intent])
    return yield* outcome!
  })

/**
 * Makes an executor that fails the `n`th intent of each batch, counted from 1, and dispatches the others to `executor`.
 * Default: `Executor.inProcess()`.
 *
 * @example
 * ```ts
 * import { Airlock, AirlockTest } from "effect-airlock"
 *
 * // the scope fails with a FlushError that names its second intent
 * const faulty = Airlock.scoped({ executor: AirlockTest.failsAt(2) })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const failsAt = (n: number, executor: Executor.Executor = Executor.inProcess()): Executor.Executor =>
  withDispatch({ ...executor, name: `failsAt ${n}` }, (dispatch) => (intents, handlers) =>
    Effect.map(
      dispatch(intents.filter((_, index) => index !== n - 1), handlers),
      (outcomes) =>
        intents.map(({ task }, index) =>
          index === n - 1
            ? Exit.fail(
              new DispatchError({ task: task.name, cause: new Error(`AirlockTest.failsAt(${n}) fails this intent`) })
            )
            : outcomes[index < n ? index : index - 1]!
        )
    ))

/**
 * An executor that never completes. The `dispatchTimeout` of the scope interrupts it.
 *
 * @example
 * ```ts
 * import { Airlock, AirlockTest } from "effect-airlock"
 *
 * const stuck = Airlock.scoped({ executor: AirlockTest.hangs, dispatchTimeout: "1 second" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const hangs: Executor.Executor = Executor.make({
  name: "hangs",
  capabilities: allCapabilities,
  dispatch: () => Effect.never
})

/**
 * An executor that dies with an error.
 *
 * @example
 * ```ts
 * import { Airlock, AirlockTest } from "effect-airlock"
 *
 * const broken = Airlock.scoped({ executor: AirlockTest.dies })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const dies: Executor.Executor = Executor.make({
  name: "dies",
  capabilities: allCapabilities,
  dispatch: () => Effect.die(new Error("AirlockTest.dies always dies"))
})

/**
 * The type of a payload whose fields are all optional, at any depth. Arrays and dates must be complete.
 *
 * @since 0.1.0
 * @category utility types
 */
export type PartialOf<T> = T extends ReadonlyArray<unknown> | Date ? T
  : T extends object ? { readonly [K in keyof T]?: PartialOf<T[K]> }
  : T

const isPlain = (u: unknown): u is Record<PropertyKey, unknown> =>
  typeof u === "object" && u !== null && !(Equal.symbol in u) &&
  [Object.prototype, null].includes(Object.getPrototypeOf(u))

const matches = (actual: unknown, expected: unknown): boolean => {
  if (Array.isArray(expected) && Array.isArray(actual)) {
    return actual.length === expected.length && expected.every((item, index) => matches(actual[index], item))
  }
  if (isPlain(expected)) {
    return isPlain(actual) && Reflect.ownKeys(expected).every((key) => matches(actual[key], expected[key]))
  }
  return Equal.equals(actual, expected)
}

const shown = (intent: Intent) => ({ task: intent.task.name, payload: intent.payload })

/** Test runners show the difference between `actual` and `expected`. */
class UnexpectedIntents extends Error {
  readonly showDiff = true
  constructor(message: string, readonly actual: unknown, readonly expected: unknown) {
    super(message)
    this.name = "UnexpectedIntents"
  }
}

const unexpected = (message: string, intents: ReadonlyArray<Intent>, actual: unknown, expected: unknown) => {
  const lines = intents.map((intent) => `\n  ${intent.task.name} ${Inspectable.toStringUnknown(intent.payload, 0)}`)
  return Effect.die(
    new UnexpectedIntents(`${message}; enqueued: ${lines.length === 0 ? "nothing" : lines.join("")}`, actual, expected)
  )
}
