/**
 * Testing code that enqueues: what it enqueued, what would leave, and what its handlers do, without a server or a queue.
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
import type { AirlockScope } from "./AirlockScope.js"
import * as Executor from "./Executor.js"
import type { Intent } from "./Intent.js"
import { withDispatch } from "./internal/dispatch.js"
import { makeId } from "./internal/id.js"
import { IntentRecord } from "./internal/intent.js"
import { openRoot } from "./internal/open.js"
import { exitWithin, positionOf, rootFork } from "./internal/position.js"
import { settle } from "./internal/settle.js"
import type * as Task from "./Task.js"

/**
 * What has left so far, in order.
 *
 * @since 0.1.0
 * @category services
 */
export class Recorded extends Context.Tag("effect-airlock/AirlockTest/Recorded")<Recorded, Array<Intent>>() {}

const recording = (options: Airlock.AirlockOptions | undefined, executor: Executor.Executor) =>
  Layer.unwrapEffect(Effect.map(Recorded, (recorded) =>
    Airlock.layer({
      ...options,
      executor: withDispatch({ ...executor, name: "AirlockTest" }, (dispatch) => (intents, handlers) =>
        Effect.suspend(() => {
          recorded.push(...intents)
          return dispatch(intents, handlers)
        }))
    }))).pipe(Layer.provideMerge(Layer.sync(Recorded, () => [])))

/**
 * An Airlock that writes down what leaves, and runs nothing.
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
 * An Airlock that writes down what leaves, and runs its handlers as `Executor.inProcess()` does, or as another executor
 * does: one that fails, for instance.
 *
 * @since 0.1.0
 * @category layers
 */
export const inline = (options?: Airlock.AirlockOptions): Layer.Layer<Airlock.Airlock | Recorded> =>
  recording(options, options?.executor ?? Executor.inProcess())

/**
 * What left, and what the scope around holds.
 *
 * @since 0.1.0
 * @category inspection
 */
export const enqueued: Effect.Effect<ReadonlyArray<Intent>, never, Recorded> = Effect.zipWith(
  Recorded,
  Airlock.intents,
  (recorded, held) => [...recorded, ...held]
)

/**
 * Exactly what an Effect enqueued and would let leave, in order. Nothing leaves.
 *
 * @since 0.1.0
 * @category inspection
 */
export const enqueuedBy = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<ReadonlyArray<Intent>, E, Exclude<R, AirlockScope> | Airlock.Airlock> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((fiber) => {
      const airlock = Context.unsafeGet(fiber.currentContext, Airlock.Airlock)
      const scope = openRoot(airlock, fiber.currentContext, positionOf(fiber), { name: "enqueuedBy" })
      scope.planning = true
      return Effect.flatMap(exitWithin(restore(self), fiber, scope), (exit) => {
        const { intents } = scope
        return Effect.zipRight(settle(scope, exit, { flush: false }), Exit.as(exit, intents))
      })
    })
  )

/**
 * Dies, with a difference that a test runner can show, unless an intent of this task was enqueued; with a payload, unless
 * one was whose payload has these fields, with these values.
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
 * Dies, saying what was, if an intent of this task was enqueued; with a payload, if one was whose payload has these fields,
 * with these values.
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
 * Runs the handler of a task with a payload that has been where a queue would take it: encoded by its Schema, to JSON and
 * back. Fails as the handler fails, and as the Schema does if the payload does not survive.
 *
 * @since 0.1.0
 * @category handlers
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
    const intent = new IntentRecord(
      makeId(now),
      task,
      arrived,
      {},
      now,
      0,
      0,
      undefined,
      undefined,
      undefined,
      rootFork(),
      undefined,
      undefined
    )
    const [outcome] = yield* handlers.run([intent])
    return yield* outcome!
  })

/**
 * An executor that fails the `n`th intent of each batch, counted from 1, and gives the others to another executor.
 *
 * @since 0.1.0
 * @category faults
 */
export const failsAt = (n: number, executor: Executor.Executor = Executor.inProcess()): Executor.Executor =>
  withDispatch({ ...executor, name: `failsAt ${n}` }, (dispatch) => (intents, handlers) =>
    Effect.map(
      dispatch(intents.filter((_, index) => index !== n - 1), handlers),
      (outcomes) =>
        intents.map(({ task }, index) =>
          index === n - 1
            ? Exit.fail(new DispatchError({ task: task.name, cause: new Error("it was made to fail") }))
            : outcomes[index < n ? index : index - 1]!
        )
    ))

/**
 * An executor that never answers.
 *
 * @since 0.1.0
 * @category faults
 */
export const hangs: Executor.Executor = Executor.make({ name: "hangs", dispatch: () => Effect.never })

/**
 * An executor that dies.
 *
 * @since 0.1.0
 * @category faults
 */
export const dies: Executor.Executor = Executor.make({
  name: "dies",
  dispatch: () => Effect.die(new Error("the executor was made to die"))
})

/**
 * Some of the fields of a payload, at any depth.
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

/** Test runners show the difference of `actual` and `expected`. */
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
