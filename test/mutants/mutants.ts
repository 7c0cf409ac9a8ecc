import { configuration } from "./configuration.js"
import { executors } from "./executors.js"
import { outbox } from "./outbox.js"
import { park } from "./park.js"

/**
 * Small ways to break an invariant. Each replaces a piece of the source, which must be there exactly once, and some test
 * must notice.
 */
export interface Mutant {
  readonly breaks: string
  readonly file: string
  readonly from: string
  readonly to: string
  /** The tests that should notice first. Default: by the file. */
  readonly tests?: ReadonlyArray<string>
}

const nearest = (tests: ReadonlyArray<string>, mutants: ReadonlyArray<Mutant>): ReadonlyArray<Mutant> =>
  mutants.map((mutant) => ({ tests, ...mutant }))

export const mutants: ReadonlyArray<Mutant> = [
  {
    breaks: "I1: the handler runs at the enqueue",
    file: "src/internal/enqueue.ts",
    from: "  return (buffer.length & 0x3ff) === 0",
    to:
      "  return (intent.depth >= 0) ? Effect.as(scope.airlock.handlers.run([intent]), intent.id) : (buffer.length & 0x3ff) === 0"
  },
  {
    breaks: "I2: a failed scope flushes too",
    file: "src/internal/settle.ts",
    from: "scope.options.shouldFlush?.(exit, kept) ?? Exit.isSuccess(exit)",
    to: "scope.options.shouldFlush?.(exit, kept) ?? true"
  },
  {
    breaks: "I2: settles twice",
    file: "src/internal/settle.ts",
    from: "    scope.state = \"settling\"\n",
    to: ""
  },
  {
    breaks: "I2: what was flushed stays in the buffer, and a second settlement is a new one",
    file: "src/internal/settle.ts",
    from:
      "    if (scope.settlement !== undefined) {\n      return Effect.succeed(scope.settlement)\n    }\n    if (scope.state !== \"open\") {",
    to: "    if (scope.settlement === undefined && scope.state !== \"open\") {"
  },
  {
    breaks: "I2: an interruption before the dispatch is not seen",
    file: "src/internal/settle.ts",
    from: "&& isInterrupted(fiber)\n  const { aside",
    to: "&& false\n  const { aside"
  },
  {
    breaks: "I2: the flush hides the body's cause",
    file: "src/internal/settle.ts",
    from: "Exit.isSuccess(exit) ? flush.cause : Cause.sequential(exit.cause, flush.cause)",
    to: "flush.cause"
  },
  {
    breaks: "I2: a failed flush is a success",
    file: "src/internal/settle.ts",
    from: "  return Exit.isSuccess(flush)\n    ? exit",
    to: "  return Exit.isSuccess(flush) || Exit.isSuccess(exit)\n    ? exit"
  },
  {
    breaks: "I3: a closed scope takes intents, and forgets them",
    file: "src/internal/enqueue.ts",
    from: "  if (scope.state !== \"open\") {\n    const { name, state } = scope",
    to: "  if (scope.state === (\"never\" as string)) {\n    const { name, state } = scope"
  },
  {
    breaks: "I3: a closed outer scope swallows what is handed to it",
    file: "src/internal/settle.ts",
    from: "if (ancestor.state !== \"open\") {",
    to: "if (ancestor.state === (\"never\" as string)) {"
  },
  {
    breaks: "I4: the inner scope's policy is dropped on capture",
    file: "src/internal/open.ts",
    from:
      "const policies = extend(extendOnce(position!.policies, policyIn(context), context), options.policy, context)",
    to: "const policies = position!.policies"
  },
  {
    breaks: "I4: a region's policy does not reach an independent scope",
    file: "src/internal/policyChain.ts",
    from: "return chain.local ? extend(outer, chain.policy, chain.context, true) : outer",
    to: "return outer"
  },
  {
    breaks: "I4: a policy is evaluated at each scope that hands over",
    file: "src/internal/settle.ts",
    from: "    const { leaving, refused } = yield* offerToAncestors(scope, kept, fiber)",
    to:
      "    yield* Effect.either(decide(scope, kept))\n    const { leaving, refused } = yield* offerToAncestors(scope, kept, fiber)"
  },
  {
    breaks: "I4: a policy may enqueue",
    file: "src/internal/decide.ts",
    from: "bounded(Effect.interruptible(evaluate(intents)), insidePolicy,",
    to: "bounded(Effect.interruptible(evaluate(intents)), undefined,"
  },
  {
    breaks: "I4: a refused enqueue stays in the buffer",
    file: "src/internal/enqueue.ts",
    from: "      ? askOnEnqueue(scope, intent).pipe(",
    to: "      ? Effect.zipRight(Effect.sync(() => scope.buffer.push(intent)), askOnEnqueue(scope, intent)).pipe("
  },
  {
    breaks: "I4: a failing policy lets everything through",
    file: "src/internal/settle.ts",
    from: "return settled(\"flushed\", [...refused, ...failAll(leaving, () => decided.left)])",
    to: "return settled(\"flushed\", [...refused, ...(yield* dispatch(scope, leaving))])"
  },
  {
    breaks: "I5: a capture reverses the order",
    file: "src/internal/settle.ts",
    from: "        ancestor.buffer.push(intent)",
    to: "        ancestor.buffer.unshift(intent)"
  },
  {
    breaks: "I5: the inner scope dispatches by itself",
    file: "src/internal/open.ts",
    from: "if (scope === undefined || (options.independent",
    to: "if (position !== undefined || scope === undefined || (options.independent"
  },
  {
    breaks: "I6: the loser's intents are kept",
    file: "src/internal/position.ts",
    from: "  return isInterrupted(fiber) ? \"interrupted\" : \"kept\"",
    to: "  return \"kept\""
  },
  {
    breaks: "I6: a failed fiber's intents are kept",
    file: "src/internal/position.ts",
    from: "    return Cause.isInterruptedOnly(exit.cause) ? \"interrupted\" : \"failed\"",
    to: "    return Cause.isInterruptedOnly(exit.cause) ? \"interrupted\" : \"kept\""
  },
  {
    breaks: "I6: the failure inside a worker's success is not seen",
    file: "src/internal/position.ts",
    from: "  if (Exit.isExit(exit.value) && Exit.isFailure(exit.value)) {",
    to: "  if (Exit.isExit(exit.value) && Exit.isSuccess(exit.value) && exit.value.value === exit) {"
  },
  {
    breaks: "I6: only the fiber that enqueued counts, not those that forked it",
    file: "src/internal/position.ts",
    from: "  for (let at: Fork | undefined = fork; at !== undefined; below = at, at = at.parent) {",
    to: "  for (let at: Fork | undefined = fork; at !== undefined; below = at, at = undefined) {"
  },
  {
    breaks: "I6: the fibers that a Stream ends take the work of its workers with them",
    file: "src/internal/position.ts",
    from: "    fork.daemon = unsupervised.roots.has(fiber)",
    to: "    fork.daemon = false"
  },
  {
    breaks: "I6: captured intents of a failed branch are forgotten to be undone",
    file: "src/internal/settle.ts",
    from: "        intent.fork = at.fork\n",
    to: "        intent.fork = ancestor.fork\n"
  },
  {
    breaks: "I6: a fiber that still runs counts as ended",
    file: "src/internal/position.ts",
    from: "  if (exit === null) {\n    return \"running\"\n  }",
    to: "  if (exit === null) {\n    return \"kept\"\n  }"
  },
  {
    breaks: "I6: a server feeds the scope that it was built in",
    file: "src/internal/request.ts",
    from: "(parent) => isOf(parent, request.source), context)",
    to: "() => true, context)"
  },
  {
    breaks: "HTTP: settles after the response was sent",
    file: "src/internal/request.ts",
    from: "const hook = hooked\n",
    to: "const hook = hooked && (options.place as string) === \"\"\n"
  },
  {
    breaks: "HTTP: an app that was made interruptible is taken for a route",
    file: "src/internal/request.ts",
    from: " && fiber.currentContext.unsafeMap.has(RouteContext.key))",
    to: ")"
  },
  {
    breaks: "HTTP: of two placements at the server, the outer one settles first",
    file: "src/internal/request.ts",
    from: "at.beforeResponse.push(handler)",
    to: "at.beforeResponse.unshift(handler)"
  },
  {
    breaks: "HTTP: the status does not decide",
    file: "src/internal/request.ts",
    from: "const flush = shouldFlush === undefined ? response.status < 400 :",
    to: "const flush = shouldFlush === undefined ? response.status < 500 :"
  },
  {
    breaks: "HTTP: a failure on a route does not count by its response",
    file: "src/internal/request.ts",
    from: "settleBefore(scope, options, request, response, cause),",
    to: "Effect.as(settle(scope, Exit.failCause(cause)), response),"
  },
  {
    breaks: "HTTP: a declared error of an API counts before it is encoded",
    file: "src/internal/request.ts",
    from: "(options.place === \"api\" && !Cause.isInterruptedOnly(cause))",
    to: "false"
  },
  {
    breaks: "HTTP: what could not be made durable is a success for the client",
    file: "src/internal/request.ts",
    from: ": isLost\n",
    to: ": isLost && Exit.isExit(response)\n"
  },
  {
    breaks: "HTTP: a failure that was answered instead is a failure still",
    file: "src/internal/request.ts",
    from: "answer === response ? Effect.failCause(cause) : Effect.succeed(answer)",
    to: "(answer === response || true) ? Effect.failCause(cause) : Effect.succeed(answer)"
  },
  {
    breaks: "HTTP: a body that breaks off flushes",
    file: "src/internal/body.ts",
    from: "Exit.isFailure(exit) ? exit : Exit.interrupt(fiber.id())",
    to: "Exit.void"
  },
  {
    breaks: "HTTP: a body enqueues into the scope of its request",
    file: "src/internal/body.ts",
    from: "locally(pull, scope)",
    to: "pull"
  },
  {
    breaks: "HTTP: a body stands in the transaction of its request",
    file: "src/internal/body.ts",
    from: "withoutTransaction(fiber.currentContext)",
    to: "(void withoutTransaction, fiber.currentContext)"
  },
  {
    breaks: "HTTP: a transaction a request commits what is refused",
    file: "src/HttpTransaction.ts",
    from: "transaction.end(status < 400 && !isInterrupted(fiber))",
    to: "transaction.end(status < 500 && !isInterrupted(fiber))"
  },
  {
    breaks: "HTTP: a transaction a request commits after the response was sent",
    file: "src/HttpTransaction.ts",
    from: "hooked ? before : undefined",
    to: "hooked && runtimeFlags < 0 ? before : undefined"
  },
  {
    breaks: "HTTP: what is sent after the COMMIT still stands in the transaction",
    file: "src/HttpTransaction.ts",
    from: "Effect.zipRight(Effect.orDie(endBy(response)), leave(around))",
    to: "Effect.zipRight(Effect.orDie(endBy(response)), Effect.asVoid(Effect.succeed(leave(around))))"
  },
  {
    breaks: "HTTP: a transaction that waits to begin is not given up",
    file: "src/HttpTransaction.ts",
    tests: ["test/HttpTransaction"],
    from: "() => Fiber.interrupt(holder)),",
    to: "() => Effect.succeed(Fiber.interrupt(holder))),"
  },
  {
    breaks: "RPC: a call waits for the scope around",
    file: "src/RpcMiddleware.ts",
    from: "{ name: rpc._tag, ...options, independent: true }",
    to: "{ name: rpc._tag, ...options }"
  },
  {
    breaks: "RPC: what could not be made durable is a success for the client",
    file: "src/RpcMiddleware.ts",
    from: "settlement.isLost && Exit.isSuccess(exit)",
    to: "settlement.isLost && Exit.isFailure(exit)"
  },
  {
    breaks: "I7: a rolled back transaction flushes",
    file: "src/internal/sql/frame.ts",
    from: "const settled = settle(scope, exit, { byExitAlone: true })",
    to: "const settled = settle(scope, exit, { byExitAlone: true, flush: true })"
  },
  {
    breaks: "I7: an interruption parts the intents from their rows",
    file: "src/internal/sql/frame.ts",
    from: "const settled = settle(scope, exit, { byExitAlone: true })",
    to: "const settled = settle(scope, exit)"
  },
  {
    breaks: "I7: a failed transaction is committed",
    file: "src/internal/sql/frame.ts",
    from: "Exit.isSuccess(exit) ? commit(opened, typed) : rollback(opened)",
    to: "commit(opened, typed)"
  },
  {
    breaks: "I7: a refused COMMIT counts as one",
    file: "src/internal/sql/frame.ts",
    from: "    frame.rolledBack = true\n    return Effect.fail(error)\n  })",
    to: "    return Effect.void as Effect.Effect<never>\n  })"
  },
  {
    breaks: "I7: a refused COMMIT leaves the transaction open",
    file: "src/internal/sql/dialect.ts",
    from: "Effect.matchEffect(sqlite.rollback(connection), {",
    to: "Effect.matchEffect(Effect.void, {"
  },
  {
    breaks: "I7: an unknown COMMIT counts as one",
    file: "src/internal/sql/frame.ts",
    tests: ["test/sql/outcomes"],
    from: "return typed ? Effect.fail(error) : Effect.die(error)",
    to: "return Effect.void as Effect.Effect<never>"
  },
  {
    breaks: "I7: an unknown COMMIT counts as refused, and is run again",
    file: "src/internal/sql/dialect.ts",
    tests: ["test/sql/outcomes"],
    from: "Effect.fail(isRefusal(error.cause) ? error : unknown(error))",
    to: "Effect.fail(error)"
  },
  {
    breaks: "I7: a COMMIT that was answered with ROLLBACK counts as one",
    file: "src/internal/sql/dialect.ts",
    tests: ["test/sql/transactions"],
    from: "field(result, \"command\") === \"ROLLBACK\"",
    to: "field(result, \"command\") === \"NEVER\""
  },
  {
    breaks: "I7: a transaction that the database rolled back by itself counts as committed",
    file: "src/internal/sql/watchedConnection.ts",
    tests: ["test/sql/retries"],
    from: "this.lost ??= rolledBackBy(error)",
    to: "this.lost ??= undefined"
  },
  {
    breaks: "I7: what follows in a transaction that is gone is committed alone",
    file: "src/internal/sql/watchedConnection.ts",
    tests: ["test/sql/retries"],
    from: "      : Effect.fail(this.lost)",
    to: "      : undefined"
  },
  {
    breaks: "I7: a savepoint that is rolled back keeps its rows",
    file: "src/internal/sql/frame.ts",
    from: "return Effect.zipRight(frame.connection.rollbackTo(name), given)",
    to: "return given"
  },
  {
    breaks: "I7: a savepoint in which a statement failed counts as good",
    file: "src/internal/sql/watchedConnection.ts",
    tests: ["test/sql/transactions"],
    from: "      if (!stands) {",
    to: "      if (stands === undefined) {"
  },
  {
    breaks: "I7: a savepoint that cannot be rolled back is forgotten",
    file: "src/internal/sql/watchedConnection.ts",
    from: "          this.lost ??= error\n",
    to: "          error.toString()\n"
  },
  {
    breaks: "I7: a savepoint whose intents the transaction cannot take keeps its rows",
    file: "src/internal/sql/frame.ts",
    from: "      : Exit.die(Cause.squash(flush.cause))",
    to: "      : exit"
  },
  {
    breaks: "I7: savepoints side by side undo each other's work",
    file: "src/internal/sql/turns.ts",
    from: "if (!this.taken) {",
    to: "if (!this.taken || this.waiting.length === 0) {"
  },
  {
    breaks: "I7: a savepoint that is interrupted in the queue takes the turn with it",
    file: "src/internal/sql/turns.ts",
    tests: ["test/sql/transactions"],
    from: "          this.leave(turn)\n",
    to: ""
  },
  {
    breaks: "I7: a savepoint waits for its turn for ever",
    file: "src/internal/sql/turns.ts",
    tests: ["test/sql/transactions"],
    from: "return Effect.sleep(limit).pipe(",
    to: "return Effect.never.pipe("
  },
  {
    breaks: "I7: a savepoint of an unseen transaction counts as seen",
    file: "src/internal/sql/frame.ts",
    from: "const seen = parent.seen && isAround(parent.scope, positionOf(fiber))",
    to: "const seen = parent.seen || isAround(parent.scope, positionOf(fiber))"
  },
  {
    breaks: "I7: what is written beside a savepoint in a scope does not share its fate",
    file: "src/internal/transactionConnection.ts",
    tests: ["test/sql/transactions"],
    from: "at !== undefined; at = at.parent) {",
    to: "at !== undefined; at = undefined) {"
  },
  {
    breaks: "I7: a fiber that outlives its transaction writes on another's connection",
    file: "src/internal/sql/watchedConnection.ts",
    from: "    return this.ended\n      ? Effect.die",
    to: "    return this.driver === undefined\n      ? Effect.die"
  },
  {
    breaks: "I7: a client of another database writes on this one's connection",
    file: "src/SqlTransaction.ts",
    from: "frame === undefined || frame.connection.database === client.reserve ? acquirer : foreign",
    to: "frame !== undefined || acquirer !== undefined ? acquirer : foreign"
  },
  {
    breaks: "I7: a transaction of another database is a savepoint of this one",
    file: "src/internal/sql/frame.ts",
    from: "return parent.connection.database === database.client.reserve\n",
    to: "return parent.connection.database !== undefined\n"
  },
  {
    breaks: "I7: what an executor could not write is committed without",
    file: "src/internal/sql/frame.ts",
    from: "Effect.zipLeft(self, parkIn(frame, fiber))",
    to: "Effect.zipLeft(self, Effect.ignore(parkIn(frame, fiber)))"
  },
  {
    breaks: "afterRollback runs after a commit",
    file: "src/internal/sql/rollbackHooks.ts",
    from: "hooks.filter(({ frame }) => isRolledBack(frame))",
    to: "hooks.filter(({ frame }) => frame !== undefined)"
  },
  {
    breaks: "a test's transaction that is rolled back swallows what would have left",
    file: "src/SqlTransaction.ts",
    from: "beforeDescendantFlushes: (intents) => intents",
    to: "beforeDescendantFlushes: () => []"
  },
  {
    breaks: "I7: something goes past a transaction early",
    file: "src/internal/settle.ts",
    from: "at?.scope !== undefined; at = at.scope.outer) {\n    const ancestor = at.scope",
    to: "at?.scope !== undefined; at = undefined) {\n    const ancestor = at.scope"
  },
  {
    breaks: "I7: an unseen transaction is not noticed",
    file: "src/internal/enqueue.ts",
    tests: ["test/SqlTransaction"],
    from: "    if (transaction !== undefined && frame === undefined) {\n      return misuse(",
    to: "    if (transaction !== undefined && frame === scope) {\n      return misuse("
  },
  {
    breaks: "I9: a failing dispatch swallows the rest",
    file: "src/internal/run.ts",
    from: "if (options.failFast === true && Exit.isFailure(outcome)) {",
    to: "if (Exit.isFailure(outcome)) {"
  },
  {
    breaks: "I9: a cut off executor's answer is lost",
    file: "src/internal/dispatch.ts",
    from: "outcomes[index] ?? outcomeOf(intent)",
    to: "outcomes[index]"
  },
  {
    breaks: "I11: a scope holds more than it may",
    file: "src/internal/enqueue.ts",
    from: "if (buffer.length >= scope.maxIntents) {",
    to: "if (buffer.length > scope.maxIntents) {"
  },
  {
    breaks: "I11: a hung executor is not bounded",
    file: "src/internal/bounded.ts",
    from: "Effect.sleep(limit)",
    to: "Effect.sleep(Duration.infinity)"
  },
  {
    breaks: "a handler sees the context of whoever enqueued",
    file: "src/internal/seat.ts",
    from: "const context = Context.add(registration.context, EffectScope.Scope, finalizers)",
    to:
      "const context = Context.merge(this.fiber.currentContext, Context.add(registration.context, EffectScope.Scope, finalizers))"
  },
  {
    breaks: "FiberRefs that a body set are undone when its scope ends",
    file: "src/internal/fiberRefs.ts",
    from: "const back = now === changed",
    to: "const back = now !== undefined"
  },
  {
    breaks: "FiberRefs: a body that goes on in another fiber stays in its scope",
    file: "src/internal/fiberRefs.ts",
    tests: ["test/hostile", "test/sql/integrations"],
    from: "    const running = runningFiber()\n",
    to: "    const running = fiber\n"
  },
  {
    breaks: "FiberRefs: a worker that goes on in another fiber leaves it where its handler stood",
    file: "src/internal/seat.ts",
    tests: ["test/hostile"],
    from: "        standAs(runningFiber(), this.before)\n",
    to: ""
  },
  {
    breaks: "FiberRefs: a fiber that is joined does not know what it had from its parent",
    file: "src/internal/fiberRefs.ts",
    tests: ["test/SqlTransaction"],
    from: "...stack[0][0] === id ? stack.slice(1) : stack]",
    to: "]"
  },
  {
    breaks: "a fiber that ran handlers forgets that it was interrupted meanwhile",
    file: "src/internal/position.ts",
    tests: ["test/hostile"],
    from: "const all = isKnown ? updates : [...updates, interruption]",
    to: "const all = updates"
  },
  {
    breaks: "ids of many milliseconds have the same random bits",
    file: "src/internal/id.ts",
    tests: ["test/internal/id"],
    from: "if (state.drawn === random.length) {",
    to: "state.drawn = 0\n  if (random[0] === 0) {"
  },
  {
    breaks: "a handler's resources are left to the next one",
    file: "src/internal/seat.ts",
    from: "hasNoFinalizers(finalizers) && this.seated",
    to: "this.seated"
  },
  {
    breaks: "a handler's Layer does not wait for its runs",
    file: "src/internal/handlers.ts",
    from: "      if (registration.running === 0) {\n        return Effect.void",
    to: "      if (registration.running >= 0) {\n        return Effect.void"
  },
  {
    breaks: "a payload is not checked",
    file: "src/internal/enqueue.ts",
    from: "const valid = isValid(task, payload)",
    to: "const valid = isValid(task, payload) || true"
  },
  {
    breaks: "two copies of the package see two scopes",
    file: "src/internal/position.ts",
    from: "  Symbol.for(\"effect-airlock/currentPosition\"),",
    to: "  Symbol(\"effect-airlock/currentPosition\"),"
  },
  {
    breaks: "I2: an interruption ends the wait for a dispatch",
    file: "src/internal/bounded.ts",
    from: "      return waiting\n",
    to: "      return Effect.interruptible(waiting)\n"
  },
  {
    breaks: "I2: a scope of the cleanup discards",
    file: "src/internal/settle.ts",
    from: "how.byExitAlone !== true && !scope.openedInterrupted &&",
    to: "how.byExitAlone !== true &&"
  },
  {
    breaks: "I4: the policies of two Layers replace each other",
    file: "src/Policy.ts",
    from: "return around === undefined ? provide(policy, context) : all(provide(policy, context), around)",
    to: "return provide(policy, context)"
  },
  {
    breaks: "I5: captured intents stand in the order of their capture",
    file: "src/internal/settle.ts",
    from: "      if (isLate) {",
    to: "      if (isLate && ancestor.buffer.length < 0) {"
  },
  {
    breaks: "I6: a worker that was joined is excused with the fibers that a Stream ends",
    file: "src/internal/position.ts",
    from: "below?.daemon === true && !below.joined",
    to: "below?.daemon === true"
  },
  {
    breaks: "I7: what is written beside a savepoint is kept when that is undone",
    file: "src/internal/settle.ts",
    tests: ["test/SqlTransaction"],
    from: "isRolledBack(intent.beside) ? \"failed\" : fateOfBranch(intent.fork, fiber)",
    to: "fateOfBranch(intent.fork, fiber)"
  },
  {
    breaks: "I11: a cascade has no end",
    file: "src/internal/enqueue.ts",
    from: "cascade.depth >= scope.maxCascade",
    to: "cascade.depth < 0"
  },
  {
    breaks: "I11: a deep cascade overflows the stack",
    file: "src/internal/position.ts",
    from: "immediate: nesting <= maxNesting",
    to: "immediate: true"
  },
  {
    breaks: "a plan lets an independent scope leave",
    file: "src/internal/open.ts",
    from: "(options.independent === true && !scope.planning)",
    to: "options.independent === true"
  },
  {
    breaks: "what was not approved leaves",
    file: "src/internal/settle.ts",
    from: "    if (!approved) {",
    to: "    if (!approved && allowed.length === 0) {"
  },
  {
    breaks: "a handler takes over what the last one forked, changed or captured",
    file: "src/internal/seat.ts",
    from: " && this.seated === refsOf(runningFiber())",
    to: ""
  },
  {
    breaks: "HTTP: a scope that was opened for the request is not seen",
    file: "src/internal/open.ts",
    tests: ["test/HttpMiddleware", "test/HttpTransaction"],
    from: "  opened.requestSource = requestSourceIn(fiber.currentContext)\n",
    to: ""
  },
  ...nearest(["test/executors", "test/ndb", "test/observability"], executors),
  ...nearest(["test/Config"], configuration),
  ...nearest(["test/outbox"], park),
  ...outbox
]
