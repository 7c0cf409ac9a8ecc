/**
 * Every store of idempotency keys, for tests.
 */
import { SqlClient } from "@effect/sql"
import { Effect, Layer, ManagedRuntime } from "effect"
import { Idempotency } from "effect-airlock"
import * as IdempotencyRedis from "effect-airlock/IdempotencyRedis"
import * as IdempotencySql from "effect-airlock/IdempotencySql"
import { afterAll, describe } from "vitest"
import { onEachDatabase } from "./databases.js"
import { describeOnRedis, dropKeys, ownPrefix, redisClient } from "./redis.js"

/** A store without records, each time it is built. */
export type StoreLayer = () => Layer.Layer<Idempotency.IdempotencyStore>

/** What tests share, because it is slow to build. It is built by the first test that needs it. */
const shared = <A, E>(layer: Layer.Layer<A, E>): Layer.Layer<A> => {
  const runtime = ManagedRuntime.make(Layer.orDie(layer))
  afterAll(() => runtime.dispose())
  return Layer.effectContext(Effect.map(runtime.runtimeEffect, ({ context }) => context))
}

const migrated = Layer.effectDiscard(IdempotencySql.migrate())

const emptied = Layer.effectDiscard(
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM airlock_idempotency`)
)

/** Defines tests for each store. */
export const onEachStore = (define: (store: StoreLayer, name: string) => void): void => {
  describe("memory", () => define(() => Idempotency.layerMemory(), "memory"))
  onEachDatabase((database) => {
    const client = shared(Layer.provideMerge(migrated, database.client()))
    const store = IdempotencySql.layer().pipe(Layer.provide(emptied), Layer.provide(client), Layer.orDie)
    define(() => store, database.name)
  })
  describeOnRedis("Redis", () => {
    const prefix = ownPrefix()
    let stores = 0
    afterAll(() => Effect.runPromise(dropKeys(prefix)))
    define(
      () =>
        Layer.unwrapScoped(
          Effect.map(redisClient, (client) => IdempotencyRedis.layer({ client, prefix: `${prefix}${++stores}:` }))
        ),
      "Redis"
    )
  })
}
