/**
 * `no-enqueue-in-retry`: an enqueue that runs again at each attempt, in the scope of all attempts.
 *
 * @internal
 */
import type { Names } from "./names.js"
import { type CallExpression, isCall, type Node, unwrap } from "./node.js"
import { type Path, pathOf } from "./path.js"
import { rule, type RuleContext, type Suggestion } from "./rule.js"
import { analysisOf } from "./sites.js"
import type { Types } from "./types.js"

const retries = ["retry", "retryOrElse", "eventually"]
/** `repeatN` is not among the defaults: a program that counts its repetitions wants all of them in its scope. */
const all = [...retries, "repeat", "repeatN", "repeatOrElse", "schedule", "scheduleFrom", "scheduleForked", "forever"]

/** @internal */
export const noEnqueueInRetry = rule<{ readonly operators: ReadonlyArray<string> }>({
  name: "no-enqueue-in-retry",
  description: "Disallow enqueues that run again at each attempt without a scope of their own",
  messages: {
    retry:
      "`Effect.{{operator}}` runs `{{name}}` again at each attempt, and the intents of failed attempts leave too. Put a scope around each attempt: `.pipe(Airlock.scoped, Effect.{{operator}}(...))`.",
    repeat:
      "`Effect.{{operator}}` runs `{{name}}` again each time, and no intent leaves before the last time has succeeded. Put a scope around each run: `.pipe(Airlock.scoped, Effect.{{operator}}(...))`.",
    addScope: "Put a scope around each run."
  },
  options: {
    operators: { type: "array", items: { enum: all }, uniqueItems: true }
  },
  defaults: { operators: all.filter((operator) => operator !== "repeatN") },
  hasSuggestions: true,
  create: (context, { operators }) => {
    const calls: Array<Node> = []
    return {
      CallExpression: (node) => {
        calls.push(node)
      },
      "Program:exit": () => check(context, new Set(operators), calls)
    }
  }
})

const check = (context: RuleContext, operators: ReadonlySet<string>, calls: ReadonlyArray<Node>): void => {
  const { names, sites, types } = analysisOf(context.sourceCode)
  const reported = new Set<Node>()
  const checkPath = (node: Node, name: string, path: Path): void => {
    const again = againIn(path, operators)
    if (again !== undefined && !reported.has(node)) {
      reported.add(node)
      const { name: operator } = again
      context.report({
        node,
        messageId: retries.includes(operator) ? "retry" : "repeat",
        data: { operator, name },
        suggest: suggestionsFor(names, again.node)
      })
    }
  }
  for (const site of sites) {
    if (site.enqueues && !site.isScoped) {
      checkPath(site.node, site.name, site.path)
    }
  }
  for (const call of calls) {
    if (types !== undefined && isCall(call) && isForeign(names, call)) {
      const path = pathOf(names, types, call, false)
      if (againIn(path, operators) !== undefined && enqueuesByType(types, call)) {
        checkPath(call, context.sourceCode.getText(call.callee), path)
      }
    }
  }
}

/** The operator that runs the value of a path again, with no scope around each run. */
const againIn = (
  { applied }: Path,
  operators: ReadonlySet<string>
): { readonly name: string, readonly node: Node } | undefined => {
  const found = applied.find(({ operator }) => operator.kind !== "effect" || operators.has(operator.name))
  return found?.operator.kind === "effect" ? { name: found.operator.name, node: found.node } : undefined
}

/** Whether a call is one of a function whose code is not in this file. */
const isForeign = (names: Names, { callee }: CallExpression): boolean =>
  names.ofAirlock(callee) === undefined && names.ofEffect(callee) === undefined &&
  (unwrap(callee).type === "MemberExpression" || names.importOf(callee) !== undefined)

/**
 * Whether a call returns an Effect that enqueues, by its type. One that may open a transaction is not counted, because the
 * type does not tell whether the enqueue is inside of it.
 */
const enqueuesByType = (types: Types, call: CallExpression): boolean =>
  types.needsScope(call) &&
  !types.errorsAndServices(call).some((name) => name === "SqlError" || name === "SqlClient")

const suggestionsFor = (names: Names, operator: Node): Array<Suggestion> => {
  const airlock = names.localName("effect-airlock", "Airlock")
  const { parent } = operator
  if (airlock === undefined || parent === null || !isCall(parent)) {
    return []
  }
  if (parent.callee !== operator) {
    return [{
      messageId: "addScope",
      fix: (fixer) => fixer.insertTextBefore(operator, `${airlock}.scoped, `)
    }]
  }
  const subject = parent.arguments[0]!
  return [{
    messageId: "addScope",
    fix: (fixer) => [fixer.insertTextBefore(subject, `${airlock}.scoped(`), fixer.insertTextAfter(subject, ")")]
  }]
}
