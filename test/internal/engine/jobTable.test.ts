/** Jobs of engines on PostgreSQL, with a table that does as it is told. */
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, TestClock } from "effect"
import { Airlock, Executor } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { addJobs, type JobTable, transactionalExecutor } from "../../../src/internal/engine/jobTable.js"
import { item } from "../../../src/testing/suite/engineTest.js"
import { onPostgres, transaction, undecorated } from "../../support/databases.js"
import { mail } from "../../support/outbox.js"

describe("a batch for an engine on PostgreSQL", () => {
  it.effect("fails at its time limit", () =>
    Effect.gen(function*() {
      const adding = yield* Effect.fork(addJobs(() => Effect.never, [item("a"), item("b")], "5 seconds"))
      yield* TestClock.adjust("5 seconds")
      const outcomes = yield* Fiber.join(adding)
      expect(outcomes.map((outcome) => Exit.isFailure(outcome) && String(outcome.cause))).toEqual([
        expect.stringContaining("did not answer within 5s"),
        expect.stringContaining("did not answer within 5s")
      ])
    }))

  it.effect("has those that were added before its time limit", () =>
    Effect.gen(function*() {
      const refused = Object.assign(new Error("out of range"), { severity: "ERROR", code: "22003" })
      const insert: JobTable["insert"] = (intents) =>
        intents.length > 1
          ? Effect.fail(refused)
          : intents[0]!.options.origin === "poison"
          ? Effect.fail(refused)
          : Effect.sleep("2 seconds")
      const adding = yield* Effect.fork(
        addJobs(insert, [item("a", { origin: "poison" }), item("b"), item("c"), item("d")], "5 seconds")
      )
      yield* TestClock.adjust("5 seconds")
      const outcomes = yield* Fiber.join(adding)
      expect(outcomes.map((outcome) => Exit.isSuccess(outcome) ? "added" : String(outcome.cause))).toEqual([
        expect.stringContaining("out of range"),
        "added",
        "added",
        expect.stringContaining("did not answer within 5s")
      ])
    }))

  it.effect("has the others of an intent whose job cannot be made", () =>
    Effect.gen(function*() {
      const insert: JobTable["insert"] = (intents) =>
        Effect.sync(() => {
          if (intents.some(({ options }) => options.origin === "poison")) {
            throw new Error("the queue of an intent cannot be named")
          }
        })
      const outcomes = yield* addJobs(insert, [item("a"), item("b", { origin: "poison" }), item("c")], "5 seconds")
      expect(outcomes.map(Exit.isSuccess)).toEqual([true, false, true])
    }))
})

onPostgres((database) => {
  it.scopedLive("a job is not inserted again if it was not held any more when its scope has succeeded", () =>
    Effect.gen(function*() {
      const inserts: Array<string> = []
      const released = yield* Deferred.make<void>()
      const table: JobTable = {
        insert: (intents, heldMillis) =>
          Effect.sync(() => intents.forEach(({ options }) => inserts.push(`${options.origin} ${heldMillis}`))),
        takeBack: (ids) => Effect.as(Deferred.succeed(released, undefined), ids.slice(1)),
        renew: () => Effect.void
      }
      const client = yield* SqlClient.SqlClient
      const parts = yield* transactionalExecutor({ client, heldTimeout: Duration.minutes(1), table, title: "the test" })
      const executor = { ...Executor.make({ name: "test", durable: true, dispatch: parts.dispatch }), ...parts }
      yield* Airlock.scoped(transaction(Effect.zipRight(
        mail("a", { origin: "expired" }),
        mail("b", { origin: "held" })
      ))).pipe(
        Effect.provide(SqlTransaction.layer.pipe(Layer.provideMerge(Airlock.layer({ executor }))))
      )
      yield* Deferred.await(released)
      yield* Effect.yieldNow()
      expect(inserts).toEqual(["expired 60000", "held 60000", "held undefined"])
    }).pipe(Effect.provide(undecorated(database))))
})
