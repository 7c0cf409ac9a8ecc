/**
 * `npx tsx examples/fastify.ts` starts a Fastify application whose handlers are async functions that call Effects. Two
 * hooks make each request a scope: a receipt leaves before the response is sent, and only if the response is a success.
 *
 *   curl -i -d '{"item":"book"}' -H 'content-type: application/json' http://127.0.0.1:3000/orders
 */
import { Effect, Either, Layer, ManagedRuntime } from "effect"
import { Airlock, AirlockLive } from "effect-airlock"
import fastify, { type FastifyInstance } from "fastify"
import { fileURLToPath } from "node:url"
import { NotifyWarehouse, type Pay, placeOrder, type Stock, StockLive, Tasks } from "./orders.js"
import { openRequestScope, type RequestScope } from "./requestScope.js"

type Services = Airlock.Airlock | Stock

declare module "fastify" {
  interface FastifyRequest {
    airlock: RequestScope<Services>
  }
}

export const makeApp = (runtime: ManagedRuntime.ManagedRuntime<Services, never>, pay: Pay): FastifyInstance => {
  const app = fastify()
  app.addHook("onRequest", async (request, reply) => {
    request.airlock = await openRequestScope(runtime, `${request.method} ${request.url}`, reply.raw)
  })
  // This hook runs before anything is sent, with the final status, even for an error.
  app.addHook("onSend", async (request, reply) => {
    // If an earlier hook has answered, no scope was opened.
    await request.airlock?.settle(reply.statusCode)
  })

  app.post<{ Body: { item: string } }>("/orders", async (request, reply) => {
    const { run } = request.airlock
    const order = await run(Effect.either(placeOrder(request.body.item)))
    if (Either.isLeft(order)) {
      return reply.code(409).send({ outOfStock: order.left.item })
    }
    await pay(order.right, request.body.item)
    await run(Airlock.enqueue(NotifyWarehouse, { orderId: order.right }))
    return reply.code(201).send({ orderId: order.right })
  })
  return app
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const runtime = ManagedRuntime.make(Tasks.pipe(Layer.provideMerge(AirlockLive), Layer.provideMerge(StockLive)))
  const app = makeApp(runtime, async () => {})
  app.addHook("onClose", () => runtime.dispose())
  await app.listen({ port: 3000, host: "127.0.0.1" })
  process.once("SIGINT", () => void app.close())
}
