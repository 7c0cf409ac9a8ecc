/**
 * Runs the commands of `@effect/cli` in scopes, with a dry run, and long commands with a scope for each chunk of a Stream.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as Runtime from "@effect/platform/Runtime"
import type * as Terminal from "@effect/platform/Terminal"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Chunk from "effect/Chunk"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import { dual } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import * as Airlock from "./Airlock.js"
import type { CommitUnknownError, FlushError, PolicyFailedError, SettleTimeoutError } from "./AirlockError.js"
import {
  AirlockScope,
  type Exact,
  type FlushErrorOf,
  type Limits,
  type OnFlushErrorContext,
  type OptionsContext,
  type ScopedOptions,
  type ScopeOptions
} from "./AirlockScope.js"
import { CurrentExecutor, type Executor } from "./Executor.js"
import { asksInside, formatOf, hasOwnDryRun, rewriter, withDryRun } from "./internal/command/descriptor.js"
import { asksForDryRun, currentCommand, currentDryRun } from "./internal/command/dryRun.js"
import { makeProgress } from "./internal/command/progress.js"
import { Count, Findings, Report } from "./internal/command/report.js"
import { transactionIn } from "./internal/scope/transactionTag.js"
import type { Plan } from "./Plan.js"

export { Count, Report }

/**
 * The options of {@link scoped}.
 *
 * @since 0.1.0
 * @category options
 */
export interface CommandOptions<R = unknown>
  extends Limits, Pick<ScopedOptions<R>, "approve" | "executor" | "onFlushError">
{
  /** The name of the scope in logs and errors. Default: the name of the command. */
  readonly name?: string
  /** A policy for all that the command enqueues, also in chunks. It is added to all other policies in force. Default: none. */
  readonly policy?: ScopeOptions<R>["policy"]
  /**
   * Runs the command in a SQL transaction, as `SqlTransaction.transaction` does, which a dry run rolls back. Default: `false`:
   * what the command writes to a database in a dry run stays.
   */
  readonly rollback?: boolean
  /** The number of intents that the report of a dry run lists. It counts all of them. Default: 20. */
  readonly rows?: number
}

/**
 * The options of {@link runForEachChunk}.
 *
 * @since 0.1.0
 * @category options
 */
export interface ChunkOptions<R = unknown> extends Limits, Pick<ScopeOptions<R>, "executor" | "policy"> {
  /** The name of the scopes in logs and errors. Default: `chunk`. */
  readonly name?: string
  /** The number of elements in a chunk. The last chunk may be smaller. Default: 500. */
  readonly size?: number
  /**
   * Runs each chunk in a SQL transaction of its own, as `SqlTransaction.transaction` does, which a dry run rolls back. Default:
   * `false`.
   */
  readonly transaction?: boolean
  /** The number of all elements, for the progress. Default: unknown, and the progress has no bar. */
  readonly total?: number
  /** What the elements are, in the plural, for the progress. Default: `elements`. */
  readonly unit?: string
}

/**
 * The command that {@link scoped} returns for a command.
 *
 * @since 0.1.0
 * @category utility types
 */
export type ScopedCommand<Name extends string, R, E, A, Options> = Command.Command<
  Name,
  | Exclude<R, AirlockScope>
  | Airlock.Airlock
  | OptionsContext<Options>
  | OnFlushErrorContext<Options>
  | TransactionContext<Options, "rollback">,
  | E
  | FlushErrorOf<Options, void>
  | PlanError
  | TransactionError<Options, "rollback">,
  A
>

/**
 * The result of {@link scoped}: for a command, that command in a scope; for options, a function that puts a command in such a
 * scope.
 *
 * @since 0.1.0
 * @category utility types
 */
export type Scoped<X, Options> = X extends Command.Command<infer Name, infer R, infer E, infer A>
  ? ScopedCommand<Name, R, E, A, Options>
  : <Name extends string, R, E, A>(self: Command.Command<Name, R, E, A>) => ScopedCommand<Name, R, E, A, X>

/**
 * The errors of a dry run: a policy died, or the policies took too long.
 *
 * @since 0.1.0
 * @category utility types
 */
export type PlanError = PolicyFailedError | SettleTimeoutError

/**
 * The service that the option of a transaction needs.
 *
 * @since 0.1.0
 * @category utility types
 */
export type TransactionContext<Options, Key extends string> = Key extends keyof Options
  ? true extends Options[Key] ? SqlClient : never
  : never

/**
 * The errors that the option of a transaction adds.
 *
 * @since 0.1.0
 * @category utility types
 */
export type TransactionError<Options, Key extends string> = Key extends keyof Options
  ? true extends Options[Key] ? SqlError | CommitUnknownError | FlushError<void> : never
  : never

/**
 * Runs the handler of a command in a scope: if it succeeds, its intents leave; if it fails, they are discarded. Apply it last,
 * after `Command.withSubcommands`, so that subcommands run in the scope too, and after `Command.withHandler`: a handler that comes
 * later is not in the scope, and does not obey `--dry-run`.
 *
 * The command gets two options. With `--dry-run` the handler runs, nothing leaves, and a table says what would leave: the
 * numbers by task and reason, and the first intents. With `--dry-run-json` the same is printed as one line of JSON (see
 * {@link Report}); {@link run} also takes `--dry-run=json`. A
 * command that has an option `--dry-run` of its own keeps it: its key in the command's configuration must be `dryRun`. The value
 * `true`, `"table"` or `"json"` asks for a dry run, `false`, `Option.none()` or `undefined` does not, and with any other value the
 * command dies before its handler runs. Run the command with {@link run}: `Command.run` can miss a `--dry-run`. Options of a command hold for its subcommands too.
 *
 * What the handler does besides enqueueing happens in a dry run too, unless it asks {@link isDryRun}. With `rollback: true` the
 * handler runs in a SQL transaction, which a dry run rolls back.
 *
 * Fails with a `FlushError` if the handler succeeded and some intents could not leave. A dry run fails with a `PolicyFailedError`
 * or a `SettleTimeoutError` if the policies cannot decide. With `rollback: true`, also with the errors of
 * `SqlTransaction.transaction`.
 *
 * @example
 * ```ts
 * import { Args, Command } from "@effect/cli"
 * import { NodeContext, NodeRuntime } from "@effect/platform-node"
 * import { Effect, Layer, Schema } from "effect"
 * import { Airlock, AirlockLive, Task } from "effect-airlock"
 * import * as AirlockCommand from "effect-airlock/AirlockCommand"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 * const SendReceiptLive = SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt of order ${orderId}`))
 *
 * const resend = Command.make("resend", { orderId: Args.integer() }, ({ orderId }) =>
 *   Airlock.enqueue(SendReceipt, { orderId })).pipe(AirlockCommand.scoped)
 *
 * // resend 7; resend --dry-run 7
 * AirlockCommand.run(resend, { name: "resend", version: "1.0.0" })(process.argv).pipe(
 *   Effect.provide(SendReceiptLive.pipe(Layer.provideMerge(AirlockLive))),
 *   Effect.provide(NodeContext.layer),
 *   NodeRuntime.runMain({ teardown: AirlockCommand.teardown })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const scoped = <
  const X extends Command.Command<any, any, any, any> | CommandOptions,
  const Options extends CommandOptions = {}
>(
  argument: X & Exact<X, CommandOptions>,
  options?: Options & Exact<Options, CommandOptions>
): Scoped<X, Options> =>
  // The two cases of `Scoped`; TypeScript does not narrow a generic's conditional type by a test of its value.
  (Predicate.hasProperty(argument, Command.TypeId)
    ? inScope(argument as Command.Command<string, unknown, unknown, unknown>, options ?? {})
    : (self: Command.Command<string, unknown, unknown, unknown>) =>
      inScope(self, argument as CommandOptions)) as Scoped<X, Options>

const inScope = (
  self: Command.Command<string, unknown, unknown, unknown>,
  { policy, rollback = false, rows = 20, ...options }: CommandOptions
): Command.Command<string, any, any, unknown> => {
  const descriptor = withDryRun(self.descriptor)
  const [command = "command"] = Command.getNames(self)
  const ownDryRun = hasOwnDryRun(self.descriptor)
  const scope: ScopedOptions = { name: command, ...options }
  const run = (body: Effect.Effect<void, unknown, unknown>): Effect.Effect<void, unknown, unknown> =>
    Airlock.scoped(scope)(rollback ? inTransaction(body, limitsOf(scope)) : body).pipe(
      // The scope that lets intents leave is that of the outermost command: what that one has counts.
      Effect.locallyWith(currentCommand, (around) => ({ ...Struct.pick(scope, "approve", "executor"), ...around }))
    )
  const transform = Effect.fnUntraced(function*(effect: Effect.Effect<void, unknown, unknown>, config: unknown) {
    const around = yield* FiberRef.get(currentDryRun)
    const transformed = self.transform(effect, config)
    const body = policy === undefined ? transformed : Airlock.withPolicy(transformed, policy)
    if (around !== undefined) {
      return yield* inDryRun(body, around.findings, { scope: Struct.omit(scope, "executor"), transaction: rollback })
    }
    if (ownDryRun && !Predicate.hasProperty(config, "dryRun")) {
      return yield* Effect.dieMessage(
        `The command "${command}" has an option --dry-run of its own. Give it the key \`dryRun\` in the configuration of ` +
          "the command, so that AirlockCommand.scoped finds its value."
      )
    }
    const format = yield* formatOf(config, ownDryRun)
    if (format === undefined) {
      if ((yield* FiberRef.get(asksForDryRun)) && !asksInside(config)) {
        return yield* Effect.dieMessage(
          `The arguments ask for a dry run, but @effect/cli found no --dry-run of the command "${command}" in them, so that ` +
            "nothing has run. If an option is unknown or wrong, it takes that one and all that follow for plain arguments."
        )
      }
      return yield* run(body)
    }
    const findings = new Findings(command, rows)
    yield* Effect.locally(inDryRun(body, findings, { scope, transaction: rollback }), currentDryRun, {
      format,
      findings
    })
    yield* Console.log(format === "json" ? toJson(findings.report) : `${findings.report}`)
  })
  // As Effect's combinators, it keeps the tag: handlers of subcommands read the command's value by it.
  return Object.assign(Object.create(Object.getPrototypeOf(self)), self, {
    descriptor,
    transform
  })
}

const toJson = (report: Report): string => JSON.stringify(Schema.encodeSync(Report)(report))

/**
 * `Command.run`, which reads `--dry-run` and `--dry-run-json` as they are meant. The parser of `@effect/cli` knows no option whose
 * value may be missing. So with `Command.run`
 *
 * - `--dry-run 0 5` is no dry run: the parser takes an argument `0`, `n`, `no`, `off`, `false`, `1`, `y`, `yes`, `on` or `true` for
 *   the value of the option before it. Here only `--dry-run=false` and the like are no dry run.
 * - an option that is unknown or wrong can make the parser take all options for arguments, also `--dry-run`, and the command
 *   runs. Here it dies before its handler runs.
 * - `--dry-run=json` is `--dry-run` and an argument `json`. Here it is `--dry-run-json`.
 *
 * Arguments after `--` are no options. If the command, or a subcommand, has an option `--dry-run` of its own whose value is not
 * a boolean, that option is left to the parser.
 *
 * @example
 * ```ts
 * import { Command } from "@effect/cli"
 * import { Effect } from "effect"
 * import * as AirlockCommand from "effect-airlock/AirlockCommand"
 *
 * const nightly = Command.make("nightly", {}, () => Effect.void).pipe(AirlockCommand.scoped)
 *
 * const cli = AirlockCommand.run(nightly, { name: "nightly", version: "1.0.0" })
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const run: typeof Command.run = dual(
  2,
  (
    self: Command.Command<string, unknown, unknown, unknown>,
    config: { readonly name: string, readonly version: string }
  ) => {
    const runWith = Command.run(self, config)
    const rewrite = rewriter(self.descriptor)
    return (args: ReadonlyArray<string>) => {
      const rewritten = rewrite(args)
      return Effect.locally(runWith(rewritten.args), asksForDryRun, rewritten.asksForDryRun)
    }
  }
)

/**
 * Whether a dry run of {@link scoped} runs. Ask it before doing what a dry run must not do.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as AirlockCommand from "effect-airlock/AirlockCommand"
 *
 * declare const upload: Effect.Effect<void>
 *
 * const careful = Effect.unlessEffect(upload, AirlockCommand.isDryRun)
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const isDryRun: Effect.Effect<boolean> = Effect.map(FiberRef.get(currentDryRun), (run) => run !== undefined)

/**
 * Runs a function for each chunk of a Stream, each in a scope of its own: the intents of a chunk leave when the chunk has
 * succeeded, and before the next one begins. A chunk that fails or is interrupted discards its intents, and ends the run; what
 * left before has left. Memory holds one chunk at a time, whatever the length of the Stream.
 *
 * No scope around it captures the intents of a chunk. Of the outermost command that is {@link scoped}, `policy`, `approve` and
 * `executor` hold in the chunks: `approve` sees the plan of each chunk. If it says no, the intents of that chunk are discarded,
 * and the next chunk begins. Any other scope around it has no part in the chunks, and neither has the policy of that scope.
 *
 * On a terminal a bar shows the progress. Elsewhere a line is printed at most each 5 seconds, and one at the end. In a dry run of
 * {@link scoped} nothing leaves, and the report covers all chunks. With `--dry-run-json` the lines go to standard error.
 *
 * With `transaction: true` each chunk is a SQL transaction, which a dry run rolls back: so select the elements by a key that
 * grows, and not by what the chunks change, or a dry run never ends. Inside a transaction the chunks are savepoints, and their
 * intents leave with that transaction.
 *
 * Fails with the errors of the Stream and of the function, and with a `FlushError` if intents of a chunk could not leave. With
 * `transaction: true`, also with the errors of `SqlTransaction.transaction`. In a dry run with a `PolicyFailedError` or a
 * `SettleTimeoutError` if the policies cannot decide.
 *
 * @example
 * ```ts
 * import { Command } from "@effect/cli"
 * import { Effect, Schema, Stream } from "effect"
 * import { Airlock, Task } from "effect-airlock"
 * import * as AirlockCommand from "effect-airlock/AirlockCommand"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const backfill = Command.make("backfill", {}, () =>
 *   Stream.range(1, 100_000).pipe(
 *     AirlockCommand.runForEachChunk(
 *       (orderIds) => Effect.forEach(orderIds, (orderId) => Airlock.enqueue(SendReceipt, { orderId }), { discard: true }),
 *       { size: 1000, total: 100_000, unit: "orders" }
 *     )
 *   )).pipe(AirlockCommand.scoped)
 * ```
 *
 * @since 0.1.0
 * @category execution
 */
export const runForEachChunk: {
  <A, X, E2, R2, const Options extends ChunkOptions = {}>(
    f: (chunk: Chunk.Chunk<A>) => Effect.Effect<X, E2, R2>,
    options?: Options & Exact<Options, ChunkOptions>
  ): <E, R>(
    self: Stream.Stream<A, E, R>
  ) => Effect.Effect<void, E | ChunkError<E2, Options>, R | ChunkContext<R2, Options>>
  <A, E, R, X, E2, R2, const Options extends ChunkOptions = {}>(
    self: Stream.Stream<A, E, R>,
    f: (chunk: Chunk.Chunk<A>) => Effect.Effect<X, E2, R2>,
    options?: Options & Exact<Options, ChunkOptions>
  ): Effect.Effect<void, E | ChunkError<E2, Options>, R | ChunkContext<R2, Options>>
} = dual(
  (args) => Predicate.hasProperty(args[0], Stream.StreamTypeId),
  <A>(
    self: Stream.Stream<A, unknown, unknown>,
    f: (chunk: Chunk.Chunk<A>) => Effect.Effect<unknown, unknown, unknown>,
    { name = "chunk", size = 500, total, transaction = false, unit = "elements", ...options }: ChunkOptions = {}
  ): Effect.Effect<void, any, any> =>
    Effect.gen(function*() {
      const dryRun = yield* FiberRef.get(currentDryRun)
      const progress = yield* makeProgress({
        total,
        unit,
        isDryRun: dryRun !== undefined,
        isApart: dryRun?.format === "json"
      })
      const scope: ScopeOptions = { ...options, name }
      const run = (body: Effect.Effect<void, unknown, unknown>) =>
        dryRun === undefined
          ? alone(body, { scope, transaction })
          : inDryRun(body, dryRun.findings, { scope, transaction })
      return yield* Stream.grouped(self, size).pipe(
        Stream.runForEach((chunk) =>
          Effect.zipRight(run(Effect.asVoid(Effect.suspend(() => f(chunk)))), progress.advance(chunk.length))
        ),
        Effect.onExit(progress.end)
      )
    })
)

/**
 * The errors that {@link runForEachChunk} adds to those of the Stream.
 *
 * @since 0.1.0
 * @category utility types
 */
export type ChunkError<E, Options> = E | FlushError<void> | PlanError | TransactionError<Options, "transaction">

/**
 * The services that {@link runForEachChunk} adds to those of the Stream.
 *
 * @since 0.1.0
 * @category utility types
 */
export type ChunkContext<R, Options> =
  | Exclude<R, AirlockScope>
  | Airlock.Airlock
  | Terminal.Terminal
  | OptionsContext<Options>
  | TransactionContext<Options, "transaction">

/**
 * The teardown of a process whose main Effect is a command: an interruption, such as Ctrl-C, is exit code 130. With Effect's own
 * teardown it is 0, as if the command had succeeded.
 *
 * @example
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import * as AirlockCommand from "effect-airlock/AirlockCommand"
 *
 * NodeRuntime.runMain(Effect.never, { teardown: AirlockCommand.teardown })
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const teardown: Runtime.Teardown = (exit, onExit) =>
  Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause) ? onExit(130) : Runtime.defaultTeardown(exit, onExit)

interface Boundary {
  readonly scope: ScopedOptions
  readonly transaction: boolean
}

/** Runs an Effect in a scope or a transaction that no scope around captures, unless it is part of a transaction itself. */
const alone = (
  body: Effect.Effect<void, unknown, unknown>,
  { scope, transaction }: Boundary
): Effect.Effect<void, unknown, unknown> =>
  Effect.flatMap(isInTransaction, (inside) => {
    const run = (options: ScopedOptions) => transaction ? inTransaction(body, options) : Airlock.scoped(options)(body)
    return inside
      ? run(scope)
      : Effect.flatMap(FiberRef.get(currentCommand), (command) => run({ ...command, ...scope, independent: true }))
  })

const isInTransaction = Effect.withFiberRuntime<boolean>((fiber) =>
  Effect.succeed(transactionIn(fiber.currentContext) !== undefined)
)

/** `@effect/sql` is loaded only by those who use it. */
const inTransaction = (
  body: Effect.Effect<void, unknown, unknown>,
  scope: ScopeOptions
): Effect.Effect<void, unknown, unknown> =>
  Effect.flatMap(
    Effect.promise(() => import("./SqlTransaction.js")),
    ({ transactionWith }) => transactionWith(body, scope)
  )

const limitsOf = (scope: ScopedOptions): Limits => Struct.omit(scope, "approve", "executor", "name", "onFlushError")

/** Runs an Effect in a scope or a transaction that discards all intents, and adds their plan to the findings. */
const inDryRun = (
  body: Effect.Effect<void, unknown, unknown>,
  findings: Findings,
  { scope, transaction }: Boundary
): Effect.Effect<void, unknown, unknown> =>
  Effect.flatMap(isInTransaction, (inside) => {
    const options: ScopeOptions = {
      ...Struct.omit(scope, "approve", "onFlushError"),
      // Whatever the application says of its scopes, the plan has the intents of the scopes inside.
      beforeDescendantFlushes: () => []
    }
    const looking = body.pipe(
      Effect.zipRight(AirlockScope),
      Effect.flatMap((scope) => scope.plan),
      // The failure discards the intents, and rolls the transaction back.
      Effect.flatMap((plan) => Effect.fail(new Looked(plan)))
    )
    const looked = (transaction ? inTransaction(looking, options) : Airlock.scoped(options)(looking)).pipe(
      Effect.catchAll((error) =>
        error instanceof Looked ? Effect.sync(() => findings.add(error.plan)) : Effect.fail(error)
      )
    )
    // Inside a plan nothing leaves, not even from independent scopes. Inside a transaction these refuse every enqueue.
    return inside ? looked : Effect.asVoid(planWith(looked, scope.executor))
  })

/** `Airlock.plan` with the executor that the scope would have, as executors differ in the intents that they accept. */
const planWith = <A, E, R>(self: Effect.Effect<A, E, R>, executor: Executor | undefined) =>
  executor === undefined
    ? Airlock.plan(self)
    : Effect.provideService(Airlock.plan(self), CurrentExecutor, executor)

/** The end of a body whose plan is known. */
class Looked {
  constructor(readonly plan: Plan) {}
}
