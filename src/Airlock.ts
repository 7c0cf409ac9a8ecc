/**
 * Records side effects where they arise, and runs them only when the work around them has succeeded.
 *
 * `Airlock.enqueue` adds an intent to the current scope. `Airlock.scoped`, the HTTP middleware and a SQL transaction open a
 * scope. If the scope succeeds, its intents leave; if it fails, they are discarded.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type * as Schema from "effect/Schema"
import type * as EffectScope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type FlushError,
  NotDurableError,
  type PolicyFailedError,
  type SettleTimeoutError,
  wrongAnswer
} from "./AirlockError.js"
import {
  type AirlockScope,
  type Exact,
  type FlushErrorOf,
  type Limits,
  type OnFlushErrorContext,
  type OptionsContext,
  type ScopeBehavior,
  type ScopedOptions,
  type ScopeOptions,
  type ScopeView,
  withoutMarker
} from "./AirlockScope.js"
import { CurrentExecutor, type Executor } from "./Executor.js"
import type { EnqueueOptions, Intent, IntentId } from "./Intent.js"
import { type ConfigOptions, type Configuration, configurationOf, read } from "./internal/config/configuration.js"
import { Airlock, type AirlockService, type UnsupportedOptions } from "./internal/contract/airlock.js"
import { defaultLimits, resolveLimits } from "./internal/contract/limits.js"
import { HandlerRegistry } from "./internal/handler/registry.js"
import { currentOf, enter, exitEntered, exitInside, locally } from "./internal/scope/currentScope.js"
import * as internal from "./internal/scope/enqueue.js"
import { makeFork } from "./internal/scope/fork.js"
import { openRoot, openScope } from "./internal/scope/open.js"
import { preview, viewOf } from "./internal/scope/plan.js"
import { extend } from "./internal/scope/policyChain.js"
import type { Scope, Settlement } from "./internal/scope/scope.js"
import { exitOf, failureOf, settle } from "./internal/scope/settle.js"
import { streamInScope } from "./internal/scope/stream.js"
import { registerAirlock } from "./internal/scope/wiring.js"
import { withCallersStack } from "./internal/support/callSite.js"
import { missingInternals } from "./internal/support/effectInternals.js"
import { withScopeSpan } from "./internal/telemetry/spans.js"
import type { Plan } from "./Plan.js"
import { all, allowAll, CurrentPolicy, type Policy } from "./Policy.js"
import type * as Task from "./Task.js"

export { Airlock, type AirlockService, type Configuration, type UnsupportedOptions }

/**
 * The settings for all scopes of an application. Policy and executor can be provided as services instead (`Policy.layer`,
 * `Executor.layer`).
 *
 * @since 0.1.0
 * @category options
 */
export interface AirlockOptions<R = never> extends Limits {
  /**
   * How scopes settle, those of requests and handlers included. The options of a scope override it. In a SQL transaction only
   * `approve` holds, because the database decides whether it succeeds. For a request, `shouldFlush` gets a success if the
   * status of the response is below 400, and otherwise a failure. The services that `approve` needs are those of this Layer,
   * or of the place where the scope opens if it has them. Default: as `ScopeBehavior` says.
   */
  readonly scope?: ScopeBehavior<R>
  /** A policy for all scopes, added to the policy of the context. Default: none. */
  readonly policy?: Policy
  /** The executor for all scopes. Default: that of the context, else `Executor.inProcess()`. */
  readonly executor?: Executor
  /**
   * How long a shutdown waits for running handlers and for intents that executors hold, for all handlers together. Then an
   * error log names the handlers and intents that are left. Default: 30 seconds.
   */
  readonly shutdownTimeout?: Duration.DurationInput
  /**
   * What becomes of an enqueue with an option that its executor cannot carry out, such as a `delay` with
   * `Executor.inProcess()`. `refuse`: it is a defect (`UnsupportedOptionError`). `ignore`: the intent runs as if it had no such
   * option, and a warning is logged, once for each executor and option. Default: `refuse`.
   */
  readonly unsupportedOptions?: UnsupportedOptions
}

/**
 * Builds the `Airlock` service. The policies of the options and of the Layer's context add up. The executor is that of the
 * options, else that of the context, else `Executor.inProcess()`.
 *
 * @example
 * ```ts
 * import { Airlock, Executor } from "effect-airlock"
 *
 * const AirlockInBackground = Airlock.layer({
 *   executor: Executor.background(),
 *   maxIntents: 1000,
 *   shutdownTimeout: "10 seconds"
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(options: AirlockOptions<R> = {}): Layer.Layer<Airlock, never, NoInfer<R>> =>
  Layer.scoped(
    Airlock,
    Effect.gen(function*() {
      const missing = yield* Effect.withFiberRuntime<string | undefined>((fiber) =>
        Effect.succeed(missingInternals(fiber))
      )
      if (missing !== undefined) {
        return yield* Effect.dieMessage(missing)
      }
      const policy = yield* CurrentPolicy
      const handlers = new HandlerRegistry(() => service)
      const service: AirlockService = {
        ...resolveLimits(options, defaultLimits),
        policy: options.policy === undefined
          ? policy
          : policy === allowAll
          ? options.policy
          : all(options.policy, policy),
        executor: options.executor ?? (yield* CurrentExecutor),
        ...(options.scope !== undefined && { scope: provideBehavior(options.scope, yield* Effect.context<R>()) }),
        shutdownTimeout: Duration.decode(options.shutdownTimeout ?? "30 seconds"),
        unsupportedOptions: options.unsupportedOptions ?? "refuse",
        handlers,
        register: (definition) => handlers.register(definition)
      }
      // An application with closures alone has no handler's Layer that would let the executors finish.
      yield* Effect.addFinalizer(() => handlers.close)
      yield* registerAirlock(service)
      return service
    })
  )

/** Where a scope opens there may be services of a request, which come first. */
const provideBehavior = <R>(
  { approve, ...behavior }: ScopeBehavior<R>,
  context: Context.Context<R>
): ScopeBehavior<never> => ({
  ...behavior,
  ...(approve !== undefined && {
    approve: (plan: Plan) =>
      Effect.mapInputContext(approve(plan), (own: Context.Context<never>) => Context.merge(context, own))
  })
})

/**
 * `Airlock.layer()` with all defaults. Provide it once for the whole application.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Airlock, AirlockLive, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 * const SendReceiptLive = SendReceipt.toLayer(({ orderId }) => Effect.log(`receipt ${orderId}`))
 *
 * const program = Airlock.enqueue(SendReceipt, { orderId: 1 }).pipe(
 *   Airlock.scoped,
 *   Effect.provide(SendReceiptLive.pipe(Layer.provideMerge(AirlockLive)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const AirlockLive: Layer.Layer<Airlock> = layer()

/**
 * Fails at the start of the application if its executor is not durable, with a `NotDurableError`. Merge it with the
 * application's other Layers.
 *
 * It cannot tell for an executor that decides for each intent, such as `Executor.route`: that one passes, as do the
 * executors of `AirlockTest`.
 *
 * @example
 * ```ts
 * import type { SqlClient } from "@effect/sql"
 * import { Layer } from "effect"
 * import { Airlock } from "effect-airlock"
 * import * as Outbox from "effect-airlock/Outbox"
 *
 * declare const Server: Layer.Layer<never, never, Airlock.Airlock>
 * declare const DatabaseLive: Layer.Layer<SqlClient.SqlClient>
 *
 * const Main = Layer.mergeAll(Server, Airlock.requireDurable).pipe(
 *   Layer.provide(Outbox.live()),
 *   Layer.provide(DatabaseLive)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const requireDurable: Layer.Layer<never, NotDurableError, Airlock> = Layer.effectDiscard(
  Effect.flatMap(
    Airlock,
    ({ executor: { durable, name } }) =>
      durable === false ? Effect.fail(withCallersStack(new NotDurableError({ executor: name }))) : Effect.void
  )
)

/**
 * The options of {@link layerConfig}, in addition to the configuration that it reads.
 *
 * @since 0.1.0
 * @category options
 */
export interface LayerConfigOptions<
  Executors extends Readonly<Record<string, Executor | Effect.Effect<Executor, unknown, unknown>>>,
  R = never
> {
  /** How scopes settle, as in {@link AirlockOptions}. */
  readonly scope?: ScopeBehavior<R>
  /** The prefix of all keys. Default: `AIRLOCK`. */
  readonly prefix?: string
  /** Policies that the configuration can name, beside the built-in ones. */
  readonly policies?: Readonly<Record<string, Policy>>
  /**
   * Executors that the configuration can name, beside the built-in ones. Of Effects, only that of the chosen executor runs;
   * its resources are released with the Layer.
   */
  readonly executors?: Executors
}

/** The errors and the requirements of the Effects among the executors. */
type ErrorOf<Executors> = Executors[keyof Executors] extends infer X
  ? X extends Effect.Effect<Executor, infer E, unknown> ? E : never
  : never
type ContextOf<Executors> = Executors[keyof Executors] extends infer X
  ? X extends Effect.Effect<Executor, unknown, infer R> ? R : never
  : never

/**
 * Builds the `Airlock` service from Effect's `Config`: the executor and the policies by name, and the limits. A missing key
 * has its default. Policies add up with those of the Layer's context. A configured executor replaces that of the context.
 *
 * Fails with a `ConfigError` if a value cannot be read, a name is unknown, or a key under the prefix is unknown. The error
 * says what was expected. Fails with the error of the chosen executor if its Effect fails.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Airlock, Policy } from "effect-airlock"
 *
 * // AIRLOCK_POLICY=quietNights,logOnFlush AIRLOCK_DISPATCH_TIMEOUT="10 seconds" node server.js
 * const AirlockConfigured = Airlock.layerConfig({
 *   policies: { quietNights: Policy.blockTasks(["SendNewsletter"]) }
 * })
 *
 * const Logged = Layer.effectDiscard(Effect.flatMap(Airlock.configuration, (_) => Effect.logInfo("Airlock", _)))
 * const Main = Logged.pipe(Layer.provideMerge(AirlockConfigured)) // Layer<Airlock, ConfigError>
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = <
  const Executors extends Readonly<Record<string, Executor | Effect.Effect<Executor, unknown, unknown>>> = {},
  R = never
>(
  { scope, ...options }: LayerConfigOptions<Executors, R> = {}
): Layer.Layer<
  Airlock,
  ConfigError.ConfigError | ErrorOf<Executors>,
  Exclude<ContextOf<Executors>, EffectScope.Scope> | NoInfer<R>
> =>
  Layer.unwrapScoped(Effect.map(
    // The errors and the requirements of all executors, as one type.
    read(options as ConfigOptions<ErrorOf<Executors>, ContextOf<Executors>>),
    (settings) => layer<R>({ ...settings, ...(scope !== undefined && { scope }) })
  ))

/**
 * Returns the settings that hold for all scopes of the application, as a value that can be logged.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Airlock, AirlockLive } from "effect-airlock"
 *
 * const program = Effect.flatMap(Airlock.configuration, (settings) => Effect.logInfo("Airlock", settings)).pipe(
 *   Effect.provide(AirlockLive)
 * )
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const configuration: Effect.Effect<Configuration, never, Airlock> = Effect.map(Airlock, configurationOf)

/**
 * Adds an intent to the current scope and returns the intent's id. Nothing runs until the scope, its outer scopes and its
 * transactions have succeeded.
 *
 * The enqueue cannot fail. Wrong use is a defect with an error that names the task and the place of the call:
 *
 * - `NoScopeError`, `ScopeClosedError`: there is no scope, or it has settled.
 * - `InvalidPayloadError`, `PayloadTooLargeError`: the payload does not match its Schema, or exceeds `maxPayloadBytes`.
 * - `PolicyViolation`, `PolicyEnqueueError`: a policy refuses the intent, or a policy enqueues it.
 * - `UnsupportedOptionError`: the executor cannot carry out one of the options.
 * - `BufferFullError`, `CascadeTooDeepError`: the enqueue exceeds `maxIntents` or `maxCascade`.
 * - `UnseenTransactionError`: the scope does not know the SQL transaction around the enqueue.
 *
 * The scope then stays as it was.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * // Effect<void, never, AirlockScope>: the type says that it has side effects
 * const confirm = (orderId: number) => Airlock.enqueue(SendReceipt, { orderId }).pipe(Effect.asVoid)
 * ```
 *
 * @since 0.1.0
 * @category enqueueing
 */
export const enqueue: <Name extends string, Payload extends Schema.Schema.Any>(
  task: Task.Task<Name, Payload>,
  payload: NoInfer<Schema.Schema.Type<Payload>>,
  options?: EnqueueOptions
) => Effect.Effect<IntentId, never, AirlockScope> = internal.enqueue

/**
 * Enqueues an Effect instead of a task, for executors in this process. If the scope succeeds, the Effect runs as a handler
 * does, with the services of the enqueue, but without its SQL transaction. Policies, plans and logs show it as `name`.
 *
 * A durable executor cannot store an Effect. With such an executor the enqueue is a defect (`NotSerializableError`).
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Airlock } from "effect-airlock"
 *
 * const saved = Airlock.enqueueEffect("clearCache", Effect.log("the cache is cleared"))
 * ```
 *
 * @since 0.1.0
 * @category enqueueing
 */
export const enqueueEffect: <A, E, R>(
  name: string,
  effect: Effect.Effect<A, E, R>,
  options?: EnqueueOptions
) => Effect.Effect<IntentId, never, AirlockScope | Exclude<R, AirlockScope | EffectScope.Scope>> =
  internal.enqueueEffect

/**
 * The result of {@link scoped}: for an Effect, that Effect in a scope; for options, a function that runs an Effect in such
 * a scope.
 *
 * @since 0.1.0
 * @category utility types
 */
export type Scoped<X> = [X] extends [Effect.Effect<infer A, infer E, infer R>]
  ? Effect.Effect<A, E | FlushError<A>, Exclude<R, AirlockScope> | Airlock>
  : <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<
    A,
    E | FlushErrorOf<X, A>,
    Exclude<R, AirlockScope> | Airlock | OptionsContext<X> | OnFlushErrorContext<X>
  >

/**
 * Runs an Effect in a scope. If the Effect succeeds, its intents leave before `Airlock.scoped` completes. If it fails, dies
 * or is interrupted, they are discarded. Inside another scope, a success hands the intents over to that scope.
 *
 * Fails with a {@link FlushError} if the Effect succeeded and some intents could not leave. The error names each of them, and
 * has the exit of the Effect. The option `onFlushError` replaces it.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, AirlockLive, Policy, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 * const checkout = Airlock.enqueue(SendReceipt, { orderId: 1 })
 *
 * const program = checkout.pipe(Airlock.scoped, Effect.provide(AirlockLive))
 * const dryRun = checkout.pipe(Airlock.scoped({ policy: Policy.dropAll }), Effect.provide(AirlockLive))
 * ```
 *
 * @since 0.1.0
 * @category scopes
 */
export const scoped = <const X extends Effect.Effect<any, any, any> | ScopedOptions>(
  argument: X & Exact<X, ScopedOptions>
): Scoped<X> =>
  // The two cases of `Scoped`; TypeScript does not narrow a generic's conditional type by a test of its value.
  (Effect.isEffect(argument)
    ? inScope(argument, {})
    : (self: Effect.Effect<unknown, unknown, unknown>) => inScope(self, argument as ScopedOptions)) as Scoped<X>

const inScope = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  options: ScopedOptions
): Effect.Effect<A, unknown, Exclude<R, AirlockScope> | Airlock> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
    const interruptible = RuntimeFlags.interruptible(runtimeFlags)
    return Effect.uninterruptibleMask((restore) => {
      const airlock = Context.unsafeGet(fiber.currentContext, Airlock)
      const scope = openScope(fiber, { airlock, options, interruptible })
      return withScopeSpan(
        Effect.flatMap(
          withoutMarker(exitInside(restore(self), fiber, scope)),
          (exit) =>
            Effect.flatMap(
              settle(scope, exit),
              (settlement) =>
                options.onFlushError !== undefined && settlement.failures.length > 0
                  ? recover(
                    scope,
                    exit,
                    settlement,
                    (error) => restore(recovering(scope, options.onFlushError!(error)))
                  )
                  : exitOf(scope, exit, settlement)
            )
        ),
        fiber,
        scope
      )
    })
  })

/** The Effect that `onFlushError` returned, if it is one. */
const recovering = <A, E, R>({ name }: Scope, answer: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.isEffect(answer)
    ? answer
    : Effect.die(wrongAnswer(`The onFlushError of the scope "${name}"`, answer, "an Effect"))

/** Logs the error of a flush, and gives it to `onFlushError`, whose failure replaces it. */
const recover = <A, E>(
  scope: Scope,
  exit: Exit.Exit<A, E>,
  settlement: Settlement,
  onFlushError: NonNullable<ScopedOptions["onFlushError"]>
): Effect.Effect<A, unknown> =>
  Effect.flatMap(
    Effect.flip(failureOf(scope, exit, settlement)),
    (error) =>
      Effect.logError("Airlock: not all intents of the scope left", Cause.fail(error)).pipe(
        // The context of the scope has the services of `onFlushError`.
        Effect.zipRight(Effect.exit(Effect.suspend(() => onFlushError(error)) as Effect.Effect<void, unknown>)),
        Effect.flatMap((recovered) => Exit.zipLeft(exit, recovered))
      )
  )

/**
 * The result of {@link scopedStream}: for a stream, that stream in a scope; for options, a function that runs a stream in
 * such a scope.
 *
 * @since 0.1.0
 * @category utility types
 */
export type ScopedStream<X> = [X] extends [Stream.Stream<infer A, infer E, infer R>]
  ? Stream.Stream<A, E | FlushError, Exclude<R, AirlockScope> | Airlock>
  : <A, E, R>(
    self: Stream.Stream<A, E, R>
  ) => Stream.Stream<A, E | FlushError, Exclude<R, AirlockScope> | Airlock | OptionsContext<X>>

/**
 * Runs a stream in a scope, from its first pull until it has ended. If the stream ends, its intents leave before its end is
 * seen; the stream fails with a {@link FlushError} if some could not leave. If the stream fails, dies or is interrupted, they
 * are discarded. Inside another scope, a success hands the intents over to that scope.
 *
 * A reader that stops before the end and succeeds, as in `Stream.take`, counts as the end of the stream: the intents leave.
 * Then a {@link FlushError} is a defect, because nobody reads the stream any more.
 *
 * Apply it last, after `Stream.buffer` and other operators that run the stream in a fiber of their own: when these stop
 * before the end, they interrupt the stream before them.
 *
 * @example
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Airlock, AirlockLive, Task } from "effect-airlock"
 *
 * const Imported = Task.make("Imported", { payload: { row: Schema.Number } })
 *
 * const rows = Stream.range(1, 100).pipe(
 *   Stream.mapEffect((row) => Airlock.enqueue(Imported, { row }), { concurrency: 4 }),
 *   Airlock.scopedStream
 * )
 *
 * const program = Stream.runDrain(rows).pipe(Effect.provide(AirlockLive))
 * ```
 *
 * @since 0.1.0
 * @category scopes
 */
export const scopedStream = <const X extends Stream.Stream<any, any, any> | ScopeOptions>(
  argument: X & Exact<X, ScopeOptions>
): ScopedStream<X> =>
  // The two cases of `ScopedStream`; TypeScript does not narrow a generic's conditional type by a test of its value.
  (Predicate.hasProperty(argument, Stream.StreamTypeId)
    ? inStreamScope(argument as Stream.Stream<unknown, unknown, unknown>, {})
    : (self: Stream.Stream<unknown, unknown, unknown>) =>
      inStreamScope(self, argument as ScopeOptions)) as ScopedStream<X>

const inStreamScope = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  options: ScopeOptions
): Stream.Stream<A, E | FlushError, R> =>
  streamInScope(self, {
    open: (fiber) => openScope(fiber, { airlock: Context.unsafeGet(fiber.currentContext, Airlock), options }),
    stopped: Exit.void
  })

/**
 * Opens a scope as a resource. It settles when the Effect `Scope` closes, by the `Exit` of that `Scope`. Use it in Layers,
 * and for scopes that last longer than one Effect. To run one Effect in a scope, use {@link scoped}.
 *
 * Closing a `Scope` cannot fail, so a {@link FlushError} is a defect here.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, AirlockLive, AirlockScope, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const program = Airlock.enqueue(SendReceipt, { orderId: 1 }).pipe(
 *   Effect.provideServiceEffect(AirlockScope, Airlock.open()),
 *   Effect.scoped,
 *   Effect.provide(AirlockLive)
 * )
 * ```
 *
 * @since 0.1.0
 * @category scopes
 */
export const open = <const Options extends ScopeOptions = {}>(
  options?: Options & Exact<Options, ScopeOptions>
): Effect.Effect<AirlockScope["Type"], never, Airlock | EffectScope.Scope | OptionsContext<Options>> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.withFiberRuntime<Scope, never, Airlock>((fiber) => {
        const airlock = Context.unsafeGet(fiber.currentContext, Airlock)
        const scope = openScope(fiber, { airlock, options: options ?? {} })
        enter(fiber, scope)
        return Effect.succeed(scope)
      }),
      (scope, exit) =>
        exitEntered(scope).pipe(
          Effect.zipRight(settle(scope, exit, { byExitAlone: true })),
          Effect.flatMap((settlement) => failureOf(scope, exit, settlement)),
          Effect.orDie
        )
    ),
    viewOf
  )

/**
 * Returns a read-only view of the current scope, or `None` without a scope, for logs, middleware and tests.
 *
 * @example
 * ```ts
 * import { Effect, Option } from "effect"
 * import { Airlock } from "effect-airlock"
 *
 * const state = Effect.map(Airlock.current, Option.map((scope) => `${scope.name} is ${scope.state}`))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const current: Effect.Effect<Option.Option<ScopeView>> = Effect.withFiberRuntime((fiber) =>
  Effect.succeed(Option.map(Option.fromNullable(currentOf(fiber)?.scope), viewOf))
)

/**
 * Returns the intents that the current scope holds, in the order of their enqueues. Empty without a scope.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Airlock } from "effect-airlock"
 *
 * const count = Effect.map(Airlock.intents, (intents) => intents.length)
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const intents: Effect.Effect<ReadonlyArray<Intent>> = Effect.map(
  current,
  Option.match({ onNone: () => [], onSome: (scope) => scope.intents })
)

/**
 * Runs an Effect and returns the plan of its intents: which of them would leave, and why the others would not. Nothing
 * leaves, not even from independent scopes inside the Effect. Rows that the Effect writes to a database stay.
 *
 * Fails with a `PolicyFailedError` if a policy dies, and with a `SettleTimeoutError` if the policies exceed
 * `policyTimeout`.
 *
 * @example
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Airlock, AirlockLive, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const program = Airlock.plan(Airlock.enqueue(SendReceipt, { orderId: 1 })).pipe(
 *   Effect.flatMap((plan) => Console.log(String(plan))),
 *   Effect.provide(AirlockLive)
 * )
 * ```
 *
 * @since 0.1.0
 * @category execution
 */
export const plan = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<Plan, E | PolicyFailedError | SettleTimeoutError, Exclude<R, AirlockScope> | Airlock> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((fiber) => {
      const { currentContext: context } = fiber
      const airlock = Context.unsafeGet(context, Airlock)
      const options = { name: "plan" }
      const scope = openRoot({ airlock, context, current: currentOf(fiber), options, planning: true })
      return Effect.flatMap(withoutMarker(exitInside(restore(self), fiber, scope)), (exit) => {
        const planned: Effect.Effect<Plan, E | PolicyFailedError | SettleTimeoutError> = Exit.isSuccess(exit)
          ? preview(scope)
          : Effect.failCause(exit.cause)
        return Effect.ensuring(planned, settle(scope, exit, { flush: false }))
      })
    })
  )

/**
 * Adds a policy to those in force while an Effect runs. The policy is sealed on each intent that the Effect enqueues, and
 * holds for every scope that it opens.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Airlock, Policy, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const quiet = Airlock.enqueue(SendReceipt, { orderId: 1 }).pipe(Airlock.withPolicy(Policy.dropAll))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withPolicy: {
  <R2>(policy: Policy<R2>): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | R2>
  <A, E, R, R2>(self: Effect.Effect<A, E, R>, policy: Policy<R2>): Effect.Effect<A, E, R | R2>
} = dual(
  2,
  <A, E, R, R2>(self: Effect.Effect<A, E, R>, policy: Policy<R2>): Effect.Effect<A, E, R | R2> =>
    Effect.withFiberRuntime((fiber) => {
      const current = currentOf(fiber)
      return locally(self, {
        scope: current?.scope,
        policies: extend(current?.policies, policy, fiber.currentContext, true),
        fork: current?.fork ?? makeFork(undefined)
      })
    })
)

/**
 * Removes the requirement `AirlockScope` without opening a scope, for services whose methods should have no requirements. A
 * missing scope is then a defect at the enqueue (`NoScopeError`), and no longer a compile error.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * // Effect<IntentId>
 * const confirm = Airlock.enqueue(SendReceipt, { orderId: 1 }).pipe(Effect.provide(Airlock.unchecked))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const unchecked: Layer.Layer<AirlockScope> = Layer.succeedContext(
  // At run time the service has a default value everywhere. Only the requirement is removed.
  Context.empty() as Context.Context<AirlockScope>
)
