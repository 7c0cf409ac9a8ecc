/**
 * The syntax tree that the rules read: the part of ESTree, with the nodes of TypeScript, that they look at. ESLint's parsers
 * and oxlint both make it.
 *
 * @internal
 */

interface Base {
  readonly parent: Node | null
  readonly range: [number, number]
}

/** @internal */
export interface Identifier extends Base {
  readonly type: "Identifier"
  readonly name: string
  readonly typeAnnotation?: Node | null
}

/** @internal */
export interface CallExpression extends Base {
  readonly type: "CallExpression" | "NewExpression"
  readonly callee: Node
  readonly arguments: ReadonlyArray<Node>
}

/** @internal */
export interface MemberExpression extends Base {
  readonly type: "MemberExpression"
  readonly object: Node
  readonly property: Node
  readonly computed: boolean
}

/** @internal */
export interface Property extends Base {
  readonly type: "Property" | "PropertyDefinition" | "MethodDefinition"
  readonly key: Node
  readonly value: Node | null
  readonly computed: boolean
  readonly typeAnnotation?: Node | null
}

/** @internal */
export interface FunctionNode extends Base {
  readonly type: "ArrowFunctionExpression" | "FunctionExpression" | "FunctionDeclaration"
  readonly id?: Identifier | null
  readonly params: ReadonlyArray<Node>
  readonly body: Node
  readonly async: boolean
  readonly generator: boolean
}

/** @internal */
export interface VariableDeclarator extends Base {
  readonly type: "VariableDeclarator"
  readonly id: Node
  readonly init: Node | null
}

/** An expression around one other, whose value is that of the other. */
interface Wrapper extends Base {
  readonly type:
    | "ChainExpression"
    | "TSAsExpression"
    | "TSSatisfiesExpression"
    | "TSNonNullExpression"
    | "TSTypeAssertion"
    | "TSInstantiationExpression"
    | "ParenthesizedExpression"
  readonly expression: Node
}

/** @internal */
export type Node =
  | Identifier
  | CallExpression
  | MemberExpression
  | Property
  | FunctionNode
  | VariableDeclarator
  | Wrapper
  | Base & { readonly type: "Literal", readonly value: unknown }
  | Base & { readonly type: "ThisExpression" | "Super" }
  | Base & { readonly type: "AwaitExpression", readonly argument: Node }
  | Base & { readonly type: "YieldExpression", readonly argument: Node | null, readonly delegate: boolean }
  | Base & { readonly type: "UnaryExpression", readonly operator: string, readonly argument: Node }
  | Base & { readonly type: "SequenceExpression", readonly expressions: ReadonlyArray<Node> }
  | Base & { readonly type: "LogicalExpression", readonly operator: string, readonly left: Node, readonly right: Node }
  | Base & {
    readonly type: "ConditionalExpression"
    readonly test: Node
    readonly consequent: Node
    readonly alternate: Node
  }
  | Base & { readonly type: "ArrayExpression", readonly elements: ReadonlyArray<Node | null> }
  | Base & { readonly type: "ObjectExpression" | "ObjectPattern", readonly properties: ReadonlyArray<Node> }
  | Base & { readonly type: "SpreadElement", readonly argument: Node }
  | Base & { readonly type: "BlockStatement" | "ClassBody" | "Program", readonly body: ReadonlyArray<Node> }
  | Base & { readonly type: "ReturnStatement", readonly argument: Node | null }
  | Base & { readonly type: "ExpressionStatement", readonly expression: Node }
  | Base & { readonly type: "VariableDeclaration", readonly kind: string }
  | Base & {
    readonly type: "AssignmentExpression"
    readonly operator: string
    readonly left: Node
    readonly right: Node
  }
  | Base & { readonly type: "AssignmentPattern", readonly left: Node, readonly right: Node }
  | Base & { readonly type: "ForStatement", readonly init: Node | null, readonly update: Node | null }
  | Base & { readonly type: "ImportDeclaration" | "ImportExpression", readonly source: Node }
  | Base & { readonly type: "ImportSpecifier", readonly imported: Node }
  | Base & { readonly type: "ImportNamespaceSpecifier" | "ImportDefaultSpecifier" }
  | Base & { readonly type: "ClassDeclaration" | "ClassExpression", readonly superClass: Node | null }
  | Base & { readonly type: "TSTypeAnnotation", readonly typeAnnotation: Node }
  | Base & { readonly type: "TSTypeReference", readonly typeName: Node }
  | Base & { readonly type: "TSQualifiedName", readonly left: Node, readonly right: Node }
  | Base & { readonly type: "TSParameterProperty", readonly parameter: Node }

/** @internal */
export const isFunction = (node: Node): node is FunctionNode =>
  node.type === "ArrowFunctionExpression" || node.type === "FunctionExpression" || node.type === "FunctionDeclaration"

/** Whether a node is a call, without `new`. @internal */
export const isCall = (node: Node): node is CallExpression => node.type === "CallExpression"

/** Whether the value of a node is that of the expression inside it. @internal */
export const isWrapper = (node: Node): node is Wrapper =>
  "expression" in node && node.type !== "ExpressionStatement" && !isFunction(node)

/** The expression without what TypeScript and optional chains put around it. @internal */
export const unwrap = (node: Node): Node => {
  let inner = node
  while (isWrapper(inner)) {
    inner = inner.expression
  }
  return inner
}

/** The name of a key: `a` of `x.a`, of `x["a"]` and of `{ a: 1 }`. @internal */
export const keyName = (key: Node, computed: boolean): string | undefined =>
  key.type === "Literal" && typeof key.value === "string"
    ? key.value
    : key.type === "Identifier" && !computed
    ? key.name
    : undefined

/** The name of the method that a call calls. @internal */
export const methodOf = (call: CallExpression): string | undefined => {
  const callee = unwrap(call.callee)
  return callee.type === "MemberExpression" ? keyName(callee.property, callee.computed) : undefined
}

/** The function around a node. @internal */
export const functionAround = (node: Node): FunctionNode | undefined => {
  let around = node.parent
  while (around !== null && !isFunction(around)) {
    around = around.parent
  }
  return around ?? undefined
}

/** The expression that a function returns, if its body says no more than that. @internal */
export const returnedBy = (fn: FunctionNode): Node | undefined => {
  const { body } = fn
  if (body.type !== "BlockStatement") {
    return body
  }
  const last = body.body.at(-1)
  return last?.type === "ReturnStatement" ? last.argument ?? undefined : undefined
}
