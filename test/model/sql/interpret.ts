/** Turns a program into an Effect on a database. The number of the run tells its rows from those of other programs. */
import { SqlClient } from "@effect/sql"
import { Deferred, Effect, Exit, Fiber, Option } from "effect"
import { Airlock, type AirlockScope, Policy } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { Count } from "../tasks.js"
import type { Block, Step } from "./program.js"

type Interpreted = Effect.Effect<unknown, unknown, SqlClient.SqlClient | Airlock.Airlock | AirlockScope>

const dropOdd = Policy.make({
  name: "dropOdd",
  allows: ({ payload }) => Effect.succeed((payload as typeof Count.payloadSchema.Type).id % 2 === 0 || { drop: "odd" })
})

/** Lets other fibers run here, so that the steps of concurrent fibers interleave. */
const letOthersRun = Effect.repeatN(Effect.yieldNow(), 2)

export const interpret = (block: Block, run: number): Interpreted =>
  Effect.forEach(block, (step) => interpretStep(step, run), { discard: true })

const insert = (table: string, row: Record<string, number>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO ${sql(table)} ${sql.insert(row)}`)

const transaction = (self: Interpreted): Interpreted =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(self))

const hasScope = Effect.map(Airlock.current, Option.isSome)

const interpretStep = (step: Step, run: number): Interpreted => {
  switch (step._tag) {
    case "Order":
      return Effect.zipRight(
        insert("entries", { run, id: step.id }),
        // There is nothing to enqueue into without a scope or transaction.
        Effect.if(hasScope, {
          onTrue: () => Effect.zipRight(letOthersRun, Airlock.enqueue(Count, { id: step.id, fails: false })),
          onFalse: () => Effect.void
        })
      )
    case "CaughtFailure":
      return Effect.ignore(insert("no_such_table", { run }))
    case "Dangling":
      return Effect.flatMap(SqlClient.SqlClient, (sql) =>
        sql.onDialectOrElse({
          mysql: () => Effect.void,
          orElse: () => insert("dangling", { run, id: step.id, missing: -1 })
        }))
    case "End":
      return step.how === "fail" ? Effect.fail("no") : step.how === "die" ? Effect.die("no") : Effect.interrupt
    case "Recover":
      return Effect.catchAllCause(interpret(step.block, run), () => Effect.void)
    case "Transaction":
      return step.typed
        ? SqlTransaction.transaction(interpret(step.block, run))
        : transaction(interpret(step.block, run))
    case "Scope":
      return interpret(step.block, run).pipe(
        Airlock.scoped({ policy: step.dropOdd ? dropOdd : Policy.allowAll })
      )
    case "Side":
      return Effect.forEach(
        step.blocks,
        (block) => Effect.catchAllCause(transaction(interpret(block, run)), () => Effect.void),
        { concurrency: "unbounded", discard: true }
      )
    case "ForkJoin":
      return Effect.flatMap(Effect.fork(interpret(step.block, run)), Fiber.join)
    case "Lose":
      return Effect.flatMap(Deferred.make<void>(), (done) =>
        Effect.race(
          Effect.exit(transaction(interpret(step.block, run))).pipe(
            Effect.ensuring(Deferred.succeed(done, void 0)),
            Effect.zipRight(Effect.never)
          ),
          Deferred.await(done)
        ))
  }
}

/** Runs a program, and gives whether it succeeded. */
export const ended = (block: Block, run: number) => Effect.map(Effect.exit(interpret(block, run)), Exit.isSuccess)
