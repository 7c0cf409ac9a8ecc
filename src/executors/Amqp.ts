/**
 * Hands intents over to RabbitMQ by publisher confirms, and runs its messages with the application's handlers. Needs the package
 * `amqplib`, and RabbitMQ 3.10 or later.
 *
 * The {@link executor} publishes a message for each intent, and the {@link worker} runs the handlers of messages. Put
 * `Outbox.relay` in front of the executor, so that a commit followed by a RabbitMQ that is down loses nothing.
 *
 * @since 0.1.0
 */
import type { ConsumeMessage, Options } from "amqplib"
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { DispatchError } from "../AirlockError.js"
import * as Executor from "../Executor.js"
import type { Intent } from "../Intent.js"
import type { Airlock } from "../internal/contract/airlock.js"
import { consume } from "../internal/engine/amqp/consumer.js"
import type { ConnectionSettings } from "../internal/engine/amqp/link.js"
import { deadLetterOf, defaultMaxAttempts, jobOfMessage, messageOf, retryOf } from "../internal/engine/amqp/message.js"
import { makePublisher } from "../internal/engine/amqp/publisher.js"
import { jobQueue, type Queue } from "../internal/engine/amqp/queues.js"
import { settingsUnder } from "../internal/engine/settings.js"
import { attemptFailed, isForGood, jobRunner, type WorkerSettings } from "../internal/engine/worker.js"

export type { ConnectionSettings } from "../internal/engine/amqp/link.js"

/**
 * The options of {@link executor}.
 *
 * @since 0.1.0
 * @category options
 */
export interface ExecutorOptions extends ConnectionSettings {
  /**
   * The queue of an intent without the option `queue`, which otherwise names it; or a function that names the queue of each
   * intent. Default: `airlock`.
   */
  readonly queue?: string | ((intent: Intent) => string)
  /** How often the handler of an intent runs at most, unless the intent or its task says otherwise. Default: 10. */
  readonly maxAttempts?: number
  /** The time limit of a batch. Default: 10 seconds. */
  readonly timeout?: Duration.DurationInput
}

/**
 * amqplib's own options of a message, for the option `native` of an enqueue: see {@link native}.
 *
 * @since 0.1.0
 * @category options
 */
export interface NativeOptions extends
  Pick<
    Options.Publish,
    "appId" | "contentEncoding" | "correlationId" | "expiration" | "headers" | "priority" | "replyTo"
  >
{}

/**
 * Options of amqplib for one intent, with their types.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, Task } from "effect-airlock"
 * import * as Amqp from "effect-airlock/executors/Amqp"
 *
 * const Resize = Task.make("Resize", { payload: { file: Schema.String } })
 *
 * const program = Airlock.enqueue(Resize, { file: "a.png" }, {
 *   native: Amqp.native({ appId: "shop", headers: { tenant: "acme" } })
 * })
 * ```
 *
 * @since 0.1.0
 * @category options
 */
export const native = (options: NativeOptions): Readonly<Record<string, unknown>> => ({ ...options })

/**
 * Makes an executor that publishes a persistent message for each intent, and waits until RabbitMQ has confirmed all of a batch. The
 * `type` of a message is the name of the task, its `messageId` is the id of the intent, and `payload` in its JSON is the encoded
 * payload. A message that no queue takes is a failure.
 *
 * It makes the durable quorum queue that an intent names, and one for its dead letters, unless they are there. The queues of
 * retries are the {@link worker}'s.
 *
 * It carries out `queue`, `maxAttempts` and `native`. It refuses `delay`, `runAt`, `priority`, `dedupeKey` and `orderingKey`, which
 * quorum queues do not have. Of a task's `retry` it takes `maxAttempts`, and the worker takes `timeout`.
 *
 * While RabbitMQ cannot be reached, or takes no messages because it is short of memory or disk, a batch fails. If the connection is
 * lost before a message is confirmed, that counts as a failure, although RabbitMQ may have stored it: then the next attempt stores
 * it twice, with the same `messageId`. RabbitMQ does not recognise that.
 *
 * The connection is opened at the first batch, opened again after it was lost, and closes with the Scope.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as Amqp from "effect-airlock/executors/Amqp"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * const Relay = Layer.unwrapScoped(Effect.map(
 *   Amqp.executor({ connection: "amqp://guest:guest@127.0.0.1:5672" }),
 *   (executor) => Outbox.relay({ executor })
 * ))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executor = (options: ExecutorOptions): Effect.Effect<Executor.Executor, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { maxAttempts = defaultMaxAttempts, queue = "airlock", timeout = "10 seconds" } = options
    const nameOf = typeof queue === "function" ? queue : (intent: Intent) => intent.options.queue ?? queue
    const publisher = yield* makePublisher(options, { name: "effect-airlock executor", timeout })
    return Executor.make({
      name: "amqp",
      durable: true,
      capabilities: ["queue", "maxAttempts", "native"],
      dispatch: (intents) =>
        Effect.suspend(() => {
          const queues = new Map<string, Queue>()
          const queueOf = (intent: Intent): Queue => {
            const name = nameOf(intent)
            const queue = queues.get(name) ?? jobQueue(name)
            queues.set(name, queue)
            return queue
          }
          // The function that names a queue can throw.
          const messages = intents.map((intent) =>
            Either.try(() =>
              messageOf(intent, queueOf(intent), {
                maxAttempts: intent.options.maxAttempts ?? intent.task.retry?.maxAttempts ?? maxAttempts,
                native: intent.options.native
              })
            )
          )
          return Effect.map(publisher.publish(Arr.getRights(messages)), (results) => {
            let next = 0
            return messages.map((message, index) => {
              const cause = Either.isRight(message) ? results[next++] : message.left
              return cause === undefined
                ? Exit.void
                : Exit.fail(new DispatchError({ task: intents[index]!.task.name, cause }))
            })
          })
        })
    })
  })

/**
 * Provides an {@link executor} to `AirlockLive`. Intents that are enqueued in a transaction leave after its COMMIT, and are lost if
 * the process dies in between: `Outbox.relay` in front of the executor prevents that.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import { AirlockLive } from "effect-airlock"
 * import * as Amqp from "effect-airlock/executors/Amqp"
 *
 * const AirlockOnRabbitMq = AirlockLive.pipe(
 *   Layer.provide(Amqp.layer({ connection: "amqp://guest:guest@127.0.0.1:5672" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: ExecutorOptions): Layer.Layer<Executor.CurrentExecutor> =>
  Layer.scoped(Executor.CurrentExecutor, executor(options))

/**
 * Makes an {@link executor} from Effect's `Config`, for `Airlock.layerConfig`: `AMQP_URL` (default:
 * `amqp://guest:guest@127.0.0.1:5672`), `AMQP_QUEUE`, `AMQP_MAX_ATTEMPTS` and `AMQP_TIMEOUT`. Options given here come before the
 * configuration. Fails with a `ConfigError` if a value cannot be read.
 *
 * @example
 * ```ts
 * import { Airlock } from "effect-airlock"
 * import * as Amqp from "effect-airlock/executors/Amqp"
 *
 * // AIRLOCK_EXECUTOR=amqp AMQP_URL=amqp://shop:secret@10.0.0.5 node server.js
 * const AirlockConfigured = Airlock.layerConfig({ executors: { amqp: Amqp.executorConfig() } })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const executorConfig = (
  options: Partial<ExecutorOptions> = {}
): Effect.Effect<Executor.Executor, ConfigError.ConfigError, Scope.Scope> =>
  Effect.flatMap(settings, ({ url, ...configured }) =>
    executor({
      connection: url === undefined ? "amqp://guest:guest@127.0.0.1:5672" : Redacted.value(url),
      ...configured,
      ...options
    }))

const settings = settingsUnder("AMQP", {
  // It can contain a password.
  url: Config.redacted("URL"),
  queue: Config.nonEmptyString("QUEUE"),
  maxAttempts: Config.integer("MAX_ATTEMPTS"),
  timeout: Config.duration("TIMEOUT")
})

/**
 * The options of {@link worker}.
 *
 * @since 0.1.0
 * @category options
 */
export interface WorkerOptions extends ConnectionSettings, WorkerSettings {
  /** The name of the queue. Default: `airlock`. */
  readonly queue?: string
  /**
   * How long a message waits after its first failed attempt. It waits twice as long after each further one, and never longer than
   * an hour. Default: 1 second.
   */
  readonly retryDelay?: Duration.DurationInput
}

/** The time before a message goes back that could not be put into another queue: else it would be tried again at once. */
const pauseMillis = 1000

/**
 * Runs the messages of a queue with the handlers of the tasks. Each handler runs in a scope of its own: what it enqueues leaves if
 * it succeeds, and is discarded if it fails. A message is acknowledged when its handler has ended.
 *
 * The message of a handler that failed waits in the queue `NAME.retry.MILLISECONDS` for its next attempt. After the last one it is
 * in the queue `NAME.dead`, whose header `airlock-error` has the reason. So does a message whose task has no handler here, or a
 * newer version: serve a queue with workers that have all of its handlers. A message whose payload does not fit its task, and one
 * that no executor has published, is a dead letter at once.
 *
 * The worker makes these queues, connects again after the connection was lost, and logs that as a warning. A second connection is
 * opened at the first failure of a handler.
 *
 * When the Layer closes, it takes no further message and waits for the running handlers. Provide the Layers of the handlers to it,
 * so that they close after it. A handler runs at least once: if the process or its connection dies, RabbitMQ gives the message to
 * another worker, and counts no attempt. After 20 such deliveries it is a dead letter.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Task } from "effect-airlock"
 * import * as Amqp from "effect-airlock/executors/Amqp"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const Worker = Amqp.worker({ connection: "amqp://guest:guest@127.0.0.1:5672", concurrency: 20 }).pipe(
 *   Layer.provide(SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt of order ${orderId}`)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const worker = (options: WorkerOptions): Layer.Layer<never, never, Airlock> =>
  Layer.scopedDiscard(Effect.gen(function*() {
    const { queue = "airlock", retryDelay: delay = "1 second" } = options
    const { concurrency, drain, fork, process } = yield* jobRunner(options)
    const publisher = yield* makePublisher(options, { name: "effect-airlock worker", timeout: "10 seconds" })

    const handle = async (message: ConsumeMessage, isLost: () => boolean): Promise<"done" | "back"> => {
      const job = jobOfMessage(message)
      if (job === undefined) {
        const error = new Error("No executor has published this message")
        fork(Effect.logWarning(`A message in the queue "${queue}" is of no executor`))
        return passOn(deadLetterOf(message, { queue, attempt: 0, error }))
      }
      try {
        return await process(job) === "ended" ? "done" : "back"
      } catch (thrown) {
        // `process` throws only Errors.
        const error = thrown as Error
        const { attempt, maxAttempts } = job
        fork(attemptFailed(job, error))
        if (isLost()) {
          // Another copy would run beside the one that RabbitMQ delivers again.
          return "back"
        }
        return passOn(
          isForGood(error) || attempt >= maxAttempts
            ? deadLetterOf(message, { queue, attempt, error })
            : retryOf(message, { queue, attempt, error, delay })
        )
      }
    }

    /** If the process dies before the message is acknowledged, it is in both queues. */
    const passOn = async (next: ReturnType<typeof deadLetterOf>): Promise<"done" | "back"> => {
      const [failure] = await Effect.runPromise(publisher.publish([next]))
      if (failure === undefined) {
        return "done"
      }
      fork(Effect.logWarning(`A message could not be put into the queue "${next.queue.name}", and runs again`, failure))
      await new Promise((resolve) => setTimeout(resolve, pauseMillis))
      return "back"
    }

    const { stop } = yield* consume(options, { queue, concurrency, handle })
    yield* Effect.addFinalizer(() => drain(stop))
  }))
