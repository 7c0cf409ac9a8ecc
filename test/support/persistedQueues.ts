/**
 * `PersistedQueue` on PostgreSQL and on Redis, for tests, each with a proxy that can cut its connection.
 */
import { PersistedQueue } from "@effect/experimental"
import * as Redis from "@effect/experimental/PersistedQueue/Redis"
import { SqlPersistedQueue } from "@effect/sql"
import { Layer } from "effect"
import { afterAll, beforeAll, vi } from "vitest"
import { onPostgres } from "./databases.js"
import { describeOnRedisProxy } from "./redisProxy.js"
import { postgres } from "./servers.js"
import { type TcpProxy, tcpProxy } from "./tcpProxy.js"

type Factory = Layer.Layer<PersistedQueue.PersistedQueueFactory>

export interface TestStore extends Omit<TcpProxy, "port"> {
  readonly name: "PostgreSQL" | "Redis"
  /** An empty store. Each of its Layers is a client of its own. */
  readonly make: () => { readonly factory: Factory, readonly throughProxy: Factory }
}

const pollInterval = "20 millis"

/** An element whose worker died comes back soon. */
const lockExpiration = "1 second"

const factoryOn = (store: Layer.Layer<PersistedQueue.PersistedQueueStore, unknown>): Factory =>
  PersistedQueue.layer.pipe(Layer.provide(store), Layer.orDie)

/** Defines tests for each store. */
export const onEachStore = (define: (store: TestStore) => void): void => {
  onPostgres((database) => {
    const { port, ...proxy } = tcpProxy({ host: postgres.url.hostname, port: Number(postgres.url.port || 5432) })
    let stores = 0
    const on = (tableName: string, client: ReturnType<typeof database.client>): Factory =>
      factoryOn(
        SqlPersistedQueue.layerStore({ tableName, pollInterval, lockExpiration }).pipe(Layer.provide(client))
      )
    define({
      ...proxy,
      name: "PostgreSQL",
      make: () => {
        const tableName = `queue_${stores++}`
        return {
          factory: on(tableName, database.client()),
          throughProxy: Layer.suspend(() => on(tableName, database.client({ host: "127.0.0.1", port: port() })))
        }
      }
    })
  })
  describeOnRedisProxy("Redis", ({ connection, prefix, throughProxy, ...proxy }) => {
    beforeAll(() => {
      // The store does not listen to the errors of its connection, so ioredis prints each.
      vi.spyOn(console, "error").mockImplementation(() => {})
    })
    afterAll(() => {
      vi.restoreAllMocks()
    })
    let stores = 0
    define({
      ...proxy,
      name: "Redis",
      make: () => {
        const options = {
          prefix: `${prefix}:${stores++}:`,
          pollInterval,
          lockExpiration,
          lockRefreshInterval: "300 millis"
        } as const
        return {
          factory: factoryOn(Redis.layerStore({ ...connection, ...options })),
          // Otherwise calls that the store does not wait for are unhandled rejections while Redis is away.
          throughProxy: Layer.suspend(() =>
            factoryOn(Redis.layerStore({ ...throughProxy(), ...options, maxRetriesPerRequest: null }))
          )
        }
      }
    })
  })
}
