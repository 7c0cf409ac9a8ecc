/**
 * A process that is a runner of a cluster, with a worker. The effect of a handler is a row. It tells what it does on its standard
 * output.
 */
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Layer, Logger, LogLevel } from "effect"
import { AirlockLive } from "effect-airlock"
import * as Workflow from "effect-airlock/executors/Workflow"
import { runnerAt } from "./cluster.js"
import { Job, type RunnerEvent, type RunnerProgram } from "./workflowJobs.js"

const { concurrency, database, holdAfter = Infinity, name, port } = JSON.parse(process.argv[2]!) as RunnerProgram

// Standard output is a pipe, to which Node writes at once. So the events of a process that is killed arrive.
const tell = (is: RunnerEvent["is"], n: number) =>
  Effect.sync(() => process.stdout.write(`${JSON.stringify({ is, n } satisfies RunnerEvent)}\n`))

let begun = 0

const JobLive = Job.toLayer(({ n }, { attempt }) =>
  Effect.gen(function*() {
    const isHeld = begun++ >= holdAfter
    yield* tell("begin", n)
    const sql = yield* SqlClient
    yield* sql`INSERT INTO effects ${sql.insert({ n, runner: name, attempt })}`
    yield* tell("effect", n)
    if (isHeld) {
      return yield* Effect.never
    }
    yield* tell("end", n)
  }).pipe(Effect.onInterrupt(() => tell("interrupted", n)))
)

Workflow.worker({ concurrency }).pipe(
  Layer.provide(JobLive),
  Layer.provide(AirlockLive),
  Layer.provide(runnerAt(database, port)),
  Layer.launch,
  Logger.withMinimumLogLevel(LogLevel.Warning),
  NodeRuntime.runMain({ disablePrettyLogger: true })
)
