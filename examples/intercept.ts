/**
 * `npx tsx examples/intercept.ts` sends the direct calls of an old code base through Airlock, without a change in that code. It needs
 * Redis at 127.0.0.1:6379, or at REDIS_URL.
 */
import { NodeRuntime } from "@effect/platform-node"
import { type Job, Queue, Worker } from "bullmq"
import { Console, Deferred, Effect, Layer } from "effect"
import { Airlock, AirlockLive } from "effect-airlock"
import * as BullMq from "effect-airlock/executors/BullMq"

const connection = { url: process.env["REDIS_URL"] ?? "redis://127.0.0.1:6379" }
const queue = new Queue(`example-${process.pid}`, { connection })

// The old code base. It knows nothing of Effect, and stays as it is.

const pay = async (item: string) => {
  await new Promise((resolve) => setImmediate(resolve))
  if (item === "unicorn") {
    throw new Error("the card was refused")
  }
}

const checkout = async (order: number, item: string) => {
  await queue.add("receipt", { order, item }, { attempts: 3 })
  await pay(item)
  await BullMq.direct(queue).add("audit", { order })
}

const processJob = async ({ data, name }: Job) => {
  console.log(`the worker gets ${name} ${JSON.stringify(data)}`)
  if (name === "receipt") {
    await queue.add("statistics", { order: data.order })
  }
}

// What is new.

const Main = Effect.gen(function*() {
  yield* Effect.promise(() => checkout(1, "book"))
  yield* Console.log("order 1 had no scope: its receipt is in BullMQ at once")

  yield* Effect.tryPromise(() => checkout(2, "unicorn")).pipe(Airlock.scoped, Effect.ignore)
  yield* Console.log("order 2 failed in a scope: it has no receipt")

  yield* Effect.tryPromise(() => checkout(3, "lamp")).pipe(Airlock.scoped)
  yield* Console.log("order 3 succeeded in a scope: its receipt is in BullMQ now")

  const ended = yield* Deferred.make<void>()
  const wrapped = yield* BullMq.wrapProcessor(processJob)
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const worker = new Worker(queue.name, wrapped, { connection })
      let statistics = 0
      worker.on("completed", ({ name }) => {
        statistics += name === "statistics" ? 1 : 0
        if (statistics === 2) {
          Effect.runFork(Deferred.succeed(ended, undefined))
        }
      })
      return worker
    }),
    (worker) => Effect.promise(() => worker.close())
  )
  yield* Deferred.await(ended)
}).pipe(
  Effect.scoped,
  Effect.provide(BullMq.layerIntercept(queue, { prefix: "mail" }).pipe(Layer.provideMerge(AirlockLive))),
  Effect.ensuring(Effect.promise(() => queue.obliterate({ force: true }).then(() => queue.close())))
)

NodeRuntime.runMain(Main)
