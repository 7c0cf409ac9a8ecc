/**
 * A policy says, for each intent, whether it may leave. It never enqueues and never reorders, and policies add up:
 * an intent leaves if every policy in force lets it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import { PolicyViolation } from "./AirlockError.js"
import type { Intent } from "./Intent.js"
import type * as Task from "./Task.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-airlock/Policy")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * What a policy decides of one intent: `true`, it may leave; or it is dropped, for a reason that people can read.
 *
 * @since 0.1.0
 * @category models
 */
export type Decision = true | { readonly drop: string }

/**
 * Decides about one intent.
 *
 * @since 0.1.0
 * @category models
 */
export type Decide<R = never> = (intent: Intent) => Effect.Effect<Decision, never, R>

/**
 * A policy whose Effects need the services `R`: those of the place where it is put into force.
 *
 * @since 0.1.0
 * @category models
 */
export interface Policy<out R = never> {
  readonly [TypeId]: TypeId
  readonly name: string
  /** Asked at once when an intent is enqueued. To fail refuses it: the enqueue dies with the violation. */
  readonly onEnqueue: ((intent: Intent) => Effect.Effect<void, PolicyViolation, R>) | undefined
  /**
   * Asked when a scope settles: an Effect that is run once for each evaluation, and gives the function that decides.
   * What that function remembers lives as long as the evaluation.
   */
  readonly allows: Effect.Effect<Decide<R>, never, R> | undefined
}

// `NoInfer`: where a policy is made as an option of a scope, what it needs is not to be inferred from what it may need.

/**
 * Makes a policy. `onEnqueue` may refuse an intent as it is enqueued, `allows` decides when the scope settles; leave out
 * what it does not need. A policy that remembers (a counter, a set) gives `allows` as an Effect that makes the deciding
 * function: it is run anew for each evaluation, so that looking at a plan changes nothing.
 *
 * @example
 * ```ts
 * import { Context, Effect } from "effect"
 * import { Policy } from "effect-airlock"
 *
 * class Flags extends Context.Tag("Flags")<Flags, { readonly on: (flag: string) => Effect.Effect<boolean> }>() {}
 *
 * // Policy<Flags>: the scope that it is given to needs Flags
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
  [TypeId]: TypeId,
  name: options.name,
  onEnqueue: options.onEnqueue,
  allows: options.allows === undefined || Effect.isEffect(options.allows)
    ? options.allows
    : Effect.succeed(options.allows)
})

const allow = Effect.succeed<Decision>(true)

const drop = (reason: string): Effect.Effect<Decision> => Effect.succeed({ drop: reason })

/**
 * Lets everything leave: what holds where no policy is given.
 *
 * @since 0.1.0
 * @category policies
 */
export const allowAll: Policy = make({ name: "allowAll" })

/**
 * Lets nothing leave: for dry runs, migrations and backfills. The code under it runs as it always does.
 *
 * @since 0.1.0
 * @category policies
 */
export const dropAll: Policy = make({ name: "dropAll", allows: () => drop("every intent is dropped") })

/**
 * Makes every enqueue a defect (`PolicyViolation`): for code that must not have side effects.
 *
 * @since 0.1.0
 * @category policies
 */
export const assertNoEffects: Policy = make({
  name: "assertNoEffects",
  onEnqueue: (intent) => violation(intent, "assertNoEffects", "this code must not have side effects")
})

const violation = (intent: Intent, policy: string, reason: string) =>
  Effect.fail(new PolicyViolation({ task: intent.task.name, policy, reason }))

/**
 * What becomes of an intent that a policy does not let through: it is dropped when the scope settles, or refused at once,
 * where it is enqueued, by a `PolicyViolation`.
 *
 * @since 0.1.0
 * @category options
 */
export interface TasksOptions {
  /** Default: `"drop"`. */
  readonly onEnqueue?: "drop" | "raise"
}

const byTask = (
  name: string,
  reason: string,
  options: TasksOptions | undefined,
  isAllowed: (task: string) => boolean
): Policy =>
  options?.onEnqueue === "raise"
    ? make({ name, onEnqueue: (intent) => isAllowed(intent.task.name) ? Effect.void : violation(intent, name, reason) })
    : make({ name, allows: (intent) => isAllowed(intent.task.name) ? allow : drop(reason) })

const namesOf = (tasks: ReadonlyArray<Task.Any | string>): ReadonlySet<string> =>
  new Set(tasks.map((task) => typeof task === "string" ? task : task.name))

/**
 * Keeps these tasks back, and lets all others leave.
 *
 * @since 0.1.0
 * @category policies
 */
export const blockTasks = (tasks: ReadonlyArray<Task.Any | string>, options?: TasksOptions): Policy => {
  const names = namesOf(tasks)
  return byTask("blockTasks", "the task is blocked", options, (task) => !names.has(task))
}

/**
 * Lets these tasks leave, and keeps all others back.
 *
 * @since 0.1.0
 * @category policies
 */
export const allowTasks = (tasks: ReadonlyArray<Task.Any | string>, options?: TasksOptions): Policy => {
  const names = namesOf(tasks)
  return byTask("allowTasks", "the task is not among those allowed", options, (task) => names.has(task))
}

/**
 * Logs each intent that it is asked about, as task and id, and lets it leave. The payload is logged only if you ask for it.
 *
 * @since 0.1.0
 * @category policies
 */
export const logOnFlush = (options?: {
  /** Default: `LogLevel.Info`. */
  readonly level?: LogLevel.LogLevel
  /** Default: `false`. */
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
 * Lets the first `n` intents leave that it is asked about.
 *
 * @since 0.1.0
 * @category policies
 */
export const limit = (n: number): Policy =>
  make({
    name: "limit",
    allows: Effect.sync(() => {
      let left = n
      return () => left-- > 0 ? allow : drop(`only ${n} may leave`)
    })
  })

/**
 * Of intents with the same key, lets the first one leave. By default the key is the task and its `dedupeKey`; an intent
 * without a key leaves.
 *
 * @since 0.1.0
 * @category policies
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
        return drop(`one with the key "${key}" leaves already`)
      }
    })
  })

const keyOf = ({ options, task }: Intent): string | undefined =>
  options.dedupeKey === undefined ? undefined : `${task.name}/${options.dedupeKey}`

/**
 * Applies a policy to the intents that a predicate picks, and lets all others leave.
 *
 * @since 0.1.0
 * @category combinators
 */
export const when = <R>(predicate: (intent: Intent) => boolean, policy: Policy<R>): Policy<NoInfer<R>> => {
  const { allows, onEnqueue } = policy
  return {
    [TypeId]: TypeId,
    name: policy.name,
    onEnqueue: onEnqueue && ((intent) => predicate(intent) ? onEnqueue(intent) : Effect.void),
    allows: allows && Effect.map(allows, (decide) => (intent) => predicate(intent) ? decide(intent) : allow)
  }
}

/**
 * Lets an intent leave if all of these policies do: what policies in force together do, as one value.
 *
 * @since 0.1.0
 * @category combinators
 */
export const all = <R = never>(...policies: ReadonlyArray<Policy<R>>): Policy<NoInfer<R>> => {
  const asked = policies.flatMap(({ allows }) => allows ?? [])
  const enqueued = policies.flatMap(({ onEnqueue }) => onEnqueue ?? [])
  return {
    [TypeId]: TypeId,
    name: `all(${policies.map(({ name }) => name).join(", ")})`,
    onEnqueue: enqueued.length === 0
      ? undefined
      : (intent) => Effect.forEach(enqueued, (onEnqueue) => onEnqueue(intent), { discard: true }),
    allows: asked.length === 0
      ? undefined
      : Effect.map(Effect.all(asked), (deciders) => (intent) => decideInTurn(deciders, intent, 0))
  }
}

const decideInTurn = <R>(
  deciders: ReadonlyArray<Decide<R>>,
  intent: Intent,
  from: number
): Effect.Effect<Decision, never, R> => {
  for (let i = from; i < deciders.length; i++) {
    const asked = deciders[i]!(intent)
    if (!isDecided(asked)) {
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
 * Whether a policy has decided without an Effect's help, as most do.
 *
 * @internal
 */
export const isDecided = (
  asked: Effect.Effect<Decision, never, unknown>
): asked is Exit.Success<Decision, never> => Exit.isExit(asked) && asked._tag === "Success"

/**
 * Lets an intent leave if at least one of these policies does; with none given, nothing leaves.
 *
 * @since 0.1.0
 * @category combinators
 */
export const any = <R = never>(...policies: ReadonlyArray<Policy<R>>): Policy<NoInfer<R>> => {
  const name = `any(${policies.map((policy) => policy.name).join(", ")})`
  const enqueued = policies.flatMap(({ onEnqueue }) => onEnqueue ?? [])
  return {
    [TypeId]: TypeId,
    name,
    // One that has nothing to say at the enqueue does not refuse there.
    onEnqueue: enqueued.length < policies.length || enqueued.length === 0
      ? undefined
      : (intent) => Effect.asVoid(Effect.firstSuccessOf(enqueued.map((onEnqueue) => onEnqueue(intent)))),
    allows: Effect.map(
      Effect.forEach(policies, ({ allows }) => allows ?? Effect.succeed<Decide<R>>(() => allow)),
      (deciders) =>
        Effect.fnUntraced(function*(intent: Intent) {
          const reasons: Array<string> = []
          for (const decide of deciders) {
            const decision = yield* decide(intent)
            if (decision === true) {
              return true as const
            }
            reasons.push(decision.drop)
          }
          return { drop: reasons.length === 0 ? "no policy lets it leave" : reasons.join("; ") }
        })
    )
  }
}

/**
 * The policy of the running context. It holds for every scope that opens in it, beside the scope's own and the one that
 * Airlock was built with.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentPolicy extends Context.Reference<CurrentPolicy>()("effect-airlock/Policy", {
  defaultValue: (): Policy => allowAll
}) {}

/**
 * Provides a policy: to a program, or to `AirlockLive` for all of an application. It adds up with one that is provided
 * around it. The services that the policy needs are those of the Layer.
 *
 * @example
 * ```ts
 * import { Layer } from "effect"
 * import { AirlockLive, Policy } from "effect-airlock"
 *
 * // an application in which nothing leaves
 * const DryRun = AirlockLive.pipe(Layer.provide(Policy.layer(Policy.dropAll)))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(policy: Policy<R>): Layer.Layer<CurrentPolicy, never, R> =>
  effect(Effect.succeed(policy))

/**
 * Provides a policy that an Effect builds from services: a feature flag, a tenant's quota.
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

/** The policy with the services that it needs. */
const provide = <R>({ allows, name, onEnqueue }: Policy<R>, context: Context.Context<R>): Policy => ({
  [TypeId]: TypeId,
  name,
  onEnqueue: onEnqueue && ((intent) => Effect.provide(onEnqueue(intent), context)),
  allows: allows &&
    Effect.map(Effect.provide(allows, context), (decide) => (intent) => {
      const asked = decide(intent)
      return isDecided(asked) ? asked : Effect.provide(asked, context)
    })
})
