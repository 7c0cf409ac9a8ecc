/**
 * Publishes messages to queues of RabbitMQ, and says of each whether RabbitMQ has stored it. The connection is opened when it is
 * needed, and again after it was lost.
 *
 * @internal
 */
import { type ConfirmChannel, IllegalOperationError, type Options } from "amqplib"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Discard } from "../../outbox/signal.js"
import { type ConnectionSettings, type Link, openLink } from "./link.js"
import type { Queue } from "./queues.js"

/** @internal */
export interface Message {
  readonly queue: Queue
  /** It is encoded when it is sent. */
  readonly content: () => Buffer
  readonly options: Options.Publish
  /** What became of it, once that is known. */
  result?: Error | "stored"
}

/** @internal */
export interface Publisher {
  /** Gives for each message why RabbitMQ has not stored it, or `undefined` if it has, within the time limit. */
  readonly publish: (messages: ReadonlyArray<Message>) => Effect.Effect<ReadonlyArray<Error | undefined>>
}

/** @internal */
export const makePublisher = (
  settings: ConnectionSettings,
  { name, timeout }: { readonly name: string, readonly timeout: Duration.DurationInput }
): Effect.Effect<Publisher, never, Scope.Scope> =>
  Effect.gen(function*() {
    let current: Promise<Link> | undefined
    let isClosed = false
    const leave = async (link: Promise<Link> | undefined): Promise<void> => {
      if (current === link) {
        current = undefined
      }
      await link?.then(({ close }) => close(), () => {})
    }
    const open = async (): Promise<Link> => {
      if (isClosed) {
        throw new Error("The connection to RabbitMQ is closed")
      }
      const before = current
      const isLost = await before?.then(({ reason }) => reason() !== undefined, () => true)
      if (isLost === true) {
        void leave(before)
      }
      return current ??= openLink(settings, name)
    }
    /** Another connection may do better, but not if RabbitMQ blocks them: it has got the messages, and will store them. */
    const tooLate = async (link: Promise<Link> | undefined): Promise<void> => {
      const isBlocked = await link?.then(({ blocked }) => blocked() !== undefined, () => false)
      await (isBlocked ? undefined : leave(link))
    }
    yield* Effect.addFinalizer(() =>
      closing(() => {
        isClosed = true
        return leave(current)
      })
    )
    return {
      publish: (messages) =>
        Effect.tryPromise({
          try: (signal) => publishAll({ open, openOwn: () => openLink(settings, name) }, messages, signal),
          catch: errorOf
        }).pipe(
          Effect.timeoutFail({
            duration: timeout,
            onTimeout: () => {
              void tooLate(current)
              return new Error(`RabbitMQ did not confirm it within ${Duration.format(Duration.decode(timeout))}`)
            }
          }),
          Effect.merge,
          Effect.map((failure) =>
            messages.map(({ result = failure ?? notSent }) => result === "stored" ? undefined : result)
          )
        )
    }
  })

const notSent = new Error("The message was not sent")

const errorOf = (error: unknown): Error => error instanceof Error ? error : new Error(String(error))

/** RabbitMQ may not answer. @internal */
export const closing = (close: () => Promise<unknown>): Effect.Effect<void> =>
  Effect.ignore(Effect.timeout(Effect.interruptible(Effect.disconnect(Effect.tryPromise(close))), "5 seconds"))

/** Of a message that RabbitMQ has refused by a negative confirm. */
const refused = new Error("RabbitMQ could not store the message")

/** The time before such messages are published once more. */
const pauseMillis = 200

const publishAll = async (
  { open, openOwn }: { readonly open: () => Promise<Link>, readonly openOwn: () => Promise<Link> },
  messages: ReadonlyArray<Message>,
  signal: AbortSignal
): Promise<void> => {
  const link = await open()
  await publishOn(link, messages, signal)
  const notStored = messages.filter(({ result }) => result === refused)
  if (notStored.length > 0) {
    // A queue that was just made can refuse messages for a moment.
    await new Promise((resolve) => setTimeout(resolve, pauseMillis))
    await publishOn(link, notStored, signal)
  }
  const refusal = link.refusal()
  if (refusal === undefined) {
    return
  }
  // For one message RabbitMQ has closed the channel, and has confirmed none of those that came after it.
  await publishOneByOne(openOwn, messages.filter(({ result }) => result === refusal), signal)
}

/** On a connection of its own, where RabbitMQ can refuse no other message. */
const publishOneByOne = async (
  openOwn: () => Promise<Link>,
  messages: ReadonlyArray<Message>,
  signal: AbortSignal
): Promise<void> => {
  let link: Link | undefined
  const close = async (): Promise<void> => link?.close()
  signal.addEventListener("abort", close)
  try {
    for (const message of messages) {
      if (signal.aborted) {
        return
      }
      if (link?.reason() !== undefined) {
        await close()
        link = undefined
      }
      link ??= await openOwn()
      await publishOn(link, [message], signal)
      const refusal = link.refusal()
      if (refusal !== undefined && message.result === refusal && isForGood(refusal)) {
        message.result = refusedForGood(refusal)
      }
    }
  } catch (error) {
    messages.filter(({ result }) => result !== "stored").forEach((message) => {
      message.result = errorOf(error)
    })
  } finally {
    signal.removeEventListener("abort", close)
    await close()
  }
}

/** RabbitMQ does not take such a message: a value in it is wrong (406), or it is too large (311, 406). */
const isForGood = (refusal: Error): boolean => "code" in refusal && (refusal.code === 406 || refusal.code === 311)

/** The outbox in front makes a dead letter of such an intent: else it would look like an outage, for ever. */
const refusedForGood = (error: Error): Error => new Discard({ reason: error.message, cause: error })

const publishOn = async (link: Link, messages: ReadonlyArray<Message>, signal: AbortSignal): Promise<void> => {
  const why = link.blocked()
  if (why !== undefined) {
    throw new Error(`RabbitMQ takes no messages for now: ${why}`)
  }
  const missing = await declareAll(link, new Set(messages.map(({ queue }) => queue)))
  const unanswered: Array<Message> = []
  // One Promise for all answers, and for the end of the loop.
  let open = 1
  let end = (): void => {}
  const answers = new Promise<void>((resolve) => {
    end = resolve
  })
  const answered = (): void => {
    if (--open === 0) {
      end()
    }
  }
  for (const message of messages) {
    if (signal.aborted) {
      break
    }
    const { content, options, queue } = message
    const error = missing.get(queue)
    if (error !== undefined) {
      message.result = error
      continue
    }
    let hasRoom = true
    open++
    try {
      hasRoom = link.channel.publish("", queue.name, content(), options, (error) => {
        if (error !== null) {
          unanswered.push(message)
        } else if (link.returned.delete(options.messageId)) {
          // Somebody has deleted it.
          link.forget(queue)
          message.result = new Error(`RabbitMQ has no queue "${queue.name}"`)
        } else {
          message.result = "stored"
        }
        answered()
      })
    } catch (error) {
      // The channel is closed, or amqplib cannot encode the message.
      message.result = error instanceof IllegalOperationError ? error : refusedForGood(errorOf(error))
      answered()
    }
    if (!hasRoom) {
      await room(link.channel)
    }
  }
  answered()
  await answers
  for (const message of unanswered) {
    message.result = link.reason() ?? refused
  }
}

/** Gives the reasons of those that could not be declared. */
const declareAll = async (link: Link, queues: ReadonlySet<Queue>): Promise<ReadonlyMap<Queue, Error>> => {
  const missing = new Map<Queue, Error>()
  await Promise.all(
    Array.from(queues, (queue) => link.declare(queue).catch((error: unknown) => missing.set(queue, errorOf(error))))
  )
  return missing
}

/** Resolves when the channel has room for more, or is closed. */
const room = (channel: ConfirmChannel): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      channel.off("drain", end).off("close", end)
      resolve()
    }
    channel.on("drain", end).on("close", end)
  })
