/**
 * A plan lists, as data, what becomes of each intent of a scope and why. Use plans for dry runs, approvals, snapshots and
 * comparisons.
 *
 * `Airlock.plan`, the `approve` option of a scope and `AirlockScope` provide plans.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * An intent and the decision about it.
 *
 * @since 0.1.0
 * @category models
 */
export class Entry extends Schema.Class<Entry>("effect-airlock/Plan/Entry")({
  intentId: Schema.String,
  /** The name of the task. */
  task: Schema.String,
  /**
   * `dispatch`: the intent leaves. `drop`: a policy drops it. `aside`: it is discarded, because the fiber that enqueued it
   * failed, was interrupted or still runs.
   */
  decision: Schema.Literal("dispatch", "drop", "aside"),
  /** The name of the policy that drops the intent. */
  policy: Schema.optional(Schema.String),
  /** Why the intent does not leave. */
  reason: Schema.optional(Schema.String),
  /** Whether the intent was enqueued in this scope itself, or captured from a scope inside it. */
  provenance: Schema.Literal("own", "captured"),
  /** The number of scopes between the enqueue and this scope: 0 if the intent is the scope's own. */
  depth: Schema.Number,
  /** The option `origin` of the enqueue. */
  origin: Schema.optional(Schema.String),
  /** When the intent was enqueued, in milliseconds since the epoch. */
  enqueuedAt: Schema.Number,
  /** The trace of the span that was current at the enqueue. */
  traceId: Schema.optional(Schema.String),
  /** The span that was current at the enqueue. */
  spanId: Schema.optional(Schema.String)
}) {}

/**
 * The decisions about the intents of a scope, in the order of their enqueues. `toString` renders it as {@link table} does.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Plan } from "effect-airlock"
 *
 * const toJson = (plan: Plan.Plan): string => JSON.stringify(Schema.encodeSync(Plan.Plan)(plan))
 * const fromJson = (json: string): Plan.Plan => Schema.decodeUnknownSync(Plan.Plan)(JSON.parse(json))
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export class Plan extends Schema.Class<Plan>("effect-airlock/Plan")({
  /** The name of the scope. */
  scope: Schema.String,
  entries: Schema.Array(Entry)
}) {
  /** The entries of the intents that leave. */
  get dispatched(): ReadonlyArray<Entry> {
    return this.entries.filter(({ decision }) => decision === "dispatch")
  }

  /** The entries of the intents that do not leave. */
  get kept(): ReadonlyArray<Entry> {
    return this.entries.filter(({ decision }) => decision !== "dispatch")
  }

  override toString(): string {
    return table(this)
  }
}

/**
 * Renders a plan as one line for each intent, without ids and times. Two runs of the same program give the same lines, so
 * use it for snapshots.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Airlock, AirlockLive, Plan, Policy, Task } from "effect-airlock"
 *
 * const SendReceipt = Task.make("SendReceipt", { payload: { orderId: Schema.Number } })
 *
 * // ["drop     SendReceipt by dropAll: every intent is dropped"]
 * const lines = Airlock.enqueue(SendReceipt, { orderId: 1 }).pipe(
 *   Airlock.withPolicy(Policy.dropAll),
 *   Airlock.plan,
 *   Effect.map(Plan.outline),
 *   Effect.provide(AirlockLive)
 * )
 * ```
 *
 * @since 0.1.0
 * @category formatting
 */
export const outline = (plan: Plan): ReadonlyArray<string> =>
  plan.entries.map(({ decision, depth, origin, policy, reason, task }) =>
    [
      decision.padEnd(8),
      task,
      ...(depth === 0 ? [] : [`(captured, depth ${depth})`]),
      ...(origin === undefined ? [] : [`[${origin}]`]),
      ...(policy === undefined ? [] : [`by ${policy}`]),
      ...(reason === undefined ? [] : [`: ${reason}`])
    ].join(" ").replace(" : ", ": ")
  )

/**
 * Renders a plan as a text table with a header and one row for each intent.
 *
 * @example
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Airlock, Plan } from "effect-airlock"
 *
 * const careful = Airlock.scoped({ approve: (plan) => Effect.as(Console.log(Plan.table(plan)), true) })
 * ```
 *
 * @since 0.1.0
 * @category formatting
 */
export const table = (plan: Plan): string => {
  const rows = [
    ["intent", "task", "decision", "policy", "reason", "from", "origin"],
    ...plan.entries.map((entry) => [
      entry.intentId,
      entry.task,
      entry.decision,
      entry.policy ?? "",
      entry.reason ?? "",
      entry.depth === 0 ? "own" : `captured, depth ${entry.depth}`,
      entry.origin ?? ""
    ])
  ]
  return columns(rows)
}

/** Renders rows as a text table. @internal */
export const columns = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]!.map((_, column) => rows.reduce((width, row) => Math.max(width, row[column]!.length), 0))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()).join("\n")
}

/**
 * Compares the lines of {@link outline} of two plans. `removed` are the lines that only the first plan has, and `added` the
 * lines that only the second plan has.
 *
 * @example
 * ```ts
 * import { Plan } from "effect-airlock"
 *
 * const isSame = (before: Plan.Plan, after: Plan.Plan): boolean => {
 *   const { added, removed } = Plan.diff(before, after)
 *   return added.length === 0 && removed.length === 0
 * }
 * ```
 *
 * @since 0.1.0
 * @category comparisons
 */
export const diff = (
  first: Plan,
  second: Plan
): { readonly removed: ReadonlyArray<string>, readonly added: ReadonlyArray<string> } => ({
  removed: without(outline(first), outline(second)),
  added: without(outline(second), outline(first))
})

/** The lines of one list without those of another. Equal lines cancel each other one by one. */
const without = (lines: ReadonlyArray<string>, others: ReadonlyArray<string>): ReadonlyArray<string> => {
  const counts = new Map<string, number>()
  for (const line of others) {
    counts.set(line, (counts.get(line) ?? 0) + 1)
  }
  return lines.filter((line) => {
    const count = counts.get(line) ?? 0
    counts.set(line, count - 1)
    return count <= 0
  })
}
