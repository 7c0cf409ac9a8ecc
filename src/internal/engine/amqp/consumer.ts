/**
 * Takes the messages of a queue of RabbitMQ, and connects again after the connection was lost.
 *
 * @internal
 */
import type { ConsumeMessage } from "amqplib"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ConnectionSettings, type Link, openLink } from "./link.js"
import { closing } from "./publisher.js"
import { jobQueue } from "./queues.js"

/** @internal */
export interface Consumer {
  /** Takes no further message, and waits for those that are being handled. */
  readonly stop: () => Promise<void>
}

const firstPause = Duration.millis(500)

/** AMQP has 16 bits for the number. */
const mostUnacknowledged = 65_535

const longestPause = Duration.seconds(30)

/**
 * Starts to take messages. `handle` says whether a message is done. Otherwise it goes back to the queue. The connection closes with
 * the Scope.
 *
 * @internal
 */
export const consume = (
  settings: ConnectionSettings,
  { concurrency, handle, queue }: {
    readonly queue: string
    /** How many messages are handled at a time. */
    readonly concurrency: number
    /** Is never rejected. RabbitMQ delivers a message again whose connection was lost. */
    readonly handle: (message: ConsumeMessage, isLost: () => boolean) => Promise<"done" | "back">
  }
): Effect.Effect<Consumer, never, Scope.Scope> =>
  Effect.gen(function*() {
    /** How many messages are being handled, or wait for that. */
    let taken = 0
    let idle = (): void => {}
    const waiting: Array<() => void> = []
    let free = concurrency
    let isStopping = false
    let cancel = (): Promise<unknown> => Promise.resolve()
    let acknowledged = (): Promise<unknown> => Promise.resolve()
    let pause = firstPause

    // While messages of a lost connection are being handled, those of the next one wait.
    const take = async (link: Link, message: ConsumeMessage): Promise<void> => {
      taken++
      if (free > 0) {
        free--
      } else {
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
      const isLost = (): boolean => link.reason() !== undefined
      if (!isLost()) {
        settle(link, message, await handle(message, isLost))
      }
      const next = waiting.shift()
      if (next === undefined) {
        free++
      } else {
        next()
      }
      if (--taken === 0) {
        idle()
      }
    }

    const subscribe = async (link: Link, onEnd: () => void): Promise<void> => {
      await link.declare(jobQueue(queue))
      await link.channel.prefetch(Math.min(concurrency, mostUnacknowledged))
      if (isStopping) {
        return
      }
      const { consumerTag } = await link.channel.consume(
        queue,
        (message) => message === null ? onEnd() : void take(link, message)
      )
      cancel = () => link.channel.cancel(consumerTag)
      // RabbitMQ drops acknowledgements that a connection closes behind. It answers when it has those before.
      acknowledged = () => link.channel.checkQueue(queue)
      if (isStopping) {
        await cancel()
      }
    }

    const untilLost = Effect.gen(function*() {
      const link = yield* opened(settings)
      const lost = yield* Deferred.make<never, unknown>()
      const end = (error: unknown): void => Deferred.unsafeDone(lost, Effect.fail(error))
      void link.lost.then(end)
      yield* tryPromise(() =>
        subscribe(link, () => end(new Error("RabbitMQ has ended the subscription: was the queue deleted?")))
      )
      pause = firstPause
      yield* Deferred.await(lost)
    })

    yield* Effect.scoped(untilLost).pipe(
      Effect.catchAll((error) =>
        Effect.suspend(() => {
          const now = pause
          pause = Duration.min(Duration.times(pause, 2), longestPause)
          return Effect.zipRight(
            Effect.logWarning(
              `The worker of the queue "${queue}" has no connection to RabbitMQ. It tries again in ${
                Duration.format(now)
              }`,
              error
            ),
            Effect.sleep(now)
          )
        })
      ),
      Effect.forever,
      Effect.forkScoped
    )

    return {
      stop: async () => {
        isStopping = true
        // Without a connection there is nothing to cancel.
        await cancel().catch(() => {})
        if (taken > 0) {
          await new Promise<void>((resolve) => {
            idle = resolve
          })
        }
        await acknowledged().catch(() => {})
      }
    }
  })

/** A connection can take long to open: the end of the Scope does not wait for it. */
const opened = (settings: ConnectionSettings): Effect.Effect<Link, unknown, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.sync(() => openLink(settings, "effect-airlock worker")).pipe(
      Effect.tap((opening) => Effect.addFinalizer(() => closing(() => opening.then(({ close }) => close())))),
      Effect.flatMap((opening) => restore(tryPromise(() => opening)))
    )
  )

const settle = ({ channel }: Link, message: ConsumeMessage, verdict: "done" | "back"): void => {
  try {
    if (verdict === "done") {
      channel.ack(message)
    } else {
      channel.nack(message, false, true)
    }
  } catch {
    // The connection was lost, and RabbitMQ delivers the message again.
  }
}

const tryPromise = <A>(promise: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, unknown> =>
  Effect.tryPromise({ try: promise, catch: (error) => error })
