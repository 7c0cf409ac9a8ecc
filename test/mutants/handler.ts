/** Running handlers: what one handler finds, batches, retries and ordering. */
import { inFile, type Mutant } from "./mutant.js"

export const handler: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/handler/runner.ts", [
    {
      breaks: "a handler sees the context of the fiber that runs it",
      symbol: "HandlerRunner.open",
      replace: "Context.add(context, EffectScope.Scope, finalizers)",
      by: `Context.merge(
        runningFiber().currentContext,
        Context.add(context, EffectScope.Scope, finalizers)
      )`,
      tests: ["test/Task.test.ts"]
    },
    {
      breaks: "a handler's resources are left to the next handler",
      symbol: "isUnused",
      replace: "hasNoFinalizers(finalizers)",
      by: "true",
      tests: ["test/Task.test.ts"]
    },
    {
      breaks: "a handler takes over the FiberRefs and children of the handler before it",
      symbol: "isUnused",
      replace: "refs === refsOf(runningFiber())",
      by: "true",
      tests: ["test/Task.test.ts"]
    },
    {
      breaks: "FiberRefs: a worker that goes on in another fiber leaves that fiber in the handler's scope",
      symbol: "HandlerRunner.during",
      replace: "resetRefs(runningFiber(), this.refs)",
      by: "",
      tests: ["test/scenarios/batchedRequests.test.ts"]
    },
    {
      breaks: "a handler's intents are left in the scope of the next handler",
      symbol: "isUnused",
      replace: "scope.buffer.length === 0",
      by: "true",
      tests: ["test/Task.test.ts"]
    },
    {
      breaks: "a handler runs in the scope of another cascade",
      symbol: "HandlerRunner.run",
      replace: "environment.scope.cascade?.outer === call.cascade",
      by: "true",
      tests: ["test/Task.test.ts"]
    },
    {
      breaks: "a handler runs in the context of another task's Layer",
      symbol: "HandlerRunner.run",
      replace: "environment.registration === registration",
      by: "true",
      tests: ["test/handler/batching.test.ts"]
    },
    {
      breaks: "the scope of a handler stays open after the handler has ended",
      symbol: "HandlerRunner.ended",
      replace: `environment.scope.state = "flushed"`,
      by: "",
      tests: ["test/Task.test.ts"]
    }
  ]),
  ...inFile("src/internal/handler/registry.ts", [
    {
      breaks: "a handler's Layer closes while its handler runs",
      symbol: "HandlerRegistry.unregister",
      replace: "registration.running === 0",
      by: "registration.running >= 0",
      tests: ["test/Task.test.ts"]
    },
    {
      breaks: "background: the shutdown waits for ever for a handler that ignores interruption",
      symbol: "HandlerRegistry.awaitRuns",
      replace: `runWithDeadline(ended, { what: "A handler", limit })`,
      by: `runWithDeadline(ended, { what: "A handler", limit: Duration.max(limit, Duration.infinity) })`,
      tests: ["test/executor/background.test.ts"]
    },
    {
      breaks: "background: each handler's Layer has the whole shutdown timeout to itself",
      symbol: "HandlerRegistry.beginClosing",
      replace: "this.closing.since",
      by: "now",
      tests: ["test/executor/shutdown.test.ts"]
    }
  ]),
  ...inFile("src/internal/handler/run.ts", [
    {
      breaks: "I11: a retry schedule that never pauses blocks the event loop",
      symbol: "withRetries",
      replace: "yieldToEventLoop",
      by: "Effect.void",
      tests: ["test/handler/retry.test.ts"]
    },
    {
      breaks: "I9: a failed intent keeps the others from being dispatched",
      symbol: "work",
      replace: "options.failFast === true && Exit.isFailure(outcome)",
      by: "Exit.isFailure(outcome)",
      tests: ["test/Executor.test.ts"]
    },
    {
      breaks: "run: maxAttempts is ignored",
      symbol: "retryableOf",
      replace: "attempts < (options.maxAttempts ?? Infinity)",
      by: "attempts < 1e9 + (options.maxAttempts ?? 0)",
      tests: ["test/handler/retry.test.ts"]
    },
    {
      breaks: "run: an intent that failed and waits for its next attempt counts as not attempted",
      symbol: "withRetries",
      replace: "noteOutcome(call, outcome)",
      by: "if (Exit.isSuccess(outcome)) { noteOutcome(call, outcome) }",
      tests: ["test/handler/retry.test.ts"]
    }
  ]),
  ...inFile("src/internal/handler/lanes.ts", [
    {
      breaks: "run: intents of one orderingKey run side by side",
      symbol: "lanesOf",
      replace: "key === undefined ? call : joined.find(key)",
      by: "call",
      tests: ["test/handler/ordering.test.ts"]
    }
  ]),
  ...inFile("src/internal/handler/calls.ts", [
    {
      breaks: "batches: only the last of merged intents has the outcome",
      symbol: "noteOutcome",
      replace: "call.intents",
      by: "call.entries.map(({ intents }) => intents[intents.length - 1]!)",
      tests: ["test/handler/batching.test.ts"]
    },
    {
      breaks: "batches: a merged payload keeps the place of its first intent",
      symbol: "Group.add",
      replace: "this.entries.delete(key)",
      by: "",
      tests: ["test/handler/batching.test.ts"]
    },
    {
      breaks: "batches: an intent overtakes another of its orderingKey that waits in a batch",
      symbol: "batchCalls",
      replace: "other !== registration && group.orderingKeys.has(orderingKey)",
      by: "false",
      tests: ["test/handler/batching.test.ts"]
    }
  ])
]
