/** Spans and metrics. */
import { inFile, type Mutant } from "./mutant.js"

export const telemetry: ReadonlyArray<Mutant> = [
  ...inFile("src/internal/telemetry/spans.ts", [
    {
      breaks: "I12: a task is not linked to the span that enqueued it",
      symbol: "withTaskSpan",
      replace: `span === undefined ? [] : [{ _tag: "SpanLink", span, attributes: { "airlock.intent": id } } as const]`,
      by: "[]",
      tests: ["test/scenarios/observability.test.ts"]
    }
  ])
]
