/** Engines, and the relay in front of them. */
import { inFile, type Mutant } from "./mutant.js"

const handOver = "test/internal/outbox/relay/handOver.test.ts"

export const engine: ReadonlyArray<Mutant> = [
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
    }
  ]),
  ...inFile("src/internal/outbox/relay/verdict.ts", [
    {
      breaks: "hand-over: the attempts of the engine limit those of the relay",
      symbol: "maxAttemptsOf",
      replace: "handsOver ? standard : row.maxAttempts ?? task?.retry?.maxAttempts ?? standard",
      by: "handsOver && row.maxAttempts === null ? standard : row.maxAttempts ?? task?.retry?.maxAttempts ?? standard",
      tests: [handOver]
    }
  ]),
  ...inFile("src/executors/BullMq.ts", [
    {
      breaks: "BullMQ: a job has an id of its own",
      symbol: "jobOptionsOf",
      replace: "jobId: intent.id",
      by: "",
      tests: ["test/executors/BullMq.test.ts"]
    },
    {
      breaks: "BullMQ: a payload that never fits is tried again",
      symbol: "isForGood",
      replace: "error._tag === \"StoredPayloadError\"",
      by: "error._tag === \"\"",
      tests: ["test/executors/BullMq.test.ts"]
    }
  ])
]
