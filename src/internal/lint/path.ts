/**
 * Follows the value of an expression outward, through pipes, operators, callbacks and generators, to what becomes of it.
 *
 * @internal
 */
import type { Names } from "./names.js"
import { isConstant } from "./names.js"
import {
  type CallExpression,
  functionAround,
  type FunctionNode,
  isCall,
  isFunction,
  isWrapper,
  keyName,
  methodOf,
  type Node,
  unwrap
} from "./node.js"
import {
  callbackMethods,
  effectNameOf,
  generators,
  isPromiseOf,
  nests,
  nestsResult,
  type Operator,
  operatorOf,
  timers
} from "./operators.js"
import type { Variable } from "./rule.js"
import type { Types } from "./types.js"

/** What becomes of a value. @internal */
export type End =
  /** Nothing can ever run it. `at` is the expression that is dropped. */
  | { readonly kind: "dropped", readonly at: Node }
  /** An Effect that ran has it as its value, and that value is dropped. `by` is the call of the function that kept it. */
  | { readonly kind: "nested", readonly at: Node, readonly by: CallExpression }
  /** A generator of Effect returns it: it is the value of an Effect. */
  | { readonly kind: "returned", readonly at: Node }
  /** A constant or a function of this file has it, or returns it. */
  | { readonly kind: "variable", readonly variable: Variable, readonly isFunction: boolean }
  /** Someone else has it. */
  | { readonly kind: "kept" }

/** @internal */
export interface Applied {
  readonly operator: Operator
  /** The operator as it stands in the code. */
  readonly node: Node
}

/** @internal */
export interface Path {
  /** The operators that were applied to the value, in order. */
  readonly applied: ReadonlyArray<Applied>
  readonly end: End
}

const kept: End = { kind: "kept" }

/** @internal */
export const pathOf = (names: Names, types: Types | undefined, start: Node, startsAsFunction: boolean): Path => {
  const applied: Array<Applied> = []
  /** The expression that has the value. */
  let node = start
  /** Whether it is a function that returns the value. */
  let returnsIt = startsAsFunction
  /** The call that kept the value as the value of an Effect. */
  let nestedBy: CallExpression | undefined
  /** Whether the value is only a part of that of the expression: an element of an array, a property of an object. */
  let isPart = false
  /** What a callback returned whose caller may drop it. */
  let callback: Node | undefined
  /** The expression that the innermost function returns. */
  let result = start

  const end = (end: End): Path => ({ applied, end })
  const dropped = (at: Node): Path => end({ kind: "dropped", at: callback ?? at })

  /** Applies the operators of a pipe, and tells whether all of them are known. */
  const apply = (operators: ReadonlyArray<Node>): boolean => {
    for (const node of operators) {
      const operator = operatorOf(names, node)
      applied.push({ operator, node })
      if (operator.kind === "unknown") {
        return false
      }
    }
    return true
  }

  /** Goes on with what a function returns. */
  const enterFunction = (fn: FunctionNode, returned: Node): void => {
    node = fn
    returnsIt = true
    result = returned
  }

  /** Goes on with a call that has the value among its arguments. */
  const enterCall = (call: CallExpression, argument: Node): "entered" | "kept" | "dropped" => {
    const index = call.arguments.indexOf(argument)
    const { callee } = call
    const method = methodOf(call)
    const helper = names.ofEffect(callee)
    const isPipe = helper === "pipe" || helper === "Function.pipe"
    const isFlow = helper === "flow" || helper === "Function.flow"
    if (isPipe || isFlow || method === "pipe") {
      const isLast = index === call.arguments.length - 1
      nestedBy = isLast ? nestedBy : undefined
      returnsIt = isFlow
      node = call
      return apply(call.arguments.slice(index + 1)) ? "entered" : "kept"
    }
    if (isPromiseOf(names, call)) {
      node = call
      return returnsIt ? "kept" : "entered"
    }
    const operator = operatorOf(names, callee)
    if (operator.kind !== "unknown") {
      const name = effectNameOf(names, callee) ?? ""
      const isGenerator = generators.has(name)
      const isSubject = !returnsIt && argument.type !== "ObjectExpression" && (index === 0 || isCall(unwrap(callee)))
      if (isSubject || operator.kind === "scope") {
        applied.push({ operator, node: callee })
      }
      nestedBy = nests.has(name) || nestsResult.has(name) && !(isSubject && hasSubject(call)) ? call : undefined
      callback = undefined
      isPart = false
      returnsIt = isGenerator && name !== "gen"
      node = call
      return !isGenerator || apply(call.arguments.slice(index + 1)) ? "entered" : "kept"
    }
    const target = unwrap(callee)
    const isTimer = target.type === "Identifier" && timers.has(target.name) && names.isGlobal(target)
    const isCallback = method !== undefined && callbackMethods.has(method) && index === 0
    if (!returnsIt || !isTimer && !isCallback) {
      return "kept"
    }
    callback = result
    isPart = true
    if (isTimer || method === "forEach" && types?.isVoid(call) === true) {
      return "dropped"
    }
    if (method !== "map" && method !== "flatMap") {
      applied.push({ operator, node: callee })
    }
    returnsIt = false
    node = call
    return "entered"
  }

  for (;;) {
    const parent: Node | null = node.parent
    if (parent === null) {
      return end(kept)
    }
    if (isWrapper(parent)) {
      node = parent
      continue
    }
    switch (parent.type) {
      case "AwaitExpression":
        node = parent
        continue
      case "SpreadElement":
      case "ArrayExpression":
        isPart = true
        node = parent
        continue
      case "ExpressionStatement":
        return returnsIt ? end(kept) : dropped(node)
      case "UnaryExpression":
        return parent.operator === "void" && !returnsIt ? dropped(node) : end(kept)
      case "ForStatement":
        return parent.init === node || parent.update === node ? dropped(node) : end(kept)
      case "SequenceExpression":
        if (parent.expressions.at(-1) !== node) {
          return dropped(node)
        }
        node = parent
        continue
      case "LogicalExpression":
        // An Effect is never falsy.
        if (parent.left === node && parent.operator === "&&") {
          return dropped(node)
        }
        node = parent
        continue
      case "ConditionalExpression":
        if (parent.test === node) {
          return end(kept)
        }
        node = parent
        continue
      case "Property":
        if (parent.value !== node || parent.parent?.type !== "ObjectExpression") {
          return end(kept)
        }
        isPart = true
        node = parent.parent
        continue
      case "MemberExpression": {
        const call: Node | null = parent.parent
        if (parent.object !== node || returnsIt || call === null || !isCall(call) || call.callee !== parent) {
          return end(kept)
        }
        const method = keyName(parent.property, parent.computed)
        // A promise whose value an earlier callback returned.
        const isSettled = callback !== undefined && (method === "catch" || method === "finally")
        nestedBy = undefined
        node = call
        if (!isSettled && (method !== "pipe" || !apply(call.arguments))) {
          return end(kept)
        }
        continue
      }
      case "YieldExpression": {
        const generator = functionAround(parent)
        if (!parent.delegate || returnsIt || generator === undefined) {
          return end(kept)
        }
        if (nestedBy !== undefined && parent.parent?.type === "ExpressionStatement") {
          return end({ kind: "nested", at: result, by: nestedBy })
        }
        nestedBy = undefined
        callback = undefined
        isPart = false
        enterFunction(generator, parent)
        break
      }
      case "ReturnStatement":
      case "ArrowFunctionExpression": {
        const fn = isFunction(parent) ? parent : functionAround(parent)
        if (fn === undefined || returnsIt || isFunction(parent) && parent.body !== node) {
          return end(kept)
        }
        if (fn.generator) {
          return isGeneratorOfEffect(names, fn) && !isPart && !isWanted(names, fn)
            ? end({ kind: "returned", at: node })
            : end(kept)
        }
        enterFunction(fn, node)
        break
      }
      case "CallExpression":
        if (parent.callee === node) {
          if (!returnsIt) {
            return end(kept)
          }
          returnsIt = false
          node = parent
          continue
        }
        switch (enterCall(parent, node)) {
          case "entered":
            continue
          case "dropped":
            return dropped(node)
          case "kept":
            return end(kept)
        }
        break
      case "VariableDeclarator": {
        const variable = names.source.scopeManager?.getDeclaredVariables(parent)[0]
        return parent.init === node && parent.id.type === "Identifier" && variable?.defs[0] !== undefined && !isPart &&
            isConstant(variable.defs[0])
          ? end({ kind: "variable", variable, isFunction: returnsIt })
          : end(kept)
      }
      default:
        return end(kept)
    }
    // A function that has a name goes on wherever the name is used.
    if (node.type === "FunctionDeclaration") {
      const variable = names.source.scopeManager?.getDeclaredVariables(node)[0]
      return variable === undefined || isPart ? end(kept) : end({ kind: "variable", variable, isFunction: true })
    }
  }
}

/** Whether a function is the generator of `Effect.gen`, `Effect.fn` or `Effect.fnUntraced`. @internal */
export const isGeneratorOfEffect = (names: Names, fn: FunctionNode): boolean =>
  fn.generator && fn.parent !== null && isCall(fn.parent) && fn.parent.callee !== fn &&
  generators.has(effectNameOf(names, fn.parent.callee) ?? "")

/** Whether the Effect that a generator returns is wanted as a value: `Effect.flatten` runs it, or it is the service of a Layer. */
const isWanted = (names: Names, { parent: call }: FunctionNode): boolean => {
  const around = call?.parent
  const outer = around?.type === "MemberExpression" ? around.parent : around
  return outer?.type === "CallExpression" && [outer.callee, ...outer.arguments].some((node) => {
    const name = effectNameOf(names, node)
    return name === "flatten" || name?.startsWith("Layer.") === true
  })
}

/** Whether a call of an operator has the Effect among its arguments, and is not a step of a pipe. */
const hasSubject = (call: CallExpression): boolean => call.arguments.length > 1 || isCall(unwrap(call.callee))
