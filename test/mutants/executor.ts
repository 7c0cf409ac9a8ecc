/** Executors: background, drain and route. */
import { inFile, type Mutant } from "./mutant.js"

export const executor: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/executor/background.ts", [
    {
      breaks: "background: the shutdown does not finish what is held",
      symbol: "HeldBatches.add",
      replace: "this.handlers.onClose(this.finish)",
      by: "() => {}",
      tests: ["test/executor/background.test.ts"]
    },
    {
      breaks: "background: the shutdown does not name what it could not finish",
      symbol: "HeldBatches.failuresOf",
      replace: "notAttempted(intent)",
      by: "Exit.void",
      tests: ["test/executor/background.test.ts"]
    },
    {
      breaks: "background: a failure is not logged",
      symbol: "HeldBatches.complete",
      replace: "batch.abandoned ? Effect.void : tellAll(failed, this.failuresOf(batch))",
      by: "Effect.void",
      tests: ["test/executor/background.test.ts"]
    },
    {
      breaks: "background: it holds more than its capacity",
      symbol: "dispatchLater",
      replace: "new Semaphore(capacity)",
      by: "new Semaphore(Infinity)",
      tests: ["test/executor/background.test.ts"]
    },
    {
      breaks: "background: an intent runs before its delay has passed",
      symbol: "dueAt",
      replace: "now + Duration.toMillis(delay)",
      by: "now",
      tests: ["test/executor/capabilities.test.ts"]
    },
    {
      breaks: "background: it delays what its executor delays too",
      symbol: "dueAt",
      replace: `capabilities.includes("delay")`,
      by: "false",
      tests: ["test/executor/capabilities.test.ts"]
    },
    {
      breaks: "background: a shutdown waits for the delay of an intent",
      symbol: "HeldBatches.finish",
      replace: "!waits",
      by: "waits || !waits",
      tests: ["test/executor/capabilities.test.ts"]
    },
    {
      breaks: "background: a lost intent is named by each handler that closes",
      symbol: "HeldBatches.abandon",
      replace: "!batch.abandoned",
      by: "!abandoned.has(batch)",
      tests: ["test/executor/capabilities.test.ts"]
    }
  ]),
  ...inFile("src/internal/support/semaphore.ts", [
    {
      breaks: "semaphore: a waiter that is interrupted stays in the queue, and nobody behind it gets a permit",
      symbol: "Semaphore.take",
      replace: "this.waiters.splice(this.waiters.indexOf(waiter), 1)",
      by: "",
      tests: ["test/internal/support/semaphore.test.ts"]
    }
  ]),
  ...inFile("src/internal/executor/drain.ts", [
    {
      breaks: "drain: what handlers enqueue is dispatched by itself, not with the queue",
      symbol: "DrainQueue.work",
      replace: "{ ...this.options, executor: { ...this.executor, dispatch: this.join } }",
      by: "this.options",
      tests: ["test/scenarios/ndb.test.ts"]
    },
    {
      breaks: "drain: an intent that had ended before the timeout is named as unfinished",
      symbol: "DrainQueue.failureOf",
      replace: "outcome !== undefined && Exit.isSuccess(outcome)",
      by: "stopped === undefined && outcome !== undefined && Exit.isSuccess(outcome)",
      tests: ["test/scenarios/ndb.test.ts"]
    },
    {
      breaks: "drain: two scopes share one queue",
      symbol: "drain",
      replace: `
        const forScope = (): Executor => {
          const { begin, close } = new DrainQueue(executor, limit, run)
          return { ...executor, dispatch: begin, close }
        }`,
      by: `
        const { begin, close } = new DrainQueue(executor, limit, run)
        const forScope = (): Executor => ({ ...executor, dispatch: begin, close })`,
      tests: ["test/scenarios/ndb.test.ts"]
    }
  ]),
  ...inFile("src/internal/executor/make.ts", [
    {
      breaks: "capabilities: an executor in this process claims to dedupe",
      symbol: "capabilities",
      replace: `"orderingKey"`,
      by: `"orderingKey", "dedupeKey"`,
      tests: ["test/executor/capabilities.test.ts"]
    }
  ]),
  ...inFile("src/internal/executor/route.ts", [
    {
      breaks: "capabilities: a route accepts every option",
      symbol: "routeBy",
      replace: "(intent) => capabilitiesOf(choose(intent), intent)",
      by: `["delay", "priority", "queue"]`,
      tests: ["test/executor/capabilities.test.ts"]
    },
    {
      breaks: "route: outcomes come back in the order of the executors",
      symbol: "dispatchBy",
      replace: "outcomes[index] = outcomesOfShare[position] ?? Exit.fail(reasonOf(executor, intent, exit, undefined))",
      by: "outcomes[position] = outcomesOfShare[position] ?? Exit.fail(reasonOf(executor, intent, exit, undefined))",
      tests: ["test/executor/route.test.ts"]
    },
    {
      breaks: "route: other executors use up the time of the executor that keeps intents",
      symbol: "dispatchBy",
      replace: "Number(isDurable(b)) - Number(isDurable(a))",
      by: "0",
      tests: ["test/outbox/composition.test.ts"]
    }
  ])
]
