/**
 * BullMQ: the connections of an executor and of a worker end with them, and their errors show no secrets.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Logger, LogLevel, Scope } from "effect"
import { Airlock, AirlockLive } from "effect-airlock"
import * as BullMq from "effect-airlock/executors/BullMq"
import { Redis } from "ioredis"
import { inspect } from "node:util"
import { Mail, mail } from "../support/outbox.js"
import { describeOnRedisProxy } from "../support/redisProxy.js"
import { until } from "../support/until.js"

describeOnRedisProxy("the connections of BullMQ", ({ connection, cut, prefix, throughProxy }) => {
  /** An address that a client tries every 20 ms, and how often it has tried again. */
  const counted = () => {
    const tries = { count: 0 }
    return { tries, address: { ...throughProxy(), retryStrategy: () => (tries.count++, 20) } }
  }

  /** Waits until a client that is not closed has tried again several times. */
  const others = Effect.gen(function*() {
    const { address, tries } = counted()
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis(address).on("error", () => undefined)),
      (client) => Effect.sync(() => client.disconnect())
    )
    yield* until(Effect.sync(() => tries.count >= 5))
    client.disconnect()
  })

  const triesAfter = (close: Effect.Effect<void>, tries: { readonly count: number }) =>
    Effect.gen(function*() {
      yield* until(Effect.sync(() => tries.count > 0))
      yield* close
      const atClose = tries.count
      yield* others
      return tries.count - atClose
    })

  const worker = (address: BullMq.WorkerOptions["connection"]) =>
    BullMq.worker({ connection: address, prefix, drainTimeout: 0 }).pipe(
      Layer.provide(Mail.toLayer(() => Effect.void)),
      Layer.provide(AirlockLive)
    )

  const onBullMq = (address: BullMq.ExecutorOptions["connection"]) =>
    AirlockLive.pipe(Layer.provide(BullMq.layer({ connection: address, prefix, timeout: "1 second" })))

  it.scopedLive("an executor that closes while Redis is away does not go on to connect", () =>
    Effect.gen(function*() {
      const { address, tries } = counted()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(onBullMq(address), scope)
      yield* mail("a").pipe(Airlock.scoped, Effect.provide(context))
      cut()
      expect(yield* triesAfter(Scope.close(scope, Exit.void), tries)).toBe(0)
    }))

  it.scopedLive("a worker that closes while Redis is away does not go on to connect", () =>
    Effect.gen(function*() {
      const { address, tries } = counted()
      const scope = yield* Scope.make()
      const ran = yield* Deferred.make<void>()
      yield* Layer.buildWithScope(
        BullMq.worker({ connection: address, prefix, drainTimeout: 0 }).pipe(
          Layer.provide(Mail.toLayer(() => Deferred.succeed(ran, undefined))),
          Layer.provide(AirlockLive)
        ),
        scope
      )
      yield* mail("a").pipe(Airlock.scoped, Effect.provide(onBullMq(connection)))
      yield* Deferred.await(ran)
      cut()
      expect(yield* triesAfter(Scope.close(scope, Exit.void), tries)).toBe(0)
    }), 20_000)

  describe("errors", () => {
    const secret = "a-password"
    const refused = { ...connection, username: "nobody", password: secret }

    /** What is logged until a line says that Redis has refused the password. */
    const logged = (self: Effect.Effect<unknown, unknown, Scope.Scope>) =>
      Effect.gen(function*() {
        const lines: Array<string> = []
        const logger = Logger.make(({ message }) => void lines.push(inspect(message, { depth: 10 })))
        yield* Effect.provide(
          Effect.zipRight(
            Effect.exit(self),
            until(Effect.sync(() => lines.some((line) => line.includes("WRONGPASS"))))
          ),
          Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.All))
        )
        return lines.join("\n")
      })

    it.scopedLive("of a worker whose password is wrong do not show it", () =>
      Effect.gen(function*() {
        expect(yield* logged(Layer.build(worker(refused)))).not.toContain(secret)
      }))

    it.scopedLive("of an executor whose password is wrong do not show it", () =>
      Effect.gen(function*() {
        expect(
          yield* logged(mail("a").pipe(Airlock.scoped, Effect.provide(onBullMq(refused))))
        ).not.toContain(secret)
      }))

    it.scopedLive("of an intent that Redis refuses show its answer, and neither payloads nor scripts", () =>
      Effect.gen(function*() {
        const client = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis(connection)),
          (client) => Effect.promise(() => client.quit())
        )
        yield* Effect.promise(() => client.set(`${prefix}:airlock:wait`, "no list"))
        const error = yield* mail("the-payload").pipe(
          Airlock.scoped,
          Effect.flip,
          Effect.provide(onBullMq(connection))
        )
        expect(error.message).toContain("WRONGTYPE")
        expect(inspect(error, { depth: 10 })).not.toMatch(/the-payload|rcall/)
      }))
  })
})
