/**
 * Every store of idempotency keys, for tests.
 */
import type { SqlClient } from "@effect/sql"
import { Effect, Layer } from "effect"
import { Idempotency } from "effect-airlock"
import * as IdempotencyRedis from "effect-airlock/IdempotencyRedis"
import * as IdempotencySql from "effect-airlock/IdempotencySql"
import { afterAll, describe } from "vitest"
import { type Database, onEachDatabase } from "./databases.js"
import { describeOnRedis, dropKeys, ownPrefix, redisClient } from "./redis.js"

export type StoreLayer = () => Layer.Layer<Idempotency.IdempotencyStore>

/** The store in the database of a client, whose table it creates. */
export const sqlStore = (options?: IdempotencySql.IdempotencySqlOptions) =>
  IdempotencySql.layer(options).pipe(Layer.provide(Layer.effectDiscard(IdempotencySql.migrate(options?.table))))

export const onDatabase = (database: Database, client?: Layer.Layer<SqlClient.SqlClient, unknown>): StoreLayer => () =>
  Layer.orDie(sqlStore().pipe(Layer.provide(client ?? database.client())))

/** Defines tests for each store. */
export const onEachStore = (define: (store: StoreLayer, name: string) => void): void => {
  describe("memory", () => define(() => Idempotency.layerMemory(), "memory"))
  onEachDatabase((database) => define(onDatabase(database), database.name))
  describeOnRedis("Redis", () => {
    const prefix = ownPrefix()
    afterAll(() => Effect.runPromise(dropKeys(prefix)))
    define(
      () => Layer.unwrapScoped(Effect.map(redisClient, (client) => IdempotencyRedis.layer({ client, prefix }))),
      "Redis"
    )
  })
}
