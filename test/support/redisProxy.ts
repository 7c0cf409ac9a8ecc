/**
 * Redis with a proxy in front of it that can cut the connection.
 */
import { Redis } from "ioredis"
import { randomBytes } from "node:crypto"
import { afterAll, afterEach } from "vitest"
import { describeOnRedis, redisUrl } from "./redis.js"
import { type TcpProxy, tcpProxy } from "./tcpProxy.js"

/** Defines tests that need Redis. */
export const describeOnRedisProxy = (name: string, define: (redis: TestRedis) => void): void =>
  describeOnRedis(name, () => define(testRedis()))

export interface TestRedis extends Omit<TcpProxy, "port"> {
  /** The prefix of the keys of this test file, which are deleted after each test. */
  readonly prefix: string
  /** The address of Redis. */
  readonly connection: { readonly host: string, readonly port: number }
  /** The address of a proxy in front of it. */
  readonly throughProxy: () => { readonly host: string, readonly port: number, readonly retryStrategy: () => number }
}

const testRedis = (): TestRedis => {
  const prefix = `airlock-test-${randomBytes(6).toString("hex")}`
  const connection = { host: redisUrl.hostname, port: Number(redisUrl.port || 6379) }
  const { port, ...proxy } = tcpProxy(connection)
  const client = new Redis({ ...connection, lazyConnect: true })
  afterEach(async () => {
    const keys = await client.keys(`${prefix}*`)
    if (keys.length > 0) {
      await client.del(...keys)
    }
  })
  afterAll(async () => {
    await client.quit()
  })
  return {
    ...proxy,
    prefix,
    connection,
    throughProxy: () => ({ host: "127.0.0.1", port: port(), retryStrategy: () => 20 })
  }
}
