/**
 * Small ways to break an invariant. Each replaces a piece of the source, which must be there exactly once, and some test
 * must notice.
 */
export interface Mutant {
  readonly breaks: string
  readonly file: string
  readonly from: string
  readonly to: string
}

export const mutants: ReadonlyArray<Mutant> = [
  {
    breaks: "I1: the handler runs at the enqueue",
    file: "src/internal/enqueue.ts",
    from: "  buffer.push(intent)\n  return (buffer.length & 0x3ff) === 0",
    to:
      "  return (intent.depth >= 0) ? Effect.as(scope.airlock.handlers.run([intent], () => false), intent.id) : (buffer.length & 0x3ff) === 0"
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
    file: "src/HttpMiddleware.ts",
    from: "(parent) => isOf(parent, request.source))",
    to: "() => true)"
  },
  {
    breaks: "HTTP: settles after the response was sent",
    file: "src/HttpMiddleware.ts",
    from: "mayBeServer ? Effect.flatMap(appendHandler(fiber, settleFor), () => app) : app",
    to: "app"
  },
  {
    breaks: "HTTP: the status does not decide",
    file: "src/HttpMiddleware.ts",
    from: "shouldFlush === undefined ? response.status < 400 :",
    to: "shouldFlush === undefined ? response.status < 500 :"
  },
  {
    breaks: "HTTP: a failure on a route does not count by its response",
    file: "src/HttpMiddleware.ts",
    from: "([response]) => Effect.zipRight(settleFor(request, response), Effect.failCause(cause))",
    to: "() => Effect.zipRight(settle(scope, Exit.failCause(cause)), Effect.failCause(cause))"
  },
  {
    breaks: "I7: a rolled back transaction flushes",
    file: "src/SqlTransaction.ts",
    from: "Effect.flatMap(settle(frame, exit, { byExitAlone: true }), (settlement) => {",
    to: "Effect.flatMap(settle(frame, exit, { byExitAlone: true, flush: true }), (settlement) => {"
  },
  {
    breaks: "I7: a refused COMMIT counts as one",
    file: "src/SqlTransaction.ts",
    from: "commit.refused === undefined ? exit : Exit.fail(commit.refused)",
    to: "exit"
  },
  {
    breaks: "I7: a refused COMMIT leaves the transaction open",
    file: "src/SqlTransaction.ts",
    from: "Effect.mapBoth(run(connection, \"ROLLBACK\"), {",
    to: "Effect.mapBoth(Effect.void, {"
  },
  {
    breaks: "I7: an interruption parts the intents from their rows",
    file: "src/SqlTransaction.ts",
    from: "Effect.flatMap(settle(frame, exit, { byExitAlone: true }), (settlement) => {",
    to: "Effect.flatMap(settle(frame, exit), (settlement) => {"
  },
  {
    breaks: "I7: savepoints side by side undo each other's work",
    file: "src/SqlTransaction.ts",
    from: "parent.turns ??= Effect.unsafeMakeSemaphore(1)",
    to: "parent.turns ??= Effect.unsafeMakeSemaphore(2)"
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
    from: "    if (transaction !== undefined && frame === undefined) {\n      return misuse(",
    to: "    if (transaction !== undefined && frame === scope) {\n      return misuse("
  },
  {
    breaks: "I7: a savepoint of an unseen transaction counts as seen",
    file: "src/SqlTransaction.ts",
    from: "if (around === undefined || parent !== undefined) {",
    to: "if (around !== frame) {"
  },
  {
    breaks: "I9: a failing dispatch swallows the rest",
    file: "src/internal/handlers.ts",
    from: "stopped = onOutcome(outcome) || ++index === intents.length",
    to: "stopped = onOutcome(outcome) || Exit.isFailure(outcome) || ++index === intents.length"
  },
  {
    breaks: "I9: a cut off executor's answer is lost",
    file: "src/internal/settle.ts",
    from: "outcomes[index] ?? intents[index]!.outcome",
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
    file: "src/internal/handlers.ts",
    from: "standAt(this.before, scope, Context.add(registration.context, EffectScope.Scope, finalizers)),",
    to:
      "standAt(this.before, scope, Context.merge(this.fiber.currentContext, Context.add(registration.context, EffectScope.Scope, finalizers))),"
  },
  {
    breaks: "a handler's resources are left to the next one",
    file: "src/internal/handlers.ts",
    from: "hasNoFinalizers(finalizers) && this.seated",
    to: "this.seated"
  },
  {
    breaks: "a handler's Layer does not wait for its runs",
    file: "src/internal/handlers.ts",
    from: "          if (registration.running === 0) {\n            return Effect.void",
    to: "          if (registration.running >= 0) {\n            return Effect.void"
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
    from: "      : waiting\n",
    to: "      : Effect.interruptible(waiting)\n"
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
    from: "isRolledBack(intent.beside) ? \"failed\" : fateOfBranch(intent.fork, fiber)",
    to: "fateOfBranch(intent.fork, fiber)"
  },
  {
    breaks: "I7: a transaction that SQLite rolled back by itself counts as committed",
    file: "src/SqlTransaction.ts",
    from: "Effect.as(Effect.ignore(run(connection, \"ROLLBACK\")), error)",
    to: "Effect.as(Effect.ignore(run(connection, \"ROLLBACK\")), undefined)"
  },
  {
    breaks: "I7: an unknown COMMIT counts as one",
    file: "src/SqlTransaction.ts",
    from: "{ onFailure: () => error, onSuccess: () => error }",
    to: "{ onFailure: () => error, onSuccess: () => error }).pipe(Effect.catchAll(() => Effect.succeed(undefined))"
  },
  {
    breaks: "I7: a savepoint that outlived its transaction undoes another one's work",
    file: "src/SqlTransaction.ts",
    from: "parent === undefined || parent.state === \"open\"\n",
    to: "parent === undefined || parent.id > 0\n"
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
    file: "src/internal/handlers.ts",
    from: " && this.seated === refsOf(this.fiber)",
    to: ""
  },
  {
    breaks: "HTTP: a scope that was opened for the request is not seen",
    file: "src/internal/open.ts",
    from: "  opened.requestSource = requestSourceIn(fiber.currentContext)\n",
    to: ""
  }
]
