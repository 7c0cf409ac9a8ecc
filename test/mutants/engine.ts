/** Engines, and the relay in front of them. */
import { inFile, type Mutant } from "./mutant.js"
import { postgresEngines } from "./postgresEngines.js"

const handOver = "test/internal/outbox/relay/handOver.test.ts"

export const engine: ReadonlyArray<Mutant> = [
  ...postgresEngines,
  ...inFile("src/internal/outbox/relay/outage.ts", [
    {
      breaks: "hand-over: the pause does not grow",
      symbol: "Outage.begin",
      replace: "2 * millis",
      by: "millis",
      tests: [handOver]
    },
    {
      breaks: "hand-over: batches that fail side by side lengthen the pause each",
      symbol: "Outage.begin",
      replace: "countAtStart !== this.count",
      by: "countAtStart > this.count",
      tests: [handOver]
    },
    {
      breaks: "hand-over: the pause stays long after the engine was back",
      symbol: "Outage.over",
      replace: "this.nextMillis = firstMillis",
      by: "",
      tests: [handOver]
    }
  ]),
  ...inFile("src/internal/outbox/relay/handOver.ts", [
    {
      breaks: "hand-over: an intent that the engine discards waits for ever",
      symbol: "takesNothing",
      replace: "!== \"Discard\"",
      by: "!== \"Snooze\"",
      tests: [handOver]
    },
    {
      breaks: "hand-over: a batch has intents of one task only",
      symbol: "handOver",
      replace: "mixesTasks: true",
      by: "mixesTasks: false",
      tests: [handOver]
    }
  ]),
  ...inFile("src/internal/outbox/relay/settings.ts", [
    {
      breaks: "hand-over: an executor in this process takes what the relay acknowledges",
      symbol: "checkExecutor",
      replace: "durable === false",
      by: "durable === undefined",
      tests: [handOver]
    }
  ]),
  ...inFile("src/internal/outbox/relay/verdict.ts", [
    {
      breaks: "hand-over: the attempts of the engine limit those of the relay",
      symbol: "maxAttemptsOf",
      replace: "handsOver ? standard : row.maxAttempts ?? task?.retry?.maxAttempts ?? standard",
      by: "handsOver && row.maxAttempts === null ? standard : row.maxAttempts ?? task?.retry?.maxAttempts ?? standard",
      tests: [handOver]
    },
    {
      breaks: "hand-over: an intent that the engine refuses waits for an hour",
      symbol: "verdictOf",
      replace: "settings.handsOver ? lastHandOverDelay : undefined",
      by: "undefined",
      tests: [handOver]
    }
  ]),
  ...inFile("src/executors/BullMq.ts", [
    {
      breaks: "BullMQ: an intent of a queue that it cannot have stops the relay",
      symbol: "isQueueName",
      replace: "name !== \"\" && !name.includes(\":\")",
      by: "name !== \"\"",
      tests: ["test/executors/BullMqBatches.test.ts"]
    },
    {
      breaks: "BullMQ: a large batch leaves in one call",
      symbol: "partsOf",
      replace: "size > partSize",
      by: "size === Infinity",
      tests: ["test/executors/BullMqBatches.test.ts"]
    },
    {
      breaks: "BullMQ: tasks with a colon in their names share dedupeKeys with others",
      symbol: "dedupeIdOf",
      replace: "task.replaceAll(\"%\", \"%25\").replaceAll(\":\", \"%3A\")",
      by: "task",
      tests: ["test/executors/BullMqBatches.test.ts"]
    },
    {
      breaks: "BullMQ: a negative priority of an outbox is refused by Redis",
      symbol: "jobOptionsOf",
      replace: "Math.min(Math.max(Math.round(priority), 0), maxPriority)",
      by: "priority",
      tests: ["test/executors/BullMq.test.ts"]
    },
    {
      breaks: "BullMQ: a job that a stopping worker gives back counts an attempt",
      symbol: "worker.run",
      replace: "await job.moveToWait(token)",
      by: "throw new Error(\"stopped\")",
      tests: ["test/executors/BullMq.test.ts"]
    },
    {
      breaks: "BullMQ: a batch fails as a whole if Redis refuses one of its jobs",
      symbol: "executor.addPart",
      replace: "Exit.isSuccess(added) || ",
      by: "",
      tests: ["test/executors/BullMq.test.ts"]
    },
    {
      breaks: "BullMQ: a job has an id of its own",
      symbol: "jobOptionsOf",
      replace: "jobId: intent.id",
      by: "",
      tests: ["test/executors/BullMq.test.ts"]
    }
  ]),
  ...inFile("src/internal/engine/bullMqConnections.ts", [
    {
      breaks: "BullMQ: a queue that closed goes on to connect",
      symbol: "ClosableQueue.abandon",
      replace: "this.end?.()",
      by: "",
      tests: ["test/executors/BullMqConnections.test.ts"]
    },
    {
      breaks: "BullMQ: a worker that closed goes on to connect",
      symbol: "ClosableWorker.abandon",
      replace: "this.connection.close(true).catch(ignore)",
      by: "",
      tests: ["test/executors/BullMqConnections.test.ts"]
    },
    {
      breaks: "BullMQ: errors of Redis show passwords and payloads",
      symbol: "withoutCommands",
      replace: "\"command\" in error || ",
      by: "",
      tests: ["test/executors/BullMqConnections.test.ts"]
    }
  ]),
  ...inFile("src/internal/engine/job.ts", [
    {
      breaks: "engine: a job that somebody else has added is tried again",
      symbol: "intentOfJob",
      replace: "!isJobData(data)",
      by: "data === undefined",
      tests: ["test/internal/engine/job.test.ts"]
    },
    {
      breaks: "engine: a job of a newer version runs",
      symbol: "intentOfJob",
      replace: "data.version > version",
      by: "data.version < version",
      tests: ["test/internal/engine/job.test.ts"]
    },
    {
      breaks: "engine: the origin of an intent is forgotten",
      symbol: "jobOf",
      replace: "origin !== undefined && { origin }",
      by: "{}",
      tests: ["test/internal/engine/job.test.ts"]
    },
    {
      breaks: "engine: the cascade of an intent begins anew",
      symbol: "jobOf",
      replace: "cascade !== undefined && { cascade: Arr.reverse(tasksOf(cascade)) }",
      by: "{}",
      tests: ["test/internal/engine/job.test.ts"]
    },
    {
      breaks: "engine: the span of an enqueue is forgotten",
      symbol: "jobOf",
      replace: "traceId: span.traceId",
      by: "traceId: span.spanId",
      tests: ["test/docs/executors.test.ts"]
    }
  ]),
  ...inFile("src/internal/engine/runs.ts", [
    {
      breaks: "engine: a job begins that was decoded after the worker had stopped",
      symbol: "Runs.run",
      replace: "this.isStopped ? Promise.resolve(\"stopped\") : ",
      by: "",
      tests: ["test/internal/engine/worker.test.ts"]
    },
    {
      breaks: "engine: a handler has no time limit",
      symbol: "Runs.timeOut",
      replace: "run.fiber?.unsafeInterruptAsFork(FiberId.none)",
      by: "",
      tests: ["test/internal/engine/worker.test.ts"]
    },
    {
      breaks: "engine: the job of an interrupted handler counts as failed when the worker stops",
      symbol: "Runs.ended",
      replace: "this.isStopped && ",
      by: "!this.isStopped && ",
      tests: ["test/internal/engine/worker.test.ts"]
    },
    {
      breaks: "engine: fibers wait for jobs after the end of the worker",
      symbol: "Runs.end",
      replace: "wake(false)",
      by: "undefined",
      tests: ["test/internal/engine/worker.test.ts"]
    },
    {
      breaks: "engine: the timers of a worker last after its end",
      symbol: "Runs.end",
      replace: "watch.end()",
      by: "undefined",
      tests: ["test/internal/engine/worker.test.ts"]
    }
  ]),
  ...inFile("src/internal/engine/worker.ts", [
    {
      breaks: "engine: a worker that runs no job at a time does nothing, without a word",
      symbol: "checkConcurrency",
      replace: "concurrency >= 1",
      by: "concurrency >= 0",
      tests: ["test/internal/engine/worker.test.ts"]
    },
    {
      breaks: "engine: a job begins although the worker stops",
      symbol: "jobRunner.process",
      replace: "if (isStopping)",
      by: "if (isStopping && job.attempt < 0)",
      tests: ["test/internal/engine/worker.test.ts"]
    },
    {
      breaks: "engine: a job of a task that the worker does not serve runs",
      symbol: "servedOf",
      replace: "tasks.includes(name) ? handlers.task(name) : undefined",
      by: "handlers.task(name)",
      tests: ["test/internal/engine/worker.test.ts"]
    },
    {
      breaks: "engine: the time limit of a task has no effect",
      symbol: "jobRunner.process",
      replace: "intent.right.task.retry?.timeout ?? limit",
      by: "limit",
      tests: ["test/internal/engine/worker.test.ts"]
    },
    {
      breaks: "BullMQ: a payload that never fits is tried again",
      symbol: "isForGood",
      replace: "error._tag === \"StoredPayloadError\"",
      by: "error._tag === \"\"",
      tests: ["test/executors/BullMq.test.ts"]
    },
    {
      breaks: "BullMQ: a job that its handler discards is tried again",
      symbol: "isForGood",
      replace: "=== \"Discard\"",
      by: "=== \"Snooze\"",
      tests: ["test/executors/BullMq.test.ts"]
    }
  ])
]
