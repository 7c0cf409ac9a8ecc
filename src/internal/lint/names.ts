/**
 * Finds the names that expressions have in the modules that they are imported from: `A.enqueue` is `Airlock.enqueue` of
 * `effect-airlock` after `import { Airlock as A } from "effect-airlock"`.
 *
 * @internal
 */
import { type CallExpression, isCall, isWrapper, keyName, type Node, unwrap } from "./node.js"
import type { Definition, SourceCode, Variable } from "./rule.js"

/** @internal */
export interface ImportedName {
  readonly module: string
  readonly path: ReadonlyArray<string>
}

/** @internal */
export class Names {
  private readonly variables = new Map<Node, Variable>()
  private readonly known = new Map<Variable, ImportedName | undefined>()

  constructor(readonly source: SourceCode) {
    for (const { references } of source.scopeManager?.scopes ?? []) {
      for (const { identifier, resolved } of references) {
        if (resolved !== null) {
          this.variables.set(identifier, resolved)
        }
      }
    }
  }

  /** The variable that an identifier refers to. */
  variableOf(node: Node): Variable | undefined {
    return this.variables.get(node)
  }

  /** Whether an identifier refers to nothing in this file. */
  isGlobal(node: Node): boolean {
    const variable = this.variables.get(node)
    return variable === undefined || variable.defs.length === 0
  }

  /** The import that an expression refers to. */
  importOf(expression: Node): ImportedName | undefined {
    const node = unwrap(expression)
    switch (node.type) {
      case "Identifier": {
        const variable = this.variables.get(node)
        return variable && this.importOfVariable(variable)
      }
      case "MemberExpression":
        return property(this.importOf(node.object), keyName(node.property, node.computed))
      case "TSQualifiedName":
        return property(this.importOf(node.left), keyName(node.right, false))
      case "AwaitExpression":
        return node.argument.type === "ImportExpression" ? moduleOf(node.argument.source) : undefined
      case "CallExpression": {
        const { callee } = node
        return callee.type === "Identifier" && callee.name === "require" && this.isGlobal(callee) && node.arguments[0]
          ? moduleOf(node.arguments[0])
          : undefined
      }
      default:
        return undefined
    }
  }

  /** The name of an expression in a package: `Airlock.enqueue`, from the package itself or from its module `Airlock`. */
  nameIn(packageName: string, expression: Node): string | undefined {
    return nameIn(packageName, this.importOf(expression))
  }

  /** The name in `effect` of an expression. */
  ofEffect(expression: Node): string | undefined {
    return this.nameIn("effect", expression)
  }

  /** The name in `effect-airlock` of an expression. */
  ofAirlock(expression: Node): string | undefined {
    return this.nameIn("effect-airlock", expression)
  }

  /** The text with which this file names an import such as `Effect` of `effect`, if it has imported it. */
  localName(packageName: string, name: string): string | undefined {
    for (const variable of new Set(this.variables.values())) {
      const definition = variable.defs[0]
      if (definition?.type === "ImportBinding" && nameIn(packageName, this.importOfVariable(variable)) === name) {
        return variable.name
      }
    }
    return undefined
  }

  /** Every call of an import that `isWanted`, in the order of the file. */
  callsOf(isWanted: (callee: Node) => boolean): ReadonlyArray<CallExpression> {
    const calls: Array<CallExpression> = []
    for (const [identifier, variable] of this.variables) {
      if (this.importOfVariable(variable) !== undefined) {
        const callee = outermostName(identifier)
        if (callee.parent !== null && isCall(callee.parent) && callee.parent.callee === callee && isWanted(callee)) {
          calls.push(callee.parent)
        }
      }
    }
    return calls.sort((a, b) => a.range[0] - b.range[0])
  }

  private importOfVariable(variable: Variable): ImportedName | undefined {
    if (!this.known.has(variable)) {
      // A variable that is defined by itself has no import.
      this.known.set(variable, undefined)
      const definition = variable.defs.length === 1 ? variable.defs[0] : undefined
      this.known.set(variable, definition && this.importOfDefinition(definition, variable))
    }
    return this.known.get(variable)
  }

  private importOfDefinition(definition: Definition, variable: Variable): ImportedName | undefined {
    const { node, parent } = definition
    switch (node.type) {
      case "ImportSpecifier":
        return parent?.type === "ImportDeclaration"
          ? property(moduleOf(parent.source), keyName(node.imported, false))
          : undefined
      case "ImportDefaultSpecifier":
        return parent?.type === "ImportDeclaration" ? property(moduleOf(parent.source), "default") : undefined
      case "ImportNamespaceSpecifier":
        return parent?.type === "ImportDeclaration" ? moduleOf(parent.source) : undefined
      case "VariableDeclarator":
        return isConstant(definition) && node.init !== null
          ? destructured(this.importOf(node.init), node.id, variable)
          : undefined
      default:
        return undefined
    }
  }
}

/** Whether a variable that is defined so keeps the value that its declaration gives it. @internal */
export const isConstant = ({ parent }: Definition): boolean =>
  parent?.type === "VariableDeclaration" && parent.kind === "const"

/** Whether a call is one of an operator that was called with its options: `Effect.retry(options)(effect)`. @internal */
export const isCurried = (call: CallExpression): boolean => isCall(unwrap(call.callee))

const nameIn = (packageName: string, found: ImportedName | undefined): string | undefined =>
  found?.module === packageName
    ? found.path.join(".")
    : found?.module.startsWith(`${packageName}/`) === true
    ? [found.module.slice(packageName.length + 1), ...found.path].join(".")
    : undefined

/** `A.b.c` for the identifier `A` of it. */
const outermostName = (identifier: Node): Node => {
  let node = identifier
  while (
    node.parent !== null &&
    (isWrapper(node.parent) || node.parent.type === "MemberExpression" && node.parent.object === node)
  ) {
    node = node.parent
  }
  return node
}

const moduleOf = (source: Node): ImportedName | undefined =>
  source.type === "Literal" && typeof source.value === "string" ? { module: source.value, path: [] } : undefined

const property = (of: ImportedName | undefined, name: string | undefined): ImportedName | undefined =>
  of === undefined || name === undefined ? undefined : { module: of.module, path: [...of.path, name] }

/** The import of a variable of a pattern, such as `const { enqueue } = Airlock`. */
const destructured = (of: ImportedName | undefined, id: Node, variable: Variable): ImportedName | undefined => {
  if (id.type === "Identifier") {
    return of
  }
  if (id.type !== "ObjectPattern") {
    return undefined
  }
  for (const entry of id.properties) {
    if (entry.type === "Property" && entry.value?.type === "Identifier" && entry.value.name === variable.name) {
      return property(of, keyName(entry.key, entry.computed))
    }
  }
  return undefined
}
