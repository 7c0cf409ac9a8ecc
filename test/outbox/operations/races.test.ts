/**
 * Operations beside a relay that claims at the same time, on the databases that have several writers.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Outbox from "effect-airlock/Outbox"
import { makeStore } from "../../../src/internal/outbox/store/store.js"
import { onEachServer } from "../../support/databases.js"
import { idOf, insert, insertRelay, outbox, statesByNumber, table } from "./seed.js"

/** A client that runs an Effect once, after the first SELECT of an operation, which has found its rows then. */
const between = (sql: SqlClient.SqlClient, effect: Effect.Effect<unknown, unknown>): SqlClient.SqlClient => {
  let isFirst = true
  const client = sql.withoutTransforms()
  const decorated: SqlClient.SqlClient = Object.assign(
    (...given: Parameters<SqlClient.SqlClient>) => client(...given),
    client,
    {
      unsafe: <A extends object>(text: string, params?: ReadonlyArray<unknown>) => {
        const statement = client.unsafe<A>(text, params)
        if (!isFirst || !text.startsWith("SELECT r.id")) {
          return statement
        }
        isFirst = false
        return Effect.zipLeft(statement, Effect.orDie(effect)) as typeof statement
      },
      withoutTransforms: () => decorated
    }
  ) as SqlClient.SqlClient
  return decorated
}

onEachServer((database) => {
  it.effect("a row that a relay claims after an operation has found it stays with the relay", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = makeStore(sql, table)
      yield* insertRelay(900, [["Mail", 1]])
      yield* insert(1, "ready")
      yield* insert(2, "ready", { task: "Other" })
      const lane = { queue: "default", task: "Mail", version: 1, limit: 10 }
      const claim = store.claim({ lease: idOf(900), claimNumber: 1, lanes: [lane], limit: 10, maxBytes: 1000 })
      const cancelled = yield* Effect.provideService(
        Outbox.cancel({ all: true }),
        SqlClient.SqlClient,
        between(sql, claim)
      )
      expect(cancelled).toBe(1)
      expect(yield* statesByNumber).toEqual({ 1: "claimed" })
    }).pipe(Effect.provide(outbox(database))))
})
