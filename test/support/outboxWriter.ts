/**
 * A process that waits for a line of input, stores an intent of the task `Note` in the outbox of a PostgreSQL database, and ends.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { once } from "node:events"

const Note = Task.make("Note", { payload: { n: Schema.Number } })

await Effect.runPromise(
  Effect.gen(function*() {
    process.stdout.write("open\n")
    yield* Effect.promise(() => once(process.stdin, "data"))
    yield* SqlTransaction.transaction(Airlock.enqueue(Note, { n: 1 }))
  }).pipe(Effect.provide(
    SqlTransaction.layer.pipe(
      Layer.provideMerge(Outbox.live()),
      Layer.provideMerge(PgClient.layer({ url: Redacted.make(process.argv[2]!) })),
      Layer.merge(Airlock.unchecked)
    )
  ))
)
process.stdin.destroy()
