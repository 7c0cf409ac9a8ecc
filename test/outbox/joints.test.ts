/**
 * Where the outbox meets what else there is: relays, combinators, options, routes, cascades.
 */
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Context, Deferred, Duration, Effect, Exit, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Executor, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { onEachServer, sqlite } from "../support/databases.js"

const Mail = Task.make("Mail", { payload: { to: Schema.String } })
const mail = (to: string, options?: Parameters<typeof Airlock.enqueue>[2]) => Airlock.enqueue(Mail, { to }, options)

const Database = Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(sqlite.client()), Layer.orDie)

const Kept = Outbox.layer().pipe(Layer.provideMerge(Database), Layer.orDie)

const application = SqlTransaction.layer.pipe(Layer.provideMerge(AirlockLive), Layer.provideMerge(Kept))

const stored = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ payload: string }>`SELECT payload FROM airlock_outbox ORDER BY id`,
    (rows) => rows.map(({ payload }) => payload)
  ))

const outboxExecutor = Effect.map(Executor.CurrentExecutor, (executor) => executor)

describe("the relay", () => {
  it.live("carries the tasks whose handlers come after it", () =>
    Effect.gen(function*() {
      const got = yield* Deferred.make<string>()
      yield* Layer.build(Layer.mergeAll(
        Outbox.relay({ pollInterval: "20 millis" }),
        Layer.effectDiscard(Effect.yieldNow()).pipe(
          Layer.flatMap(() => Mail.toLayer(({ to }) => Deferred.succeed(got, to)))
        )
      ))
      yield* Airlock.scoped(mail("a"))
      expect(yield* Deferred.await(got)).toBe("a")
    }).pipe(Effect.scoped, Effect.provide(application)))

  it.live("carries what handlers enqueue, until maxCascade ends a loop", () =>
    Effect.gen(function*() {
      let ran = 0
      const ended = yield* Deferred.make<unknown>()
      yield* Layer.build(
        Outbox.relay({ pollInterval: "20 millis" }).pipe(Layer.provide(
          Mail.toLayer(({ to }) =>
            Effect.suspend(() => {
              ran++
              return mail(to)
            }).pipe(Effect.tapErrorCause((cause) => Deferred.succeed(ended, Cause.squash(cause))))
          )
        ))
      )
      yield* Airlock.scoped(mail("a"))
      expect(yield* Deferred.await(ended)).toMatchObject({
        _tag: "CascadeTooDeepError",
        chain: ["Mail", "Mail", "Mail"]
      })
      expect(ran).toBe(3)
    }).pipe(Effect.scoped, Effect.provide(Airlock.layer({ maxCascade: 3 }).pipe(Layer.provideMerge(Kept)))))
})

describe("an executor around the outbox", () => {
  it.scoped("that answers before it has written encodes all the same, and refuses closures", () =>
    Effect.gen(function*() {
      const executor = Executor.background({ executor: yield* outboxExecutor })
      yield* Effect.provide(Airlock.scoped(mail("a")), Airlock.layer({ executor }))
      expect(yield* stored).toEqual(["{\"to\":\"a\"}"])
      const refused = yield* Airlock.enqueueEffect("closure", Effect.void).pipe(
        Airlock.scoped({ executor }),
        Effect.exit,
        Effect.provide(AirlockLive)
      )
      expect(Exit.isFailure(refused) && Cause.squash(refused.cause)).toMatchObject({ _tag: "NotSerializableError" })
    }).pipe(Effect.provide(Kept)))

  it.scoped("that hides what it is keeps the payload, and names a closure that it cannot keep", () =>
    Effect.gen(function*() {
      const { dispatch } = yield* outboxExecutor
      const executor = Executor.make({ name: "hidden", dispatch })
      const error = yield* Effect.all([mail("a"), Airlock.enqueueEffect("closure", Effect.void)]).pipe(
        Airlock.scoped({ executor }),
        Effect.flip
      )
      expect(error.failures.map(({ task }) => task)).toEqual(["closure"])
      expect(yield* stored).toEqual(["{\"to\":\"a\"}"])
    }).pipe(Effect.provide(AirlockLive.pipe(Layer.provideMerge(Kept)))))

  it.scopedLive("a route keeps what is to be kept first, however slow the others are", () =>
    Effect.gen(function*() {
      const outbox = yield* outboxExecutor
      const slow = Executor.make({ name: "slow", dispatch: () => Effect.never })
      const executor = Executor.route(({ task }) => task.name === "Mail" ? outbox : slow)
      const error = yield* Effect.all([Airlock.enqueueEffect("slow", Effect.void), mail("a")]).pipe(
        Airlock.scoped({ executor, dispatchTimeout: "50 millis" }),
        Effect.flip,
        Effect.provide(AirlockLive)
      )
      expect(error.failures.map(({ task }) => task)).toEqual(["slow"])
      expect(yield* stored).toEqual(["{\"to\":\"a\"}"])
    }).pipe(Effect.provide(Kept)))
})

describe("a route between the outbox and the process", () => {
  it.scoped("lets what was committed leave once, and runs the rest", () =>
    Effect.gen(function*() {
      let ran = 0
      // It would fail with a `FlushError`, were the row to be written a second time.
      yield* SqlTransaction.transaction(Effect.zipRight(
        mail("a"),
        SqlTransaction.afterCommit(Effect.sync(() => {
          ran++
        }))
      ))
      expect([yield* stored, ran]).toEqual([["{\"to\":\"a\"}"], 1])
    }).pipe(
      Effect.provide([
        Airlock.unchecked,
        SqlTransaction.layer.pipe(
          Layer.provideMerge(AirlockLive),
          Layer.provideMerge(Layer.effect(
            Executor.CurrentExecutor,
            Effect.map(
              outboxExecutor,
              (outbox) => Executor.route(({ task }) => task.name === "Mail" ? outbox : Executor.inProcess())
            )
          )),
          Layer.provideMerge(Kept)
        )
      ])
    ))
})

// SQLite has but one connection, for which the flush would wait.
onEachServer((database) => {
  const onServer = Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(database.client()), Layer.orDie)

  it.scoped("what leaves while a transaction is open does not depend on it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const outside = Effect.mapInputContext(
        Effect.provide(mail("a"), Airlock.unchecked),
        (context: Context.Context<never>) =>
          Context.unsafeMake<never>(
            new Map([...context.unsafeMap].filter(([key]) => key !== SqlClient.TransactionConnection.key))
          )
      )
      const leaves = Airlock.scoped({ independent: true })(outside)
      yield* Effect.exit(sql.withTransaction(Effect.zipRight(leaves, Effect.fail("no"))))
      expect(yield* stored).toEqual(["{\"to\":\"a\"}"])
    }).pipe(
      Effect.provide([
        Airlock.unchecked,
        SqlTransaction.layer.pipe(
          Layer.provideMerge(AirlockLive),
          Layer.provideMerge(Outbox.layer().pipe(Layer.provideMerge(onServer), Layer.orDie))
        )
      ])
    ))
})

describe("what could not be kept as it is meant is refused at the enqueue", () => {
  const options: Record<string, readonly [Parameters<typeof Airlock.enqueue>[2], string]> = {
    "a delay without end": [{ delay: Duration.infinity }, "options.delay: expected a finite duration"],
    "what is no duration": [
      { delay: "1e-7 seconds" as Duration.DurationInput },
      "options.delay: expected a finite duration"
    ],
    "no moment": [{ runAt: new Date(Number.NaN) }, "options.runAt: expected a valid Date"],
    "no number of attempts": [{ maxAttempts: 0 }, "options.maxAttempts: expected a whole number above 0"],
    "no priority": [{ priority: Number.NaN }, "options.priority: expected a whole number"],
    "a key that is too long": [
      { orderingKey: "k".repeat(256) },
      "options.orderingKey: expected at most 255 characters, none of them NUL"
    ],
    "what JSON cannot hold": [{ native: { n: 1n } }, "options.native: expected what JSON can hold"]
  }
  for (const [name, [given, issue]] of Object.entries(options)) {
    it.scoped(name, () =>
      Effect.gen(function*() {
        const refused = yield* Airlock.scoped(
          Effect.zipRight(mail("a"), Effect.exit(mail("b", given)))
        )
        expect(Exit.isFailure(refused) && Cause.squash(refused.cause)).toMatchObject({
          _tag: "InvalidPayloadError",
          issues: [issue]
        })
        expect(yield* stored).toEqual(["{\"to\":\"a\"}"])
      }).pipe(Effect.provide(application)))
  }
})
