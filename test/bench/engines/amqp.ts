/** RabbitMQ: `AIRLOCK_BENCH_AMQP`, or the standard port. */
import { type ChannelModel, connect } from "amqplib"
import { Effect } from "effect"
import * as Amqp from "effect-airlock/executors/Amqp"
import { randomUUID } from "node:crypto"
import { type BenchEngine, concurrency, email } from "./engine.js"

const connection = process.env["AIRLOCK_BENCH_AMQP"] ?? "amqp://guest:guest@127.0.0.1:5672"
const queue = `airlock-bench-${process.pid}`

const connected = Effect.acquireRelease(
  Effect.promise(() => connect(connection)),
  (model: ChannelModel) => Effect.promise(() => model.close())
)

const quorum = { "x-queue-type": "quorum" }

/** The queues that the adapter makes, with nothing in them. */
const clear = Effect.scoped(Effect.flatMap(connected, (model) =>
  Effect.promise(async () => {
    const channel = await model.createChannel()
    await channel.deleteQueue(queue)
    await channel.deleteQueue(`${queue}.dead`)
    await channel.assertQueue(`${queue}.dead`, { arguments: quorum })
    await channel.assertQueue(queue, {
      arguments: {
        ...quorum,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": `${queue}.dead`,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-delivery-limit": 20
      }
    })
  })))

export const amqp: BenchEngine = {
  jobs: 5000,
  setup: Effect.void,
  clear,
  ours: {
    executor: Amqp.executor({ connection, queue }),
    worker: Amqp.worker({ connection, queue, concurrency })
  },
  own: {
    add: Effect.gen(function*() {
      const model = yield* connected
      const channel = yield* Effect.promise(() => model.createConfirmChannel())
      const content = Buffer.from(JSON.stringify({ email }))
      return async (jobs: number) => {
        for (let job = 0; job < jobs; job++) {
          // eslint-disable-next-line effect-airlock/no-direct-dispatch -- the engine without Airlock
          channel.sendToQueue(queue, content, {
            persistent: true,
            mandatory: true,
            messageId: randomUUID(),
            type: "Mail",
            contentType: "application/json",
            timestamp: Math.floor(Date.now() / 1000),
            headers: { "airlock-max-attempts": 10 }
          })
        }
        await channel.waitForConfirms()
      }
    }),
    work: (onJob) =>
      Effect.gen(function*() {
        const model = yield* connected
        const channel = yield* Effect.promise(() => model.createChannel())
        yield* Effect.promise(() => channel.prefetch(concurrency))
        yield* Effect.promise(() =>
          channel.consume(queue, (message) => {
            onJob()
            channel.ack(message!)
          })
        )
      })
  }
}
