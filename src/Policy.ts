/**
 * A policy decides, for each intent, whether it may leave. It cannot enqueue and cannot reorder. Policies add up: an intent
 * leaves only if every policy in force allows it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Predicate from "effect/Predicate"
import { PolicyViolation } from "./AirlockError.js"
import type { AnyTask, Intent } from "./Intent.js"

/**
 * The symbol that marks a policy.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-airlock/Policy")

/**
 * The type of {@link TypeId}.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/** The property that holds the names of tasks that a policy was given as text, which may be misspelt. @internal */
export const NamedTasks: unique symbol = Symbol.for("effect-airlock/Policy/NamedTasks")

/**
 * The decision about one intent: `true` lets it leave, `{ drop }` drops it and gives the reason for people to read.
 *
 * @since 0.1.0
 * @category models
 */
export type Decision = true | { readonly drop: string }

/**
 * A function that decides about one intent. It cannot fail; if it dies, no intent of the scope leaves.
 *
 * @since 0.1.0
 * @category models
 */
export type Decide<R = never> = (intent: Intent) => Effect.Effect<Decision, never, R>

/**
 * A policy that needs the services `R`. They come from the place where the policy is put into force, and are requirements
 * of that place.
 *
 * @since 0.1.0
 * @category models
 */
export interface Policy<out R = never> {
  readonly [TypeId]: TypeId
  /** What it does, such as `blockTasks(SendMail, Charge)`: in plans, logs and errors, and as its text. */
  readonly name: string
  /** The names of tasks that it was given as text. @internal */
  readonly [NamedTasks]?: ReadonlySet<string> | undefined
  /** Runs when an intent is enqueued. A failure refuses the intent: the enqueue dies with the `PolicyViolation`. */
  readonly onEnqueue: ((intent: Intent) => Effect.Effect<void, PolicyViolation, R>) | undefined
  /**
   * Makes the function that decides when a scope settles. This Effect runs once for each evaluation, so the function may
   * keep state from one intent to the next.
   */
  readonly allows: Effect.Effect<Decide<R>, never, R> | undefined
}

// `NoInfer`: a policy that is made in the options of a scope needs the services that its functions need. Otherwise TypeScript
// would infer them from the type of the option, which accepts any policy.

/**
 * Makes a policy. `onEnqueue` may refuse an intent when it is enqueued, and `allows` decides when the scope settles.
 * Without `onEnqueue` no enqueue is refused, and without `allows` every intent may leave.
 *
 * If a policy keeps state, such as a counter, give `allows` as an Effect that makes the deciding function. That Effect runs
 * once for each evaluation, so reading a plan does not change the state.
 *
 * Both functions must complete within `policyTimeout` (default: 5 seconds). If `allows` dies or takes longer, no intent of
 * the scope leaves, and the `FlushError` names them all.
 *
 * @example
 * ```ts
 * import { Context, Effect } from "effect"
 * import { Policy } from "effect-airlock"
 *
 * class Flags extends Context.Tag("Flags")<Flags, { readonly on: (flag: string) => Effect.Effect<boolean> }>() {}
 *
 * // Policy<Flags>: a scope with this policy needs Flags
 * const flagged = Policy.make({
 *   name: "flagged",
 *   allows: (intent) =>
 *     Effect.flatMap(Flags, (flags) => flags.on(intent.task.name)).pipe(
 *       Effect.map((on) => on || { drop: "its flag is off" })
 *     )
 * })
 *
 * const firstOnly = Policy.make({
 *   name: "firstOnly",
 *   allows: Effect.sync(() => {
 *     let seen = 0
 *     return () => Effect.succeed(seen++ === 0 || { drop: "not the first" })
 *   })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <R1 = never, R2 = never>(options: {
  readonly name: string
  readonly onEnqueue?: (intent: Intent) => Effect.Effect<void, PolicyViolation, R1>
  readonly allows?: Decide<R2> | Effect.Effect<Decide<R2>, never, R2>
}): Policy<NoInfer<R1 | R2>> => ({
  ...Proto,
  name: options.name,
  onEnqueue: options.onEnqueue,
  allows: options.allows === undefined || Effect.isEffect(options.allows)
    ? options.allows
    : Effect.succeed(options.allows)
})

/** Copied into each policy, so that a spread of a policy is one too. */
const Proto = {
  [TypeId]: TypeId,
  toString(this: { readonly name: string }): string {
    return this.name
  }
} as const

const allow = Effect.succeed<Decision>(true)

const drop = (reason: string): Effect.Effect<Decision> => Effect.succeed({ drop: reason })

/**
 * A policy that lets every intent leave. This is the default.
 *
 * @example
 * ```ts
 * import { Policy } from "effect-airlock"
 *
 * const policyOf = (isDryRun: boolean) => isDryRun ? Policy.dropAll : Policy.allowAll
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const allowAll: Policy = make({ name: "allowAll" })

/**
 * A policy that drops every intent, for dry runs, migrations and backfills. The code itself runs as usual.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, AirlockLive, Policy, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * const migration = Airlock.enqueue(SendReceipt, { orderId: 1 }).pipe(
 *   Airlock.scoped({ policy: Policy.dropAll }),
 *   Effect.provide(AirlockLive)
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const dropAll: Policy = make({ name: "dropAll", allows: () => drop("every intent is dropped") })

/**
 * A policy that refuses every enqueue with a `PolicyViolation`, which is a defect. Use it for code that must not have side
 * effects.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Airlock, Policy } from "effect-airlock"
 *
 * const report = Effect.succeed("a report").pipe(Airlock.withPolicy(Policy.assertNoEffects))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const assertNoEffects: Policy = make({
  name: "assertNoEffects",
  onEnqueue: (intent) => violation(intent, "assertNoEffects", "this code must not have side effects")
})

const violation = (intent: Intent, policy: string, reason: string) =>
  Effect.fail(new PolicyViolation({ task: intent.task.name, policy, reason }))

/**
 * The options of {@link blockTasks} and {@link allowTasks}.
 *
 * @since 0.1.0
 * @category options
 */
export interface TasksOptions {
  /**
   * `"drop"` drops an intent that is not allowed when its scope settles. `"raise"` refuses it when it is enqueued, with a
   * `PolicyViolation`, which is a defect. Default: `"drop"`.
   */
  readonly onEnqueue?: "drop" | "raise"
}

const byTask = (
  kind: string,
  tasks: ReadonlyArray<AnyTask | string>,
  reason: string,
  options: TasksOptions | undefined,
  isAllowed: (task: string) => boolean
): Policy => {
  const name = `${kind}(${[...namesOf(tasks)].join(", ")})`
  const policy = options?.onEnqueue === "raise"
    ? make({ name, onEnqueue: (intent) => isAllowed(intent.task.name) ? Effect.void : violation(intent, name, reason) })
    : make({ name, allows: (intent) => isAllowed(intent.task.name) ? allow : drop(reason) })
  return { ...policy, [NamedTasks]: new Set(tasks.filter((task) => typeof task === "string") as ReadonlyArray<string>) }
}

const namesOf = (tasks: ReadonlyArray<AnyTask | string>): ReadonlySet<string> =>
  new Set(tasks.map((task) => typeof task === "string" ? task : task.name))

/**
 * Makes a policy that drops the intents of some tasks and lets all others leave. A task is given as itself or by its name.
 *
 * @example
 * ```ts
 * import { Airlock, Policy } from "effect-airlock"
 *
 * const quiet = Airlock.scoped({ policy: Policy.blockTasks(["SendNewsletter"]) })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const blockTasks = (tasks: ReadonlyArray<AnyTask | string>, options?: TasksOptions): Policy => {
  const names = namesOf(tasks)
  return byTask("blockTasks", tasks, "the task is blocked", options, (task) => !names.has(task))
}

/**
 * Makes a policy that lets the intents of some tasks leave and drops all others. A task is given as itself or by its name.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Policy, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * // dies at the enqueue of any other task
 * const receiptsOnly = Policy.allowTasks([SendReceipt], { onEnqueue: "raise" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const allowTasks = (tasks: ReadonlyArray<AnyTask | string>, options?: TasksOptions): Policy => {
  const names = namesOf(tasks)
  return byTask("allowTasks", tasks, "the task is not among those allowed", options, (task) => names.has(task))
}

/**
 * Makes a policy that lets every intent leave and logs its task and its id. It does not see intents that an inner policy
 * has dropped.
 *
 * @example
 * ```ts
 * import { Layer, LogLevel } from "effect"
 * import { AirlockLive, Policy } from "effect-airlock"
 *
 * const AirlockLogged = AirlockLive.pipe(Layer.provide(Policy.layer(Policy.logOnFlush({ level: LogLevel.Debug }))))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const logOnFlush = (options?: {
  /** The level of the log line. Default: `LogLevel.Info`. */
  readonly level?: LogLevel.LogLevel
  /** Whether to log the payload, which may hold secrets. Default: `false`. */
  readonly payload?: boolean
}): Policy =>
  make({
    name: "logOnFlush",
    allows: ({ id, payload, task }) =>
      Effect.logWithLevel(options?.level ?? LogLevel.Info, `Airlock lets ${task.name} leave`).pipe(
        Effect.annotateLogs({ "airlock.intent": id, ...(options?.payload === true && { "airlock.payload": payload }) }),
        Effect.as(true)
      )
  })

/**
 * Makes a policy that lets the first `n` intents leave and drops the rest. It counts anew in each evaluation, and it does
 * not count intents that an inner policy has dropped.
 *
 * @example
 * ```ts
 * import { Airlock, Policy } from "effect-airlock"
 *
 * const careful = Airlock.scoped({ policy: Policy.limit(100) })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const limit = (n: number): Policy =>
  make({
    name: "limit",
    allows: Effect.sync(() => {
      let left = n
      return () => left-- > 0 ? allow : drop(`only ${n} intents may leave`)
    })
  })

/**
 * Makes a policy that lets the first intent of each key leave and drops the others. An intent without a key leaves. By
 * default the key is the name of the task with the option `dedupeKey` of the enqueue, which executors in this process refuse:
 * for these, give a function.
 *
 * @example
 * ```ts
 * import { Airlock, Policy } from "effect-airlock"
 *
 * const once = Airlock.scoped({ policy: Policy.dedupe() })
 * const oncePerTask = Airlock.scoped({ policy: Policy.dedupe(({ task }) => task.name) })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const dedupe = (by: (intent: Intent) => string | undefined = keyOf): Policy =>
  make({
    name: "dedupe",
    allows: Effect.sync(() => {
      const seen = new Set<string>()
      return (intent) => {
        const key = by(intent)
        if (key === undefined || !seen.has(key)) {
          if (key !== undefined) {
            seen.add(key)
          }
          return allow
        }
        return drop(`an earlier intent has the key "${key}"`)
      }
    })
  })

const keyOf = ({ options, task }: Intent): string | undefined =>
  options.dedupeKey === undefined ? undefined : `${task.name}/${options.dedupeKey}`

/**
 * Applies a policy to the intents for which a predicate returns `true`, and lets all others leave.
 *
 * @example
 * ```ts
 * import { Policy } from "effect-airlock"
 *
 * const withoutImports = Policy.when(({ options }) => options.origin === "import", Policy.dropAll)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const when = <R>(predicate: (intent: Intent) => boolean, policy: Policy<R>): Policy<NoInfer<R>> => {
  const { allows, onEnqueue } = policy
  return {
    ...Proto,
    name: `when(${policy.name})`,
    [NamedTasks]: policy[NamedTasks],
    onEnqueue: onEnqueue && ((intent) => predicate(intent) ? onEnqueue(intent) : Effect.void),
    allows: allows && Effect.map(allows, (decide) => (intent) => predicate(intent) ? decide(intent) : allow)
  }
}

/**
 * Combines policies into one that lets an intent leave if all of them do. They decide in the given order, until one drops
 * the intent.
 *
 * @example
 * ```ts
 * import { Policy } from "effect-airlock"
 *
 * const careful = Policy.all(Policy.blockTasks(["SendNewsletter"]), Policy.limit(100))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const all = <R = never>(...policies: ReadonlyArray<Policy<R>>): Policy<NoInfer<R>> => {
  const asked = policies.flatMap(({ allows }) => allows ?? [])
  const enqueued = policies.flatMap(({ onEnqueue }) => onEnqueue ?? [])
  return {
    ...Proto,
    name: `all(${policies.map(({ name }) => name).join(", ")})`,
    [NamedTasks]: tasksOf(policies),
    onEnqueue: enqueued.length === 0
      ? undefined
      : (intent) => Effect.forEach(enqueued, (onEnqueue) => onEnqueue(intent), { discard: true }),
    allows: asked.length === 0
      ? undefined
      : Effect.map(Effect.all(asked), (deciders) => (intent) => decideInTurn(deciders, intent, 0))
  }
}

/** The names of tasks that some policies were given as text. */
const tasksOf = (policies: ReadonlyArray<Policy<unknown>>): ReadonlySet<string> | undefined =>
  policies.some((policy) => policy[NamedTasks] !== undefined)
    ? new Set(policies.flatMap((policy) => [...policy[NamedTasks] ?? []]))
    : undefined

const decideInTurn = <R>(
  deciders: ReadonlyArray<Decide<R>>,
  intent: Intent,
  from: number
): Effect.Effect<Decision, never, R> => {
  for (let i = from; i < deciders.length; i++) {
    const asked = deciders[i]!(intent)
    if (!isDecided(asked)) {
      if (!Effect.isEffect(asked)) {
        return asked
      }
      return Effect.flatMap(
        asked,
        (decision) => decision === true ? decideInTurn(deciders, intent, i + 1) : Effect.succeed(decision)
      )
    }
    if (asked.value !== true) {
      return asked
    }
  }
  return allow
}

/**
 * Whether a decision drops an intent. A policy of the application may give something else, against its type.
 *
 * @internal
 */
export const isDrop = (decision: unknown): decision is Exclude<Decision, true> =>
  Predicate.hasProperty(decision, "drop") && typeof decision.drop === "string"

/**
 * Whether a decision is known without running an Effect. Most policies decide in this way.
 *
 * @internal
 */
export const isDecided = (
  asked: Effect.Effect<Decision, never, unknown>
): asked is Exit.Success<Decision, never> => Exit.isExit(asked) && asked._tag === "Success"

/**
 * Combines policies into one that lets an intent leave if at least one of them does. Without policies no intent leaves.
 *
 * It refuses an enqueue only if every one of the policies refuses it. A policy without `allows`, such as `assertNoEffects`,
 * lets every intent leave when the scope settles.
 *
 * @example
 * ```ts
 * import { Policy } from "effect-airlock"
 *
 * const urgentOrFew = Policy.any(Policy.allowTasks(["Alert"]), Policy.limit(10))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const any = <R = never>(...policies: ReadonlyArray<Policy<R>>): Policy<NoInfer<R>> => {
  const name = `any(${policies.map((policy) => policy.name).join(", ")})`
  const enqueued = policies.flatMap(({ onEnqueue }) => onEnqueue ?? [])
  return {
    ...Proto,
    name,
    [NamedTasks]: tasksOf(policies),
    // A policy without `onEnqueue` does not refuse, so one is enough to accept the intent.
    onEnqueue: enqueued.length < policies.length || enqueued.length === 0
      ? undefined
      : (intent) => Effect.asVoid(Effect.firstSuccessOf(enqueued.map((onEnqueue) => onEnqueue(intent)))),
    allows: Effect.map(
      Effect.forEach(policies, ({ allows }) => allows ?? Effect.succeed<Decide<R>>(() => allow)),
      (deciders) =>
        Effect.fnUntraced(function*(intent: Intent) {
          const reasons: Array<string> = []
          for (const decide of deciders) {
            const asked = decide(intent)
            const decision: Decision = Effect.isEffect(asked) ? yield* asked : asked
            // What is no decision is returned, so that the evaluation refuses it.
            if (decision === true || !isDrop(decision)) {
              return decision
            }
            reasons.push(decision.drop)
          }
          return { drop: reasons.length === 0 ? "no policy lets it leave" : reasons.join("; ") }
        })
    )
  }
}

/**
 * The policy of the running context. It holds for every scope that opens in that context, in addition to the policy of the
 * scope and the policy of Airlock. Default: {@link allowAll}.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentPolicy extends Context.Reference<CurrentPolicy>()("effect-airlock/Policy", {
  defaultValue: (): Policy => allowAll
}) {}

/**
 * Provides a policy to a program, or to `AirlockLive` for a whole application. It adds up with the policy of the context in
 * which the Layer is built. The Layer provides the services that the policy needs.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import { AirlockLive, Policy } from "effect-airlock"
 *
 * // no intent of the application leaves
 * const DryRun = AirlockLive.pipe(Layer.provide(Policy.layer(Policy.dropAll)))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(policy: Policy<R>): Layer.Layer<CurrentPolicy, never, R> =>
  effect(Effect.succeed(policy))

/**
 * Provides a policy that an Effect builds from services, such as a feature flag or the quota of a tenant.
 * See {@link layer}.
 *
 * @example
 * ```ts
 * import { Config, Effect } from "effect"
 * import { Policy } from "effect-airlock"
 *
 * // Layer<CurrentPolicy, ConfigError>
 * const FromConfig = Policy.effect(
 *   Effect.map(Config.boolean("DRY_RUN"), (isDryRun) => isDryRun ? Policy.dropAll : Policy.allowAll)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const effect = <R1, E, R>(
  policy: Effect.Effect<Policy<R1>, E, R>
): Layer.Layer<CurrentPolicy, E, R | R1> =>
  Layer.effect(
    CurrentPolicy,
    Effect.flatMap(policy, (policy) =>
      Effect.map(Effect.context<R1>(), (context) => {
        const around: Policy | undefined = context.unsafeMap.get(CurrentPolicy.key)
        return around === undefined ? provide(policy, context) : all(provide(policy, context), around)
      }))
  )

/** Provides a policy with the services that it needs. */
const provide = <R>({ allows, name, onEnqueue, ...policy }: Policy<R>, context: Context.Context<R>): Policy => ({
  ...Proto,
  name,
  [NamedTasks]: policy[NamedTasks],
  onEnqueue: onEnqueue && ((intent) => Effect.provide(onEnqueue(intent), context)),
  allows: allows &&
    Effect.map(Effect.provide(allows, context), (decide) => (intent) => {
      const asked = decide(intent)
      return isDecided(asked) ? asked : Effect.provide(asked, context)
    })
})
