/**
 * Redis with a proxy in front of it that can cut the connection.
 */
import { Redis } from "ioredis"
import { randomBytes } from "node:crypto"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { afterAll, afterEach, beforeAll } from "vitest"
import { describeOnRedis, redisUrl } from "./redis.js"

/** Defines tests that need Redis. */
export const describeOnRedisProxy = (name: string, define: (redis: TestRedis) => void): void =>
  describeOnRedis(name, () => define(testRedis()))

export interface TestRedis {
  /** The prefix of the keys of this test file, which are deleted after each test. */
  readonly prefix: string
  /** The address of Redis. */
  readonly connection: { readonly host: string, readonly port: number }
  /** The address of a proxy in front of it. */
  readonly throughProxy: () => { readonly host: string, readonly port: number, readonly retryStrategy: () => number }
  /** Breaks all connections through the proxy, and refuses new ones. */
  readonly cut: () => void
  /** Breaks the connection when a text passes for the next time, before Redis gets it. */
  readonly cutAt: (text: string) => void
  /** Lets connections through the proxy again. */
  readonly restore: () => void
}

const testRedis = (): TestRedis => {
  const prefix = `airlock-test-${randomBytes(6).toString("hex")}`
  const address = { host: redisUrl.hostname, port: Number(redisUrl.port || 6379) }
  const sockets = new Set<Socket>()
  let isCut = false
  let text: string | undefined
  const proxy = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const upstream = connect(address)
    const end = () => {
      client.destroy()
      upstream.destroy()
      sockets.delete(client)
    }
    sockets.add(client)
    client.on("data", (data) => {
      if (text !== undefined && data.includes(text)) {
        text = undefined
        return end()
      }
      return upstream.write(data)
    })
    upstream.on("data", (data) => client.write(data))
    for (const socket of [client, upstream]) {
      socket.on("error", end).on("close", end)
    }
  })
  const restore = () => {
    isCut = false
    text = undefined
  }
  const client = new Redis({ ...address, lazyConnect: true })
  beforeAll(() => new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve)))
  afterEach(async () => {
    restore()
    const keys = await client.keys(`${prefix}*`)
    if (keys.length > 0) {
      await client.del(...keys)
    }
  })
  afterAll(async () => {
    await client.quit()
    sockets.forEach((socket) => socket.destroy())
    proxy.close()
  })
  return {
    prefix,
    connection: address,
    // The server listens on a port, so its address is an object and no path.
    throughProxy: () => ({
      host: "127.0.0.1",
      port: (proxy.address() as AddressInfo).port,
      retryStrategy: () => 20
    }),
    cut: () => {
      isCut = true
      sockets.forEach((socket) => socket.destroy())
    },
    cutAt: (at) => {
      text = at
    },
    restore
  }
}
