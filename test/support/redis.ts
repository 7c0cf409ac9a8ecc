/**
 * Redis, for tests: a client and a prefix of their own for each test file.
 */
import { Effect } from "effect"
import { Redis } from "ioredis"
import { randomBytes } from "node:crypto"
import { connect } from "node:net"
import { describeNeeding } from "./needs.js"

const variable = "AIRLOCK_TEST_REDIS"

export const redisUrl = new URL(process.env[variable] ?? "redis://127.0.0.1:6379")

const isReachable = await new Promise<boolean>((resolve) => {
  const socket = connect({ host: redisUrl.hostname, port: Number(redisUrl.port || 6379), timeout: 2000 })
  const end = (reachable: boolean) => {
    socket.destroy()
    resolve(reachable)
  }
  socket.on("connect", () => end(true)).on("error", () => end(false)).on("timeout", () => end(false))
})

/** Defines tests that need Redis. */
export const describeOnRedis = (name: string, define: () => void): void =>
  describeNeeding(
    {
      name: "Redis",
      missing: isReachable ? undefined : `Redis does not answer at ${redisUrl.host} (${variable})`
    },
    name,
    define
  )

/** A client that is closed with the Scope. */
export const redisClient = Effect.acquireRelease(
  Effect.sync(() => new Redis(redisUrl.href)),
  (redis) => Effect.promise(() => redis.quit())
)

export const ownPrefix = (): string => `airlock_${randomBytes(6).toString("hex")}:`

/** Deletes all keys with a prefix. */
export const dropKeys = (prefix: string) =>
  Effect.scoped(Effect.flatMap(redisClient, (redis) =>
    Effect.promise(async () => {
      const keys = await redis.keys(`${prefix}*`)
      if (keys.length > 0) {
        await redis.del(...keys)
      }
    })))
