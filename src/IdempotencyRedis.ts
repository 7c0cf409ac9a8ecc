/**
 * Keeps idempotency keys in Redis, 5 or later, or in a server that speaks its protocol and runs its scripts.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as EffectScope from "effect/Scope"
import { makeService } from "./internal/idempotency/keeper.js"
import { type RedisClient, redisOperations } from "./internal/idempotency/redis.js"
import { IdempotencyStore, type IdempotencyStoreService } from "./internal/idempotency/store.js"

export type { RedisClient } from "./internal/idempotency/redis.js"

/**
 * The options of {@link layer}.
 *
 * @since 0.1.0
 * @category options
 */
export interface IdempotencyRedisOptions {
  /** The client. A client of `ioredis` fits. The store does not close it. */
  readonly client: RedisClient
  /** What all keys in Redis begin with. Default: `idempotency:`. */
  readonly prefix?: string
  /** How long a command may take, with the time in which the client is not connected. Default: 5 seconds. */
  readonly timeout?: Duration.DurationInput
}

/**
 * Makes the service of a store in Redis, for a tag of your own.
 *
 * @since 0.1.0
 * @category stores
 */
export const make = (
  { client, prefix = "idempotency:", timeout = "5 seconds" }: IdempotencyRedisOptions
): Effect.Effect<IdempotencyStoreService, never, EffectScope.Scope> =>
  makeService(redisOperations(client, { prefix, timeout: Duration.decode(timeout) }))

/**
 * The store of idempotency keys in Redis. Redis deletes expired records by itself. A server that evicts keys, or loses its latest
 * writes with a restart or a failover, forgets them too early: give it `maxmemory-policy noeviction` and `appendonly yes`.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as IdempotencyRedis from "effect-airlock/IdempotencyRedis"
 * import { Redis } from "ioredis"
 *
 * const Keys = Layer.unwrapScoped(Effect.map(
 *   Effect.acquireRelease(Effect.sync(() => new Redis("redis://localhost:6379")), (redis) => Effect.promise(() => redis.quit())),
 *   (client) => IdempotencyRedis.layer({ client })
 * ))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: IdempotencyRedisOptions): Layer.Layer<IdempotencyStore> =>
  Layer.scoped(IdempotencyStore, make(options))
