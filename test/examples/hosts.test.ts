/**
 * The examples of Express and Fastify, called over real sockets.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, ManagedRuntime } from "effect"
import { AirlockTest, Executor } from "effect-airlock"
import { createServer, request, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { makeApp as makeExpress } from "../../examples/express.js"
import { makeApp as makeFastify } from "../../examples/fastify.js"
import { OutOfStock, type Pay, Stock, Tasks } from "../../examples/orders.js"

/** A stock that fails, dies or hangs for certain items, and reports when it hangs and when it is interrupted. */
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

/** Serves a host on a real port while a test runs. */
const serving = async <A>(
  host: (runtime: Runtime, pay: Pay) => Promise<RequestListener>,
  test: (world: {
    readonly url: string
    readonly left: () => ReadonlyArray<string>
    /** How many intents had left when the head of each response was written. */
    readonly leftBefore: ReadonlyArray<number>
    readonly reported: ReadonlyArray<string>
    /** The stock hangs. */
    readonly hangs: Promise<void>
    /** The stock was interrupted. */
    readonly interrupted: Promise<void>
    /** The payment of a "slow" order has begun. */
    readonly pays: Promise<void>
    /** Ends that payment. */
    readonly paid: () => void
    /** The server has seen that the client closed the connection. */
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

/** Sends an order, and gives a function that closes the connection without waiting for the response. */
const leaving = (url: string, item: string) => {
  const client = request(url, { method: "POST", headers: { "content-type": "application/json" } })
  client.on("error", () => {})
  client.end(JSON.stringify({ item }))
  return () => client.destroy()
}

for (const [name, host] of Object.entries(hosts)) {
  describe(name, () => {
    it("dispatches the intents of a success before it sends the response", () =>
      serving(host, async ({ left, leftBefore, url }) => {
        const { body, status } = await order(url, "book")
        expect(status).toBe(201)
        expect(left()).toEqual([
          `SendReceipt {"orderId":${body.orderId}}`,
          `NotifyWarehouse {"orderId":${body.orderId}}`
        ])
        expect(leftBefore).toEqual([2])
      }))

    it("reports an intent that could not leave, and does not change the response", () =>
      serving(host, async ({ reported, url }) => {
        expect((await order(url, "book")).status).toBe(201)
        expect(reported).toEqual(["not all intents left"])
      }, AirlockTest.failsAt(1)))

    it("discards the intents of a 409, a defect, a rejected Promise and an unreadable request, and serves the next request", () =>
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

    it("interrupts the Effect of a handler whose client closes the connection, and discards the intents", () =>
      serving(host, async ({ hangs, interrupted, left, url }) => {
        const leave = leaving(url, "hang")
        await hangs
        leave()
        await interrupted
        expect((await order(url, "book")).status).toBe(201)
        expect(left().length).toBe(2)
      }))

    it("discards the intents enqueued before and after the client closes the connection while the handler awaits a Promise", () =>
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

    it("finishes the dispatch if the client closes the connection meanwhile", async () => {
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

    it("never mixes the intents of 100 concurrent requests", () =>
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
