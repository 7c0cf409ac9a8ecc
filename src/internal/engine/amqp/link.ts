/**
 * A connection to RabbitMQ with one channel. It does not come back once it is lost.
 */
import { type ChannelModel, type ConfirmChannel, connect, type Options, type SocketOptions } from "amqplib"
import type { Queue } from "./queues.js"

/**
 * Where RabbitMQ is.
 *
 * @since 0.1.0
 * @category options
 */
export interface ConnectionSettings {
  /** The address, as amqplib takes it: `amqp://user:password@host:5672/vhost`, or `amqps://...` for TLS. */
  readonly connection: string | Options.Connect
  /** Options of the socket, such as the certificates of TLS. */
  readonly socket?: SocketOptions
}

/** @internal */
export interface Link {
  readonly channel: ConfirmChannel
  /** Makes a queue and those that it needs, unless they are there. */
  readonly declare: (queue: Queue) => Promise<void>
  /** Forgets that a queue is there. */
  readonly forget: (queue: Queue) => void
  /** The ids of messages that came back because no queue has their name, until somebody deletes them from here. */
  readonly returned: Set<unknown>
  /** Why RabbitMQ takes no messages for now, if so. */
  readonly blocked: () => string | undefined
  /** Why the link was lost, if so. */
  readonly reason: () => Error | undefined
  /** The error with which RabbitMQ has closed the channel, if so: it has refused what was sent. */
  readonly refusal: () => Error | undefined
  /** Resolves with the reason when the link is lost or closed. */
  readonly lost: Promise<Error>
  readonly close: () => Promise<void>
}

const ignore = (): void => {}

/** The time that a connection may take to open. */
const connectMillis = 10_000

/**
 * How many parts of messages a channel buffers. Of a large batch, RabbitMQ gets the first messages while the last ones are being
 * encoded.
 */
const highWaterMark = 64

/** @internal */
export const openLink = async ({ connection, socket }: ConnectionSettings, name: string): Promise<Link> => {
  const model = await connect(connection, {
    timeout: connectMillis,
    ...socket,
    clientProperties: { connection_name: name, ...socket?.clientProperties }
  })
  let blocked: string | undefined
  let refusal: Error | undefined
  let reason: Error | undefined
  const becauseOf = (error: Error | undefined): void => {
    reason ??= error
  }
  model.on("error", becauseOf)
  model.on("close", becauseOf)
  model.on("blocked", (why) => {
    blocked = why
  })
  model.on("unblocked", () => {
    blocked = undefined
  })
  const close = () => model.close().catch(ignore)
  const channel = await model.createConfirmChannel({ highWaterMark }).catch(async (error: unknown) => {
    await close()
    throw error
  })
  channel.on("error", (error) => {
    refusal = error
    becauseOf(error)
  })
  const returned = new Set<unknown>()
  channel.on("return", ({ properties }) => returned.add(properties.messageId))
  // Those that wait for room in the channel listen to it.
  channel.setMaxListeners(0)
  const lost = new Promise<Error>((resolve) => {
    // The connection tells its reason after its channels have closed, in the same turn.
    channel.on("close", () =>
      queueMicrotask(() => {
        becauseOf(new Error("The connection to RabbitMQ was closed"))
        resolve(reason!)
      }))
  })
  const declared = new Map<string, Promise<void>>()
  return {
    channel,
    declare: (queue) => {
      const before = declared.get(queue.name)
      if (before !== undefined) {
        return before
      }
      const declaring = declare(model, queue)
      declared.set(queue.name, declaring)
      declaring.catch(() => declared.delete(queue.name))
      return declaring
    },
    forget: ({ name }) => void declared.delete(name),
    returned,
    blocked: () => blocked,
    reason: () => reason,
    refusal: () => refusal,
    lost,
    close
  }
}

/** It has a channel of its own, because RabbitMQ closes that if the queue is there with other arguments. */
const declare = async (model: ChannelModel, queue: Queue): Promise<void> => {
  const channel = await model.createChannel()
  channel.on("error", ignore)
  try {
    for (const { arguments: args, name } of withDeadLetters(queue)) {
      await channel.assertQueue(name, { arguments: args }).catch((cause: Error) => {
        throw isPreconditionFailed(cause)
          ? new Error(
            `The queue "${name}" is there with other arguments. Delete it, or use another name. ${cause.message}`,
            { cause }
          )
          : cause
      })
    }
  } finally {
    channel.close().catch(ignore)
  }
}

const withDeadLetters = (queue: Queue): ReadonlyArray<Queue> =>
  queue.deadLetters === undefined ? [queue] : [...withDeadLetters(queue.deadLetters), queue]

const isPreconditionFailed = (error: Error): boolean => "code" in error && error.code === 406
