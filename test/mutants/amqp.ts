/** RabbitMQ. */
import { inFile, type Mutant } from "./mutant.js"

const tests = ["test/executors/Amqp.test.ts"] as const

export const amqp: ReadonlyArray<Mutant> = [
  ...inFile("src/executors/Amqp.ts", [
    {
      breaks: "Amqp: the maxAttempts of an intent count for nothing",
      symbol: "executor",
      replace: "intent.options.maxAttempts ?? intent.task.retry?.maxAttempts ?? maxAttempts",
      by: "intent.task.retry?.maxAttempts ?? maxAttempts",
      tests
    },
    {
      breaks: "Amqp: a payload that never fits is tried again",
      symbol: "worker",
      replace: "isForGood(error) || attempt >= maxAttempts",
      by: "attempt >= maxAttempts",
      tests
    },
    {
      breaks: "Amqp: a message is tried once more than it may be",
      symbol: "worker",
      replace: "attempt >= maxAttempts",
      by: "attempt > maxAttempts",
      tests
    },
    {
      breaks: "Amqp: a message that no executor has published is acknowledged",
      symbol: "worker",
      replace: "return passOn(deadLetterOf(message, { queue, attempt: 0, error }))",
      by: "return \"done\"",
      tests
    },
    {
      breaks: "Amqp: a message of a handler that was stopped is acknowledged",
      symbol: "worker",
      replace: "await process(job) === \"ended\" ? \"done\" : \"back\"",
      by: "(await process(job), \"done\")",
      tests
    },
    {
      breaks: "Amqp: a message that no other queue took is acknowledged",
      symbol: "worker.passOn",
      replace: "return \"back\"",
      by: "return \"done\"",
      tests
    },
    {
      breaks: "Amqp: a message that failed after its connection was lost is there twice",
      symbol: "worker",
      replace: "isLost()",
      by: "false",
      tests
    },
    {
      breaks: "Amqp: an old connection of the worker stays open",
      symbol: "worker",
      replace: "Effect.addFinalizer(() => drain(stop))",
      by: "Effect.void",
      tests
    }
  ]),
  ...inFile("src/internal/engine/amqp/message.ts", [
    {
      breaks: "Amqp: a message that no queue takes is gone",
      symbol: "guarantees",
      replace: "mandatory: true",
      by: "mandatory: false",
      tests
    },
    {
      breaks: "Amqp: a message is not kept when RabbitMQ restarts",
      symbol: "guarantees",
      replace: "persistent: true",
      by: "persistent: false",
      tests
    },
    {
      breaks: "Amqp: a header that is no count is used as one",
      symbol: "countIn",
      replace: "Number.isSafeInteger(count)",
      by: "true",
      tests
    },
    {
      breaks: "Amqp: a message has no id",
      symbol: "messageOf",
      replace: "messageId: intent.id",
      by: "",
      tests
    },
    {
      breaks: "Amqp: the time of a message is in milliseconds",
      symbol: "messageOf",
      replace: "Math.floor(intent.enqueuedAt / 1000)",
      by: "intent.enqueuedAt",
      tests
    },
    {
      breaks: "Amqp: the attempt does not grow",
      symbol: "retryOf",
      replace: "attempt + 1",
      by: "attempt",
      tests
    },
    {
      breaks: "Amqp: the delay does not grow",
      symbol: "retryOf",
      replace: "2 ** (attempt - 1)",
      by: "1",
      tests
    },
    {
      breaks: "Amqp: a dead letter that was put back has no attempts left",
      symbol: "ownHeaders",
      replace: "name !== header.attempt",
      by: "true",
      tests
    },
    {
      breaks: "Amqp: a message keeps the headers that RabbitMQ has added",
      symbol: "ownHeaders",
      replace: "/^x-(death|first-death|last-death|delivery-count|acquired-count|opt-)|^B?CC$/",
      by: "/^B?CC$/",
      tests
    },
    {
      breaks: "Amqp: a dead letter has no reason",
      symbol: "republished",
      replace: "[header.error]: error.message.slice(0, maxErrorLength)",
      by: "",
      tests
    }
  ]),
  ...inFile("src/internal/engine/amqp/queues.ts", [
    {
      breaks: "Amqp: a message is delivered for ever",
      symbol: "jobQueue",
      replace: "\"x-delivery-limit\": deliveryLimit",
      by: "",
      tests
    }
  ]),
  ...inFile("src/internal/engine/amqp/link.ts", [
    {
      breaks: "Amqp: a queue with other arguments is not explained",
      symbol: "isPreconditionFailed",
      replace: "error.code === 406",
      by: "error.code === 404",
      tests
    },
    {
      breaks: "Amqp: messages are sent while RabbitMQ takes none",
      symbol: "openLink",
      replace: "blocked = why",
      by: "",
      tests
    },
    {
      breaks: "Amqp: a connection that was blocked once stays so",
      symbol: "openLink",
      replace: "blocked = undefined",
      by: "",
      tests
    }
  ]),
  ...inFile("src/internal/engine/amqp/publisher.ts", [
    {
      breaks: "Amqp: a queue that somebody has deleted is not made again",
      symbol: "publishOn",
      replace: "link.forget(queue)",
      by: "",
      tests
    },
    {
      breaks: "Amqp: a batch with a message that RabbitMQ refuses fails as a whole",
      symbol: "publishAll",
      replace: "refusal === undefined",
      by: "true",
      tests
    },
    {
      breaks: "Amqp: a connection that gives no answer is used again",
      symbol: "makePublisher.tooLate",
      replace: "leave(link)",
      by: "undefined",
      tests
    },
    {
      breaks: "Amqp: a lost connection is used again",
      symbol: "makePublisher.open",
      replace: "void leave(before)",
      by: "",
      tests
    },
    {
      breaks: "Amqp: the connection of an executor stays open",
      symbol: "makePublisher",
      replace: "return leave(current)",
      by: "return Promise.resolve()",
      tests
    },
    {
      breaks: "Amqp: an intent that RabbitMQ refuses for good looks like an outage",
      symbol: "isForGood",
      replace: "refusal.code === 406",
      by: "refusal.code === 407",
      tests
    },
    {
      breaks: "Amqp: an intent that amqplib cannot encode looks like an outage",
      symbol: "publishOn",
      replace: "error instanceof IllegalOperationError",
      by: "error instanceof Error",
      tests
    },
    {
      breaks: "Amqp: an executor whose Scope has closed opens a connection that nobody closes",
      symbol: "makePublisher",
      replace: "isClosed = true",
      by: "",
      tests
    },
    {
      breaks: "Amqp: a message counts as stored that RabbitMQ has not confirmed",
      symbol: "publishOn",
      replace: "unanswered.push(message)",
      by: "message.result = \"stored\"",
      tests: ["test/executors/Amqp.suite.test.ts"]
    }
  ]),
  ...inFile("src/internal/engine/amqp/consumer.ts", [
    {
      breaks: "Amqp: a worker runs more handlers than it may after a lost connection",
      symbol: "consume.take",
      replace: "free > 0",
      by: "true",
      tests
    },
    {
      breaks: "Amqp: a worker whose queue was deleted waits for ever",
      symbol: "consume.subscribe",
      replace: "message === null ? onEnd() : void take(link, message)",
      by: "message === null ? undefined : void take(link, message)",
      tests
    },
    {
      breaks: "Amqp: a message is acknowledged before its handler has ended",
      symbol: "consume.take",
      replace: "settle(link, message, await handle(message, isLost))",
      by: "(settle(link, message, \"done\"), await handle(message, isLost))",
      tests
    },
    {
      breaks: "Amqp: a message that is not done is acknowledged",
      symbol: "settle",
      replace: "verdict === \"done\"",
      by: "true",
      tests
    },
    {
      breaks: "Amqp: a worker that stops does not wait for its handlers",
      symbol: "consume",
      replace: "taken > 0",
      by: "taken < 0",
      tests: ["test/executors/Amqp.suite.test.ts"]
    },
    {
      breaks: "Amqp: the last acknowledgement of a worker that stops is lost",
      symbol: "consume",
      replace: "await acknowledged().catch(() => {})",
      by: "",
      tests: ["test/executors/Amqp.suite.test.ts"]
    },
    {
      breaks: "Amqp: a worker that stops takes further messages",
      symbol: "consume",
      replace: "await cancel().catch(() => {})",
      by: "",
      tests: ["test/executors/Amqp.suite.test.ts"]
    }
  ])
]
