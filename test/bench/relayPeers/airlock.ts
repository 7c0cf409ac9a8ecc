/**
 * The outbox and its relay, by their public API. What is tuned is in `defaults` and `best`.
 */
import { SqlClient } from "@effect/sql"
import { Effect, Layer, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { channelName } from "../../../src/internal/outbox/store/channel.js"
import { client, count, execute, payload } from "./database.js"
import { type Channel, email, now, type SqlPeer } from "./peer.js"

export const defaults: Outbox.RelayOptions = {}

export const best: Outbox.RelayOptions = { concurrency: 1000, batchSize: 1000 }

const table = "airlock_outbox"

const Count = Task.make("Count", { payload: { at: Schema.Number, email: Schema.String } })

export const airlock = (url: string, options: Outbox.RelayOptions): SqlPeer & Channel => {
  const data = SqlTransaction.layer.pipe(
    Layer.provideMerge(Outbox.live({ table })),
    Layer.provideMerge(client(url)),
    Layer.orDie
  )
  return {
    tables: [table],
    setup: Outbox.migrate(table).pipe(Effect.provide(client(url)), Effect.orDie),
    fill: (jobs) =>
      execute(
        url,
        `INSERT INTO ${table} (id, task, version, payload, state, ready_at, enqueued_at)
         SELECT gen_random_uuid(), 'Count', 1, '${payload}', 'ready',
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + n, (extract(epoch FROM now()) * 1000)::bigint
         FROM generate_series(1, ${jobs}) AS n;
         SELECT pg_notify('${channelName(table)}', 'the bench')`
      ),
    clear: Effect.zipRight(execute(url, `TRUNCATE ${table}`), execute(url, `VACUUM ANALYZE ${table}`)),
    left: count(url, table),
    work: (onJob) =>
      Effect.asVoid(Layer.build(
        Outbox.relay({ ...options, table }).pipe(
          Layer.provide(Count.toLayer((payload) => Effect.sync(() => onJob(payload)))),
          Layer.provide(data),
          Layer.orDie
        )
      )),
    writer: Effect.map(
      Layer.build(Layer.merge(data, Airlock.unchecked)),
      (context) =>
        Effect.flatMap(
          SqlClient.SqlClient,
          (sql) => sql.withTransaction(Effect.suspend(() => Airlock.enqueue(Count, { at: now(), email })))
        ).pipe(
          Effect.asVoid,
          Effect.orDie,
          Effect.provide(context)
        )
    )
  }
}
