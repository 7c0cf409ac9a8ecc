/**
 * An outbox whose SqlClient is not that of the transaction.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Airlock } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { onEachServer } from "../support/databases.js"
import { mail, storedPayloads } from "../support/outbox.js"
import { recordWarnings, warnings } from "../support/warnings.js"

const warning =
  "\"Mail\" was enqueued in a SQL transaction of one SqlClient, and its outbox has another SqlClient. So it is " +
  "stored after the COMMIT, and is lost if this process dies in between. If both are of the same database, give Outbox.live() " +
  "the client that SqlTransaction.layer decorates."

onEachServer((database) => {
  const client = () => Layer.fresh(database.client()).pipe(Layer.orDie)
  const tables = Layer.effectDiscard(Outbox.migrate()).pipe(Layer.provideMerge(client()), Layer.orDie)
  const clear = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM airlock_outbox`)
  const twice = Effect.zipRight(SqlTransaction.transaction(mail("a")), SqlTransaction.transaction(mail("b")))

  it.scoped("is named in one warning at the first intent of such a transaction", () =>
    Effect.gen(function*() {
      yield* clear
      yield* SqlTransaction.transaction(Effect.void)
      expect(yield* warnings).toEqual([])
      yield* twice
      expect(yield* warnings).toEqual([warning])
      expect(yield* storedPayloads).toEqual(["{\"to\":\"a\"}", "{\"to\":\"b\"}"])
    }).pipe(Effect.provide(
      SqlTransaction.layer.pipe(
        Layer.provideMerge(Outbox.live().pipe(Layer.provide(tables), Layer.orDie)),
        Layer.provideMerge(client()),
        Layer.provideMerge(recordWarnings),
        Layer.merge(Airlock.unchecked)
      )
    )))

  it.scoped("is none if both have the same client, also through SqlTransaction.layer", () =>
    Effect.gen(function*() {
      yield* clear
      yield* twice
      expect(yield* warnings).toEqual([])
    }).pipe(Effect.provide(
      SqlTransaction.layer.pipe(
        Layer.provideMerge(Outbox.live().pipe(Layer.orDie)),
        Layer.provideMerge(tables),
        Layer.provideMerge(recordWarnings),
        Layer.merge(Airlock.unchecked)
      )
    )))
})
