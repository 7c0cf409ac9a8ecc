/** The relay of the outbox. */
import { inFile, type Mutant } from "./mutant.js"

const beginning = "test/internal/outbox/relay/beginning.test.ts"
const renewing = "test/internal/outbox/relay/renewing.test.ts"
const results = "test/internal/outbox/relay/results.test.ts"
const shutdown = "test/internal/outbox/relay/shutdown.test.ts"
const upkeep = "test/internal/outbox/relay/upkeep.test.ts"
const workers = "test/internal/outbox/relay/workers.test.ts"

export const relay: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/outbox/relay/beginning.ts", [
    {
      breaks: "relay: a handler begins although the session is lost",
      symbol: "Beginning.round",
      replace: "Exit.isSuccess(exit) && exit.value",
      by: "Exit.isSuccess(exit)",
      tests: [beginning]
    },
    {
      breaks: "relay: handlers begin before the session names them",
      symbol: "Beginning.round",
      replace: "restore(Effect.zipRight(intents, noted))",
      by: "restore(Effect.as(intents, true))",
      tests: [beginning]
    },
    {
      breaks: "relay: a row that kills its process is attempted for ever",
      symbol: "Beginning.decode",
      replace: "row.attempt >= maxAttempts",
      by: "false",
      tests: [beginning]
    },
    {
      breaks: "relay: each row that cannot be decoded takes a slot",
      symbol: "Beginning.takeWave",
      replace: "hasRows(run) || decoding.length > 0",
      by: "rows.length > 0",
      tests: [beginning]
    },
    {
      breaks: "relay: a codec that does not answer holds all other handlers up",
      symbol: "Beginning.decode",
      replace: "Effect.exit(limited)",
      by: "Effect.exit(Effect.if(Effect.succeed(true), { onTrue: () => decoding, onFalse: () => limited }))",
      tests: [beginning]
    }
  ]),
  ...inFile("src/internal/outbox/relay/state.ts", [
    {
      breaks: "relay: rows that are being given back count as begun",
      symbol: "RelayState.begun",
      replace: "...this.givenBack",
      by: "",
      tests: ["test/internal/outbox/relay/beginning.test.ts"]
    },
    {
      breaks: "relay: rows of a lost session wait for the new one",
      symbol: "RelayState.giveBack",
      replace: "run.session === this.session",
      by: "run.session !== undefined",
      tests: [beginning]
    },
    {
      breaks: "relay: a handler begins after the lease by the clock of the process",
      symbol: "RelayState.mayBegin",
      replace: "!this.isStopping && session.isAlive(now)",
      by: "!this.isStopping && session.isAlive(0 * now)",
      tests: [workers]
    },
    {
      breaks: "relay: a handler that does not end at the shutdown burns an attempt",
      symbol: "RelayState.leave",
      replace: "store.begin(id, { upTo: 0, except: [], last: 0, also: [] })",
      by: "Effect.void",
      tests: [shutdown]
    }
  ]),
  ...inFile("src/internal/outbox/relay/renewing.ts", [
    {
      breaks: "relay: its lease is not renewed",
      symbol: "perLease",
      replace: "3",
      by: "1 / 3_000",
      tests: [renewing]
    },
    {
      breaks: "relay: it keeps the rows that it has not begun when it has lost its lease",
      symbol: "Renewing.replace",
      replace: "this.state.dropWaiting()",
      by: "0",
      tests: [renewing]
    }
  ]),
  ...inFile("src/internal/outbox/relay/session.ts", [
    {
      breaks: "relay: a queue without slots counts as served",
      symbol: "Session.constructor",
      replace: "limit > 0",
      by: "true",
      tests: ["test/internal/outbox/relay/settings.test.ts"]
    },
    {
      breaks: "relay: rows of a newer version are claimed",
      symbol: "isRunnable",
      replace: "version <= newest",
      by: "version <= newest + 1",
      tests: ["test/internal/outbox/relay/claiming.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/relay/claiming.ts", [
    {
      breaks: "relay: a row that is due before the next poll waits for the poll",
      symbol: "Claiming.lookNow",
      replace: "this.state.lookWithin(found.dueInMillis)",
      by: "",
      tests: ["test/internal/outbox/relay/claiming.test.ts"]
    },
    {
      breaks: "relay: it looks for expired sessions before its own is renewed",
      symbol: "Claiming.round",
      replace: "this.isAlive && this.state.now() >= this.state.lookAt",
      by: "this.state.now() >= this.state.lookAt",
      tests: [workers]
    },
    {
      breaks: "relay: it claims as many rows of each task as a batched one takes",
      symbol: "Claiming.claimAll",
      replace: "this.wanted(pool, task, isFast)",
      by: "Math.max(...this.lanes.map(({ task }) => this.wanted(pool, task, isFast)))",
      tests: ["test/internal/outbox/relay/claiming.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/relay/pools.ts", [
    {
      breaks: "relay: the first queue takes all slots from the others",
      symbol: "Pools.next",
      replace: "(pool.load - next.load || pool.turn - next.turn) < 0",
      by: "false",
      tests: ["test/internal/outbox/relay/claiming.test.ts"]
    }
  ]),
  ...inFile("src/internal/outbox/relay/workers.ts", [
    {
      breaks: "relay: the slot of a handler that has exceeded its time is not freed",
      symbol: "Workers.timeOut",
      replace: "this.end(run, run.rows.map(() => Exit.fail(error)))",
      by: "void error",
      tests: [workers]
    },
    {
      breaks: "relay: the late outcome of a handler counts",
      symbol: "Workers.end",
      replace: "!this.state.runs.delete(run)",
      by: "!this.state.runs.delete(run) && outcomes.length === 0",
      tests: [workers]
    },
    {
      breaks: "relay: an interruption by the shutdown burns an attempt",
      symbol: "Workers.interruptAll",
      replace: "this.state.runs.clear()",
      by: "",
      tests: [shutdown]
    },
    {
      breaks: "relay: the metric does not count what a transactional handler has acknowledged",
      symbol: "Workers.transact",
      replace: "report.acknowledged(run.rows.length)",
      by: "Effect.void",
      tests: ["test/outbox/transactional.test.ts"]
    },
    {
      breaks: "relay: a transactional handler commits although another relay has its row",
      symbol: "Workers.transact",
      replace: "length === run.rows.length",
      by: "length <= run.rows.length",
      tests: ["test/outbox/transactional.test.ts"]
    },
    {
      breaks: "relay: a row is acknowledged before its handler runs",
      symbol: "Workers.begun",
      replace: "this.state.runs.add(run)",
      by:
        "run.rows.forEach((row) => this.results.succeed({ session: run.session, row }))\n    this.state.runs.add(run)",
      tests: [results]
    }
  ]),
  ...inFile("src/internal/outbox/relay/verdict.ts", [
    {
      breaks: "relay: a row that fails is attempted for ever",
      symbol: "verdictOf",
      replace: "row.attempt + 1 >= maxAttempts",
      by: "row.attempt < 0",
      tests: [results]
    },
    {
      breaks: "relay: a snooze burns an attempt",
      symbol: "verdictOf",
      replace: "counts: false, maxAttempts, error: null",
      by: "counts: true, maxAttempts, error: null",
      tests: [results]
    },
    {
      breaks: "relay: the limit of a task comes before that of the row",
      symbol: "maxAttemptsOf",
      replace: "row.maxAttempts ?? task?.retry?.maxAttempts ?? standard",
      by: "task?.retry?.maxAttempts ?? row.maxAttempts ?? standard",
      tests: [results]
    }
  ]),
  ...inFile("src/internal/outbox/relay/results.ts", [
    {
      breaks: "relay: a retry waits for the next poll",
      symbol: "Results.storeFailures",
      replace: "this.state.lookWithin(failure.next.delayMillis)",
      by: "",
      tests: ["test/internal/outbox/relay/claiming.test.ts"]
    },
    {
      breaks: "relay: a result is given up when its statement fails",
      symbol: "Results.whileOwn",
      replace: "session.isAlive(this.state.now())",
      by: "session.isAlive(Infinity)",
      tests: [results]
    },
    {
      breaks: "relay: a row that has used its attempts loses the error of the last one",
      symbol: "Results.judge",
      replace: "verdict.counts ? error : null",
      by: "error",
      tests: [results]
    },
    {
      breaks: "relay: a statement stores any number of failures",
      symbol: "maxFailures",
      replace: "50",
      by: "5_000",
      tests: [results]
    },
    {
      breaks: "relay: results that the database refuses are retried in silence",
      symbol: "Results.whileOwn",
      replace: "++failures % perWarning === 0",
      by: "++failures < 0",
      tests: [results]
    },
    {
      breaks: "relay: a row whose result was given up stays claimed for ever",
      symbol: "Results.whileOwn",
      replace: "this.state.hasUnknownRows = true",
      by: "",
      tests: [results]
    },
    {
      breaks: "relay: results that were refused are not reported",
      symbol: "Results.whileOwn",
      replace: "changed.length === ids.length",
      by: "changed.length <= ids.length",
      tests: [results]
    }
  ]),
  ...inFile("src/internal/outbox/relay/relay.ts", [
    {
      breaks: "relay: a database that does not answer holds the shutdown up",
      symbol: "startRelay",
      replace: "within(grace, Fiber.interrupt(rest))",
      by: "Fiber.interrupt(rest)",
      tests: [shutdown]
    },
    {
      breaks: "relay: a part that dies stays dead",
      symbol: "inDaemon",
      replace: "Effect.forever(Effect.catchAllCause(loop, restart))",
      by: "Effect.catchAllCause(loop, restart)",
      tests: [upkeep]
    },
    {
      breaks: "relay: a part that dies begins anew at once",
      symbol: "restart",
      replace: "Effect.sleep(restartAfter)",
      by: "Effect.void",
      tests: [upkeep]
    },
    {
      breaks: "relay: a part dies in silence",
      symbol: "restart",
      replace: "report.partDied(cause)",
      by: "Effect.asVoid(Effect.succeed(cause))",
      tests: [upkeep]
    }
  ]),
  ...inFile("src/internal/outbox/relay/upkeep.ts", [
    {
      breaks: "relay: rows that its session has without its knowledge stay claimed",
      symbol: "upkeep",
      replace: "state.hasUnknownRows = true",
      by: "",
      tests: ["test/internal/outbox/relay/claiming.test.ts"]
    },
    {
      breaks: "relay: one batch of old rows is deleted in a minute",
      symbol: "upkeep",
      replace: "pruned < batch ? Effect.void : prune",
      by: "pruned <= batch ? Effect.void : prune",
      tests: [results]
    },
    {
      breaks: "relay: it warns each minute of rows that no relay can run",
      symbol: "upkeep",
      replace: "warnedAt.set(name, now)",
      by: "",
      tests: [upkeep]
    },
    {
      breaks: "relay: it warns once only of rows that no relay can run",
      symbol: "upkeep",
      replace: "now - (warnedAt.get(name) ?? -Infinity) < silence",
      by: "warnedAt.has(name)",
      tests: [upkeep]
    },
    {
      breaks: "relay: it warns of rows that no relay can run before the time of unroutableAfter",
      symbol: "upkeep",
      replace: "Duration.toMillis(unroutableAfter)",
      by: "0 * Duration.toMillis(unroutableAfter)",
      tests: [upkeep]
    },
    {
      breaks: "relay: a warning of one lane silences those of the others",
      symbol: "upkeep",
      replace: "[lane.queue, lane.task, lane.version]",
      by: "[lane.task]",
      tests: [upkeep]
    },
    {
      breaks: "relay: rows that are done and cannot be deleted end its upkeep in silence",
      symbol: "upkeep.orReport",
      replace: "report.statementFailed(what, cause)",
      by: "what === \"\" ? report.statementFailed(what, cause) : Effect.void",
      tests: [upkeep]
    }
  ])
]
