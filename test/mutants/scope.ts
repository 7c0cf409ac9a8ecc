/** Scopes: enqueueing, policies, settling, and which fibers count. */
import { inFile, type Mutant } from "./mutant.js"

export const scope: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/scope/enqueue.ts", [
    {
      breaks: "I1: an enqueue runs the handler",
      symbol: "accept",
      replace: "Effect.succeed(intent.id)",
      by: "Effect.as(scope.airlock.handlers.run([intent]), intent.id)",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I3: a closed scope accepts intents and forgets them",
      symbol: "accept",
      replace: `state !== "open"`,
      by: "false",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I4: an intent that a policy refused at the enqueue stays in the buffer",
      symbol: "add",
      replace: "evaluateOnEnqueue(scope, intent)",
      by: "Effect.zipRight(Effect.sync(() => scope.buffer.push(intent)), evaluateOnEnqueue(scope, intent))",
      tests: ["test/Policy.test.ts"]
    },
    {
      breaks: "I7: an enqueue in a transaction that Airlock does not see is accepted",
      symbol: "add",
      replace: "frame === undefined",
      by: "false",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I11: a scope holds one intent more than it may",
      symbol: "accept",
      replace: "buffer.length >= limits.maxIntents",
      by: "buffer.length > limits.maxIntents",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I11: a cascade may be twice as deep as it may",
      symbol: "accept",
      replace: "cascade.depth >= limits.maxCascade",
      by: "cascade.depth >= 2 * limits.maxCascade",
      tests: ["test/scenarios/python.test.ts"]
    },
    {
      breaks: "a payload is not checked",
      symbol: "enqueue",
      replace: "isValid(task, payload)",
      by: "true",
      tests: ["test/Airlock.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/options.ts", [
    {
      breaks: "capabilities: an option that the executor cannot carry out is accepted",
      symbol: "unsupportedOptions",
      replace: "capabilities.includes(option)",
      by: "true",
      tests: ["test/executor/capabilities.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/outboxRows.ts", [
    {
      breaks: "durability: an outbox on another client than the transaction is not reported",
      symbol: "insertRows",
      replace: "foreign ??= intent",
      by: "",
      tests: ["test/outbox/foreignClient.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/wiring.ts", [
    {
      breaks: "durability: an outbox that no Airlock uses is not reported",
      symbol: "reportUnusedOutboxes",
      replace: "const unused = [...wiring.unusedOutboxes]",
      by: "const unused: Array<WiredOutbox> = []",
      tests: ["test/outbox/wiring.test.ts"]
    },
    {
      breaks: "durability: a route counts as an executor that uses no outbox",
      symbol: "mayUse",
      replace: "executor.durable === undefined",
      by: "false",
      tests: ["test/outbox/wiring.test.ts"]
    },
    {
      breaks: "durability: two Airlocks whose executors differ are not reported",
      symbol: "registerAirlock",
      replace: "differ(executor, other)",
      by: "false",
      tests: ["test/outbox/wiring.test.ts"]
    },
    {
      breaks: "durability: an Airlock whose Layer has closed still counts",
      symbol: "registerAirlock",
      replace: "wiring.airlocks.delete(airlock)",
      by: "undefined",
      tests: ["test/outbox/wiring.test.ts"]
    },
    {
      breaks: "durability: the Airlocks of AirlockTest count",
      symbol: "differ",
      replace: "other.name !== testExecutor",
      by: "true",
      tests: ["test/outbox/wiring.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/open.ts", [
    {
      breaks: "I4: an inner scope loses its policy when its intents are captured",
      symbol: "openScope",
      replace: "options.policy",
      by: "undefined",
      tests: ["test/Policy.test.ts"]
    },
    {
      breaks: "I5: an inner scope dispatches by itself",
      symbol: "canBeOuter",
      replace: "independent !== true",
      by: "false",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "a plan dispatches the intents of independent scopes",
      symbol: "canBeOuter",
      replace: "current.scope.planning",
      by: "false",
      tests: ["test/Plan.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/policyChain.ts", [
    {
      breaks: "I4: a region's policy does not reach an independent scope",
      symbol: "rebaseLocal",
      replace: "local ? extend(outer, policy, context, true) : outer",
      by: "outer",
      tests: ["test/Policy.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/policies.ts", [
    {
      breaks: "I4: a policy may enqueue",
      symbol: "runDeciding",
      replace: "insidePolicy",
      by: "undefined",
      tests: ["test/Policy.test.ts"]
    },
    {
      breaks: "I4: a policy may enqueue in a scope of its own",
      symbol: "insidePolicy",
      replace: "Effect.die(new PolicyEnqueueError({ task: intent.task.name }))",
      by: "Effect.void",
      tests: ["test/Policy.test.ts"]
    },
    {
      breaks: "outbox: policies are evaluated again when the request settles",
      symbol: "evaluateAll",
      replace: "isInserted(intent) ? undefined : intent.policies",
      by: "intent.policies",
      tests: ["test/outbox/suite.test.ts"]
    }
  ]),
  ...inFile("src/Policy.ts", [
    {
      breaks: "I4: the policy of one Layer replaces the policy of another",
      symbol: "effect",
      replace: "around === undefined ? provide(policy, context) : all(provide(policy, context), around)",
      by: "provide(policy, context)",
      tests: ["test/Policy.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/fork.ts", [
    {
      breaks: "I6: the intents of a fiber that lost a race are dispatched",
      symbol: "fateOf",
      replace: `isInterrupted(fiber) ? "interrupted" : "succeeded"`,
      by: `"succeeded"`,
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: the intents of a failed fiber are dispatched",
      symbol: "fateOf",
      replace: `Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "failed"`,
      by: `Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "succeeded"`,
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: a worker that succeeds with the Exit of a failure counts as a success",
      symbol: "fateOf",
      replace: "Exit.isExit(exit.value) && Exit.isFailure(exit.value)",
      by: "false",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: a fiber that still runs counts as ended",
      symbol: "fateOf",
      replace: `"running"`,
      by: `"succeeded"`,
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: only the fiber that enqueued counts, not those that forked it",
      symbol: "fateOfBranch",
      replace: "at = at.parent",
      by: "at = undefined",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: a joined worker is excused together with the fibers that a Stream interrupts",
      symbol: "fateOfBranch",
      replace: "!below.joined",
      by: "true",
      tests: ["test/scenarios/interruption.test.ts"]
    },
    {
      breaks: "I6: fibers that a Stream interrupts discard the intents of its workers",
      symbol: "noteFiber",
      replace: "isUnsupervised(fiber)",
      by: "false",
      tests: ["test/Airlock.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/currentScope.ts", [
    {
      breaks: "a fiber that ran handlers forgets that it was interrupted meanwhile",
      symbol: "resetRefs",
      replace: "isNoted ? updates : [...updates, interruption]",
      by: "updates",
      tests: ["test/scenarios/interruption.test.ts"]
    },
    {
      breaks: "two copies of the package see two scopes",
      symbol: "currentRef",
      replace: `Symbol.for("effect-airlock/currentScope")`,
      by: `Symbol("effect-airlock/currentScope")`,
      tests: ["test/Airlock.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/decide.ts", [
    {
      breaks: "I2: a failed scope dispatches",
      symbol: "flushes",
      replace: "Exit.isSuccess(exit)",
      by: "true",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I2: an interruption that is pending before the dispatch is ignored",
      symbol: "decide",
      replace: "isInterrupted(fiber)",
      by: "false",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I2: an interruption that comes while policies decide is ignored",
      symbol: "decide",
      replace: "if (isCancelled()) { return discardUndecided(dispositions) }",
      by: "",
      tests: ["test/Plan.test.ts"]
    },
    {
      breaks: "I2: a scope of an interrupted fiber's finalizer discards its intents",
      symbol: "decide",
      replace: "!scope.openedInterrupted",
      by: "true",
      tests: ["test/scenarios/interruption.test.ts"]
    },
    {
      breaks: "I4: policies are evaluated at each scope that hands over",
      symbol: "decide",
      replace: `
        byOuterScopes(scope, dispositions)
        const asked = dispositions.undecided`,
      by: `
        const asked = dispositions.undecided
        byOuterScopes(scope, dispositions)`,
      tests: ["test/Policy.test.ts"]
    },
    {
      breaks: "I4: a policy that fails lets every intent leave",
      symbol: "decide",
      replace: `dispositions.decide(() => ({ _tag: "Fail", reason: approved.left }))`,
      by: "",
      tests: ["test/Policy.test.ts"]
    },
    {
      breaks: "I7: only the nearest scope around is asked, so that intents pass a transaction early",
      symbol: "byOuterScopes",
      replace: "outer = outer.scope.outer",
      by: "outer = undefined",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "I7: intents that were enqueued beside a savepoint are dispatched though it was rolled back",
      symbol: "byFibers",
      replace: `isRolledBack(intent.savepoint) ? "failed" : fateOfBranch(intent.fork, fiber)`,
      by: "fateOfBranch(intent.fork, fiber)",
      tests: ["test/SqlTransaction.test.ts"]
    },
    {
      breaks: "intents are dispatched though their plan was not approved",
      symbol: "decide",
      replace: "!approved.right",
      by: "false",
      tests: ["test/Plan.test.ts"]
    },
    {
      breaks: "outbox: held rows stay when a hook of the scope throws",
      symbol: "discardAll",
      replace: "scope.buffer",
      by: "[]",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: a committed row is inserted again when a route gives other intents to this process",
      symbol: "complete",
      replace: "isInserted(intent) ? committed : dispatch",
      by: "dispatch",
      tests: ["test/outbox/composition.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/plan.ts", [
    {
      breaks: "a plan shows the intents of a fiber that still runs as discarded",
      symbol: "preview",
      replace: `fate === "running" ? undefined : discardByFate(fate, intent)`,
      by: "discardByFate(fate, intent)",
      tests: ["test/Plan.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/apply.ts", [
    {
      breaks: "I2: a handler's failure does not become a failure of the flush",
      symbol: "dispatch",
      replace: "dispositions.fail(failed)",
      by: "",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I3: an outer scope that has settled captures intents and forgets them",
      symbol: "refusalOf",
      replace: `state !== "open"`,
      by: "false",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I3: nobody hears of intents that an outer scope refuses",
      symbol: "handOver",
      replace: "dispositions.fail(refused)",
      by: "",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I5: a capture reverses the order",
      symbol: "capture",
      replace: "buffer.push(intent)",
      by: "buffer.unshift(intent)",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I5: captured intents stand in the order of their capture",
      symbol: "capture",
      replace: "buffer.sort((a, b) => a.id < b.id ? -1 : 1)",
      by: "",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: intents that were captured in a branch are dispatched though the branch fails later",
      symbol: "capture",
      replace: "intent.fork = fork",
      by: "",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I11: an outer scope captures more intents than it may hold",
      symbol: "refusalOf",
      replace: "buffer.length + count > limit",
      by: "buffer.length > limit",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "outbox: the held rows of discarded intents stay",
      symbol: "apply",
      replace: `"Discard"`,
      by: "",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: the held rows of intents that failed stay",
      symbol: "apply",
      replace: `"Fail"`,
      by: "",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: the committed rows of a failed fiber stay",
      symbol: "apply",
      replace: `dispositions.intentsWhere("Discard", "Fail")`,
      by: `dispositions.where("Discard").flatMap(({ disposition: { why }, intent }) =>
        why === "FiberFailed" ? [] : intent)`,
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: the held rows of a plan that was not approved stay",
      symbol: "apply",
      replace: `dispositions.intentsWhere("Discard", "Fail")`,
      by: `dispositions.where("Discard").flatMap(({ disposition: { why }, intent }) =>
        why === "NotApproved" ? [] : intent)`,
      tests: ["test/outbox/suite.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/settle.ts", [
    {
      breaks: "I2: a scope that is settling can be settled again",
      symbol: "settle",
      replace: `scope.state = "settling"`,
      by: "",
      tests: ["test/internal/scope/settle.test.ts"]
    },
    {
      breaks: "I2: a second settlement does not get the result of the first",
      symbol: "settle",
      replace: `scope.state !== "open"`,
      by: `scope.state === "settling"`,
      tests: ["test/internal/scope/settle.test.ts"]
    },
    {
      breaks: "I2: the flush's failure hides the body's cause",
      symbol: "exitOf",
      replace: "Exit.isSuccess(exit) ? flush.cause : Cause.sequential(exit.cause, flush.cause)",
      by: "flush.cause",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I2: a failed flush is a success",
      symbol: "exitOf",
      replace: "Exit.isSuccess(flush)",
      by: "Exit.isSuccess(flush) || Exit.isSuccess(exit)",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I2: a defect of `shouldFlush` is hidden",
      symbol: "settle",
      replace: "defectOf(decided, applied, closed)",
      by: "defectOf(applied, closed)",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I2: a defect while intents leave keeps the scope settling for ever",
      symbol: "settle",
      replace: "apply(scope, dispositions, fiber)",
      by: "Effect.catchAllDefect(apply(scope, dispositions, fiber), () => Effect.never)",
      tests: ["test/sql/transactions.test.ts"]
    },
    {
      breaks: "drain: failures that the executor tells when it closes are forgotten",
      symbol: "settle",
      replace: "Exit.isSuccess(closed) ? closed.value : []",
      by: "[]",
      tests: ["test/scenarios/ndb.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/dispatch.ts", [
    {
      breaks: "I9: the outcome of a handler that ended before the executor's deadline is lost",
      symbol: "dispatchTo",
      replace: "outcomes[index] ?? outcomeOf(intent)",
      by: "outcomes[index]",
      tests: ["test/Airlock.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/report.ts", [
    {
      breaks: "I12: intents that a policy drops are not counted",
      symbol: "dropped",
      replace: "metric: AirlockMetrics.dropped",
      by: "",
      tests: ["test/scenarios/observability.test.ts"]
    }
  ])
]
