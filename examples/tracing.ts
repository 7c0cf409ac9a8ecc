/**
 * `npx tsx examples/tracing.ts` prints the trace of a request and its side effects. `@effect/opentelemetry` sends it by
 * OTLP, as JSON over HTTP, to a collector in this process.
 */
import { OtlpSerialization, OtlpTracer } from "@effect/opentelemetry"
import { FetchHttpClient, HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Console, Context, Effect, Layer, Schema } from "effect"
import { Airlock, AirlockLive, HttpMiddleware, Policy, Task } from "effect-airlock"
import { createServer } from "node:http"

const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
const TrackOrder = Task.make("TrackOrder", { payload: { orderId: Schema.Number } })

const Tasks = Layer.mergeAll(
  SendReceipt.toLayer(({ orderId }) => Effect.withSpan(Effect.void, "smtp", { attributes: { orderId } })),
  TrackOrder.toLayer(() => Effect.void)
)

const checkout = Effect.fn("checkout")(function*(orderId: number) {
  yield* Airlock.enqueue(SendReceipt, { orderId })
  // This receipt is enqueued in its own fiber and its own scope. The scope of the request captures it.
  yield* Effect.fork(Airlock.scoped(Airlock.enqueue(SendReceipt, { orderId: orderId + 1 }))).pipe(
    Effect.flatMap((fiber) => fiber.await),
    Effect.withSpan("second item")
  )
  yield* Airlock.enqueue(TrackOrder, { orderId }).pipe(Airlock.withPolicy(Policy.blockTasks([TrackOrder])))
})

const router = HttpRouter.empty.pipe(
  HttpRouter.post("/orders", Effect.as(checkout(1), HttpServerResponse.empty({ status: 201 })))
)

// ---------------------------------------------------------------- a collector that prints

interface Span {
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly startTimeUnixNano: string
  readonly events: ReadonlyArray<{ readonly name: string }>
  readonly links: ReadonlyArray<{ readonly spanId: string }>
}

const spans: Array<Span> = []

const collector = createServer((request, response) => {
  let body = ""
  request.on("data", (chunk) => body += chunk).on("end", () => {
    const { resourceSpans } = JSON.parse(body)
    for (const { scopeSpans } of resourceSpans) {
      for (const scope of scopeSpans) {
        spans.push(...scope.spans)
      }
    }
    response.end()
  })
})

const tree = (parent: string | undefined, indent: string): string =>
  spans.filter((span) => span.parentSpanId === parent)
    .sort((a, b) => a.startTimeUnixNano < b.startTimeUnixNano ? -1 : 1)
    .map(({ events, links, name, spanId }) => {
      const linked = links.map((link) => ` -> ${spans.find((span) => span.spanId === link.spanId)?.name}`)
      const told = events.map((event) => `\n${indent}    * ${event.name}`)
      return `${indent}${name}${linked.join("")}${told.join("")}\n${tree(spanId, `${indent}  `)}`
    })
    .join("")

const collect = Effect.acquireRelease(
  Effect.async<string>((resume) => {
    collector.listen(0, "127.0.0.1", () => {
      const address = collector.address()
      resume(Effect.succeed(`http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/v1/traces`))
    })
  }),
  () => Effect.sync(() => collector.close())
)

const Tracing = Layer.unwrapScoped(
  Effect.map(collect, (url) =>
    OtlpTracer.layer({ url, resource: { serviceName: "shop" } }).pipe(
      Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer])
    ))
)

const request = Effect.gen(function*() {
  const context = yield* Layer.build(
    router.pipe(
      HttpServer.serve(HttpMiddleware.airlock),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
    )
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  const port = address._tag === "TcpAddress" ? address.port : 0
  yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/orders`, { method: "POST" }))
}).pipe(Effect.scoped, Effect.provide(Tasks.pipe(Layer.provideMerge(AirlockLive), Layer.provideMerge(Tracing))))

await Effect.runPromise(Effect.zipRight(request, Effect.suspend(() => Console.log(tree(undefined, "")))))
