/**
 * The store in Redis: a hash for each record, and a script for each operation. Redis deletes what has expired.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { runWithDeadline } from "../support/deadline.js"
import { decodeResponse, encodeResponse } from "./codec.js"
import { type Claim, IdempotencyStoreError, type IdempotencyStoreOperations } from "./store.js"

/**
 * The part of a Redis client that the store uses. A client of `ioredis` has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface RedisClient {
  /** Runs a script in Lua with this number of keys, then the keys, then the other arguments. */
  readonly eval: (script: string, numberOfKeys: number, ...args: Array<string | number>) => Promise<unknown>
}

const now = "local t = redis.call('TIME')\nlocal now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

/** Nothing happens unless the record belongs to the token. */
const ifOwn = "if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end\n"

const scripts = {
  claim: `${now}local r = redis.call('HMGET', KEYS[1], 'token', 'fingerprint', 'state', 'lease', 'response')
if not r[1] then
  redis.call('HSET', KEYS[1], 'token', ARGV[1], 'fingerprint', ARGV[2], 'state', 'claimed', 'lease', now + ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'claimed'}
end
if r[1] == ARGV[1] and r[3] ~= 'completed' then return {'claimed'} end
if r[2] ~= ARGV[2] then return {'mismatch'} end
if r[3] == 'completed' then return {'completed', r[5]} end
if tonumber(r[4]) > now then return {'in-flight', tostring(r[4] - now)} end
return {'unanswered'}`,
  renew: `${ifOwn}${now}local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'completed' then redis.call('HSET', KEYS[1], 'lease', now + ARGV[2]) end
if state == 'claimed' or (state == 'kept' and redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2])) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1`,
  keep:
    `${ifOwn}${now}if redis.call('HGET', KEYS[1], 'state') == 'claimed' then redis.call('HSET', KEYS[1], 'state', 'kept') end
redis.call('PEXPIRE', KEYS[1], math.max(ARGV[2], redis.call('HGET', KEYS[1], 'lease') - now))
return 1`,
  complete: `${ifOwn}redis.call('HSET', KEYS[1], 'state', 'completed', 'response', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`,
  release: `${ifOwn}if redis.call('HGET', KEYS[1], 'state') == 'completed' then return 0 end
return redis.call('DEL', KEYS[1])`
}

/** @internal */
export const redisOperations = (
  client: RedisClient,
  { prefix, timeout }: { readonly prefix: string, readonly timeout: Duration.Duration }
): IdempotencyStoreOperations => {
  // A client that has lost its server may hold a command back until the server answers again.
  const run = (operation: keyof typeof scripts, id: string, ...args: ReadonlyArray<string | number>) =>
    Effect.flatMap(
      runWithDeadline(
        Effect.tryPromise({
          try: () => client.eval(scripts[operation], 1, prefix + id, ...args),
          catch: (cause) => new IdempotencyStoreError({ operation, cause })
        }),
        { what: "Redis", limit: timeout }
      ),
      ({ exit, timeout }) =>
        timeout === undefined ? exit! : Effect.fail(new IdempotencyStoreError({ operation, cause: timeout }))
    )
  const isOwn = <E>(self: Effect.Effect<unknown, E>) => Effect.map(self, (changed) => Number(changed) === 1)
  return {
    claim: ({ fingerprint, id, leaseMillis, token }) =>
      Effect.flatMap(run("claim", id, token, fingerprint, leaseMillis), (answer) =>
        Effect.try({
          try: () => claimOf(answer),
          catch: (cause) => new IdempotencyStoreError({ operation: "claim", cause })
        })),
    renew: ({ id, leaseMillis, token }) => isOwn(run("renew", id, token, leaseMillis)),
    keep: ({ id, token, ttlMillis }) => isOwn(run("keep", id, token, ttlMillis)),
    complete: ({ id, response, token, ttlMillis }) =>
      isOwn(run("complete", id, token, ttlMillis, encodeResponse(response))),
    release: ({ id, token }) => isOwn(run("release", id, token))
  }
}

const claimOf = (answer: unknown): Claim => {
  const [what, value]: ReadonlyArray<unknown> = Array.isArray(answer) ? answer : []
  switch (what) {
    case "claimed":
      return { _tag: "Claimed" }
    case "mismatch":
      return { _tag: "Mismatch" }
    case "completed":
      return { _tag: "Completed", response: decodeResponse(value) }
    case "in-flight":
      return { _tag: "InFlight", remainingMillis: Number(value) }
    case "unanswered":
      return { _tag: "Unanswered" }
    default:
      throw new Error(`Redis answered a claim with ${JSON.stringify(answer)}`)
  }
}
