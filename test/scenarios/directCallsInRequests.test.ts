/**
 * Plain Promise code in requests, which adds jobs to an intercepted queue: a server of `@effect/platform`, and Express.
 */
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Queue } from "bullmq"
import { Effect, Layer, ManagedRuntime } from "effect"
import { AirlockLive, HttpMiddleware } from "effect-airlock"
import * as BullMq from "effect-airlock/executors/BullMq"
import express from "express"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { setImmediate as turn } from "node:timers/promises"
import { openRequestScope } from "../../examples/requestScope.js"
import { serving } from "../support/http.js"
import { describeOnRedisProxy } from "../support/redisProxy.js"
import { recordWarnings } from "../support/warnings.js"

describeOnRedisProxy("direct calls in requests", ({ connection, prefix }) => {
  const openQueue = Effect.acquireRelease(
    Effect.sync(() => new Queue("mail", { connection, prefix })),
    (queue) => Effect.promise(() => queue.close())
  )

  /* eslint-disable effect-airlock/no-direct-dispatch -- the calls that Airlock intercepts */
  /** The legacy code: it answers 500 for odd orders, after it has added its jobs. */
  const checkout = async (queue: Queue, order: number): Promise<number> => {
    await turn()
    await queue.add("receipt", { order })
    await new Promise((resolve) => setTimeout(resolve, 0))
    await Promise.all([queue.add("invoice", { order }), queue.add("parcel", { order })])
    return order % 2 === 0 ? 200 : 500
  }
  /* eslint-enable effect-airlock/no-direct-dispatch */

  const orders = Array.from({ length: 20 }, (_, order) => order)

  /** All requests at a time. */
  const requestAll = (url: string) =>
    Effect.forEach(
      orders,
      (order) => Effect.promise(async () => (await fetch(`${url}/orders/${order}`, { method: "POST" })).status),
      { concurrency: "unbounded" }
    )

  const expectEvenOrders = (queue: Queue, statuses: ReadonlyArray<number>) =>
    Effect.promise(async () => {
      expect(statuses).toEqual(orders.map((order) => order % 2 === 0 ? 200 : 500))
      const jobs = (await queue.getWaiting()).map(({ data, name }) => `${data.order} ${name}`).sort()
      const even = orders.filter((order) => order % 2 === 0)
      expect(jobs).toEqual(
        even.flatMap((order) => ["invoice", "parcel", "receipt"].map((name) => `${order} ${name}`)).sort()
      )
    })

  it.scopedLive("jobs leave if the response of the platform's server is a success", () =>
    Effect.gen(function*() {
      const queue = yield* openQueue
      const router = HttpRouter.empty.pipe(
        HttpRouter.post(
          "/orders/:order",
          Effect.gen(function*() {
            const { order } = yield* HttpRouter.params
            const status = yield* Effect.promise(() => checkout(queue, Number(order)))
            return HttpServerResponse.empty({ status })
          })
        )
      )
      const url = yield* serving(
        router.pipe(HttpServer.serve(HttpMiddleware.airlock)).pipe(
          Layer.provide(BullMq.layerIntercept(queue)),
          Layer.provide(AirlockLive)
        )
      )
      yield* expectEvenOrders(queue, yield* requestAll(url))
    }).pipe(Effect.provide(recordWarnings)))

  it.scopedLive("jobs leave if the response of Express is a success", () =>
    Effect.gen(function*() {
      const queue = yield* openQueue
      const runtime = yield* Effect.acquireRelease(
        Effect.sync(() =>
          ManagedRuntime.make(
            Layer.provideMerge(BullMq.layerIntercept(queue), AirlockLive).pipe(Layer.provide(recordWarnings))
          )
        ),
        (runtime) => runtime.disposeEffect
      )
      const app = express()
      app.post("/orders/:order", (request, response, next) => {
        const answer = async () => {
          const { run, settle } = await openRequestScope(runtime, request.path, response)
          const status = await run(Effect.promise(() => checkout(queue, Number(request.params.order))))
          await settle(status)
          response.sendStatus(status)
        }
        answer().catch(next)
      })
      const server = yield* Effect.acquireRelease(
        Effect.async<ReturnType<typeof createServer>>((resume) => {
          const server = createServer(app).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      yield* expectEvenOrders(queue, yield* requestAll(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
    }))
})
