/**
 * The report of a dry run: how many intents of which task would leave, or not and why, and the first of them. Its size does not
 * grow with the number of intents.
 */
import * as Schema from "effect/Schema"
import { columns, Entry, Plan, table as tableOf } from "../../Plan.js"

/**
 * The number of intents of one task with one decision, policy and reason.
 *
 * @since 0.1.0
 * @category models
 */
export class Count extends Schema.Class<Count>("effect-airlock/AirlockCommand/Count")({
  /** The name of the task. */
  task: Schema.String,
  /** As that of a `Plan.Entry`. */
  decision: Entry.fields.decision,
  /** The name of the policy that drops the intents. */
  policy: Schema.optional(Schema.String),
  /** Why the intents do not leave. */
  reason: Schema.optional(Schema.String),
  intents: Schema.Number
}) {}

/**
 * What a dry run found. `--dry-run-json` prints it as JSON, and `toString` as the table of `--dry-run`.
 *
 * @since 0.1.0
 * @category models
 */
export class Report extends Schema.Class<Report>("effect-airlock/AirlockCommand/Report")({
  /** The name of the command. */
  command: Schema.String,
  /** The number of all intents. */
  intents: Schema.Number,
  /** The number of intents that would leave. */
  dispatched: Schema.Number,
  /** The numbers by task and reason, the largest first. After 200 different ones, the others are counted together. */
  counts: Schema.Array(Count),
  /** The first intents, in the order in which they would leave. */
  entries: Schema.Array(Entry)
}) {
  override toString(): string {
    return table(this)
  }
}

const table = ({ command, counts, dispatched, entries, intents }: Report): string => {
  const title = `Dry run of "${command}": ${dispatched} of ${intents} intents would leave. Nothing has left.`
  if (intents === 0) {
    return title
  }
  const width = Math.max("intents".length, String(intents).length)
  const byReason = columns([
    ["intents".padStart(width), "task", "decision", "policy", "reason"],
    ...counts.map(({ decision, intents, policy = "", reason = "", task }) => [
      String(intents).padStart(width),
      task,
      decision,
      policy,
      reason
    ])
  ])
  const which = entries.length < intents ? `The first ${entries.length} of ${intents} intents:` : "The intents:"
  return entries.length === 0
    ? `${title}\n\n${byReason}`
    : `${title}\n\n${byReason}\n\n${which}\n\n${tableOf(new Plan({ scope: command, entries }))}`
}

/** Policies may put anything into a reason. */
const maxCounts = 200

/** Collects the plans of a dry run. @internal */
export class Findings {
  private readonly counts = new Map<string, { readonly kind: Omit<typeof Count.Type, "intents">, intents: number }>()
  private readonly entries: Array<Entry> = []
  private intents = 0
  private dispatched = 0

  constructor(readonly command: string, readonly rows: number) {}

  add({ entries }: Plan): void {
    for (const entry of entries) {
      this.intents += 1
      this.dispatched += entry.decision === "dispatch" ? 1 : 0
      this.count(entry)
      if (this.entries.length < this.rows) {
        this.entries.push(entry)
      }
    }
  }

  private count({ decision, policy, reason, task }: Entry): void {
    const key = JSON.stringify([task, decision, policy, reason])
    const known = this.counts.get(key)
    if (known !== undefined) {
      known.intents += 1
    } else if (this.counts.size < maxCounts) {
      this.counts.set(key, { kind: { task, decision, policy, reason }, intents: 1 })
    } else {
      const others = this.counts.get(decision) ?? { kind: { task: "(others)", decision }, intents: 0 }
      others.intents += 1
      this.counts.set(decision, others)
    }
  }

  get report(): Report {
    const { command, dispatched, entries, intents } = this
    const counts = [...this.counts.values()]
      .sort((a, b) => b.intents - a.intents)
      .map(({ intents, kind }) => new Count({ ...kind, intents }))
    return new Report({ command, intents, dispatched, counts, entries })
  }
}
