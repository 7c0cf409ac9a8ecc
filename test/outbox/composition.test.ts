/**
 * The outbox inside other executors and scopes: behind a combinator, beside a route, during a transaction.
 */
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer } from "effect"
import { Airlock, AirlockLive, Executor } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { onEachServer } from "../support/databases.js"
import { mail, outboxExecutor, outboxOnSqlite, storedPayloads } from "../support/outbox.js"

describe("an executor around the outbox", () => {
  it.scoped("encodes payloads and refuses closures although it answers before the row is written", () =>
    Effect.gen(function*() {
      const executor = Executor.background({ executor: yield* outboxExecutor })
      yield* Effect.provide(Airlock.scoped(mail("a")), Airlock.layer({ executor }))
      expect(yield* storedPayloads).toEqual(["{\"to\":\"a\"}"])
      const refused = yield* Airlock.enqueueEffect("closure", Effect.void).pipe(
        Airlock.scoped({ executor }),
        Effect.exit,
        Effect.provide(AirlockLive)
      )
      expect(Exit.isFailure(refused) && Cause.squash(refused.cause)).toMatchObject({ _tag: "NotSerializableError" })
    }).pipe(Effect.provide(outboxOnSqlite)))

  it.scoped("stores payloads although it does not show that it is durable, and the FlushError names a closure", () =>
    Effect.gen(function*() {
      const { dispatch } = yield* outboxExecutor
      const executor = Executor.make({ name: "hidden", dispatch })
      const error = yield* Effect.all([mail("a"), Airlock.enqueueEffect("closure", Effect.void)]).pipe(
        Airlock.scoped({ executor }),
        Effect.flip
      )
      expect(error.failures.map(({ task }) => task)).toEqual(["closure"])
      expect(yield* storedPayloads).toEqual(["{\"to\":\"a\"}"])
    }).pipe(Effect.provide(AirlockLive.pipe(Layer.provideMerge(outboxOnSqlite)))))

  it.scopedLive("stores its rows before it waits for the other executors of a route", () =>
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
      expect(yield* storedPayloads).toEqual(["{\"to\":\"a\"}"])
    }).pipe(Effect.provide(outboxOnSqlite)))
})

describe("a route between the outbox and the process", () => {
  it.scoped("writes a committed intent once, and runs the others in the process", () =>
    Effect.gen(function*() {
      let ran = 0
      // If the row were written a second time, this would fail with a `FlushError`.
      yield* SqlTransaction.transaction(Effect.zipRight(
        mail("a"),
        SqlTransaction.afterCommit(Effect.sync(() => {
          ran++
        }))
      ))
      expect([yield* storedPayloads, ran]).toEqual([["{\"to\":\"a\"}"], 1])
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
          Layer.provideMerge(outboxOnSqlite)
        )
      ])
    ))
})

describe("an application that approves the intents of all scopes", () => {
  it.scoped("holds the rows of a transaction until its plan is approved, and discards them if it is not", () =>
    Effect.gen(function*() {
      const states: Array<unknown> = []
      const approve = () =>
        Effect.flatMap(SqlClient.SqlClient, (sql) => sql<{ state: string }>`SELECT state FROM airlock_outbox`).pipe(
          Effect.orDie,
          Effect.map((rows) => {
            states.push(rows.map(({ state }) => state))
            return states.length > 1
          })
        )
      const application = SqlTransaction.layer.pipe(
        Layer.provideMerge(Airlock.layer({ scope: { approve } })),
        Layer.provideMerge(outboxOnSqlite)
      )
      yield* Effect.gen(function*() {
        yield* SqlTransaction.transaction(mail("a"))
        expect(yield* storedPayloads).toEqual([])
        yield* SqlTransaction.transaction(mail("b"))
        expect(yield* storedPayloads).toEqual(["{\"to\":\"b\"}"])
        expect(states).toEqual([["held"], ["held"]])
      }).pipe(Effect.provide([Airlock.unchecked, application]))
    }))
})

// Not on SQLite: it has one connection, and the flush would wait for it.
onEachServer((database) => {
  const onServer = Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(database.client()), Layer.orDie)

  it.scoped("an intent that is dispatched while a transaction is open does not depend on that transaction", () =>
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
      expect(yield* storedPayloads).toEqual(["{\"to\":\"a\"}"])
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
