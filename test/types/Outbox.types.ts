/**
 * Operations of the outbox that must compile, and some that must not.
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { Effect, type Layer } from "effect"
import * as Outbox from "effect-airlock/Outbox"

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <A>() => <B>(value: B, ...same: Equals<A, B> extends true ? [] : [never]) => ({ value, same })

type Changed = Effect.Effect<number, SqlError.SqlError | Outbox.OutboxSelectionError, SqlClient.SqlClient>

is<Changed>()(Outbox.redrive({ task: "Mail" }))
is<Changed>()(Outbox.cancel({ id: ["a", "b"], queue: "mail" }, { batch: 10, table: "shop.outbox" }))
is<Changed>()(Outbox.discardDeadLetters({ all: true }))
is<Changed>()(Outbox.runNow({ payload: { path: ["order", "lines", 0], equals: null } }))
is<Effect.Effect<Outbox.OutboxPage, SqlError.SqlError, SqlClient.SqlClient>>()(Outbox.find())
is<Effect.Effect<Outbox.OutboxPage, SqlError.SqlError, SqlClient.SqlClient>>()(Outbox.find({}, { limit: 5 }))
is<Effect.Effect<Outbox.OutboxStats, SqlError.SqlError, SqlClient.SqlClient>>()(Outbox.stats({ exact: true }))
is<Effect.Effect<boolean, SqlError.SqlError, SqlClient.SqlClient>>()(Outbox.pause("mail"))
is<Layer.Layer<never, never, SqlClient.SqlClient>>()(Outbox.gauges({ every: "10 seconds" }))
is<Layer.Layer<never, never, SqlClient.SqlClient>>()(Outbox.requireRelay())

Effect.map(Outbox.find(), ({ rows }) => is<unknown>()(rows[0]!.payload))
Effect.map(Outbox.stats(), ({ states }) => is<Outbox.RowCount>()(states.blocked))

// @ts-expect-error a selection needs a condition
Outbox.redrive({})
// @ts-expect-error a selection needs a condition
Outbox.cancel()
// @ts-expect-error only `true` selects all rows
Outbox.cancel({ all: false })
// @ts-expect-error all rows, or those of a task
Outbox.cancel({ all: true, task: "Mail" })
// @ts-expect-error there is no such condition
Outbox.cancel({ tasks: "Mail" })
// @ts-expect-error a condition that may be undefined selects more than it should
Outbox.discardDeadLetters({ task: "Mail" as string | undefined })
// @ts-expect-error there is no such state
Outbox.find({ state: "running" })
// @ts-expect-error a path has at least one part
Outbox.find({ payload: { path: [], equals: 7 } })
// @ts-expect-error a value in a payload is compared as JSON, and a Date is none
Outbox.find({ payload: { path: ["at"], equals: new Date() } })
// @ts-expect-error a time is a Date
Outbox.find({ enqueued: { from: 1_790_000_000_000 } })
// @ts-expect-error dead letters are dead
Outbox.deadLetters({ state: "ready" })
// @ts-expect-error an age is needed
Outbox.prune({ state: "dead" })
// @ts-expect-error only rows that have ended are pruned
Outbox.prune({ olderThan: "1 day", state: "ready" })
// @ts-expect-error a client is missing
Effect.runFork(Outbox.pause("mail"))
