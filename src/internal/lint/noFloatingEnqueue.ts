/**
 * `no-floating-enqueue`: an Effect that enqueues and that nothing runs.
 *
 * @internal
 */
import type { Names } from "./names.js"
import {
  type CallExpression,
  functionAround,
  type FunctionNode,
  isCall,
  isFunction,
  methodOf,
  type Node,
  returnedBy,
  unwrap
} from "./node.js"
import { callbackMethods, effectNameOf, operatorOf } from "./operators.js"
import { isGeneratorOfEffect } from "./path.js"
import { rule, type RuleContext, type Suggestion } from "./rule.js"
import { analysisOf } from "./sites.js"

/** @internal */
export const noFloatingEnqueue = rule({
  name: "no-floating-enqueue",
  description: "Disallow enqueues that nothing runs",
  messages: {
    dropped:
      "Nothing runs this Effect, so nothing is enqueued. Write `yield*` before it, return it, or put it into a pipe that is run.",
    awaited:
      "`await` does not run an Effect, so nothing is enqueued. Write `yield*` in `Effect.gen`, or run the whole program with `Effect.runPromise`.",
    callback:
      "Nothing runs the Effect that this callback returns, so nothing is enqueued. For a list use `Effect.forEach`, and yield or return its result. In Promise code, run the whole program with `Effect.runPromise`.",
    nested:
      "`Effect.{{by}}` keeps this Effect as a value and does not run it, so nothing is enqueued. Use `Effect.flatMap`, `Effect.tap` or `Effect.suspend`.",
    returned: "The generator returns this Effect and does not run it, so nothing is enqueued. Write `return yield*`.",
    addYield: "Write `yield*` before it.",
    addReturn: "Return it.",
    useForEach: "Use `Effect.forEach`.",
    useOther: "Use `Effect.{{other}}`."
  },
  options: {},
  defaults: {},
  hasSuggestions: true,
  create: (context) => {
    const statements: Array<Node> = []
    const loops: Array<CallExpression> = []
    return {
      ExpressionStatement: (node) => {
        statements.push(node)
      },
      CallExpression: (node) => {
        if (isCall(node) && methodOf(node) === "forEach") {
          loops.push(node)
        }
      },
      "Program:exit": () => check(context, statements, loops)
    }
  }
})

const check = (
  context: RuleContext,
  statements: ReadonlyArray<Node>,
  loops: ReadonlyArray<CallExpression>
): void => {
  const { names, sites, types } = analysisOf(context.sourceCode)
  const reported = new Set<Node | undefined>()
  const report = (
    at: Node,
    messageId: string,
    suggest: Array<Suggestion> = suggestionsFor(names, context, at, messageId),
    data: Record<string, string> = {}
  ): void => {
    // Two enqueues can be dropped with one expression.
    if (!reported.has(at)) {
      reported.add(at).add(statementAround(at))
      context.report({ node: at, messageId, data, suggest })
    }
  }
  for (const { path: { end } } of sites) {
    switch (end.kind) {
      case "dropped":
        report(end.at, messageFor(end.at))
        break
      case "nested":
        report(end.at, "nested", otherFor(names, end.by), { by: effectNameOf(names, end.by.callee) ?? "" })
        break
      case "returned":
        report(end.at, "returned")
        break
    }
  }
  if (types !== undefined) {
    const values = [
      ...statements.flatMap((statement) =>
        statement.type === "ExpressionStatement" && !reported.has(statement) ? droppedBy(statement.expression) : []
      ),
      ...loops.filter((loop) => types.isVoid(loop)).flatMap(returnedToLoop)
    ]
    for (const value of values) {
      if (isPossible(value) && types.needsScope(value)) {
        report(value, messageFor(value))
      }
    }
  }
}

const statementAround = (node: Node): Node | undefined => {
  let around = node.parent
  while (around !== null && around.type !== "ExpressionStatement") {
    around = around.parent
  }
  return around ?? undefined
}

const messageFor = (at: Node): string =>
  at.type === "AwaitExpression" || at.parent?.type === "AwaitExpression"
    ? "awaited"
    : callbackOf(at) === undefined
    ? "dropped"
    : "callback"

/** The expressions whose values a statement drops, as far as its syntax tells. */
const droppedBy = (expression: Node): ReadonlyArray<Node> => {
  const node = unwrap(expression)
  switch (node.type) {
    case "AwaitExpression":
      return droppedBy(node.argument)
    case "UnaryExpression":
      return node.operator === "void" ? droppedBy(node.argument) : []
    case "LogicalExpression":
      return droppedBy(node.right)
    case "ConditionalExpression":
      return [...droppedBy(node.consequent), ...droppedBy(node.alternate)]
    case "CallExpression":
      return callbackMethods.has(methodOf(node) ?? "") ? [node, ...returnedToLoop(node)] : [node]
    default:
      return [node]
  }
}

/** What the callback of a call such as `items.forEach(callback)` returns. */
const returnedToLoop = ({ arguments: [callback] }: CallExpression): ReadonlyArray<Node> => {
  const returned = callback !== undefined && isFunction(callback) && !callback.generator
    ? returnedBy(callback)
    : undefined
  return returned === undefined ? [] : [returned]
}

/** Whether an expression of this kind that has an Effect as its value does nothing else with it. */
const isPossible = ({ type }: Node): boolean =>
  type === "CallExpression" || type === "Identifier" || type === "MemberExpression"

const suggestionsFor = (names: Names, context: RuleContext, at: Node, messageId: string): Array<Suggestion> => {
  const text = (node: Node): string => context.sourceCode.getText(node)
  const isAwait = at.type === "AwaitExpression"
  const value = isAwait ? at.argument : at
  const fn = functionAround(at)
  if (fn === undefined || !isPossible(unwrap(value))) {
    return []
  }
  if (messageId === "returned") {
    const needsParentheses = at.parent?.type !== "ReturnStatement"
    return isAwait || needsParentheses
      ? []
      : [{ messageId: "addYield", fix: (fixer) => fixer.insertTextBefore(at, "yield* ") }]
  }
  if (messageId === "callback") {
    return forEachFor(names, text, at)
  }
  const around = at.parent?.type === "UnaryExpression" || at.parent?.type === "AwaitExpression" ? at.parent : at
  if (around.parent?.type !== "ExpressionStatement") {
    return []
  }
  if (isGeneratorOfEffect(names, fn)) {
    return [{ messageId: "addYield", fix: (fixer) => fixer.replaceText(around, `yield* ${text(value)}`) }]
  }
  return canReturn(names, fn, around.parent)
    ? [{ messageId: "addReturn", fix: (fixer) => fixer.replaceText(around, `return ${text(value)}`) }]
    : []
}

/** Whether a function runs what it returns, and ends with this statement. */
const canReturn = (names: Names, fn: FunctionNode, statement: Node): boolean =>
  !fn.async && !fn.generator && fn.body.type === "BlockStatement" && fn.body.body.at(-1) === statement &&
  fn.parent !== null && isCall(fn.parent) && operatorOf(names, fn.parent.callee).kind === "effect"

/** The call whose callback returns an expression, such as `items.forEach((item) => expression)`. */
const callbackOf = (at: Node): CallExpression | undefined => {
  const fn = functionAround(at)
  const call = fn?.parent ?? undefined
  return fn !== undefined && returnedBy(fn) === at && call !== undefined && isCall(call) && call.callee !== fn
    ? call
    : undefined
}

/** `yield* Effect.forEach(items, callback, { discard: true })` for `items.forEach(callback)`. */
const forEachFor = (names: Names, text: (node: Node) => string, at: Node): Array<Suggestion> => {
  const call = callbackOf(at)
  const effect = names.localName("effect", "Effect")
  const around = call && functionAround(call)
  const callee = call && unwrap(call.callee)
  if (
    call === undefined || around === undefined || callee?.type !== "MemberExpression" || effect === undefined ||
    call.arguments.length !== 1 || call.parent?.type !== "ExpressionStatement" || !isGeneratorOfEffect(names, around) ||
    !["forEach", "map"].includes(methodOf(call) ?? "") || functionAround(at)?.async === true
  ) {
    return []
  }
  const rewritten = `yield* ${effect}.forEach(${text(callee.object)}, ${text(call.arguments[0]!)}, { discard: true })`
  return [{ messageId: "useForEach", fix: (fixer) => fixer.replaceText(call, rewritten) }]
}

/** The functions that run the Effect that others keep as a value. */
const others: Readonly<Record<string, string>> = { sync: "suspend", map: "flatMap", as: "zipRight" }

/** Another function instead of the one that keeps an Effect as a value. */
const otherFor = (names: Names, { callee }: CallExpression): Array<Suggestion> => {
  const other = others[effectNameOf(names, callee) ?? ""]
  return other === undefined || callee.type !== "MemberExpression"
    ? []
    : [{ messageId: "useOther", data: { other }, fix: (fixer) => fixer.replaceText(callee.property, other) }]
}
