/**
 * A transaction whose rows for the outbox cannot be inserted.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Airlock } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { onEachDatabase } from "../support/databases.js"
import { mail } from "../support/outbox.js"

onEachDatabase((database) => {
  const layer = SqlTransaction.layer.pipe(
    Layer.provideMerge(Outbox.live()),
    Layer.provideMerge(Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(database.client()))),
    Layer.orDie,
    Layer.merge(Airlock.unchecked)
  )
  const dropTable = Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => Effect.all([sql`DROP TABLE airlock_outbox`, sql`DROP TABLE airlock_outbox_version`])
  )
  const messageOf = (cause: unknown) => cause instanceof Error ? cause.message : String(cause)

  it.scoped("fails with an error that names the outbox", () =>
    Effect.gen(function*() {
      yield* dropTable
      const error = yield* Effect.flip(SqlTransaction.transaction(mail("a")))
      expect(error).toMatchObject({
        _tag: "SqlError",
        message: "The outbox \"airlock_outbox\" could not insert 1 intent(s)"
      })
      expect(messageOf(error._tag === "SqlError" ? error.cause : error)).toContain("airlock_outbox")
      const failed = yield* Effect.flip(Airlock.scoped(mail("a")))
      expect(failed.failures[0]!.reason.message).toContain("The outbox \"airlock_outbox\" could not insert 1 intent(s)")
    }).pipe(Effect.provide(layer)))

  it.scoped("keeps a statement that failed before as the cause, if the database gave the transaction up for that", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const broken = Effect.ignore(sql`SELECT * FROM no_such_table`)
      const transaction = yield* Effect.exit(SqlTransaction.transaction(Effect.zipRight(mail("a"), broken)))
      if (!database.refuses) {
        expect(transaction._tag).toBe("Success")
        return
      }
      const error = yield* Effect.flip(transaction)
      expect(error).toMatchObject({
        message: "The database rolled the transaction back, because a statement failed in it and the error was caught"
      })
      expect(messageOf(error._tag === "SqlError" ? error.cause : error)).toContain("no_such_table")
    }).pipe(Effect.provide(layer)))
})
