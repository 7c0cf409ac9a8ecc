import { HttpRouter, HttpServer } from "@effect/platform"
import { NodeHttpClient, NodeSocket } from "@effect/platform-node"
import { Rpc, RpcClient, RpcGroup, RpcSerialization, RpcServer, RpcTest } from "@effect/rpc"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Schema, Stream } from "effect"
import { Airlock, AirlockError, Executor, HttpMiddleware, Policy } from "effect-airlock"
import * as RpcMiddleware from "effect-airlock/RpcMiddleware"
import { serving } from "./support/http.js"
import { layer, left, note } from "./support/recorder.js"

class Calls extends RpcGroup.make(
  Rpc.make("Do", { payload: { text: Schema.String } }),
  Rpc.make("Fail", { payload: { text: Schema.String }, error: Schema.String }),
  Rpc.make("Wait", { payload: { text: Schema.String } }),
  Rpc.make("Both", { payload: { text: Schema.String }, success: Schema.Array(Schema.String) }),
  Rpc.make("Stream", { payload: { text: Schema.String }, success: Schema.String, stream: true }),
  Rpc.make("Broken", { payload: { text: Schema.String }, success: Schema.String, error: Schema.String, stream: true })
).middleware(RpcMiddleware.AirlockCall) {}

/** Completes when a call that never ends has enqueued. */
class Begun extends Context.Tag("test/Begun")<Begun, Deferred.Deferred<void>>() {}

const handlers = Calls.toLayer({
  Do: ({ text }) => Effect.asVoid(note(text)),
  Fail: ({ text }) => Effect.zipRight(note(text), Effect.fail("no")),
  Wait: ({ text }) =>
    note(text).pipe(
      Effect.zipRight(Effect.flatMap(Begun, (begun) => Deferred.succeed(begun, void 0))),
      Effect.zipRight(Effect.never)
    ),
  Both: ({ text }) =>
    note(text).pipe(
      Effect.zipRight(Airlock.scoped(note(`${text} inside`))),
      Effect.zipRight(
        Effect.map(Airlock.intents, (intents) => intents.map(({ payload }) => `${(payload as { text: string }).text}`))
      ),
      Effect.orDie
    ),
  Stream: ({ text }) => Stream.concat(Stream.make("a", "b"), Stream.execute(note(text))),
  Broken: ({ text }) => Stream.concat(Stream.make("a"), Stream.concat(Stream.execute(note(text)), Stream.fail("no")))
})

/** An executor that fails every intent. */
const failing = (durable: boolean) =>
  Executor.make({
    name: "queue",
    durable,
    dispatch: (intents) =>
      Effect.succeed(
        intents.map((intent) => Exit.fail(new AirlockError.DispatchError({ task: intent.task.name, cause: "down" })))
      )
  })

const errorsIn = (logs: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ cause, logLevel }) => {
      if (logLevel._tag === "Error") {
        logs.push(Cause.pretty(cause))
      }
    })
  )

const quiet = Logger.remove(Logger.defaultLogger)

const served = <R>(protocol: Layer.Layer<RpcServer.Protocol, never, R>) =>
  serving(
    HttpRouter.Default.unwrap(HttpServer.serve(HttpMiddleware.airlock)).pipe(
      Layer.provide(
        RpcServer.layer(Calls).pipe(Layer.provide([handlers, RpcMiddleware.airlockCall]), Layer.provideMerge(protocol))
      ),
      Layer.provide(RpcSerialization.layerNdjson)
    )
  )

const client = <E>(protocol: Layer.Layer<RpcClient.Protocol, E, RpcSerialization.RpcSerialization>) =>
  Effect.flatMap(
    Layer.build(Layer.provide(protocol, RpcSerialization.layerNdjson)),
    (context) => Effect.provide(RpcClient.make(Calls), context)
  )

/** A client for each protocol. Its calls run inside a request that is a scope too. */
const hosts = {
  HTTP: Effect.gen(function*() {
    const base = yield* served(RpcServer.layerProtocolHttp({ path: "/rpc" }))
    return yield* client(
      RpcClient.layerProtocolHttp({ url: `${base}/rpc` }).pipe(Layer.provide(NodeHttpClient.layerUndici))
    )
  }),
  "a web socket": Effect.gen(function*() {
    const base = yield* served(RpcServer.layerProtocolWebsocket({ path: "/rpc" }))
    return yield* client(
      RpcClient.layerProtocolSocket().pipe(
        Layer.provide(NodeSocket.layerWebSocket(`${base.replace("http", "ws")}/rpc`))
      )
    )
  })
}

const begun = Layer.effect(Begun, Deferred.make<void>())

for (const [host, connect] of Object.entries(hosts)) {
  describe(`a call's scope, over ${host},`, () => {
    it.scopedLive("runs its handlers before the client gets the answer", () =>
      Effect.gen(function*() {
        const calls = yield* connect
        yield* calls.Do({ text: "done" })
        expect(yield* left).toEqual(["done"])
        expect(yield* Effect.flip(calls.Fail({ text: "failed" }))).toBe("no")
        expect(yield* left).toEqual(["done"])
        expect(yield* calls.Both({ text: "both" })).toEqual(["both", "both inside"])
        expect(yield* left).toEqual(["done", "both", "both inside"])
      }).pipe(Effect.provide([layer(), begun, quiet])))

    it.scopedLive("dispatches the intents of a stream that ends, and discards those of a stream that fails", () =>
      Effect.gen(function*() {
        const calls = yield* connect
        expect(yield* Stream.runCollect(calls.Stream({ text: "streamed" }))).toEqual(Chunk.make("a", "b"))
        expect(yield* left).toEqual(["streamed"])
        expect(yield* Effect.flip(Stream.runDrain(calls.Broken({ text: "broken" })))).toBe("no")
        expect(yield* left).toEqual(["streamed"])
      }).pipe(Effect.provide([layer(), begun, quiet])))

    it.scopedLive("discards its intents if the client interrupts the call", () =>
      Effect.gen(function*() {
        const calls = yield* connect
        const call = yield* Effect.fork(calls.Wait({ text: "given up" }))
        yield* Deferred.await(yield* Begun)
        yield* Fiber.interrupt(call)
        yield* calls.Do({ text: "next" })
        expect(yield* left).toEqual(["next"])
      }).pipe(Effect.provide([layer(), begun, quiet])))

    it.scopedLive("makes the call die if an intent cannot be made durable, and logs that once", () => {
      const logs: Array<string> = []
      return Effect.gen(function*() {
        const calls = yield* connect
        const exit = yield* Effect.exit(calls.Do({ text: "a" }))
        expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
        expect(logs.filter((log) => log.includes("of the scope \"Do\" did not leave")).length).toBe(1)
      }).pipe(Effect.provide([layer({ executor: failing(true) }), begun, errorsIn(logs)]))
    })

    it.scopedLive("logs a failed dispatch once, and does not change the answer", () => {
      const logs: Array<string> = []
      return Effect.gen(function*() {
        const calls = yield* connect
        yield* calls.Do({ text: "a" })
        expect(logs.length).toBe(1)
      }).pipe(Effect.provide([layer({ executor: failing(false) }), begun, errorsIn(logs)]))
    })
  })
}

describe("RpcMiddleware.airlockCallWith", () => {
  it.scoped("applies its policy to each call, and settles each call independently of an outer scope", () =>
    Effect.gen(function*() {
      const calls = yield* RpcTest.makeClient(Calls).pipe(
        Effect.provide([handlers, RpcMiddleware.airlockCallWith({ policy: Policy.limit(1) })])
      )
      const both = calls.Both({ text: "one" })
      expect(yield* Effect.exit(Airlock.scoped(Effect.zipRight(both, Effect.fail("later"))))).toEqual(
        Exit.fail("later")
      )
      expect(yield* left).toEqual(["one"])
    }).pipe(Effect.provide([layer(), begun, quiet])))
})
