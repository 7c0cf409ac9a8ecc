import { Effect } from "effect"
import * as Amqp from "effect-airlock/executors/Amqp"
import * as ExecutorSuite from "effect-airlock/testing/ExecutorSuite"
import { describeOnAmqp } from "../support/amqp.js"

describeOnAmqp("RabbitMQ", ({ cut, cutAt, queueName, restore, throughProxy, url }) => {
  ExecutorSuite.run(
    "Amqp",
    Effect.suspend(() => {
      const queue = queueName()
      return Effect.map(
        Amqp.executor({ connection: throughProxy(), queue }),
        (executor): ExecutorSuite.Engine => ({
          executor,
          worker: Amqp.worker({ connection: url, queue, concurrency: 1, retryDelay: "1 millis" }),
          connection: {
            cut: Effect.sync(cut),
            cutAt: (text) => Effect.sync(() => cutAt(text)),
            restore: Effect.sync(restore)
          }
        })
      )
    }),
    { without: ["recognition"] }
  )
})
