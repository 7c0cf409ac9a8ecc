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
  ...inFile("src/internal/scope/decide.ts", [
    {
      breaks: "I3: a shouldFlush that returns nothing discards in silence",
      symbol: "flushes",
      replace: "shouldFlush!(exit, dispositions.undecided)",
      by: "shouldFlush!(exit, dispositions.undecided) === true",
      tests: ["test/Policy.test.ts"]
    },
    {
      breaks: "I3: a beforeDescendantFlushes that returns something else captures in silence",
      symbol: "passingOf",
      replace: "!answer.every((intent) => known.has(intent))",
      by: "known.size < 0",
      tests: ["test/Policy.test.ts"]
    },
    {
      breaks: "what began inside a plan dispatches when the plan has ended",
      symbol: "decide",
      replace: "scope.planning && scope.outer === undefined",
      by: "false",
      tests: ["test/scenarios/fibers.test.ts"]
    },
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
      tests: ["test/Plan.test.ts"]
    },
    {
      breaks: "I2: an interruption that is pending when the body ends is no part of the exit",
      symbol: "decide",
      replace: "endsInterrupted ? interruptedExit(exit, fiber) : exit",
      by: "exit",
      tests: ["test/internal/scope/settle.test.ts"]
    },
    {
      breaks: "I2: a scope that shouldFlush flushes after an interruption discards its intents",
      symbol: "decide",
      replace: "!endsInterrupted",
      by: "true",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I2: an interruption that comes while policies decide is ignored",
      symbol: "decide",
      replace: "if (!endsInterrupted && isCancelled()) { return discardUndecided(dispositions) }",
      by: "",
      tests: ["test/Plan.test.ts"]
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
  ...inFile("src/internal/scope/intentRecord.ts", [
    {
      breaks: "the payload of an intent is logged",
      symbol: "IntentRecord.toJSON",
      replace: `{ _id: "Intent", task: this.task.name, id: this.id }`,
      by: `{ _id: "Intent", task: this.task.name, id: this.id, payload: this.payload }`,
      tests: ["test/Intent.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/options.ts", [
    {
      breaks: "the options of an intent change with the object that the caller gave",
      symbol: "freezeOptions",
      replace: "Object.freeze({ ...options })",
      by: "options",
      tests: ["test/Intent.test.ts"]
    },
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
    },
    {
      breaks: "outbox: rows are ready before the plan of their transaction is approved",
      symbol: "insertInto",
      replace: "scope.outer !== undefined || scope.options.approve !== undefined",
      by: "scope.outer !== undefined",
      tests: ["test/outbox/composition.test.ts"]
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
      breaks: "durability: two executors that differ are reported for each Airlock",
      symbol: "registerAirlock",
      replace: "told.has(name)",
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
      replace: "independent !== true && mayBeOuter(scope)",
      by: "false",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "a plan dispatches the intents of independent scopes",
      symbol: "canBeOuter",
      replace: "scope.planning",
      by: "false",
      tests: ["test/Plan.test.ts"]
    },
    {
      breaks: "a plan dispatches the intents of requests inside it",
      symbol: "canBeOuter",
      replace: "scope.planning || (independent !== true && mayBeOuter(scope))",
      by: "(scope.planning || independent !== true) && mayBeOuter(scope)",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "a scope in a fiber whose own scope has settled can never flush",
      symbol: "stillOpen",
      replace: "at = at.scope.outer",
      by: "break",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I5: a scope in a fiber whose own scope has settled passes by the scopes around that one",
      symbol: "stillOpen",
      replace: "at = at.scope.outer",
      by: "return undefined",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "a body that is streamed inside a plan is not in the plan",
      symbol: "openBeside",
      replace: "planning ? stillOpen(current) : undefined",
      by: "undefined",
      tests: ["test/HttpMiddleware.test.ts"]
    },
    {
      breaks: "I2: an interruption cancels a scope inside an uninterruptible region",
      symbol: "openScope",
      replace: "rest.interruptible !== false",
      by: "true",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I2: a scope of an interrupted fiber's finalizer discards its intents",
      symbol: "openScope",
      replace: "rest.interruptible !== false && !isInterrupted(fiber)",
      by: "true",
      tests: ["test/scenarios/interruption.test.ts"]
    },
    {
      breaks: "nobody hears of an executor that is ignored inside another scope",
      symbol: "warnOfIgnoredExecutor",
      replace: "names.has(ignored.name)",
      by: "true",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "an executor that is ignored is warned of each time",
      symbol: "warnOfIgnoredExecutor",
      replace: "warned.set(scope.airlock, names.add(ignored.name))",
      by: "",
      tests: ["test/Airlock.test.ts"]
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
      breaks: "a policy that is made inline warns of a misspelt name each time",
      symbol: "warnOfUnknownTasks",
      replace: "done.told.has(unknown.join())",
      by: "false",
      tests: ["test/Policy.test.ts"]
    },
    {
      breaks: "I2: an interruption that is pending when a scope flushes ends its policies",
      symbol: "runDeciding",
      replace: "!isInterrupted(fiber)",
      by: "true",
      tests: ["test/Airlock.test.ts"]
    },
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
      replace: "(Exit.isFailure(end) || isInterrupted(fiber))",
      by: "false",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: a loser that could not be interrupted counts as a success",
      symbol: "fateOf",
      replace: "isInterrupted(fiber)",
      by: "false",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: the intents of a failed fiber are dispatched",
      symbol: "fateOf",
      replace: `"failed"`,
      by: `"succeeded"`,
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: a worker that succeeds with the Exit of a failure counts as a success",
      symbol: "fateOf",
      replace: "while (Exit.isSuccess(end) && Exit.isExit(end.value)) { end = end.value }",
      by: "",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: a fiber that still runs counts as ended",
      symbol: "fateOfFork",
      replace: `"running"`,
      by: `"succeeded"`,
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: only the fiber that enqueued counts, not those that forked it",
      symbol: "fateOfBranch",
      replace: "at.joiners ?? [at.parent]",
      by: "[makeFork(undefined)]",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I6: the fate of a fiber is taken when its scope settles",
      symbol: "observe",
      replace: "fork.fate = fateOf(fiber, exit, stops)",
      by: `Object.defineProperty(fork, "fate", { get: () => fateOf(fiber, exit, stops) })`,
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: a fiber that was joined still belongs to the fiber that forked it",
      symbol: "fateOfBranch",
      replace: "at.joiners ?? [at.parent]",
      by: "[at.parent]",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: a fiber that was stopped discards its intents",
      symbol: "observe",
      replace: "isUnsupervised(fiber) && !isForEachWorker(fiber)",
      by: "false",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: a worker whose sibling failed counts as stopped",
      symbol: "observe",
      replace: "!isForEachWorker(fiber)",
      by: "true",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: a batch belongs to the daemon that runs it",
      symbol: "observe",
      replace: "fork.requests !== undefined && fork.parent?.requests !== fork.requests",
      by: "false",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: a resolver that has answered counts as running",
      symbol: "isResolved",
      replace: "[...requests.values()].every(({ state }) => state.completed)",
      by: "requests.size === 0",
      tests: ["test/scenarios/fibers.test.ts"]
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
    },
    {
      breaks: "I6: an item that Effect continues in another fiber keeps its intents when it fails there",
      symbol: "continueStep",
      replace: "moveToFiber(fork, running, currentStep(running))",
      by: "void running",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: an item of a batch has no node of its own",
      symbol: "ownFork",
      replace: "step === undefined || fork.step === step",
      by: "true",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: a region loses the node of an item of a batch",
      symbol: "locally",
      replace: "{ scope: before.scope, policies: before.policies, fork: now.fork }",
      by: "before",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: the intents of an unknown fiber are dispatched",
      symbol: "noteUnknown",
      replace: `"unknown"`,
      by: `"succeeded"`,
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: code that is not Effect belongs to no fiber",
      symbol: "noteUnknown",
      replace: "noteFiber(fork, owner)",
      by: "void owner",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: a scope that was opened in a merged Layer does not reach the Layers beside it",
      symbol: "joinCurrent",
      replace: "isHandedOver ? child : value",
      by: "value",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I6: a run that got its scope from a Layer counts as the fiber of the scope",
      symbol: "ownFork",
      replace: "scope.entered.fiber !== fiber",
      by: "false",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "a captured runtime feeds the scope around a scope that has settled",
      symbol: "forkCurrent",
      replace: "parent === undefined ? value : afterSettled(value)",
      by: "afterSettled(value)",
      tests: ["test/scenarios/fibers.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/disposition.ts", [
    {
      breaks: "I7: intents that were enqueued beside a savepoint are dispatched though it was rolled back",
      symbol: "discardByFate",
      replace: "isRolledBack(intent.savepoint)",
      by: "false",
      tests: ["test/SqlTransaction.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/report.ts", [
    {
      breaks: "I3: intents that do not leave though their scope succeeds are not reported at the usual log level",
      symbol: "reportUndispatched",
      replace: "dispositions.flushes",
      by: "false",
      tests: ["test/scenarios/fibers.test.ts"]
    },
    {
      breaks: "I12: intents that a policy drops are not counted",
      symbol: "dropped",
      replace: "metric: AirlockMetrics.dropped",
      by: "",
      tests: ["test/scenarios/observability.test.ts"]
    }
  ]),
  ...inFile("src/Airlock.ts", [
    {
      breaks: "a FlushError that onFlushError handles is not logged",
      symbol: "recover",
      replace: "Effect.logError",
      by: "Effect.logDebug",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I2: a failure of onFlushError comes before the cause of the body",
      symbol: "recover",
      replace: "Exit.zipLeft(exit, recovered)",
      by: "Exit.zipRight(recovered, exit)",
      tests: ["test/Airlock.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/scope.ts", [
    {
      breaks: "the application's scope behaviour overrides the options of a scope",
      symbol: "optionsOf",
      replace: "{ ...airlock.scope, ...Object.fromEntries(given) }",
      by: "{ ...options, ...airlock.scope }",
      tests: ["test/Airlock.test.ts"]
    },
    {
      breaks: "I1: a plan lets intents leave early because the application's scopes do",
      symbol: "optionsOf",
      replace: "(planning && outer === undefined)",
      by: "false",
      tests: ["test/Airlock.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/stream.ts", [
    {
      breaks: "a stream enqueues into the scope around it",
      symbol: "streamInScope",
      replace: "locally(pull, scope)",
      by: "pull",
      tests: ["test/HttpTransaction.test.ts", "test/scenarios/streams.test.ts"]
    },
    {
      breaks: "a stream settles while the fibers of its stages still run",
      symbol: "close",
      replace: "EffectScope.close(resources, exit)",
      by: "Effect.void",
      tests: ["test/scenarios/streams.test.ts"]
    },
    {
      breaks: "the finalizers of a stream enqueue into the scope around it",
      symbol: "streamInScope",
      replace: "locally(EffectScope.extend(Stream.toPull(self), resources), scope)",
      by: "EffectScope.extend(Stream.toPull(self), resources)",
      tests: ["test/scenarios/streams.test.ts"]
    },
    {
      breaks: "a stream that fails flushes",
      symbol: "close",
      replace: "settle(scope, ended)",
      by: "settle(scope, Exit.void)",
      tests: ["test/scenarios/streams.test.ts"]
    },
    {
      breaks: "a stream whose reader fails flushes",
      symbol: "streamInScope",
      replace: "Exit.isSuccess(exit) ? stopped : exit",
      by: "stopped",
      tests: ["test/scenarios/streams.test.ts"]
    },
    {
      breaks: "a stream whose reader stops before the end never settles",
      symbol: "streamInScope",
      replace: "end(Exit.isSuccess(exit) ? stopped : exit)",
      by: "Exit.isSuccess(exit) ? Effect.void : end(exit)",
      tests: ["test/scenarios/streams.test.ts"]
    },
    {
      breaks: "a stream that ends hides its FlushError",
      symbol: "streamInScope",
      replace: "Exit.zipRight(exit, ended)",
      by: "exit",
      tests: ["test/scenarios/streams.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/plan.ts", [
    {
      breaks: "a plan shows the intents of a fiber that still runs as discarded",
      symbol: "preview",
      replace: `fate === "running" || fate === "unknown" ? "succeeded" : fate`,
      by: "fate",
      tests: ["test/Plan.test.ts"]
    }
  ]),
  ...inFile("src/internal/scope/apply.ts", [
    {
      breaks: "I2: a handler's failure does not become a failure of the flush",
      symbol: "dispatchBatch",
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
      symbol: "applyAll.discarded",
      replace: `"Discard"`,
      by: "",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: the held rows of intents that failed stay",
      symbol: "applyAll",
      replace: `"Fail"`,
      by: "",
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: the committed rows of a failed fiber stay",
      symbol: "applyAll",
      replace: `dispositions.intentsWhere("Discard", "Fail")`,
      by: `dispositions.where("Discard").flatMap(({ disposition: { why }, intent }) =>
        why === "FiberFailed" ? [] : intent)`,
      tests: ["test/outbox/suite.test.ts"]
    },
    {
      breaks: "outbox: the held rows of a plan that was not approved stay",
      symbol: "applyAll",
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
    },
    {
      breaks: "I9: an executor that returns too many outcomes counts as one that dispatched",
      symbol: "checkAnswer",
      replace: "answer.length > intents.length",
      by: "answer.length < 0",
      tests: ["test/Executor.test.ts"]
    },
    {
      breaks: "I9: an outcome that is no Exit counts as a success",
      symbol: "dispatchTo",
      replace: `outcome._tag !== "Success"`,
      by: `outcome._tag === "Failure"`,
      tests: ["test/Executor.test.ts"]
    }
  ])
]
