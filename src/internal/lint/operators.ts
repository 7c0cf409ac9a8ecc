/**
 * What the rules know of the functions of Effect and Airlock.
 *
 * @internal
 */
import type { Names } from "./names.js"
import { type CallExpression, isCall, keyName, type Node, unwrap } from "./node.js"

/** What becomes of an Effect that an operator is applied to. @internal */
export type Operator =
  /** It runs within the Effect that the operator returns. `name` is the operator's name in the module `Effect`. */
  | { readonly kind: "effect", readonly name: string }
  /** It runs in a scope of its own. */
  | { readonly kind: "scope" }
  /** It runs within the Effect that the operator returns, perhaps in a scope of its own. */
  | { readonly kind: "provide" }
  /** Unknown: the operator may run it at once. */
  | { readonly kind: "unknown" }

const unknown: Operator = { kind: "unknown" }

/** The functions that run an Effect in a scope of its own, by their names in effect-airlock. */
const scopes = new Set([
  "Airlock.enqueueEffect",
  "SqlTransaction.afterCommit",
  "SqlTransaction.afterRollback",
  "Airlock.scoped",
  "Airlock.scopedStream",
  "Airlock.plan",
  "SqlTransaction.transaction",
  "SqlTransaction.rolledBack",
  "HttpTransaction.perRequest"
])

/** The methods that open a scope around an Effect, whatever object they are called on. */
const scopeMethods = new Set(["withTransaction"])

/** What an operator does, given as it stands in a pipe: `Airlock.scoped`, `Effect.retry(options)`. @internal */
export const operatorOf = (names: Names, reference: Node): Operator => {
  const node = unwrap(reference)
  if (isCall(node)) {
    return operatorOf(names, node.callee)
  }
  const airlock = names.ofAirlock(node)
  if (airlock !== undefined) {
    return scopes.has(airlock)
      ? { kind: "scope" }
      : /^(Airlock|AirlockTest|SqlTransaction)\./.test(airlock)
      ? { kind: "provide" }
      : unknown
  }
  const [module, name, ...rest] = names.ofEffect(node)?.split(".") ?? []
  if (name !== undefined && rest.length === 0) {
    return module === "Effect" && name.startsWith("provide")
      ? { kind: "provide" }
      // `runtime` gives the runtime and runs nothing. The runs of a Stream are Effects.
      : module === "Effect" && !/^(run(?!time)|unsafe)/.test(name)
      ? { kind: "effect", name }
      : module === "Stream" || module === "Layer"
      ? { kind: "effect", name: `${module}.${name}` }
      : unknown
  }
  return node.type === "MemberExpression" && scopeMethods.has(keyName(node.property, node.computed) ?? "")
    ? { kind: "scope" }
    : unknown
}

/** The name of a function of the module `Effect`, called as it is or with its options first. @internal */
export const effectNameOf = (names: Names, callee: Node): string | undefined => {
  const operator = operatorOf(names, callee)
  return operator.kind === "effect" ? operator.name : undefined
}

/** The functions whose results are Effects that must be run, by their names in effect-airlock. @internal */
export const enqueues: ReadonlySet<string> = new Set([
  "Airlock.enqueue",
  "Airlock.enqueueEffect",
  "SqlTransaction.afterCommit"
])

/** A hook of a transaction enqueues nothing, but is nothing either if nobody runs it. @internal */
export const hooks: ReadonlySet<string> = new Set(["SqlTransaction.afterRollback"])

/** Functions that keep an Effect, or the Effect that a callback returns, as a value, and do not run it. @internal */
export const nests: ReadonlySet<string> = new Set(["sync", "try", "promise", "tryPromise", "succeed"])

/** Functions that run an Effect, and keep another one, or that of a callback, as its value. @internal */
export const nestsResult: ReadonlySet<string> = new Set(["map", "as"])

/** Functions that make an Effect, or a function that returns one, of a generator. @internal */
export const generators: ReadonlySet<string> = new Set(["gen", "fn", "fnUntraced"])

/** Methods that call a function and, if nobody looks at their own result, drop what it returned. @internal */
export const callbackMethods: ReadonlySet<string> = new Set(["forEach", "map", "flatMap", "then", "catch", "finally"])

/** Global functions that call a function later, and drop what it returned. @internal */
export const timers: ReadonlySet<string> = new Set(["setTimeout", "setInterval", "setImmediate", "queueMicrotask"])

/** Whether a call is one of `Promise.all` and its like, whose promise has the Effects that they were given. @internal */
export const isPromiseOf = (names: Names, call: CallExpression): boolean => {
  const callee = unwrap(call.callee)
  return callee.type === "MemberExpression" && callee.object.type === "Identifier" &&
    callee.object.name === "Promise" && names.isGlobal(callee.object)
}
