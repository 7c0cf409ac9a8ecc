/**
 * RabbitMQ, for tests: queues of their own, and a proxy in front of it that can cut the connection.
 */
import { type Channel, type ChannelModel, connect, type ConsumeMessage, type GetMessage } from "amqplib"
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import { afterAll, afterEach, beforeAll } from "vitest"
import { describeNeeding } from "./needs.js"
import { type TcpProxy, tcpProxy } from "./tcpProxy.js"
import { until } from "./until.js"

const variable = "AIRLOCK_TEST_AMQP"

const url = new URL(process.env[variable] ?? "amqp://guest:guest@127.0.0.1:5672")

const missing = await connect(url.href, { timeout: 2000 }).then(
  async (connection) => {
    await connection.close()
    return undefined
  },
  (error: unknown) => `RabbitMQ does not answer at ${url.host} (${variable}): ${String(error)}`
)

/** Defines tests that need RabbitMQ. */
export const describeOnAmqp = (name: string, define: (amqp: TestAmqp) => void): void =>
  describeNeeding({ name: "RabbitMQ", missing }, name, () => define(testAmqp()))

export interface TestAmqp extends Omit<TcpProxy, "port"> {
  /** The address of RabbitMQ. */
  readonly url: string
  /** The address of a proxy in front of it. */
  readonly throughProxy: () => string
  /** Gives a queue a name. After the test it is deleted, with its dead letters, and its retries after 1, 2, 4 ms and so on. */
  readonly queueName: () => string
  readonly channel: () => Channel
  /** The number of messages that are ready in a queue. */
  readonly depth: (queue: string) => Effect.Effect<number>
  /** Takes so many messages out of a queue, in their order. */
  readonly takenAll: (queue: string, count: number) => Effect.Effect<ReadonlyArray<ConsumeMessage>>
  /** Takes a message out of a queue that somebody has made, once there is one. */
  readonly taken: (queue: string) => Effect.Effect<GetMessage>
}

const testAmqp = (): TestAmqp => {
  const { port, ...proxy } = tcpProxy({ host: url.hostname, port: Number(url.port || 5672) })
  const queues = new Set<string>()
  let connection: ChannelModel
  let channel: Channel
  beforeAll(async () => {
    connection = await connect(url.href)
    channel = await connection.createChannel()
    // The call that has failed tells it.
    connection.on("error", () => {})
    channel.on("error", () => {})
  })
  afterEach(async () => {
    for (const queue of queues) {
      const retries = Array.from({ length: 10 }, (_, index) => `${queue}.retry.${2 ** index}`)
      await Promise.all([queue, `${queue}.dead`, ...retries].map((name) => channel.deleteQueue(name)))
    }
    queues.clear()
  })
  afterAll(() => connection.close())
  return {
    ...proxy,
    url: url.href,
    throughProxy: () => {
      const through = new URL(url)
      through.hostname = "127.0.0.1"
      through.port = String(port())
      return through.href
    },
    queueName: () => {
      const name = `airlock-test-${randomBytes(6).toString("hex")}`
      queues.add(name)
      return name
    },
    channel: () => channel,
    depth: (queue) => Effect.promise(async () => (await channel.checkQueue(queue)).messageCount),
    takenAll: (queue, count) =>
      Effect.promise(async () => {
        const messages: Array<ConsumeMessage> = []
        const { consumerTag } = await channel.consume(queue, (message) => message && messages.push(message), {
          noAck: true
        })
        await Effect.runPromise(until(Effect.sync(() => messages.length === count)))
        await channel.cancel(consumerTag)
        return messages
      }),
    taken: (queue) =>
      Effect.gen(function*() {
        let message: GetMessage | undefined
        yield* until(Effect.promise(async () => {
          message = await channel.get(queue, { noAck: true }) || undefined
          return message !== undefined
        }))
        return message!
      })
  }
}
