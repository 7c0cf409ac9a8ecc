/**
 * This test prints docs/errors.md: each error, and the message that a user sees.
 */
import { SqlClient } from "@effect/sql"
import { it } from "@effect/vitest"
import {
  Cause,
  Chunk,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Schema,
  TestClock,
  TestContext
} from "effect"
import { Airlock, AirlockError, AirlockLive, Executor, Policy, Task } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { expect } from "vitest"
import { withCallersStack } from "../../src/internal/support/callSite.js"
import { layer as decorated, undecorated } from "../support/sqlite.js"
import { until } from "../support/until.js"

const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number, email: Schema.String } })

const order = { orderId: 1, email: "a@b.c" }

const checkout = Effect.gen(function*() {
  yield* Airlock.enqueue(SendReceipt, order)
})

interface Misuse {
  readonly name: string
  readonly what: string
  readonly code: string
  readonly program: Effect.Effect<unknown, unknown>
}

const handled = SendReceipt.toLayer(() => Effect.void).pipe(Layer.provideMerge(AirlockLive))

const misuses: ReadonlyArray<Misuse> = [
  {
    name: "NoScopeError",
    what:
      "Code enqueues without a scope. The types forbid this, unless `Airlock.unchecked` has removed the requirement.",
    code: "checkout.pipe(Effect.provide(Airlock.unchecked))",
    program: checkout.pipe(Effect.provide(Airlock.unchecked))
  },
  {
    name: "ScopeClosedError",
    what:
      "Code enqueues in a scope that has settled, usually in a daemon fiber. The error is also logged and counted " +
      "(`airlock_late_intents`), because a daemon fiber may fail unnoticed.",
    code: "checkout.pipe(Effect.delay(\"1 second\"), Effect.forkDaemon, Airlock.scoped({ name: \"order\" }))",
    program: Effect.gen(function*() {
      const settled = yield* Deferred.make<void>()
      const daemon = yield* Deferred.await(settled).pipe(
        Effect.zipRight(checkout),
        Effect.forkDaemon,
        Airlock.scoped({ name: "order" })
      )
      yield* Deferred.succeed(settled, void 0)
      yield* Fiber.join(daemon)
    }).pipe(Effect.provide(handled), Effect.provide(Logger.remove(Logger.defaultLogger)))
  },
  {
    name: "InvalidPayloadError",
    what:
      "Code that the compiler did not check enqueues a payload that does not match its Schema. The error also reports a " +
      "payload that cannot be encoded, and options that a durable executor cannot store. It does not show the values.",
    code: "Airlock.enqueue(SendReceipt, { orderId: \"1\" } as any)",
    program: Effect.suspend(() => Airlock.enqueue(SendReceipt, { orderId: "1" } as unknown as typeof order)).pipe(
      Airlock.scoped,
      Effect.provide(handled)
    )
  },
  {
    name: "PolicyViolation",
    what: "A policy in force refuses the enqueue.",
    code: "checkout.pipe(Airlock.scoped({ policy: Policy.assertNoEffects }))",
    program: checkout.pipe(Airlock.scoped({ policy: Policy.assertNoEffects }), Effect.provide(handled))
  },
  {
    name: "PolicyEnqueueError",
    what: "A policy, or the approval of a plan, enqueues.",
    code: "checkout.pipe(Airlock.scoped({ policy: Policy.make({ name: \"bad\", onEnqueue: () => checkout }) }))",
    program: checkout.pipe(
      Airlock.scoped({
        // eslint-disable-next-line effect-airlock/no-enqueue-in-policy -- the error that the page shows
        policy: Policy.make({ name: "bad", onEnqueue: () => checkout.pipe(Effect.provide(Airlock.unchecked)) })
      }),
      Effect.provide(handled)
    )
  },
  {
    name: "HookAnswerError",
    what: "A function given to Airlock, such as `shouldFlush`, returns a wrong value. The compiler did not check it.",
    code: "checkout.pipe(Airlock.scoped({ name: \"order\", shouldFlush: () => undefined as any }))",
    program: checkout.pipe(
      Airlock.scoped({ name: "order", shouldFlush: () => undefined as never }),
      Effect.provide(handled)
    )
  },
  {
    name: "BufferFullError",
    what:
      "A scope would hold more than `maxIntents` intents (default: 10 000). Use several scopes for a long loop, or raise " +
      "the limit.",
    code: "Effect.repeatN(checkout, 10).pipe(Airlock.scoped({ name: \"import\", maxIntents: 10 }))",
    program: Effect.repeatN(checkout, 10).pipe(
      Airlock.scoped({ name: "import", maxIntents: 10 }),
      Effect.provide(handled)
    )
  },
  {
    name: "PayloadTooLargeError",
    what: "A payload is larger than `maxPayloadBytes`, encoded as JSON. By default there is no limit.",
    code: "checkout.pipe(Airlock.scoped({ maxPayloadBytes: 10 }))",
    program: checkout.pipe(Airlock.scoped({ maxPayloadBytes: 10 }), Effect.provide(handled))
  },
  {
    name: "CascadeTooDeepError",
    what:
      "Handlers enqueue tasks whose handlers enqueue tasks, and so on, deeper than `maxCascade` (default: 100). The error " +
      "fails the handler, so it is part of a `FlushError`.",
    code: "SendReceipt.toLayer(() => checkout)",
    program: checkout.pipe(
      Airlock.scoped({ name: "order" }),
      Effect.provide(SendReceipt.toLayer(() => checkout).pipe(Layer.provideMerge(Airlock.layer({ maxCascade: 2 }))))
    )
  },
  {
    name: "NotSerializableError",
    what: "Code enqueues a closure, and the executor stores intents outside of the process.",
    code: "Airlock.enqueueEffect(\"clean up\", effect).pipe(Airlock.scoped({ executor: queue }))",
    program: Effect.suspend(() => Airlock.enqueueEffect("clean up", Effect.void)).pipe(
      Airlock.scoped({ executor: Executor.make({ name: "queue", durable: true, dispatch: () => Effect.succeed([]) }) }),
      Effect.provide(handled)
    )
  },
  {
    name: "UnsupportedOptionError",
    what:
      "Code enqueues with an option that the executor cannot carry out. [Executors](executors.md#options-of-an-enqueue) has a table.",
    code: "Airlock.enqueue(SendReceipt, order, { delay: \"1 hour\" }).pipe(Airlock.scoped)",
    program: Effect.suspend(() => Airlock.enqueue(SendReceipt, order, { delay: "1 hour" })).pipe(
      Airlock.scoped,
      Effect.provide(handled)
    )
  },
  {
    name: "StoredPayloadError",
    what: "A row of the outbox has a payload that does not fit the task of today. The relay makes it a dead letter. " +
      "[Versions and deploys](outbox.md#versions-and-deploys) says how to avoid that.",
    code: "SendReceipt.toLayer(handler)",
    program: Effect.fail(
      withCallersStack(
        new AirlockError.StoredPayloadError({
          task: "SendReceipt",
          storedVersion: 1,
          version: 2,
          issues: ["email: is missing"]
        })
      )
    )
  },
  {
    name: "PayloadCodecError",
    what:
      "The codec of an outbox fails. If it cannot encode a payload, this error is the cause of the `SqlError` that rolls the " +
      "transaction back. If it cannot decode one, the attempt has failed, and the relay tries again.",
    code: "Outbox.live({ codec })",
    program: Effect.fail(
      withCallersStack(
        new AirlockError.PayloadCodecError({
          task: "SendReceipt",
          operation: "decode",
          cause: new Error("the key service did not answer")
        })
      )
    )
  },
  {
    name: "UnseenTransactionError",
    what:
      "Code enqueues inside a transaction of a `SqlClient` that `SqlTransaction.layer` does not decorate. Or it enqueues " +
      "into an independent scope inside a transaction.",
    code: "sql.withTransaction(checkout).pipe(Airlock.scoped)",
    program: Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(checkout)).pipe(
      Airlock.scoped,
      Effect.provide([handled, undecorated])
    )
  },
  {
    name: "TransactionEndedError",
    what: "A fiber that outlived its transaction runs a statement or a savepoint in it.",
    code: "sql.withTransaction(Effect.forkDaemon(Effect.delay(sql.withTransaction(checkout), \"1 second\")))",
    program: Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const ended = yield* Deferred.make<void>()
      const daemon = yield* sql.withTransaction(
        Effect.forkDaemon(Effect.zipRight(Deferred.await(ended), sql.withTransaction(checkout)))
      )
      yield* Deferred.succeed(ended, void 0)
      yield* Fiber.join(daemon)
    }).pipe(Effect.provide(decorated), Effect.provide(Airlock.unchecked))
  },
  {
    name: "SavepointTimeoutError",
    what:
      "A savepoint waits for another savepoint of its transaction to end, and that savepoint waits for the fiber of the " +
      "first one.",
    code: [
      "sql.withTransaction(Effect.gen(function*() {",
      "  const other = yield* Effect.fork(Effect.zipRight(Deferred.await(opened), sql.withTransaction(checkout)))",
      "  yield* sql.withTransaction(Effect.zipRight(Deferred.succeed(opened, void 0), Fiber.join(other)))",
      "}))"
    ].join("\n"),
    program: Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const opened = yield* Deferred.make<void>()
      const program = yield* sql.withTransaction(Effect.gen(function*() {
        const other = yield* Effect.fork(Effect.zipRight(Deferred.await(opened), sql.withTransaction(checkout)))
        yield* sql.withTransaction(Effect.zipRight(Deferred.succeed(opened, void 0), Fiber.join(other)))
      })).pipe(Effect.fork)
      yield* until(Effect.map(TestClock.sleeps(), Chunk.isNonEmpty))
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.join(program)
    }).pipe(Effect.provide([decorated, TestContext.TestContext]), Effect.provide(Airlock.unchecked))
  },
  {
    name: "ForeignTransactionError",
    what: "The client of one database is used inside a transaction of another database.",
    code: "sql.withTransaction(checkout.pipe(Effect.zipRight(other`SELECT 1`)))",
    program: Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const other = Context.get(yield* Layer.build(Layer.fresh(decorated)), SqlClient.SqlClient)
      yield* sql.withTransaction(checkout.pipe(Effect.zipRight(other`SELECT 1`)))
    }).pipe(Effect.scoped, Effect.provide(decorated), Effect.provide(Airlock.unchecked))
  },
  {
    name: "UndecoratedClientError",
    what:
      "`SqlTransaction.transaction`, `afterRollback` or `rolledBack` is used with a client that `SqlTransaction.layer` does " +
      "not decorate.",
    code: "SqlTransaction.transaction(checkout)",
    program: SqlTransaction.transaction(checkout).pipe(Effect.provide(undecorated))
  },
  {
    name: "DuplicateTaskError",
    what: "Two handlers are provided for one task name.",
    code: "Layer.merge(SendReceipt.toLayer(handler), SendReceipt.toLayer(other))",
    program: Effect.void.pipe(Effect.provide(
      Layer.merge(SendReceipt.toLayer(() => Effect.void), SendReceipt.toLayer(() => Effect.succeed(1))).pipe(
        Layer.provide(AirlockLive)
      )
    ))
  },
  {
    name: "FlushError",
    what:
      "This error is in the error channel of `Airlock.scoped`, because a caller can act on it: the body succeeded, and some " +
      "intents did not leave. `failures` names each of them with its reason, and `exit` is the exit of the body. Here the " +
      "reason is an `UnknownTaskError`, because no Layer of `toLayer` was provided. " +
      "[Executors](executors.md#options-of-the-run) lists the reasons.",
    code: "checkout.pipe(Airlock.scoped({ name: \"order\" }), Effect.provide(AirlockLive))",
    program: checkout.pipe(Airlock.scoped({ name: "order" }), Effect.provide(AirlockLive))
  },
  {
    name: "CommitUnknownError",
    what: "The connection broke between a COMMIT and its answer. This error is in the error channel of " +
      "`SqlTransaction.transaction`. It is a defect of `withTransaction`, whose type has no place for it. " +
      "[SQL](sql.md#broken-connections) has a table of the cases.",
    code: "SqlTransaction.transaction(checkout)",
    program: Effect.fail(
      withCallersStack(new AirlockError.CommitUnknownError({ cause: new Error("the connection was closed") }))
    )
  },
  {
    name: "NotDurableError",
    what:
      "`Airlock.requireDurable` fails the start of an application whose Airlock has an executor that is not durable.",
    code: "Airlock.requireDurable.pipe(Layer.provide(AirlockLive))",
    program: Effect.scoped(Layer.build(Airlock.requireDurable.pipe(Layer.provide(AirlockLive))))
  }
]

/**
 * The error as a user sees it. The path and the name of the caller, and the id of the intent, differ from run to run, so they
 * are replaced.
 */
const shown = (cause: Cause.Cause<unknown>) =>
  Cause.pretty(cause)
    .replaceAll(/at (\S+ \(\/[^)]*\)|\/[^\s)]*|\S+ \(file:[^)]*\)|file:[^\s)]*)/g, "at checkout (shop.ts:12:10)")
    .replaceAll(
      /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g,
      "019e4c2b-3b00-7000-8000-5d1c0a7be3f2"
    )

it.effect("docs/errors.md shows each error as a user would see it", () =>
  Effect.gen(function*() {
    const sections = yield* Effect.forEach(misuses, ({ code, name, program, what }) =>
      Effect.map(Effect.exit(program), (exit) => {
        const error = Exit.isFailure(exit) ? shown(exit.cause) : "nothing went wrong"
        expect(error).toContain(name === "CascadeTooDeepError" ? "handlers deep" : name)
        return `## ${name}\n\n${what}\n\n\`\`\`\n${code}\n\`\`\`\n\n\`\`\`text\n${error.trim()}\n\`\`\`\n`
      }))
    const page =
      `# Errors\n\nThis page shows the errors of Airlock, with an example and the message of each. Most of them are defects, ` +
      `because no caller\ncould act on them: change the program. The last three are typed: \`FlushError\`, ` +
      `\`CommitUnknownError\` and \`NotDurableError\`.\n\`test/docs/errors.test.ts\` prints this page.\n\n${
        sections.join("\n")
      }`
    yield* Effect.promise(() =>
      expect(page).toMatchFileSnapshot("../../docs/errors.md")
    )
  }))
