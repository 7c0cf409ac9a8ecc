/**
 * `no-enqueue-in-policy`: an enqueue in a function that decides about intents.
 *
 * @internal
 */
import type { Names } from "./names.js"
import { type CallExpression, keyName, type Node, unwrap } from "./node.js"
import { rule, type RuleContext } from "./rule.js"
import { analysisOf } from "./sites.js"

/** @internal */
export const noEnqueueInPolicy = rule({
  name: "no-enqueue-in-policy",
  description: "Disallow enqueues in policies and approvals",
  messages: {
    enqueue:
      "`{{name}}` enqueues in `{{where}}`, which decides about intents. It dies there with a `PolicyEnqueueError`. Enqueue in the body of the scope.",
    requirement:
      "This policy needs an AirlockScope, so one of its functions enqueues, and dies there with a `PolicyEnqueueError`. Enqueue in the body of the scope."
  },
  options: {},
  defaults: {},
  create: (context) => ({
    "Program:exit": () => check(context)
  })
})

const check = (context: RuleContext): void => {
  const { names, sites, types } = analysisOf(context.sourceCode)
  const deciding = decidingIn(names)
  /** The policies that enqueue in this file. */
  const reported = new Set<Node>()
  for (const { enqueues, name, node } of sites) {
    let where: string | undefined
    for (let around = enqueues ? node : null; around !== null && where === undefined; around = around.parent) {
      where = deciding.get(around)
      if (where !== undefined) {
        reported.add(around)
        context.report({ node, messageId: "enqueue", data: { name, where } })
      }
    }
  }
  if (types !== undefined) {
    for (const call of names.callsOf((callee) => names.ofAirlock(callee) === "Policy.make")) {
      const isReported = optionsOf(names, call).some(([, value]) => reported.has(definitionOf(names, value)))
      if (!isReported && types.isPolicyThatNeedsScope(call)) {
        context.report({ node: call, messageId: "requirement" })
      }
    }
  }
}

/** The functions of a file that decide about intents, each with its name. */
const decidingIn = (names: Names): ReadonlyMap<Node, string> => {
  const deciding = new Map<Node, string>()
  for (const call of names.callsOf((callee) => names.ofAirlock(callee) !== undefined)) {
    const isPolicy = names.ofAirlock(call.callee) === "Policy.make"
    for (const [key, value] of optionsOf(names, call)) {
      if (key === "approve" || isPolicy && (key === "onEnqueue" || key === "allows")) {
        deciding.set(definitionOf(names, value), key)
      }
    }
  }
  return deciding
}

/** The expression that a constant holds, the function that a name stands for, or the expression itself. */
const definitionOf = (names: Names, expression: Node): Node => {
  const node = unwrap(expression)
  const definition = names.variableOf(node)?.defs[0]?.node
  return definition?.type === "VariableDeclarator" && definition.id.type === "Identifier" && definition.init !== null
    ? unwrap(definition.init)
    : definition?.type === "FunctionDeclaration"
    ? definition
    : node
}

/** The options that a call gets as an object, with those of objects in it: `{ scope: { approve } }`. */
const optionsOf = (names: Names, call: CallExpression): ReadonlyArray<readonly [string, Node]> =>
  call.arguments.flatMap((argument) => entriesOf(names, argument))

const entriesOf = (names: Names, expression: Node): ReadonlyArray<readonly [string, Node]> => {
  const node = definitionOf(names, expression)
  const entries: Array<readonly [string, Node]> = []
  for (const property of node.type === "ObjectExpression" ? node.properties : []) {
    const key = property.type === "Property" ? keyName(property.key, property.computed) : undefined
    if (property.type === "Property" && property.value !== null && key !== undefined) {
      entries.push([key, property.value])
      if (property.value.type === "ObjectExpression") {
        entries.push(...entriesOf(names, property.value))
      }
    }
  }
  return entries
}
