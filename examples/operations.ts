/**
 * `npx tsx examples/operations.ts` shows how to operate an outbox, on SQLite in memory. An intent fails until it is a dead letter.
 * The program looks at it, pauses its queue, makes the dead letter ready again, and resumes the queue: now the handler succeeds.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Console, Effect, Layer, Logger, LogLevel, Ref, Schedule, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"

// ---------------------------------------------------------------- the application

const SendReceipt = Task.make("SendReceipt", { payload: { order: Schema.Struct({ id: Schema.Number }) } })

/** The mail server that the handler needs. */
class MailServer extends Effect.Service<MailServer>()("MailServer", {
  effect: Effect.map(Ref.make(false), (isUp) => ({ isUp }))
}) {}

const SendReceiptLive = SendReceipt.toLayer(({ order }) =>
  Effect.gen(function*() {
    const { isUp } = yield* MailServer
    if (!(yield* isUp)) {
      return yield* Effect.fail("the mail server does not answer")
    }
    yield* Console.log(`sent the receipt of order ${order.id}`)
  })
)

const Tables = Layer.effectDiscard(Outbox.migrate())

const Data = SqlTransaction.layer.pipe(
  Layer.provideMerge(Outbox.live()),
  Layer.provideMerge(Tables),
  Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
)

const Application = Outbox.relay({ maxAttempts: 1 }).pipe(
  Layer.provide(SendReceiptLive),
  Layer.provideMerge(Data),
  Layer.provideMerge(MailServer.Default)
)

// ---------------------------------------------------------------- the operations

/** Looks at the outbox until it has this many rows in a state. */
const untilThereAre = (count: number, state: Outbox.OutboxState) =>
  Outbox.stats().pipe(
    Effect.filterOrFail(({ states }) => states[state].count === count, () => "not yet" as const),
    Effect.retry({ while: (error) => error === "not yet", schedule: Schedule.spaced("20 millis") })
  )

const program = Effect.gen(function*() {
  yield* Airlock.scoped(Airlock.enqueue(SendReceipt, { order: { id: 7 } }, { queue: "mail" }))
  const { lanes, relays } = yield* untilThereAre(1, "dead")
  yield* Console.log(
    `${relays.length} relay lives, and ${lanes[0]?.states.dead?.count} dead letter is in "${lanes[0]?.queue}"`
  )

  const { rows: [row] } = yield* Outbox.deadLetters({ payload: { path: ["order", "id"], equals: 7 } })
  yield* Console.log(
    `${row?.task} failed after attempt ${row?.history[0]?.attempt}: ${row?.history[0]?.error.split("\n")[0]}`
  )

  yield* Outbox.pause("mail")
  yield* Console.log(`made ${yield* Outbox.redrive({ queue: "mail" })} dead letter ready, in a paused queue`)

  yield* Ref.set((yield* MailServer).isUp, true)
  yield* Outbox.resume("mail")
  yield* untilThereAre(0, "ready")
  yield* untilThereAre(0, "claimed")
  yield* Console.log(`${(yield* Outbox.find()).rows.length} rows are left`)
})

// The relay logs the failed attempt as a warning and the dead letter as an error.
Effect.runPromise(program.pipe(Effect.provide(Application), Logger.withMinimumLogLevel(LogLevel.None)))
