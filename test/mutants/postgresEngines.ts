/** pg-boss and graphile-worker. */
import { inFile, type Mutant } from "./mutant.js"

const pgBoss = "test/executors/PgBoss.test.ts"
const pgBossSuite = "test/executors/PgBoss.suite.test.ts"
const graphile = "test/executors/GraphileWorker.test.ts"
const graphileSuite = "test/executors/GraphileWorker.suite.test.ts"

export const postgresEngines: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/engine/postgres.ts", [
    {
      breaks: "engines on PostgreSQL: a payload with a NUL is stored as JSON",
      symbol: "postgresDataOf",
      replace: "unstorable.test(encoded)",
      by: "encoded === \"\"",
      tests: [pgBossSuite]
    },
    {
      breaks: "engines on PostgreSQL: an error with a NUL cannot be stored",
      symbol: "storableText",
      replace: "\"\\0\"",
      by: "\"\\n\"",
      tests: [graphile]
    },
    {
      breaks: "engines on PostgreSQL: the last job of a key is kept",
      symbol: "firstOfEachKey",
      replace: "!keyed.has(key)",
      by: "key.length > 0",
      tests: [graphileSuite]
    }
  ]),
  ...inFile("src/internal/engine/jobTable.ts", [
    {
      breaks: "engines on PostgreSQL: a refused job keeps the others of its batch",
      symbol: "isRefusal",
      replace: "error.severity === \"ERROR\"",
      by: "error.severity === \"\"",
      tests: [graphile]
    },
    {
      breaks: "engines on PostgreSQL: an intent with a value that PostgreSQL cannot store looks like an outage",
      symbol: "isForGood",
      replace: "/^(22|23514|23502|54)/",
      by: "/^never/",
      tests: [pgBoss]
    },
    {
      breaks: "engines on PostgreSQL: a job that cannot be made keeps the others of its batch",
      symbol: "addJobs",
      replace: "Cause.isDie(exit.cause)",
      by: "false",
      tests: ["test/internal/engine/jobTable.test.ts"]
    },
    {
      breaks: "engines on PostgreSQL: a batch waits for ever",
      symbol: "addJobs",
      replace: "Effect.timeoutOption(timeout)",
      by: "Effect.timeoutOption(Duration.infinity)",
      tests: ["test/internal/engine/jobTable.test.ts"]
    },
    {
      breaks: "engines on PostgreSQL: jobs that were added before the time limit are not known",
      symbol: "addJobs",
      replace: "exits[i] ?? tooLate",
      by: "exits.length < intents.length ? tooLate : exits[i]!",
      tests: ["test/internal/engine/jobTable.test.ts"]
    },
    {
      breaks: "engines on PostgreSQL: a job that waits for an approval starts if its process dies",
      symbol: "transactionalExecutor.executor",
      replace: "Infinity",
      by: "options.heldMillis",
      tests: [pgBoss]
    },
    {
      breaks: "engines on PostgreSQL: a job that was not held any more is inserted again",
      symbol: "transactionalExecutor.replace",
      replace: "isTaken.has(id) ?",
      by: "isTaken.size >= 0 ?",
      tests: ["test/internal/engine/jobTable.test.ts"]
    }
  ]),
  ...inFile("src/internal/engine/pgBoss.ts", [
    {
      breaks: "pg-boss: a batch for a queue that is gone is lost in silence",
      symbol: "bossTable",
      replace: "rowCount !== jobs.length",
      by: "rowCount! > jobs.length",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: a queue that is gone is not created again",
      symbol: "bossTable.checkQueues",
      replace: "missing.forEach((name) => policies.delete(name))",
      by: "",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: a dedupeKey has no effect in a queue of another policy",
      symbol: "jobOf",
      replace: "dedupeKey !== undefined && !deduplicates(policy)",
      by: "dedupeKey === \"\" && !deduplicates(policy)",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: jobs without a key have the same one",
      symbol: "jobOf",
      replace: "dedupeKey ?? (deduplicates(policy) ? intent.id : undefined)",
      by: "dedupeKey",
      tests: [pgBossSuite]
    },
    {
      breaks: "pg-boss: the highest number comes first",
      symbol: "jobOf",
      replace: "job.priority = -priority",
      by: "job.priority = priority",
      tests: [pgBossSuite]
    },
    {
      breaks: "pg-boss: a job has an id of its own",
      symbol: "jobOf",
      replace: "{ id: intent.id, name, data }, defaults",
      by: "{ name, data }, defaults",
      tests: [pgBossSuite]
    },
    {
      breaks: "pg-boss: a job has one attempt too many",
      symbol: "jobOf",
      replace: "attempts - 1",
      by: "attempts",
      tests: [pgBossSuite]
    },
    {
      breaks: "pg-boss: a held job deduplicates",
      symbol: "jobOf",
      replace: "singletonKey: heldKey + intent.id",
      by: "",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: of held jobs with the same key only one is held",
      symbol: "bossTable",
      replace: "heldMillis === undefined ?",
      by: "heldMillis !== 0 ?",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: a renewal does not change when a job starts",
      symbol: "bossTable.renew",
      replace: { text: "+ $3::float8 * interval '1 millisecond'" },
      by: "+ 0 * $3::float8 * interval '1 millisecond'",
      tests: [pgBoss]
    }
  ]),
  ...inFile("src/internal/engine/pgBossWorker.ts", [
    {
      breaks: "pg-boss: a payload that never fits is tried again",
      symbol: "startBossWorker.fail",
      replace: "isForGood(error) ?",
      by: "isForGood(error) && job.id === \"\" ?",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: a job that was given back has one attempt more",
      symbol: "startBossWorker.run",
      replace: { text: ", started_on = NULL" },
      by: "",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: a run that is over ends the next run of its job",
      symbol: "startBossWorker.update",
      replace: { text: "AND date_trunc('milliseconds', started_on) = " },
      by: "AND started_on <> ",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: a run that is over fails the next run of its job",
      symbol: "startBossWorker.fail",
      replace: "isMine ?",
      by: "isMine || !isMine ?",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: the end of a job is not stored if that fails once",
      symbol: "startBossWorker.insist",
      replace: "!hasGivenUp",
      by: "hasGivenUp",
      tests: [pgBoss]
    },
    {
      breaks: "pg-boss: the first attempt has the number 0",
      symbol: "startBossWorker.run",
      replace: "job.retryCount + 1",
      by: "job.retryCount",
      tests: [pgBossSuite]
    },
    {
      breaks: "pg-boss: a worker that stops does not wait for its jobs",
      symbol: "startBossWorker",
      replace: "Effect.zipRight(settled)",
      by: "Effect.zipRight(Effect.void)",
      tests: [pgBoss]
    }
  ]),
  ...inFile("src/internal/engine/graphile.ts", [
    {
      breaks: "graphile-worker: an intent whose job has failed is inserted again",
      symbol: "insertionInto",
      replace: { text: "job.\"dedupeKey\" IS NULL OR " },
      by: "",
      tests: [graphile]
    },
    {
      breaks: "graphile-worker: a job whose key waits is replaced",
      symbol: "insertionInto",
      replace: { text: "present.key = job.key" },
      by: "present.key = job.key AND false",
      tests: [graphile]
    },
    {
      breaks: "graphile-worker: a held job deduplicates",
      symbol: "jobOf",
      replace: "dedupeKey === undefined || isHeld",
      by: "dedupeKey === undefined",
      tests: [graphile]
    },
    {
      breaks: "graphile-worker: jobs of a batch have no order",
      symbol: "insertionInto",
      replace: { text: "now() + job.position * interval '1 microsecond'" },
      by: "now() - job.position * interval '1 microsecond'",
      tests: [graphileSuite]
    },
    {
      breaks: "graphile-worker: a delay has no effect",
      symbol: "insertionInto",
      replace: { text: "now() + job.delay * interval '1 millisecond'" },
      by: "now()",
      tests: [graphileSuite]
    },
    {
      breaks: "graphile-worker: a renewal does not change when a job runs",
      symbol: "graphileTable",
      replace: "inMillis(\"$2\")",
      by: "inMillis(\"0 * $2\")",
      tests: [graphile]
    }
  ]),
  ...inFile("src/internal/engine/graphileWorker.ts", [
    {
      breaks: "graphile-worker: a job of an unknown task waits for ever",
      symbol: "startGraphileWorker.start",
      replace: "if (runsUnknown)",
      by: "if (runsUnknown && concurrency === 0)",
      tests: [graphile]
    },
    {
      breaks: "graphile-worker: jobs of other workers fail",
      symbol: "unknownTasks",
      replace: { text: "flags ? $1 AND" },
      by: "$1::text IS NOT NULL AND",
      tests: [graphile]
    },
    {
      breaks: "graphile-worker: a payload that never fits is tried again",
      symbol: "startGraphileWorker.work",
      replace: "isForGood(error)",
      by: "isForGood(error) && id === \"\"",
      tests: [graphile]
    },
    {
      breaks: "graphile-worker: a job that was given back has one attempt more",
      symbol: "giveBack",
      replace: { text: "attempts = attempts - 1, " },
      by: "",
      tests: [graphile]
    },
    {
      breaks: "graphile-worker: the serial queue of a job that was given back stays locked",
      symbol: "giveBack",
      replace: { text: "FROM job WHERE id" },
      by: "FROM job WHERE locked_at IS NULL AND id",
      tests: [graphile]
    },
    {
      breaks: "graphile-worker: jobs of a runner that has ended stay locked",
      symbol: "startGraphileWorker.start",
      replace: "await forceUnlockWorkers([...pools])",
      by: "await forceUnlockWorkers([])",
      tests: [graphile]
    },
    {
      breaks: "graphile-worker: its runner is not started again",
      symbol: "startGraphileWorker.running",
      replace: "Effect.forever",
      by: "Effect.asVoid",
      tests: [graphile]
    }
  ])
]
