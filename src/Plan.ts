/**
 * A plan says, as data, what becomes of each intent of a scope, and why: to look at before anything leaves, to approve, to
 * compare, to keep in a snapshot.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What becomes of one intent.
 *
 * @since 0.1.0
 * @category models
 */
export class Entry extends Schema.Class<Entry>("effect-airlock/Plan/Entry")({
  intentId: Schema.String,
  task: Schema.String,
  /** `aside`: its fiber failed, was interrupted or still runs, so it does not leave. */
  decision: Schema.Literal("dispatch", "drop", "aside"),
  /** The policy that dropped it. */
  policy: Schema.optional(Schema.String),
  /** Why it does not leave. */
  reason: Schema.optional(Schema.String),
  /** Whether it was enqueued in this scope, or captured from one inside it. */
  provenance: Schema.Literal("own", "captured"),
  /** How many scopes lie between the enqueue and this scope: 0 for its own. */
  depth: Schema.Number,
  origin: Schema.optional(Schema.String),
  /** Milliseconds since the epoch. */
  enqueuedAt: Schema.Number,
  /** The span that was current at the enqueue. */
  traceId: Schema.optional(Schema.String),
  spanId: Schema.optional(Schema.String)
}) {}

/**
 * The decisions about all intents of a scope, in the order in which they would leave. Encode it with its Schema:
 * `Schema.encodeSync(Plan.Plan)(plan)`.
 *
 * @since 0.1.0
 * @category models
 */
export class Plan extends Schema.Class<Plan>("effect-airlock/Plan")({
  scope: Schema.String,
  entries: Schema.Array(Entry)
}) {
  /** What leaves. */
  get dispatched(): ReadonlyArray<Entry> {
    return this.entries.filter(({ decision }) => decision === "dispatch")
  }

  /** What does not. */
  get kept(): ReadonlyArray<Entry> {
    return this.entries.filter(({ decision }) => decision !== "dispatch")
  }

  override toString(): string {
    return table(this)
  }
}

/**
 * A line for each intent, without what differs from run to run (ids and times): for snapshots, and to compare two plans.
 *
 * @since 0.1.0
 * @category rendering
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
 * The plan as a table that a person can read.
 *
 * @since 0.1.0
 * @category rendering
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
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()).join("\n")
}

/**
 * How the second plan differs from the first, in lines of {@link outline}: those that only the first has, and those that only
 * the second has.
 *
 * @since 0.1.0
 * @category comparing
 */
export const diff = (
  first: Plan,
  second: Plan
): { readonly removed: ReadonlyArray<string>, readonly added: ReadonlyArray<string> } => ({
  removed: without(outline(first), outline(second)),
  added: without(outline(second), outline(first))
})

/** The lines of one list that the other does not have, each as often as it has it more. */
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
