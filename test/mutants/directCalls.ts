/** Direct calls of engines that go through Airlock. */
import { inFile, type Mutant } from "./mutant.js"

const bullMq = "test/executors/BullMq.intercept.test.ts"
const pgBoss = "test/executors/PgBoss.intercept.test.ts"
const graphile = "test/executors/GraphileWorker.intercept.test.ts"

export const directCalls: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/engine/direct/intercept.ts", [
    {
      breaks: "direct calls: a call that comes too late for its scope is refused",
      symbol: "placeOfCaller",
      replace: "!isOpen && !scope.planning",
      by: "false",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: a call that comes too late for a plan adds its job",
      symbol: "placeOfCaller",
      replace: "!isOpen && !scope.planning",
      by: "!isOpen",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: a policy can add jobs",
      symbol: "placeOfCaller",
      replace: "current?.isPolicy !== true",
      by: "true",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: two objects can have one prefix",
      symbol: "claimPrefix",
      replace: "prefixes.has(prefix)",
      by: "prefixes.has(`${prefix} `)",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: to uninstall removes what other code has put in the place of a method",
      symbol: "replace",
      replace: "methodOf(target, name) !== replacement",
      by: "methodOf(target, name) === undefined",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: an object can be intercepted twice",
      symbol: "intercept",
      replace: "installed.has(target)",
      by: "installed.has({})",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: jobs of other names are intercepted too",
      symbol: "intercept",
      replace: "names.includes(name)",
      by: "names.length > 0",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: each call is logged",
      symbol: "intercept",
      replace: "warned.add(key)",
      by: "",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: an error of the enqueue does not name the place of the call",
      symbol: "addJobs",
      replace: "withSite(Cause.squash(exit.cause), site)",
      by: "Cause.squash(exit.cause)",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: the job that is added directly is intercepted",
      symbol: "directly",
      replace: "installed.get(target)?.[method] ?? methodOf(target, method)",
      by: "methodOf(target, method)",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: a relay that has just started does not know the named jobs",
      symbol: "intercept",
      replace: "names ?? []",
      by: "[] as ReadonlyArray<string>",
      tests: [bullMq],
      hangs: true
    },
    {
      breaks: "direct calls: what an intent cannot carry is lost",
      symbol: "addJobs",
      replace: "!isEnqueued[index]",
      by: "!isChosen[index]",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: the time since the call is lost",
      symbol: "makeTasks",
      replace: "now - enqueuedAt",
      by: "0",
      tests: [pgBoss]
    }
  ]),
  ...inFile("src/internal/engine/direct/plainCode.ts", [
    {
      breaks: "plain code: a turn leaves its note to the fibers that run after it",
      symbol: "endTurn",
      replace: "notes.enterWith(turn.before)",
      by: "",
      tests: [bullMq]
    },
    {
      breaks: "plain code: a fiber that ends leaves its note",
      symbol: "noteTurns",
      replace: "endTurn(runningFiber())",
      by: "undefined",
      tests: ["test/internal/engine/direct/plainCode.test.ts"]
    },
    {
      breaks: "plain code: a fiber finds the scope of the turn that wakes it",
      symbol: "scheduleOutsideTurns",
      replace: "notes.run(undefined, schedule)",
      by: "schedule()",
      tests: [bullMq]
    },
    {
      breaks: "plain code: a job that moves itself loses what it has added",
      symbol: "wrapInScope",
      replace: "Effect.catchIf(isControlFlow, (error) => Effect.succeed(Either.left(error)))",
      by: "Effect.catchIf(() => false, (error) => Effect.succeed(Either.left(error)))",
      tests: [bullMq]
    },
    {
      breaks: "plain code: it has no scope after an await",
      symbol: "callersRuntime",
      replace: "notes.getStore()?.refs",
      by: "undefined",
      tests: [bullMq]
    },
    {
      breaks: "plain code: it has no scope in the turn in which its fiber joined the Layer",
      symbol: "isNoted",
      replace: "child && !parent",
      by: "child && parent",
      tests: [bullMq]
    },
    {
      breaks: "plain code: the scope of a wrapped function is inside that in which it was wrapped",
      symbol: "wrapInScope",
      replace: "locally(scoped(called), undefined)",
      by: "scoped(called)",
      tests: [bullMq]
    },
    {
      breaks: "plain code: a wrapped processor gets no signal from BullMQ",
      symbol: "wrapInScope",
      replace: "call.length",
      by: "0",
      tests: [bullMq]
    }
  ]),
  ...inFile("src/internal/engine/direct/json.ts", [
    {
      breaks: "direct calls: data that change after the call change in the intent",
      symbol: "snapshot",
      replace: "JSON.parse(text)",
      by: "value",
      tests: [bullMq]
    }
  ]),
  ...inFile("src/internal/engine/direct/bullMq.ts", [
    {
      breaks: "direct calls: an intent that is dispatched twice is two jobs of BullMQ",
      symbol: "perform",
      replace: "opts?.jobId ?? id",
      by: "opts?.jobId!",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: a child waits in the scope for which its parent waits",
      symbol: "jobOf",
      replace: "opts.parent === undefined",
      by: "true",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: a delay of BullMQ counts from the end of the scope",
      symbol: "timed",
      replace: "timestamp: Date.now()",
      by: "",
      tests: [bullMq]
    },
    {
      breaks: "direct calls: options that BullMQ refuses are no error of the call",
      symbol: "jobOf",
      replace: "job[\"validateOptions\"](job.asJSON())",
      by: "",
      tests: [bullMq]
    }
  ]),
  ...inFile("src/internal/engine/direct/pgBoss.ts", [
    {
      breaks: "direct calls: a job in a transaction of the caller is taken out of it",
      symbol: "isOwnTransaction",
      replace: "options?.db !== undefined",
      by: "options === null",
      tests: [pgBoss]
    },
    {
      breaks: "direct calls: an intent that is dispatched twice is two jobs of pg-boss",
      symbol: "pgBossEngine",
      replace: "{ id, ...remaining(options, waited) }",
      by: "{ ...remaining(options, waited) }",
      tests: [pgBoss]
    },
    {
      breaks: "direct calls: seconds of pg-boss count from the end of the scope",
      symbol: "remaining",
      replace: "waited / 1000",
      by: "0",
      tests: [pgBoss]
    }
  ]),
  ...inFile("src/internal/engine/direct/graphileWorker.ts", [
    {
      breaks: "direct calls: an intent that is dispatched twice is two jobs of graphile-worker",
      symbol: "graphileEngine",
      replace: "spec.jobKey === undefined && { jobKey: id, jobKeyMode: \"unsafe_dedupe\" }",
      by: "{}",
      tests: [graphile]
    },
    {
      breaks: "direct calls: jobs of addJobs lose the time that they should preserve",
      symbol: "graphileEngine",
      replace: "preservesRunAt === true",
      by: "preservesRunAt === undefined",
      tests: [graphile]
    }
  ])
]
