/**
 * Random programs of nested transactions on real databases, compared with a reference that knows neither SQL nor
 * fibers. An intent that left has its row. A committed row's intent left, unless an outer scope, a policy or a failed
 * branch refused it.
 *
 * `npm run test:model` runs 10 000 programs on each database. `AIRLOCK_MODEL_SEED` repeats a run.
 */
import { SqlClient } from "@effect/sql"
import { Effect, Fiber, Layer, Logger, LogLevel, ManagedRuntime } from "effect"
import { Airlock } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import * as fc from "effect/FastCheck"
import { afterAll, beforeAll, expect, it } from "vitest"
import { onEachDatabase } from "../../support/databases.js"
import { counting } from "../tasks.js"
import { ended, interpret } from "./interpret.js"
import { program, transactionsOnly } from "./program.js"
import { expected } from "./reference.js"

const runs = Number(process.env["AIRLOCK_MODEL_SQL_RUNS"] ?? 300)
const seed = Number(process.env["AIRLOCK_MODEL_SEED"] ?? 20_261_120)

const schema = Layer.effectDiscard(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql.onDialectOrElse({ sqlite: () => sql`PRAGMA foreign_keys = ON`, orElse: () => Effect.void })
  yield* sql`CREATE TABLE entries (run INTEGER, id INTEGER, PRIMARY KEY (run, id))`
  yield* sql.onDialectOrElse({
    mysql: () => Effect.void,
    orElse: () =>
      sql`CREATE TABLE dangling (run INTEGER, id INTEGER, missing INTEGER,
        FOREIGN KEY (run, missing) REFERENCES entries (run, id) DEFERRABLE INITIALLY DEFERRED)`
  })
}))

onEachDatabase((database) => {
  const left: Array<number> = []
  let run = 0

  const runtime = ManagedRuntime.make(
    Layer.mergeAll(
      SqlTransaction.layer.pipe(
        Layer.provideMerge(counting(left)),
        Layer.provideMerge(schema.pipe(Layer.provideMerge(database.client({ maxConnections: 8 })), Layer.orDie))
      ),
      Airlock.unchecked,
      Logger.minimumLogLevel(LogLevel.None)
    )
  )
  beforeAll(() => runtime.runtime())
  afterAll(() => runtime.dispose())

  const rowsOf = (run: number) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) =>
        Effect.map(
          sql<{ id: number }>`SELECT id FROM entries WHERE run = ${run} ORDER BY id`,
          (rows) => rows.map(({ id }) => Number(id))
        )
    )

  const seen = (run: number) =>
    Effect.map(rowsOf(run), (rows) => ({ rows, left: left.splice(0).sort((a, b) => a - b) }))

  it(`${runs} random programs leave the rows and dispatch the intents of the reference, seed ${seed}`, async () => {
    await fc.assert(
      fc.asyncProperty(program, async (block) => {
        run++
        const actual = await runtime.runPromise(
          Effect.flatMap(ended(block, run), (ok) => Effect.map(seen(run), (seen) => ({ ...seen, ok })))
        )
        expect(actual).toEqual(expected(block, database))
      }),
      { numRuns: runs, seed }
    )
  }, 3_600_000)

  it(
    `${runs} random programs dispatch the intents of exactly the committed rows, wherever interrupted, seed ${seed}`,
    async () => {
      await fc.assert(
        fc.asyncProperty(transactionsOnly, fc.nat(150), async (block, turns) => {
          run++
          const wrapped = [{ _tag: "Transaction" as const, typed: false, block }]
          const actual = await runtime.runPromise(Effect.gen(function*() {
            const fiber = yield* Effect.fork(interpret(wrapped, run))
            for (let turn = 0; turn < turns; turn++) {
              yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
            }
            yield* Fiber.interrupt(fiber)
            return yield* seen(run)
          }))
          expect(actual.left).toEqual(actual.rows)
        }),
        { numRuns: runs, seed }
      )
    },
    3_600_000
  )
})
