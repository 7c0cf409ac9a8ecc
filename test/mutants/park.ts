/** Ways to break what an outbox promises, where its intents meet transactions and scopes. */
import type { Mutant } from "./mutants.js"

export const park: ReadonlyArray<Mutant> = [
  {
    breaks: "outbox: rows are written after the COMMIT",
    file: "src/internal/sql/frame.ts",
    from: "frame.parent === undefined && frame.scope.executor.transactional !== undefined",
    to: "frame.parent === undefined && frame.scope.executor.transactional === undefined"
  },
  {
    breaks: "outbox: what is held is ready at once",
    file: "src/internal/park.ts",
    from: "held: scope.outer !== undefined,",
    to: "held: false,"
  },
  {
    breaks: "outbox: a discard forgets what is held",
    file: "src/internal/settle.ts",
    from: "      yield* discardParked(scope, kept)\n",
    to: ""
  },
  {
    breaks: "outbox: what a failed fiber had committed leaves",
    file: "src/internal/settle.ts",
    from: "    yield* discardParked(scope, aside.map(({ intent }) => intent))\n",
    to: ""
  },
  {
    breaks: "outbox: what nobody approved of stays held",
    file: "src/internal/settle.ts",
    from: "      yield* discardParked(scope, allowed)\n",
    to: ""
  },
  {
    breaks: "outbox: a dry run is written",
    file: "src/internal/park.ts",
    from: "const parkable = scope.planning ?\n",
    to: "const parkable = scope.state === \"discarded\" ?\n"
  },
  {
    breaks: "outbox: what is not decided comes out when its time has come",
    file: "src/internal/outbox/executor.ts",
    from: "onExpiry: undecided ? \"discard\" : onExpiry",
    to: "onExpiry"
  },
  {
    breaks: "outbox: what is held is not renewed",
    file: "src/internal/outbox/executor.ts",
    from: "store.renew([...parked, ...owed.keys()], heldMillis)",
    to: "store.renew([...owed.keys()], heldMillis)"
  },
  {
    breaks: "outbox: a discard that failed is forgotten",
    file: "src/internal/outbox/executor.ts",
    from: "      Effect.zipRight(pay(\"discard\")),\n",
    to: ""
  },
  {
    breaks: "outbox: a release that failed waits for the timeout",
    file: "src/internal/outbox/executor.ts",
    from: "      Effect.zipRight(pay(\"release\")),\n",
    to: ""
  },
  {
    breaks: "outbox: a COMMIT of which nobody knows what came is undone",
    file: "src/internal/sql/frame.ts",
    from: "Exit.isSuccess(exit) ? settled : Effect.zipRight(unpark(scope), settled)",
    to: "settled"
  },
  {
    breaks: "outbox: policies are asked again when the request settles",
    file: "src/internal/decide.ts",
    from: "let verdict = intent.durable?.verdict",
    to: "let verdict = undefined as Verdict | undefined"
  },
  {
    breaks: "outbox: a flush joins the transaction that is open around",
    file: "src/internal/outbox/executor.ts",
    tests: ["test/outbox/joints"],
    from: "(context: Context.Context<never>) => withoutTransaction(context)",
    to: "(context: Context.Context<never>) => context"
  },
  {
    breaks: "outbox: a hook that throws leaves what is held",
    file: "src/internal/settle.ts",
    from: "Effect.flatMap(discardParked(scope, stillIn(scope)), () =>",
    to: "Effect.flatMap(Effect.void, () =>"
  },
  {
    breaks: "outbox: an interruption that waits puts a discard off",
    file: "src/internal/park.ts",
    from: "bounded(discard(intents), undefined, \"A discard\", scope.dispatchTimeout)",
    to: "discard(intents)"
  },
  {
    breaks: "outbox: the relay knows only the handlers that were there first",
    file: "src/internal/outbox/relay.ts",
    from: "Effect.suspend(() => store.claim({ tasks: handlers.names, limit: batchSize, leaseMillis }))",
    to: "store.claim({ tasks: handlers.names, limit: batchSize, leaseMillis })"
  },
  {
    breaks: "outbox: the relay begins what is another's by now",
    file: "src/internal/outbox/relay.ts",
    tests: ["test/internal/outbox/relay"],
    from: "if (this.isStopping || !this.open.has(row)) {",
    to: "if (this.isStopping) {"
  },
  {
    breaks: "outbox: a cascade forgets how deep it is",
    file: "src/internal/outbox/intentRow.ts",
    from: "    cascade: cascadeOf(cascade),\n",
    to: ""
  },
  {
    breaks: "outbox: what was committed is written again where a route gives the rest to the process",
    file: "src/internal/settle.ts",
    from: "if (left.length > 0) {",
    to: "if (left.length === intents.length && left.length > 0) {"
  },
  {
    breaks: "outbox: a route lets others use up the time of what is to be kept",
    file: "src/internal/route.ts",
    from: "Number(isKept(a)) - Number(isKept(b))",
    to: "0"
  }
]
