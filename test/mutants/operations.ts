/** The operations of the outbox. */
import { inFile, type Mutant } from "./mutant.js"

const change = ["test/outbox/operations/change.test.ts"] as const
const stats = ["test/outbox/operations/stats.test.ts"] as const
const find = ["test/outbox/operations/find.test.ts"] as const
const watching = ["test/outbox/operations/watching.test.ts"] as const

export const operations: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/outbox/operations/change.ts", [
    {
      breaks: "operations: a redriven row keeps its attempts",
      symbol: "redrive",
      replace: { text: "attempt = 0" },
      by: "attempt = attempt",
      tests: change
    },
    {
      breaks: "operations: a redriven row comes before the rows that are ready",
      symbol: "redrive",
      replace: { text: "ready_at = " },
      by: "failed_at = ",
      tests: change
    },
    {
      breaks: "operations: a claimed row is cancelled",
      symbol: "cancel",
      replace: `["ready", "scheduled", "blocked"]`,
      by: `["ready", "scheduled", "blocked", "claimed"]`,
      tests: change
    },
    {
      breaks: "operations: a held row is cancelled",
      symbol: "cancel",
      replace: `["ready", "scheduled", "blocked"]`,
      by: `["ready", "scheduled", "blocked", "held"]`,
      tests: change
    },
    {
      breaks: "operations: the rows behind a cancelled row stay blocked",
      symbol: "cancel",
      replace: "unblocks: true",
      by: "unblocks: false",
      tests: change
    },
    {
      breaks: "operations: a row that was claimed after it was found is changed",
      symbol: "change",
      replace: "dialect.select(tables.outbox, keys, inState.where)",
      by: "dialect.select(tables.outbox, keys)",
      tests: ["test/outbox/operations/races.test.ts"]
    },
    {
      breaks: "operations: an operation waits for the rows that another transaction has locked",
      symbol: "change",
      replace: "dialect.select(tables.outbox, keys, inState.where) + dialect.skipLocked",
      by:
        `dialect.select(tables.outbox, keys, inState.where) + (dialect.skipLocked === "" ? "" : " FOR UPDATE NOWAIT")`,
      tests: change
    },
    {
      breaks: "operations: only the first batch of a selection is changed",
      symbol: "change",
      replace: "ids.length < size",
      by: "true",
      tests: change
    }
  ]),
  ...inFile("src/internal/outbox/operations/selection.ts", [
    {
      breaks: "operations: a selection without a condition selects all rows",
      symbol: "filterOf",
      replace: "all === true || Object.values(filter).some(hasCondition)",
      by: "true",
      tests: change
    },
    {
      breaks: "operations: a condition that is undefined counts as one",
      symbol: "hasCondition",
      replace: "value !== undefined",
      by: "true",
      tests: change
    }
  ]),
  ...inFile("src/internal/outbox/operations/queues.ts", [
    {
      breaks: "operations: a queue that was resumed cannot be paused again",
      symbol: "pause",
      replace: { text: "DO UPDATE SET paused_at = excluded.paused_at" },
      by: "DO NOTHING",
      tests: change
    },
    {
      breaks: "operations: a resume resumes all queues",
      symbol: "resume",
      replace: { text: " WHERE queue = :queue" },
      by: "",
      tests: change
    },
    {
      breaks: "operations: a resumed queue counts as paused",
      symbol: "pausedQueues",
      replace: { text: " WHERE paused_at IS NOT NULL" },
      by: "",
      tests: change
    }
  ]),
  ...inFile("src/internal/outbox/operations/prune.ts", [
    {
      breaks: "operations: prune deletes rows that have just ended",
      symbol: "prune",
      replace: "Math.round(age)",
      by: "0",
      tests: change
    },
    {
      breaks: "operations: prune ends after its first batch",
      symbol: "prune",
      replace: "found === size",
      by: "false",
      tests: change
    }
  ]),
  ...inFile("src/internal/outbox/operations/relays.ts", [
    {
      breaks: "operations: a relay of an older version serves newer rows",
      symbol: "isServed",
      replace: "task === lane.task && lane.version <= version",
      by: "task === lane.task",
      tests: stats
    },
    {
      breaks: "operations: a relay serves queues that it does not name",
      symbol: "isServed",
      replace: "(queues === undefined || queues.includes(lane.queue))",
      by: "true",
      tests: stats
    },
    {
      breaks: "operations: a relay whose lease has expired lives",
      symbol: "liveRelays",
      replace: { text: " WHERE expires_at > " },
      by: " WHERE 1 < ",
      tests: stats
    }
  ]),
  ...inFile("src/internal/outbox/operations/counts.ts", [
    {
      breaks: "operations: a count that was cut short passes for exact",
      symbol: "boundedCounts",
      replace: "inexact.add(state)",
      by: "inexact.delete(state)",
      tests: stats
    },
    {
      breaks: "operations: a blocked row with both keys counts twice",
      symbol: "scans",
      replace: { text: " AND ordering_key IS NULL" },
      by: "",
      tests: stats
    }
  ]),
  ...inFile("src/internal/outbox/operations/readyLanes.ts", [
    {
      breaks: "operations: on MySQL the lanes are read from all ready rows",
      symbol: "nextRows",
      replace: { text: "SELECT DISTINCT state, " },
      by: "SELECT DISTINCT ",
      tests: stats
    },
    {
      breaks: "operations: a row waits while its delay runs",
      symbol: "readyLanesSql",
      replace: { text: "r.delay_millis" },
      by: "0",
      tests: stats
    }
  ]),
  ...inFile("src/internal/outbox/operations/find.ts", [
    {
      breaks: "operations: the last page has a cursor",
      symbol: "find",
      replace: "found.length > size",
      by: "found.length > 0",
      tests: find
    }
  ]),
  ...inFile("src/internal/outbox/operations/requireRelay.ts", [
    {
      breaks: "operations: each look at a missing relay is a warning",
      symbol: "look",
      replace: "watch.isMissing = true",
      by: "{}",
      tests: watching
    },
    {
      breaks: "operations: the time without a relay is not reset when one lives",
      symbol: "look",
      replace: "watch.missingSince = undefined",
      by: "{}",
      tests: watching
    }
  ])
]
