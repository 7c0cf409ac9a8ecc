/**
 * Say a side effect where it is thought of; let it leave only when the work it belongs to has succeeded.
 *
 * `Airlock.enqueue` puts an intent into the scope that the running fiber is in. `Airlock.scoped` (or the HTTP middleware,
 * or a SQL transaction) is such a scope: if it succeeds its intents leave, if it fails they are gone.
 *
 * @since 0.1.0
 */
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as EffectScope from "effect/Scope"
import type { FlushError, PolicyFailedError, SettleTimeoutError } from "./AirlockError.js"
import type { AirlockScope, Exact, Limits, OptionsContext, ScopeOptions, ScopeView } from "./AirlockScope.js"
import { CurrentExecutor, type Executor } from "./Executor.js"
import type { EnqueueOptions, Intent, IntentId } from "./Intent.js"
import { Airlock, type AirlockService } from "./internal/airlock.js"
import { type ConfigOptions, type Configuration, configurationOf, read } from "./internal/config.js"
import * as internal from "./internal/enqueue.js"
import { HandlerRegistry } from "./internal/handlers.js"
import { openRoot, openScope } from "./internal/open.js"
import { extend } from "./internal/policyChain.js"
import { enter, exitWithin, leave, locally, positionOf, rootFork } from "./internal/position.js"
import type { Scope } from "./internal/scope.js"
import { failureOf, giveBack, settle } from "./internal/settle.js"
import * as tracing from "./internal/tracing.js"
import type { Plan } from "./Plan.js"
import { all, allowAll, CurrentPolicy, type Policy } from "./Policy.js"
import type * as Task from "./Task.js"

export { Airlock, type AirlockService, type Configuration }

/**
 * What an application may set for all of its scopes. Policy and executor may be provided as services instead
 * (`Policy.layer`, `Executor.layer`).
 *
 * @since 0.1.0
 * @category options
 */
export interface AirlockOptions extends Limits {
  readonly policy?: Policy
  readonly executor?: Executor
  /**
   * How long the Layers of the handlers wait in all, when they close, for handlers that run and for what executors hold. What
   * is left then is named in an error. Default: 30 seconds.
   */
  readonly shutdownTimeout?: Duration.DurationInput
}

/**
 * Builds the `Airlock` service. The policies of the options and of the Layer's context add up; the executor is that of the
 * options, else that of the context, else `Executor.inProcess()`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: AirlockOptions = {}): Layer.Layer<Airlock> =>
  Layer.scoped(
    Airlock,
    Effect.gen(function*() {
      const policy = yield* CurrentPolicy
      const service: AirlockService = {
        policy: options.policy === undefined
          ? policy
          : policy === allowAll
          ? options.policy
          : all(options.policy, policy),
        executor: options.executor ?? (yield* CurrentExecutor),
        maxIntents: options.maxIntents ?? 10_000,
        maxPayloadBytes: options.maxPayloadBytes ?? Infinity,
        maxCascade: options.maxCascade ?? 100,
        policyTimeout: Duration.decode(options.policyTimeout ?? "5 seconds"),
        approveTimeout: Duration.decode(options.approveTimeout ?? "5 minutes"),
        dispatchTimeout: Duration.decode(options.dispatchTimeout ?? "60 seconds"),
        shutdownTimeout: Duration.decode(options.shutdownTimeout ?? "30 seconds"),
        handlers: new HandlerRegistry(() => service)
      }
      // Closures have no Layer of a handler that would see to it.
      yield* Effect.addFinalizer(() => service.handlers.close)
      return service
    })
  )

/**
 * `Airlock.layer()`: the Layer that an application provides.
 *
 * @since 0.1.0
 * @category layers
 */
export const AirlockLive: Layer.Layer<Airlock> = layer()

/**
 * What `Airlock.layerConfig` may be told beside the configuration that it reads.
 *
 * @since 0.1.0
 * @category options
 */
export interface LayerConfigOptions<
  Executors extends Readonly<Record<string, Executor | Effect.Effect<Executor, unknown, unknown>>>
> {
  /** What all keys begin with. Default: `AIRLOCK`. */
  readonly prefix?: string
  /** Policies that the configuration may name, beside the built-in ones. */
  readonly policies?: Readonly<Record<string, Policy>>
  /**
   * Executors that the configuration may name, beside the built-in ones. Of Effects, only the chosen one's is run; what it
   * acquires is released with the Layer.
   */
  readonly executors?: Executors
}

/** What the Effects among the executors fail with, and need. */
type ErrorOf<Executors> = Executors[keyof Executors] extends infer X
  ? X extends Effect.Effect<Executor, infer E, unknown> ? E : never
  : never
type ContextOf<Executors> = Executors[keyof Executors] extends infer X
  ? X extends Effect.Effect<Executor, unknown, infer R> ? R : never
  : never

/**
 * Builds the `Airlock` service from Effect's `Config`: the executor and the policies by name, and the limits. A key that
 * is not given has its default; policies add up with those of the Layer's context, a configured executor stands before the
 * context's.
 *
 * Fails with a `ConfigError` that says what was expected: for a value that cannot be read, for a name that nobody
 * registered, and for a key under the prefix that nothing reads.
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
  const Executors extends Readonly<Record<string, Executor | Effect.Effect<Executor, unknown, unknown>>> = {}
>(
  options: LayerConfigOptions<Executors> = {}
): Layer.Layer<
  Airlock,
  ConfigError.ConfigError | ErrorOf<Executors>,
  Exclude<ContextOf<Executors>, EffectScope.Scope>
> =>
  Layer.unwrapScoped(Effect.map(
    // What all of them fail with and need, as one type.
    read(options as ConfigOptions<ErrorOf<Executors>, ContextOf<Executors>>),
    layer
  ))

/**
 * What holds for all scopes of the application, by whichever Layer it was set: to be read, or logged as one value.
 *
 * @since 0.1.0
 * @category inspection
 */
export const configuration: Effect.Effect<Configuration, never, Airlock> = Effect.map(Airlock, configurationOf)

/**
 * Wishes that a task be run: puts an intent into the scope around, and gives the intent's id. Nothing happens yet. When
 * the scope succeeds, and with it the scopes and transactions around it, the intent leaves.
 *
 * It cannot fail. Wrong use is a defect that names the task and the place of the call: a payload that does not fit
 * (`InvalidPayloadError`), no scope (`NoScopeError`), a scope that has settled (`ScopeClosedError`), a policy that
 * refuses (`PolicyViolation`), a full scope (`BufferFullError`), a transaction that Airlock does not see
 * (`UnseenTransactionError`). A refused intent leaves the scope as it was.
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
 * Enqueues a closure instead of a task, for executors inside the process: what is too small for a task of its own. It runs
 * as a handler does, when the scope has succeeded, with the services that it has here, but without the transaction that may
 * be open here. `name` is what policies and logs know it by.
 *
 * A durable executor cannot keep it: there it is a `NotSerializableError`.
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
 * What `Airlock.scoped` makes of its argument: of an Effect, the same one in a scope; of options, the function that puts
 * an Effect into such a scope.
 *
 * @since 0.1.0
 * @category utility types
 */
export type Scoped<X> = [X] extends [Effect.Effect<infer A, infer E, infer R>]
  ? Effect.Effect<A, E | FlushError, Exclude<R, AirlockScope> | Airlock>
  : <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | FlushError, Exclude<R, AirlockScope> | Airlock | OptionsContext<X>>

/**
 * Runs an Effect in a scope. If it succeeds, what it enqueued leaves, and `Airlock.scoped` ends only then; if it fails,
 * dies or is interrupted, what it enqueued is gone. Inside another scope, success hands the intents to that one.
 *
 * Where the Effect succeeded and an intent could not leave, it fails with a {@link FlushError} that names each.
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
export const scoped = <const X extends Effect.Effect<any, any, any> | ScopeOptions>(
  argument: X & Exact<X, ScopeOptions>
): Scoped<X> =>
  // The two cases of `Scoped`; TypeScript does not narrow a generic's conditional type by a test of its value.
  (Effect.isEffect(argument)
    ? inScope(argument, {})
    : (self: Effect.Effect<unknown, unknown, unknown>) => inScope(self, argument as ScopeOptions)) as Scoped<X>

const inScope = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  options: ScopeOptions
): Effect.Effect<A, E | FlushError, Exclude<R, AirlockScope> | Airlock> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((fiber) => {
      const scope = openScope(fiber, Context.unsafeGet(fiber.currentContext, Airlock), options)
      return tracing.scope(
        Effect.flatMap(
          exitWithin(restore(self), fiber, scope),
          (exit) => Effect.flatMap(settle(scope, exit), (settlement) => giveBack(scope, exit, settlement))
        ),
        fiber,
        scope
      )
    })
  )

/**
 * Opens a scope as a resource: it settles when the Effect `Scope` around closes, from its Exit. For Layers, for
 * `Effect.provideServiceEffect(AirlockScope, Airlock.open())`, and where a scope's ends are not those of one Effect.
 *
 * A release cannot fail, so an intent that could not leave is a defect here (a {@link FlushError} inside). Where there is
 * one Effect to wrap, use {@link scoped}.
 *
 * @since 0.1.0
 * @category scopes
 */
export const open = <const Options extends ScopeOptions = {}>(
  options?: Options & Exact<Options, ScopeOptions>
): Effect.Effect<AirlockScope["Type"], never, Airlock | EffectScope.Scope | OptionsContext<Options>> =>
  Effect.acquireRelease(
    Effect.withFiberRuntime<Scope, never, Airlock>((fiber) => {
      const scope = openScope(fiber, Context.unsafeGet(fiber.currentContext, Airlock), options ?? {})
      enter(fiber, scope)
      return Effect.succeed(scope)
    }),
    (scope, exit) =>
      leave(scope).pipe(
        Effect.zipRight(settle(scope, exit, { byExitAlone: true })),
        Effect.flatMap((settlement) => failureOf(scope, exit, settlement)),
        Effect.orDie
      )
  )

/**
 * The scope that the running fiber is in, read-only, for whoever looks: logs, middleware, tests.
 *
 * @since 0.1.0
 * @category inspection
 */
export const current: Effect.Effect<Option.Option<ScopeView>> = Effect.withFiberRuntime((fiber) =>
  Effect.succeed(Option.fromNullable(positionOf(fiber)?.scope))
)

/**
 * What the scope around holds now, in order; nothing where there is no scope.
 *
 * @since 0.1.0
 * @category inspection
 */
export const intents: Effect.Effect<ReadonlyArray<Intent>> = Effect.map(
  current,
  Option.match({ onNone: () => [], onSome: (scope) => scope.intents })
)

/**
 * Runs an Effect, and says what would leave, by which policy it would not, and why. Nothing leaves: not from a scope inside
 * it either, an independent one included. What the Effect did to a database is its own.
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
 * @category inspection
 */
export const plan = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<Plan, E | PolicyFailedError | SettleTimeoutError, Exclude<R, AirlockScope> | Airlock> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((fiber) => {
      const airlock = Context.unsafeGet(fiber.currentContext, Airlock)
      const scope = openRoot(airlock, fiber.currentContext, positionOf(fiber), { name: "plan" })
      scope.planning = true
      return Effect.flatMap(exitWithin(restore(self), fiber, scope), (exit) => {
        const planned: Effect.Effect<Plan, E | PolicyFailedError | SettleTimeoutError> = Exit.isSuccess(exit)
          ? scope.plan
          : Effect.failCause(exit.cause)
        return Effect.ensuring(planned, settle(scope, exit, { flush: false }))
      })
    })
  )

/**
 * Puts a region of code under a policy, beside those that hold already. It is sealed on each intent enqueued there, and
 * holds for every scope that opens there.
 *
 * @since 0.1.0
 * @category policies
 */
export const withPolicy: {
  <R2>(policy: Policy<R2>): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | R2>
  <A, E, R, R2>(self: Effect.Effect<A, E, R>, policy: Policy<R2>): Effect.Effect<A, E, R | R2>
} = dual(
  2,
  <A, E, R, R2>(self: Effect.Effect<A, E, R>, policy: Policy<R2>): Effect.Effect<A, E, R | R2> =>
    Effect.withFiberRuntime((fiber) => {
      const position = positionOf(fiber)
      return locally(self, {
        scope: position?.scope,
        policies: extend(position?.policies, policy, fiber.currentContext, true),
        fork: position?.fork ?? rootFork()
      })
    })
)

/**
 * Gives up the check that there is a scope, for services whose methods should need nothing: a missing scope is then a
 * defect ({@link NoScopeError}) when it happens, instead of a compile error. It opens no scope.
 *
 * @since 0.1.0
 * @category layers
 */
export const unchecked: Layer.Layer<AirlockScope> = Layer.succeedContext(
  // The service has a value at run time wherever it is asked for: only the requirement is to go.
  Context.empty() as Context.Context<AirlockScope>
)
