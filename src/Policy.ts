/**
 * A policy says, for each intent, whether it may leave. It never enqueues and never reorders, and policies add up:
 * an intent leaves if every policy in force lets it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
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
 * @since 0.1.0
 * @category models
 */
export interface Policy {
  readonly [TypeId]: TypeId
  readonly name: string
  /** Asked at once when an intent is enqueued. To fail refuses it: the enqueue dies with the violation. */
  readonly onEnqueue: ((intent: Intent) => Effect.Effect<void, PolicyViolation>) | undefined
  /**
   * Asked when a scope settles: an Effect that is run once for each evaluation, and gives the function that decides.
   * What the function remembers lives as long as that evaluation.
   */
  readonly allows: Effect.Effect<(intent: Intent) => Effect.Effect<Decision>> | undefined
}

/**
 * Makes a policy. `onEnqueue` may refuse an intent as it is enqueued, `allows` decides when the scope settles; leave out
 * what it does not need.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly name: string
  readonly onEnqueue?: (intent: Intent) => Effect.Effect<void, PolicyViolation>
  readonly allows?: (intent: Intent) => Effect.Effect<Decision>
}): Policy => ({
  [TypeId]: TypeId,
  name: options.name,
  onEnqueue: options.onEnqueue,
  allows: options.allows && Effect.succeed(options.allows)
})

const allow = Effect.succeed<Decision>(true)

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
export const dropAll: Policy = make({
  name: "dropAll",
  allows: () => Effect.succeed({ drop: "every intent is dropped" })
})

/**
 * Makes every enqueue a defect (`PolicyViolation`): for code that must not have side effects.
 *
 * @since 0.1.0
 * @category policies
 */
export const assertNoEffects: Policy = make({
  name: "assertNoEffects",
  onEnqueue: (intent) =>
    Effect.fail(
      new PolicyViolation({
        task: intent.task.name,
        policy: "assertNoEffects",
        reason: "this code must not have side effects"
      })
    )
})

/**
 * Keeps the named tasks back, and lets all others leave.
 *
 * With `onEnqueue: "raise"` enqueueing one of them is a defect (`PolicyViolation`); with `"drop"`, the default, they are
 * dropped when the scope settles.
 *
 * @since 0.1.0
 * @category policies
 */
export const blockTasks = (
  tasks: ReadonlyArray<Task.Any | string>,
  options?: { readonly onEnqueue?: "drop" | "raise" }
): Policy => {
  const names = new Set(tasks.map((task) => typeof task === "string" ? task : task.name))
  const name = "blockTasks"
  const reason = "the task is blocked"
  return options?.onEnqueue === "raise"
    ? make({
      name,
      onEnqueue: (intent) =>
        names.has(intent.task.name)
          ? Effect.fail(new PolicyViolation({ task: intent.task.name, policy: name, reason }))
          : Effect.void
    })
    : make({
      name,
      allows: (intent) => names.has(intent.task.name) ? Effect.succeed({ drop: reason }) : allow
    })
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
 * Provides a policy: to a program, or to `AirlockLive` for all of an application.
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
export const layer = (policy: Policy): Layer.Layer<CurrentPolicy> => Layer.succeed(CurrentPolicy, policy)
