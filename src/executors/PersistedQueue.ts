/**
 * Hands intents over to a `PersistedQueue` of `@effect/experimental`, and runs its elements with the application's handlers. Needs
 * the package `@effect/experimental`, and `@effect/sql` or `ioredis` for its store.
 *
 * The {@link executor} offers an element for each intent, and the {@link worker} runs the handlers of elements. Put
 * `Outbox.relay` in front of the executor, so that a commit followed by a store that is down loses nothing.
 *
 * @since 0.1.0
 */
import * as PersistedQueue from "@effect/experimental/PersistedQueue"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { DispatchError } from "../AirlockError.js"
import * as Executor from "../Executor.js"
import type { Intent } from "../Intent.js"
import type { Airlock } from "../internal/contract/airlock.js"
import { elementOf, isElement } from "../internal/engine/persistedQueue/element.js"
import { startTakers, type Verdict } from "../internal/engine/persistedQueue/takers.js"
import { attemptFailed, isForGood, jobRunner, type WorkerSettings } from "../internal/engine/worker.js"

/**
 * The options of {@link executor}.
 *
 * @since 0.1.0
 * @category options
 */
export interface ExecutorOptions {
  /**
   * The name of the queue of an intent without the option `queue`, which otherwise names it; or a function that names the queue of
   * each intent. Default: `airlock`.
   */
  readonly queue?: string | ((intent: Intent) => string)
  /** How often the handler of an intent runs at most, unless the intent or its task says otherwise. Default: 10. */
  readonly maxAttempts?: number
  /** The time limit of a batch. Default: 10 seconds. */
  readonly timeout?: Duration.DurationInput
}

/** How many elements of a batch are offered at a time: an offer has one element. */
const offersAtATime = 50

/**
 * Makes an executor that offers an element to a `PersistedQueue` for each intent, with the id of the intent. The store recognises
 * that id, so an intent that is handed over twice is one element.
 *
 * It carries out `queue` and `maxAttempts`. It refuses `delay`, `runAt`, `priority`, `dedupeKey`, `orderingKey` and `native`, which
 * a `PersistedQueue` does not have. Of a task's `retry` it takes `maxAttempts`, and the worker takes `timeout`.
 *
 * An intent whose element the store has not taken within the time limit fails with a `DispatchError`.
 *
 * @example
 * ```ts
 * import { PersistedQueue } from "@effect/experimental"
 * import { SqlPersistedQueue } from "@effect/sql"
 * import { Effect, Layer } from "effect"
 * import * as PersistedQueueExecutor from "effect-airlock/executors/PersistedQueue"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const Relay = Layer.unwrapEffect(Effect.map(
 *   PersistedQueueExecutor.executor(),
 *   (executor) => Outbox.relay({ executor })
 * )).pipe(Layer.provide(PersistedQueue.layer), Layer.provide(SqlPersistedQueue.layerStore()))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executor = (
  options: ExecutorOptions = {}
): Effect.Effect<Executor.Executor, never, PersistedQueue.PersistedQueueFactory> =>
  Effect.map(PersistedQueue.PersistedQueueFactory, (factory) => {
    const { maxAttempts = 10, queue = "airlock", timeout = "10 seconds" } = options
    const nameOf = typeof queue === "function" ? queue : (intent: Intent) => intent.options.queue ?? queue

    const queues = new Map<string, PersistedQueue.PersistedQueue<unknown>>()
    const offerTo = (queue: PersistedQueue.PersistedQueue<unknown>, intent: Intent) =>
      queue.offer(elementOf(intent, maxAttempts), { id: intent.id })

    const offer = (intent: Intent): Effect.Effect<Executor.Outcome> =>
      Effect.matchCause(
        Effect.suspend(() => {
          const name = nameOf(intent)
          const made = queues.get(name)
          return made === undefined
            ? Effect.flatMap(factory.make({ name, schema: Schema.Unknown }), (queue) => {
              queues.set(name, queue)
              return offerTo(queue, intent)
            })
            : offerTo(made, intent)
        }),
        { onSuccess: () => Exit.void, onFailure: (cause) => failed(intent, Cause.squash(cause)) }
      )

    return Executor.make({
      name: "persistedQueue",
      durable: true,
      capabilities: ["queue", "maxAttempts"],
      dispatch: (intents) =>
        Effect.gen(function*() {
          const outcomes: Array<Executor.Outcome | undefined> = []
          yield* Effect.forEach(intents, (intent, index) =>
            Effect.map(offer(intent), (outcome) => {
              outcomes[index] = outcome
            }), { concurrency: offersAtATime, discard: true }).pipe(
              Effect.disconnect,
              Effect.timeoutOption(timeout)
            )
          return intents.map((intent, index) => outcomes[index] ?? failed(intent, tooLate(timeout)))
        })
    })
  })

const tooLate = (timeout: Duration.DurationInput): Error =>
  new Error(`The store did not answer within ${Duration.format(Duration.decode(timeout))}`)

const failed = ({ task }: Intent, cause: unknown): Executor.Outcome =>
  Exit.fail(new DispatchError({ task: task.name, cause }))

/**
 * Provides an {@link executor} to `AirlockLive`. Intents that are enqueued in a transaction leave after its COMMIT, and are lost if
 * the process dies in between: `Outbox.relay` in front of the executor prevents that.
 *
 * @example
 * ```ts
 * import { PersistedQueue } from "@effect/experimental"
 * import * as Redis from "@effect/experimental/PersistedQueue/Redis"
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as PersistedQueueExecutor from "effect-airlock/executors/PersistedQueue"
 *
 * const AirlockOnRedis = AirlockLive.pipe(
 *   Layer.provide(PersistedQueueExecutor.layer()),
 *   Layer.provide(PersistedQueue.layer),
 *   Layer.provide(Redis.layerStore({ host: "127.0.0.1" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: ExecutorOptions = {}
): Layer.Layer<Executor.CurrentExecutor, never, PersistedQueue.PersistedQueueFactory> =>
  Layer.effect(Executor.CurrentExecutor, executor(options))

/**
 * What the queue `NAME.dead` has of an element that is tried no more. To try it again, offer its `element` to the queue `NAME`,
 * without an id: the store would recognise the old one.
 *
 * @example
 * ```ts
 * import { PersistedQueue } from "@effect/experimental"
 * import { Effect, Schema } from "effect"
 * import * as PersistedQueueExecutor from "effect-airlock/executors/PersistedQueue"
 *
 * const again = Effect.gen(function*() {
 *   const dead = yield* PersistedQueue.make({ name: "airlock.dead", schema: PersistedQueueExecutor.DeadLetter })
 *   const queue = yield* PersistedQueue.make({ name: "airlock", schema: Schema.Unknown })
 *   yield* dead.take(({ element }) => queue.offer(element))
 * })
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export class DeadLetter extends Schema.Class<DeadLetter>("effect-airlock/PersistedQueue/DeadLetter")({
  element: Schema.Unknown,
  /** How many attempts were made. */
  attempts: Schema.Number,
  /** Why the last one failed. */
  error: Schema.String
}) {}

/**
 * The options of {@link worker}.
 *
 * @since 0.1.0
 * @category options
 */
export interface WorkerOptions extends WorkerSettings {
  /** The name of the queue. Default: `airlock`. */
  readonly queue?: string
  /**
   * How long an element whose handler failed waits before its next attempt. It keeps its place among the `concurrency` meanwhile,
   * because a `PersistedQueue` has no delays. Default: 1 second.
   */
  readonly retryDelay?: Duration.DurationInput
}

/**
 * Runs the elements of a `PersistedQueue` with the handlers of the tasks. Each handler runs in a scope of its own: what it enqueues
 * leaves if it succeeds, and is discarded if it fails.
 *
 * The element of a handler that failed goes back to the queue. After its last attempt it is in the queue `NAME.dead`, with `error`
 * and `attempts`. So does an element whose task has no handler here, or a newer version: serve a queue with workers that have all
 * of its handlers. An element whose payload does not fit its task, and one that no executor has offered, is there at once.
 *
 * When the Layer closes, it takes no further element and waits for the running handlers. Provide the Layers of the handlers to it,
 * so that they close after it. A handler runs at least once: if the process dies, the store gives the element to another worker
 * when its lock expires. The SQL store does not renew its locks: see its `lockExpiration`, by default 2 minutes.
 *
 * @example
 * ```ts
 * import { PersistedQueue } from "@effect/experimental"
 * import { SqlPersistedQueue } from "@effect/sql"
 * import { Effect, Layer, Schema } from "effect"
 * import { Task } from "effect-airlock"
 * import * as PersistedQueueExecutor from "effect-airlock/executors/PersistedQueue"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Worker = PersistedQueueExecutor.worker({ concurrency: 20, timeout: "1 minute" }).pipe(
 *   Layer.provide(SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt of order ${orderId}`))),
 *   Layer.provide(PersistedQueue.layer),
 *   Layer.provide(SqlPersistedQueue.layerStore({ lockExpiration: "5 minutes" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const worker = (
  options: WorkerOptions = {}
): Layer.Layer<never, never, Airlock | PersistedQueue.PersistedQueueFactory> =>
  Layer.scopedDiscard(Effect.gen(function*() {
    const { queue = "airlock", retryDelay = "1 second" } = options
    const { concurrency, drain, process } = yield* jobRunner(options)
    const factory = yield* PersistedQueue.PersistedQueueFactory
    const elements = yield* factory.make({ name: queue, schema: Schema.Unknown })
    const deadLetters = yield* factory.make({ name: `${queue}.dead`, schema: DeadLetter })
    const stopping = yield* Deferred.make<void>()

    const waited = Effect.race(Effect.sleep(retryDelay), Deferred.await(stopping))

    /** If the process dies before the element is done, it is in both queues. */
    const bury = (element: unknown, attempts: number, error: Error): Effect.Effect<Verdict> =>
      Effect.matchEffect(deadLetters.offer(new DeadLetter({ element, attempts, error: error.message })), {
        onSuccess: () => Effect.succeed("done"),
        onFailure: (failure) =>
          Effect.logWarning(`The queue "${queue}.dead" did not take an element, which goes back`, failure).pipe(
            Effect.zipRight(waited),
            Effect.as(failure)
          )
      })

    const handle = (element: unknown, attempt: number): Effect.Effect<Verdict> => {
      if (!isElement(element)) {
        return Effect.zipRight(
          Effect.logWarning(`An element of the queue "${queue}" is of no executor`),
          bury(element, 0, new Error("No executor has offered this element"))
        )
      }
      const job = { ...element, attempt }
      if (attempt > element.maxAttempts) {
        // The queue of dead letters did not take it after its last attempt.
        return bury(element, element.maxAttempts, new Error("It has used its attempts"))
      }
      return Effect.matchEffect(tryProcess(() => process(job)), {
        onSuccess: (ended) => Effect.succeed(ended === "ended" ? "done" : "back"),
        onFailure: (error) =>
          Effect.zipRight(
            attemptFailed(job, error),
            isForGood(error) || attempt >= element.maxAttempts
              ? bury(element, attempt, error)
              : Effect.as(waited, error)
          )
      })
    }

    const stop = yield* startTakers(elements, { name: queue, count: concurrency, handle })
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        Deferred.succeed(stopping, undefined),
        drain(() => Effect.runPromise(stop))
      )
    )
  }))

/** `process` throws only Errors. */
const tryProcess = <A>(run: () => Promise<A>): Effect.Effect<A, Error> =>
  Effect.tryPromise({ try: run, catch: (error) => error as Error })
