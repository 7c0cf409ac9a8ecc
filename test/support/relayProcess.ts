/**
 * A process that runs a relay, and tells what it does on its standard output. A line on its standard input lets all handlers go on
 * that wait.
 */
import { NodeRuntime } from "@effect/platform-node"
import { MysqlClient } from "@effect/sql-mysql2"
import { PgClient } from "@effect/sql-pg"
import { SqliteClient } from "@effect/sql-sqlite-node"
import type { SqlClient } from "@effect/sql/SqlClient"
import { Cause, type Duration, Effect, Layer, Logger, LogLevel, Redacted } from "effect"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { Job, type RelayEvent, type RelayProgram, SecondJob } from "./relayJobs.js"

const program = JSON.parse(process.argv[2]!) as RelayProgram

// Standard output is a pipe, to which Node writes at once. So the events of a process that is killed arrive.
const tell = (event: RelayEvent): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

const gate = Effect.unsafeMakeLatch(program.holdAfter === undefined)
process.stdin.on("data", () => gate.unsafeOpen())
process.on("SIGTERM", () => tell({ is: "signal" }))

let ended = 0

const handle = (n: number, attempt: number) =>
  Effect.suspend(() => {
    tell({ is: "begin", n, attempt })
    return ended++ < (program.holdAfter ?? Infinity) ? Effect.promise(() => new Promise(setImmediate)) : gate.await
  }).pipe(
    Effect.tap(() => tell({ is: "end", n, attempt })),
    Effect.onInterrupt(() => Effect.sync(() => tell({ is: "interrupted", n, attempt })))
  )

const JobLive = program.version === 2
  ? SecondJob.toLayer(({ number }, { attempt }) => handle(number, attempt))
  : Job.toLayer(({ n }, { attempt }) => handle(n, attempt))

const client = (): Layer.Layer<SqlClient, unknown> => {
  switch (program.dialect) {
    case "pg":
      return PgClient.layer({ url: Redacted.make(program.database), applicationName: "relay", maxConnections: 4 })
    case "mysql":
      return MysqlClient.layer({ url: Redacted.make(program.database), maxConnections: 4 })
    case "sqlite":
      return SqliteClient.layer({ filename: program.database })
  }
}

/** Tells when the Layer closes to which it is provided, and after it. */
const closing = (what: string) =>
  Layer.scopedDiscard(Effect.addFinalizer(() => Effect.sync(() => tell({ is: "closed", what }))))

const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
  if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) {
    tell({ is: "log", line: `${String(message)}${Cause.isEmpty(cause) ? "" : ` ${Cause.pretty(cause)}`}` })
  }
})

const time = (text: string) => text as Duration.DurationInput

const { batchSize, concurrency, drainTimeout, lease, maxAttempts, name } = program

Layer.effectDiscard(Effect.sync(() => tell({ is: "open" }))).pipe(
  Layer.provide(Outbox.relay({
    name,
    pollInterval: "50 millis",
    ...(batchSize !== undefined && { batchSize }),
    ...(concurrency !== undefined && { concurrency }),
    ...(maxAttempts !== undefined && { maxAttempts }),
    ...(lease !== undefined && { lease: time(lease) }),
    ...(drainTimeout !== undefined && { drainTimeout: time(drainTimeout) })
  })),
  Layer.provide(closing("relay")),
  Layer.provide(JobLive),
  Layer.provide(closing("handlers")),
  Layer.provide(SqlTransaction.layer),
  Layer.provide(Outbox.live()),
  Layer.provide(client()),
  Layer.provide(closing("pool")),
  Layer.launch,
  Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
  NodeRuntime.runMain({ disablePrettyLogger: true })
)
