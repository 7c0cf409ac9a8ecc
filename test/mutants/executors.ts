/** Ways to break the executors of this process, and what can be seen of them. */
import type { Mutant } from "./mutants.js"

export const executors: ReadonlyArray<Mutant> = [
  {
    breaks: "background: nobody finishes what is held when the application shuts down",
    file: "src/internal/background.ts",
    from: "this.forgetFinish = this.handlers.onClose(this.finish)",
    to: "this.forgetFinish = () => {}"
  },
  {
    breaks: "background: what could not be finished is not named",
    file: "src/internal/background.ts",
    from: "outcomes[index] ?? outcomeOf(intent) ?? unattempted(intent)",
    to: "outcomes[index] ?? outcomeOf(intent) ?? Exit.void"
  },
  {
    breaks: "background: the shutdown waits for a handler that ignores interruption",
    file: "src/internal/handlers.ts",
    from: "bounded(ended, undefined, \"A handler\", limit)",
    to: "bounded(ended, undefined, \"A handler\", Duration.infinity)"
  },
  {
    breaks: "background: each handler's Layer has the whole time to itself",
    file: "src/internal/handlers.ts",
    from: "isLater ? now : this.closing.since",
    to: "isLater ? now : now"
  },
  {
    breaks: "background: holds more than its capacity",
    file: "src/internal/permits.ts",
    from: "if (this.waiting.length === 0 && this.free >= count) {",
    to: "if (this.free >= -1e9) {"
  },
  {
    breaks: "background: who waited for room in vain keeps its place",
    file: "src/internal/permits.ts",
    from: "          this.waiting.splice(this.waiting.indexOf(waiting), 1)\n",
    to: ""
  },
  {
    breaks: "background: a failure is not logged",
    file: "src/internal/background.ts",
    from: "return batch.abandoned",
    to: "return batch.abandoned || outcomes.length > 0"
  },
  {
    breaks: "drain: what handlers enqueue leaves by itself, not with the queue",
    file: "src/internal/drain.ts",
    from: "const options = { ...this.options, executor: { ...this.executor, dispatch: this.join } }",
    to: "const options = this.options"
  },
  {
    breaks: "drain: what went early and failed is forgotten",
    file: "src/internal/settle.ts",
    from: "failures: [...settlement.failures, ...exit.value] }",
    to: "failures: settlement.failures.length < 0 ? exit.value : settlement.failures }"
  },
  {
    breaks: "drain: what had ended before the timeout is named too",
    file: "src/internal/drain.ts",
    from: "if (outcome !== undefined && Exit.isSuccess(outcome)) {",
    to: "if (cut === undefined && outcome !== undefined && Exit.isSuccess(outcome)) {"
  },
  {
    breaks: "drain: two scopes share an account",
    file: "src/Executor.ts",
    from: "    const { begin, close } = new Drain(executor, limit, run)\n",
    to: "    const { begin, close } = ((globalThis as any).sharedDrain ??= new Drain(executor, limit, run))\n"
  },
  {
    breaks: "batches: only the last of merged intents has the outcome",
    file: "src/internal/run.ts",
    from: "    for (const intent of call.intents) {",
    to: "    for (const intent of call.entries.map(({ intents }) => intents[intents.length - 1]!)) {"
  },
  {
    breaks: "batches: a merged payload keeps the place of the first",
    file: "src/internal/gather.ts",
    from: "    this.entries.delete(key)\n",
    to: ""
  },
  {
    breaks: "batches: overtake an intent of their orderingKey",
    file: "src/internal/gather.ts",
    from: "if (other !== registration && gathering.orderingKeys.has(orderingKey)) {",
    to: "if (other !== registration && gathering.orderingKeys.has(\"\")) {"
  },
  {
    breaks: "run: intents of one orderingKey run side by side",
    file: "src/internal/run.ts",
    from: "const at = key === undefined ? call : find(key)",
    to: "const at = key === \"\" ? find(key) : call"
  },
  {
    breaks: "run: maxAttempts is not heeded",
    file: "src/internal/run.ts",
    from: "attempts < (options.maxAttempts ?? Infinity)",
    to: "attempts < 1e9 + (options.maxAttempts ?? 0)"
  },
  {
    breaks: "run: what failed while it waits for its next attempt counts as not attempted",
    file: "src/internal/run.ts",
    from: "        note(call, outcome)\n        const left",
    to: "        if (Exit.isSuccess(outcome)) note(call, outcome)\n        const left"
  },
  {
    breaks: "route: outcomes come back in the order of the executors",
    file: "src/internal/route.ts",
    from: "            outcomes[index] = answers[at]",
    to: "            outcomes[at] = answers[at]"
  },
  {
    breaks: "I12: a task is not linked to the span that enqueued it",
    file: "src/internal/tracing.ts",
    from: "span === undefined ? [] : [{ _tag",
    to: "span !== undefined ? [] : [{ _tag"
  },
  {
    breaks: "I12: what a policy dropped is not counted",
    file: "src/internal/report.ts",
    from: "  metric: AirlockMetrics.dropped,\n",
    to: ""
  }
]
