import { NodeHttpClient } from "@effect/platform-node"
import { RpcClient, RpcSerialization } from "@effect/rpc"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import * as Api from "../../examples/hosts/api.js"
import * as HonoHost from "../../examples/hosts/hono.js"
import * as LayerApi from "../../examples/hosts/layer-api.js"
import * as LayerRouter from "../../examples/hosts/layer-router.js"
import { Live, Mailer, OutOfStock } from "../../examples/hosts/orders.js"
import * as RpcHost from "../../examples/hosts/rpc.js"
import * as Server from "../../examples/hosts/server.js"
import * as TaggedRouter from "../../examples/hosts/tagged-router.js"
import { serving } from "../support/http.js"

const quiet = Logger.remove(Logger.defaultLogger)

const mailer = (sent: Array<string>) =>
  Layer.provideMerge(
    Live,
    Layer.succeed(Mailer, {
      send: (text) =>
        Effect.sync(() => {
          sent.push(text)
        })
    })
  )

const sentence = (host: string) =>
  `${host} dispatches the receipt of an order that succeeds, and discards that of an order that fails`

const servers = {
  server: Server.Server,
  "tagged-router": TaggedRouter.Server,
  "layer-router": LayerRouter.Server,
  api: Api.Server,
  "layer-api": LayerApi.Server
}

describe("an example of a host", () => {
  for (const [name, server] of Object.entries(servers)) {
    it.scopedLive(sentence(name), () => {
      const sent: Array<string> = []
      return Effect.gen(function*() {
        const base = yield* serving(server)
        const post = (item: string) => Effect.promise(() => fetch(`${base}/orders/${item}`, { method: "POST" }))
        expect((yield* post("book")).status).toBe(201)
        expect(sent).toEqual(["receipt for a book"])
        expect((yield* post("unicorn")).status).toBe(409)
        expect(sent).toEqual(["receipt for a book"])
      }).pipe(Effect.provide([mailer(sent), quiet]))
    })
  }

  it(sentence("hono"), async () => {
    const sent: Array<string> = []
    const { app, dispose } = HonoHost.make(Layer.provideMerge(mailer(sent), quiet))
    expect(await (await app.request("/health")).text()).toBe("well")
    expect((await app.request("/orders/book", { method: "POST" })).status).toBe(201)
    expect(sent).toEqual(["receipt for a book"])
    expect((await app.request("/orders/unicorn", { method: "POST" })).status).toBe(409)
    expect(sent).toEqual(["receipt for a book"])
    await dispose()
  })

  it.scopedLive(sentence("rpc"), () => {
    const sent: Array<string> = []
    return Effect.gen(function*() {
      const base = yield* serving(RpcHost.Server)
      const protocol = yield* Layer.build(
        RpcClient.layerProtocolHttp({ url: `${base}/rpc` }).pipe(
          Layer.provide([NodeHttpClient.layerUndici, RpcSerialization.layerNdjson])
        )
      )
      const client = yield* Effect.provide(RpcClient.make(RpcHost.Orders), protocol)
      expect(yield* client.Place({ item: "book" })).toEqual({ ordered: "book" })
      expect(sent).toEqual(["receipt for a book"])
      expect(yield* Effect.flip(client.Place({ item: "unicorn" }))).toEqual(new OutOfStock({ item: "unicorn" }))
      expect(sent).toEqual(["receipt for a book"])
    }).pipe(Effect.provide([mailer(sent), quiet]))
  })
})
