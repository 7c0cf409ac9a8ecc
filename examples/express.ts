/**
 * `npx tsx examples/express.ts` starts an Express application whose handlers are async functions that call Effects.
 * Each request is a scope: a receipt leaves before the response is sent, and only if the response is a success.
 *
 *   curl -i -d '{"item":"book"}' -H 'content-type: application/json' http://127.0.0.1:3000/orders
 */
import { Effect, Either, Layer, ManagedRuntime } from "effect"
import { Airlock, AirlockLive } from "effect-airlock"
import express from "express"
import { fileURLToPath } from "node:url"
import { NotifyWarehouse, type Pay, placeOrder, type Stock, StockLive, Tasks } from "./orders.js"
import { openRequestScope, type RequestScope } from "./requestScope.js"

type Services = Airlock.Airlock | Stock

interface Answer {
  readonly status: number
  readonly body: unknown
}

export const makeApp = (runtime: ManagedRuntime.ManagedRuntime<Services, never>, pay: Pay): express.Express => {
  /** Runs a handler that returns its answer. The answer is sent after the request's scope has settled. */
  const inScope =
    (handler: (request: express.Request, scope: RequestScope<Services>) => Promise<Answer>): express.RequestHandler =>
    async (request, response) => {
      const scope = await openRequestScope(runtime, `${request.method} ${request.path}`, response)
      try {
        const { body, status } = await handler(request, scope)
        await scope.settle(status)
        response.status(status).json(body)
      } catch (error) {
        await scope.settle(500)
        throw error
      }
    }

  const app = express()
  app.use(express.json())
  app.post(
    "/orders",
    inScope(async (request, { run }) => {
      const order = await run(Effect.either(placeOrder(request.body.item)))
      if (Either.isLeft(order)) {
        return { status: 409, body: { outOfStock: order.left.item } }
      }
      await pay(order.right, request.body.item)
      await run(Airlock.enqueue(NotifyWarehouse, { orderId: order.right }))
      return { status: 201, body: { orderId: order.right } }
    })
  )
  // Express passes errors of handlers here. The request's scope has settled by then.
  const onError: express.ErrorRequestHandler = (_error, _request, response, _next) => {
    response.status(500).json({ error: "something went wrong" })
  }
  app.use(onError)
  return app
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const runtime = ManagedRuntime.make(Tasks.pipe(Layer.provideMerge(AirlockLive), Layer.provideMerge(StockLive)))
  const server = makeApp(runtime, async () => {}).listen(3000, "127.0.0.1")
  process.once("SIGINT", () => server.close(() => void runtime.dispose()))
}
