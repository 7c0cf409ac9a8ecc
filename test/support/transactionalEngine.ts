/**
 * Tests of executors that insert jobs in the transactions of the application.
 */
import { SqlClient, type SqlError } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Airlock, AirlockLive, type AirlockScope, type Executor, type Intent } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import {
  type ClientOptions,
  type Database,
  insertLine,
  insertOrder,
  orders,
  transaction,
  undecorated
} from "./databases.js"
import { Mail, mail } from "./outbox.js"
import { until } from "./until.js"

/** A job that has not begun. */
export interface StoredJob {
  readonly to: string
  /** The milliseconds until it starts. */
  readonly startsIn: number
}

export interface TransactionalEngine {
  readonly database: Database
  /** The executor, with the tables of the engine. */
  readonly layerSql: (
    options?: { readonly heldTimeout?: `${number} millis` }
  ) => Layer.Layer<Executor.CurrentExecutor, SqlError.SqlError, SqlClient.SqlClient>
  /** In the order of their ids. */
  readonly jobs: Effect.Effect<ReadonlyArray<StoredJob>, SqlError.SqlError, SqlClient.SqlClient>
  readonly clear: Effect.Effect<unknown, SqlError.SqlError, SqlClient.SqlClient>
  readonly worker: Layer.Layer<never, never, Airlock.Airlock>
  /** Options that the engine refuses when the job is inserted. */
  readonly refused: Intent.EnqueueOptions
}

export const transactionalTests = ({ clear, database, jobs, layerSql, refused, worker }: TransactionalEngine): void => {
  const applicationWith = (options?: Parameters<typeof layerSql>[0], client?: ClientOptions) =>
    SqlTransaction.layer.pipe(
      Layer.provideMerge(AirlockLive),
      Layer.provide(layerSql(options)),
      Layer.provideMerge(Layer.effectDiscard(clear).pipe(Layer.provideMerge(undecorated(database, client)))),
      Layer.orDie
    )

  const test = (
    title: string,
    self: Effect.Effect<unknown, unknown, SqlClient.SqlClient | Airlock.Airlock | AirlockScope | Scope.Scope>
  ) =>
    it.scopedLive(
      title,
      () => self.pipe(Effect.provide(Airlock.unchecked), Effect.provide(applicationWith())),
      30_000
    )

  /** Starts a worker. Gives the mails that its handler has got. */
  const working = Effect.gen(function*() {
    const got: Array<string> = []
    yield* Layer.build(worker.pipe(
      Layer.provide(Mail.toLayer(({ to }) => Effect.sync(() => got.push(to)))),
      Layer.provide(AirlockLive)
    ))
    return got
  })

  const untilGot = (got: ReadonlyArray<string>, count: number) => until(Effect.sync(() => got.length >= count))

  const mails = Effect.map(jobs, (jobs) => jobs.map(({ to }) => to))

  const areReady = Effect.map(jobs, (jobs) => jobs.every(({ startsIn }) => startsIn <= 0))

  test(
    "inserts a job when the transaction commits that enqueues it, and the worker runs it",
    Effect.gen(function*() {
      const got = yield* working
      yield* transaction(Effect.gen(function*() {
        yield* insertOrder("1")
        yield* mail("a")
        yield* mail("b")
      }))
      yield* untilGot(got, 2)
      expect(yield* orders).toEqual(["1"])
      expect([...got].sort()).toEqual(["a", "b"])
    })
  )

  it.scopedLive("needs no other connection inside of a transaction", () =>
    Effect.gen(function*() {
      yield* Airlock.scoped(transaction(mail("a")))
      yield* until(areReady)
      expect(yield* mails).toEqual(["a"])
    }).pipe(Effect.provide(Airlock.unchecked), Effect.provide(applicationWith({}, { maxConnections: 1 }))))

  test(
    "inserts no job if the transaction is rolled back",
    Effect.gen(function*() {
      yield* Effect.exit(transaction(Effect.zipRight(mail("a"), Effect.fail("no"))))
      yield* Effect.exit(transaction(Effect.gen(function*() {
        yield* mail("b")
        yield* insertLine("line", "no such order")
      })))
      expect(yield* mails).toEqual([])
    })
  )

  test(
    "inserts no job of a savepoint that is rolled back, and those around it",
    Effect.gen(function*() {
      yield* transaction(Effect.gen(function*() {
        yield* mail("a")
        yield* Effect.exit(transaction(Effect.zipRight(mail("b"), Effect.fail("no"))))
        yield* mail("c")
      }))
      expect(yield* mails).toEqual(["a", "c"])
      expect(yield* areReady).toBe(true)
    })
  )

  test(
    "rolls the transaction back if the engine refuses a job",
    Effect.gen(function*() {
      const exit = yield* Effect.exit(transaction(Effect.gen(function*() {
        yield* insertOrder("1")
        yield* mail("a")
        yield* mail("b", refused)
      })))
      expect(Exit.isFailure(exit)).toBe(true)
      expect([yield* orders, yield* mails]).toEqual([[], []])
    })
  )

  test(
    "inserts the jobs of a scope without a transaction when it settles",
    Effect.gen(function*() {
      yield* Airlock.scoped(Effect.zipRight(mail("a"), mail("b")))
      yield* Effect.exit(Airlock.scoped(Effect.zipRight(mail("c"), Effect.fail("no"))))
      expect(yield* mails).toEqual(["a", "b"])
    })
  )

  test(
    "holds a job until the outer scopes have succeeded",
    Effect.gen(function*() {
      const got = yield* working
      yield* Airlock.scoped(Effect.gen(function*() {
        yield* transaction(mail("a"))
        const [{ startsIn }] = (yield* jobs) as [StoredJob]
        expect(startsIn).toBeGreaterThan(50_000)
        expect(startsIn).toBeLessThanOrEqual(60_000)
        yield* Airlock.scoped({ independent: true })(transaction(mail("other")))
        yield* untilGot(got, 1)
        expect(got).toEqual(["other"])
      }))
      yield* untilGot(got, 2)
      expect(got).toEqual(["other", "a"])
    })
  )

  test(
    "deletes a held job if an outer scope fails, also if its data was committed",
    Effect.gen(function*() {
      yield* Effect.exit(Airlock.scoped(Effect.gen(function*() {
        yield* transaction(Effect.zipRight(insertOrder("1"), mail("a")))
        yield* mail("b")
        return yield* Effect.fail("no")
      })))
      expect([yield* orders, yield* mails]).toEqual([["1"], []])
    })
  )

  test(
    "gives a held job its own options when it is released",
    Effect.gen(function*() {
      yield* Airlock.scoped(Effect.gen(function*() {
        yield* transaction(mail("a", { delay: "1 hour" }))
        yield* transaction(mail("b", { runAt: new Date("2999-01-01") }))
        yield* transaction(mail("c"))
      }))
      yield* until(Effect.map(jobs, ([a]) => a!.startsIn > 60_000))
      const times = (yield* jobs).map(({ startsIn }) => Math.sign(startsIn) * Math.ceil(Math.abs(startsIn) / 3_600_000))
      expect(times[0]).toBe(1)
      expect(times[1]).toBeGreaterThan(8000)
      expect(times[2]).toBeLessThanOrEqual(0)
    })
  )

  test(
    "lets held jobs not deduplicate",
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const held = (to: string) => transaction(mail(to, { dedupeKey: "key" }))
      const second = yield* Effect.fork(Airlock.scoped(Effect.zipRight(held("second"), Deferred.await(release))))
      yield* Effect.exit(Airlock.scoped(Effect.gen(function*() {
        yield* held("first")
        yield* until(Effect.map(mails, (mails) => mails.length === 2))
        return yield* Effect.fail("no")
      })))
      expect(yield* mails).toEqual(["second"])
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(second)
      yield* until(areReady)
      yield* Airlock.scoped(held("third"))
      yield* until(Effect.map(mails, (mails) => mails.length === 1))
      expect(yield* mails).toEqual(["second"])
    })
  )

  test(
    "holds all jobs of a transaction that have the same key, and releases the first",
    Effect.gen(function*() {
      yield* Airlock.scoped(Effect.gen(function*() {
        yield* transaction(Effect.all(["a", "b"].map((to) => mail(to, { dedupeKey: "key" }))))
        expect(yield* mails).toEqual(["a", "b"])
      }))
      yield* until(areReady)
      expect(yield* mails).toEqual(["a"])
    })
  )

  test(
    "keeps a job that waits for an approval from starting, until it is approved",
    Effect.gen(function*() {
      const approved = yield* Deferred.make<boolean>()
      const scope = yield* Effect.fork(
        transaction(mail("a")).pipe(Airlock.scoped({ approve: () => Deferred.await(approved) }))
      )
      yield* until(Effect.map(mails, (mails) => mails.length === 1))
      expect((yield* jobs)[0]!.startsIn).toBeGreaterThan(365 * 24 * 3_600_000)
      yield* Deferred.succeed(approved, true)
      yield* Fiber.join(scope)
      yield* until(areReady)
      expect(yield* mails).toEqual(["a"])
    })
  )

  test(
    "renews held jobs, and lets them start if their process no longer does",
    Effect.gen(function*() {
      const got = yield* working
      const process = yield* Scope.make()
      const context = yield* Layer.buildWithScope(applicationWith({ heldTimeout: "300 millis" }), process)
      const open = yield* Effect.forkDaemon(
        transaction(mail("a")).pipe(
          Effect.zipRight(Effect.never),
          Airlock.scoped,
          Effect.provide(Airlock.unchecked),
          Effect.provide(context)
        )
      )
      const end = (job: StoredJob | undefined) => job === undefined ? 0 : Date.now() + job.startsIn
      yield* until(Effect.map(mails, (mails) => mails.length === 1))
      const first = end((yield* jobs)[0])
      yield* until(Effect.map(jobs, ([job]) => end(job) > first + 300))
      expect(got).toEqual([])
      yield* Scope.close(process, Exit.void)
      yield* untilGot(got, 1)
      expect(got).toEqual(["a"])
      yield* Effect.forkDaemon(Fiber.interrupt(open))
    })
  )
}
