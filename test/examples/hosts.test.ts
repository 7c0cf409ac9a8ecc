/**
 * The Express and the Fastify example, asked over real sockets.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, ManagedRuntime } from "effect"
import { AirlockTest, Executor } from "effect-airlock"
import { createServer, request, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { makeApp as makeExpress } from "../../examples/express.js"
import { makeApp as makeFastify } from "../../examples/fastify.js"
import { OutOfStock, type Pay, Stock, Tasks } from "../../examples/orders.js"

/** What a stock does with an item, and who wants to know that it began, and that it was interrupted. */
const stockOf = (hooks: { readonly onHang: () => void, readonly onInterrupt: () => void }) =>
  Layer.succeed(Stock, {
    reserve: (item) =>
      item === "unicorn"
        ? new OutOfStock({ item })
        : item === "bug"
        ? Effect.die(new Error("a bug"))
        : item === "hang"
        ? Effect.zipRight(Effect.sync(hooks.onHang), Effect.never).pipe(
          Effect.onInterrupt(() => Effect.sync(hooks.onInterrupt))
        )
        : Effect.yieldNow()
  })

type Runtime = ManagedRuntime.ManagedRuntime<
  Layer.Layer.Success<ReturnType<typeof stockOf>> | Layer.Layer.Success<ReturnType<typeof AirlockTest.inline>>,
  never
>

const hosts: Record<string, (runtime: Runtime, pay: Pay) => Promise<RequestListener>> = {
  Express: async (runtime, pay) => makeExpress(runtime, pay),
  Fastify: async (runtime, pay) => {
    const app = makeFastify(runtime, pay)
    await app.ready()
    return (request, response) => app.routing(request, response)
  }
}

/** A host that serves on a real port for as long as a test runs. */
const serving = async <A>(
  host: (runtime: Runtime, pay: Pay) => Promise<RequestListener>,
  test: (world: {
    readonly url: string
    readonly left: () => ReadonlyArray<string>
    /** How many intents had left when the head of each response was written. */
    readonly leftBefore: ReadonlyArray<number>
    readonly reported: ReadonlyArray<string>
    readonly hangs: Promise<void>
    readonly interrupted: Promise<void>
    /** The payment of a "slow" order: it has begun; it shall end. */
    readonly pays: Promise<void>
    readonly paid: () => void
    /** The server has seen that the client of a request has gone. */
    readonly closed: Promise<void>
    /** The last handler of an order has run. */
    readonly packed: Promise<string>
  }) => Promise<A>,
  executor = Executor.inProcess()
): Promise<A> => {
  let onHang = () => {}
  let onInterrupt = () => {}
  let onPay = () => {}
  let paid = () => {}
  let onClose = () => {}
  const pays = new Promise<void>((resolve) => onPay = resolve)
  const payment = new Promise<void>((resolve) => paid = resolve)
  const closed = new Promise<void>((resolve) => onClose = resolve)
  const pay: Pay = async (_, item) => {
    if (item === "unpaid") {
      throw new Error("no money")
    }
    if (item === "slow") {
      onPay()
      await payment
    }
  }
  const hangs = new Promise<void>((resolve) => onHang = resolve)
  const interrupted = new Promise<void>((resolve) => onInterrupt = resolve)
  let onPack: (text: string) => void = () => {}
  const packed = new Promise<string>((resolve) => onPack = resolve)
  const reported: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (String(message).startsWith("pack")) {
      onPack(String(message))
    }
    if (logLevel.label === "ERROR") {
      reported.push(String(message))
    }
  })
  const runtime = ManagedRuntime.make(
    Tasks.pipe(
      Layer.provideMerge(AirlockTest.inline({ executor })),
      Layer.provideMerge(stockOf({ onHang, onInterrupt })),
      Layer.provideMerge(Logger.replace(Logger.defaultLogger, logger))
    )
  )
  const recorded = await runtime.runPromise(AirlockTest.Recorded)
  const left = () => recorded.map(({ payload, task }) => `${task.name} ${JSON.stringify(payload)}`)
  const leftBefore: Array<number> = []
  const listener = await host(runtime, pay)
  const server = createServer((request, response) => {
    response.once("close", onClose)
    const writeHead = response.writeHead
    response.writeHead = (...head: ReadonlyArray<unknown>) => {
      leftBefore.push(recorded.length)
      return Reflect.apply(writeHead, response, head)
    }
    listener(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/orders`
    return await test({ url, left, leftBefore, reported, hangs, interrupted, pays, paid, closed, packed })
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await runtime.dispose()
  }
}

const order = async (url: string, item: string) => {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ item })
  })
  return { status: response.status, body: await response.json() as { readonly orderId: number } }
}

/** Orders, and leaves without an answer when it is told to. */
const leaving = (url: string, item: string) => {
  const client = request(url, { method: "POST", headers: { "content-type": "application/json" } })
  client.on("error", () => {})
  client.end(JSON.stringify({ item }))
  return () => client.destroy()
}

for (const [name, host] of Object.entries(hosts)) {
  describe(name, () => {
    it("a success lets the intents leave before its answer is sent", () =>
      serving(host, async ({ left, leftBefore, url }) => {
        const { body, status } = await order(url, "book")
        expect(status).toBe(201)
        expect(left()).toEqual([
          `SendReceipt {"orderId":${body.orderId}}`,
          `NotifyWarehouse {"orderId":${body.orderId}}`
        ])
        expect(leftBefore).toEqual([2])
      }))

    it("an intent that could not leave is reported, and the answer stands", () =>
      serving(host, async ({ reported, url }) => {
        expect((await order(url, "book")).status).toBe(201)
        expect(reported).toEqual(["not all intents left"])
      }, AirlockTest.failsAt(1)))

    it("a 409, a defect, a Promise that is rejected and a request that cannot be read discard them, and the next one is clean", () =>
      serving(host, async ({ left, url }) => {
        expect(await order(url, "unicorn")).toEqual({ status: 409, body: { outOfStock: "unicorn" } })
        expect((await order(url, "bug")).status).toBe(500)
        expect((await order(url, "unpaid")).status).toBe(500)
        const unreadable = await fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: "{"
        })
        expect(unreadable.status).toBeGreaterThanOrEqual(400)
        expect(left()).toEqual([])
        const { body } = await order(url, "book")
        expect(left().length).toBe(2)
        expect(left()[0]).toBe(`SendReceipt {"orderId":${body.orderId}}`)
      }))

    it("a client that leaves interrupts the Effect that its handler runs, and the intents are gone", () =>
      serving(host, async ({ hangs, interrupted, left, url }) => {
        const leave = leaving(url, "hang")
        await hangs
        leave()
        await interrupted
        expect((await order(url, "book")).status).toBe(201)
        expect(left().length).toBe(2)
      }))

    it("a client that leaves while its handler awaits a Promise takes the intents along, those after it too", () =>
      serving(host, async ({ closed, left, paid, pays, url }) => {
        const leave = leaving(url, "slow")
        await pays
        leave()
        await closed
        paid()
        const { body } = await order(url, "book")
        expect(left()).toEqual([
          `SendReceipt {"orderId":${body.orderId}}`,
          `NotifyWarehouse {"orderId":${body.orderId}}`
        ])
      }))

    it("a client that leaves while the intents leave changes nothing", async () => {
      let onDispatch = () => {}
      let release = () => {}
      const dispatching = new Promise<void>((resolve) => onDispatch = resolve)
      const released = new Promise<void>((resolve) => release = resolve)
      const inProcess = Executor.inProcess()
      const slow = Executor.make({
        name: "slow",
        dispatch: (intents, handlers) =>
          Effect.promise(() => {
            onDispatch()
            return released
          }).pipe(Effect.zipRight(inProcess.dispatch(intents, handlers)))
      })
      await serving(host, async ({ closed, packed, url }) => {
        const leave = leaving(url, "book")
        await dispatching
        leave()
        await closed
        release()
        expect(await packed).toMatch(/^pack order/)
      }, slow)
    })

    it("a hundred requests at once never mix", () =>
      serving(host, async ({ left, url }) => {
        const answers = await Promise.all(
          Array.from({ length: 100 }, (_, index) => order(url, index % 2 === 0 ? "book" : "unicorn"))
        )
        const ids = answers.flatMap(({ body, status }) => status === 201 ? [body.orderId] : [])
        expect(ids.length).toBe(50)
        expect([...left()].sort()).toEqual(
          ids.flatMap((orderId) => [`SendReceipt {"orderId":${orderId}}`, `NotifyWarehouse {"orderId":${orderId}}`])
            .sort()
        )
      }))
  })
}
