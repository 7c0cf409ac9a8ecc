/**
 * PersistedQueue of `@effect/experimental`, on PostgreSQL, with ten takers. It keeps the completed elements, where the others
 * delete them.
 */
import { PersistedQueue } from "@effect/experimental"
import { SqlPersistedQueue } from "@effect/sql"
import { Effect, Layer, Schema } from "effect"
import { client, count, execute, payload } from "./database.js"
import type { SqlPeer } from "./peer.js"

const table = "effect_queue"
const takers = 10

const queueOf = PersistedQueue.make({
  name: "count",
  schema: Schema.Struct({ at: Schema.Number, email: Schema.String })
})

export const persistedQueue = (url: string): SqlPeer => {
  const factory = PersistedQueue.layer.pipe(
    Layer.provide(SqlPersistedQueue.layerStore({ tableName: table })),
    Layer.provide(client(url)),
    Layer.orDie
  )
  return {
    tables: [table],
    setup: Effect.scoped(Effect.asVoid(Layer.build(factory))),
    fill: (jobs) =>
      execute(
        url,
        `INSERT INTO ${table} (id, queue_name, element, completed, attempts, created_at, updated_at)
         SELECT gen_random_uuid(), 'count', '${payload}', FALSE, 0, now(), now() FROM generate_series(1, ${jobs})`
      ),
    clear: Effect.zipRight(execute(url, `TRUNCATE ${table}`), execute(url, `VACUUM ANALYZE ${table}`)),
    left: count(url, `${table} WHERE NOT completed`),
    work: (onJob) =>
      Effect.gen(function*() {
        const queue = yield* Effect.provide(queueOf, yield* Layer.build(factory))
        yield* queue.take((payload) => Effect.sync(() => onJob(payload))).pipe(
          Effect.forever,
          Effect.replicateEffect(takers, { concurrency: "unbounded", discard: true }),
          Effect.orDie,
          Effect.forkScoped
        )
      })
  }
}
