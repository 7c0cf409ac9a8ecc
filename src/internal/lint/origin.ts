/**
 * Finds the module that an object comes from: a class of it was constructed, a function of it was called, or a type of it is
 * annotated.
 *
 * @internal
 */
import type { Names } from "./names.js"
import { isFunction, keyName, type Node, type Property, returnedBy, unwrap } from "./node.js"
import { effectNameOf } from "./operators.js"
import type { Definition, Variable } from "./rule.js"

/** The functions of `Effect` that give the result of a callback, or of `try` among options. */
const givers: ReadonlySet<string> = new Set(["sync", "try", "promise", "tryPromise", "succeed", "acquireRelease"])

/** @internal */
export class Origins {
  private readonly variables = new Map<Variable, string | undefined>()
  private readonly classes = new Map<Node, ReadonlyMap<string, Node>>()

  constructor(private readonly names: Names) {}

  /** The module that an expression or a type comes from. */
  of(expression: Node): string | undefined {
    const node = unwrap(expression)
    switch (node.type) {
      case "Identifier": {
        const variable = this.names.variableOf(node)
        return variable && this.ofVariable(variable)
      }
      case "MemberExpression":
        return node.object.type === "ThisExpression"
          ? this.ofMember(node, keyName(node.property, node.computed))
          : this.of(node.object)
      case "TSQualifiedName":
        return this.of(node.left)
      case "TSTypeAnnotation":
        return this.of(node.typeAnnotation)
      case "TSTypeReference":
        return this.of(node.typeName)
      case "NewExpression":
        return this.of(node.callee)
      case "CallExpression": {
        const given = givers.has(effectNameOf(this.names, node.callee) ?? "") ? node.arguments[0] : undefined
        return given !== undefined
          ? this.ofGiven(given)
          : this.names.importOf(node)?.module ?? this.of(node.callee)
      }
      case "AwaitExpression":
      case "YieldExpression":
        return this.names.importOf(node)?.module ?? (node.argument === null ? undefined : this.of(node.argument))
      default:
        return undefined
    }
  }

  private ofGiven(given: Node): string | undefined {
    if (isFunction(given)) {
      const returned = returnedBy(given)
      return returned && this.of(returned)
    }
    if (given.type === "ObjectExpression") {
      const entry = given.properties.find((property): property is Property =>
        property.type === "Property" && keyName(property.key, property.computed) === "try"
      )
      return entry?.value ? this.ofGiven(entry.value) : undefined
    }
    return this.of(given)
  }

  private ofVariable(variable: Variable): string | undefined {
    if (!this.variables.has(variable)) {
      // A variable that is defined by itself has no origin.
      this.variables.set(variable, undefined)
      const [definition] = variable.defs
      this.variables.set(variable, definition && this.ofDefinition(definition))
    }
    return this.variables.get(variable)
  }

  private ofDefinition({ name, node, parent }: Definition): string | undefined {
    switch (node.type) {
      case "ImportSpecifier":
      case "ImportDefaultSpecifier":
      case "ImportNamespaceSpecifier":
        return parent?.type === "ImportDeclaration" && parent.source.type === "Literal"
          ? String(parent.source.value)
          : undefined
      case "VariableDeclarator": {
        const annotation = node.id.type === "Identifier" ? node.id.typeAnnotation : undefined
        return annotation ? this.of(annotation) : node.init === null ? undefined : this.of(node.init)
      }
      case "ClassDeclaration":
      case "ClassExpression":
        return node.superClass ? this.of(node.superClass) : undefined
      default:
        return name.type === "Identifier" && name.typeAnnotation ? this.of(name.typeAnnotation) : undefined
    }
  }

  /** The module of a property of `this`. */
  private ofMember(node: Node, name: string | undefined): string | undefined {
    let around: Node | null = node
    while (around !== null && around.type !== "ClassBody") {
      around = around.parent
    }
    const member = around === null || name === undefined ? undefined : this.membersOf(around).get(name)
    return member && this.of(member)
  }

  /** For each property of a class, its type, or else the value that it begins with. */
  private membersOf(body: Node): ReadonlyMap<string, Node> {
    let members = this.classes.get(body)
    if (members === undefined) {
      members = new Map(body.type === "ClassBody" ? body.body.flatMap(membersIn) : [])
      this.classes.set(body, members)
    }
    return members
  }
}

const membersIn = (member: Node): ReadonlyArray<readonly [string, Node]> => {
  if (member.type === "PropertyDefinition") {
    const name = keyName(member.key, member.computed)
    const value = member.typeAnnotation ?? member.value
    return name === undefined || value === null ? [] : [[name, value]]
  }
  if (member.type !== "MethodDefinition" || keyName(member.key, member.computed) !== "constructor") {
    return []
  }
  const constructor = member.value
  if (constructor === null || !isFunction(constructor) || constructor.body.type !== "BlockStatement") {
    return []
  }
  return [
    ...constructor.params.flatMap((param): ReadonlyArray<readonly [string, Node]> => {
      const parameter = param.type === "TSParameterProperty" ? param.parameter : undefined
      return parameter?.type === "Identifier" && parameter.typeAnnotation
        ? [[parameter.name, parameter.typeAnnotation]]
        : []
    }),
    ...constructor.body.body.flatMap((statement): ReadonlyArray<readonly [string, Node]> => {
      const assigned = statement.type === "ExpressionStatement" ? statement.expression : undefined
      if (assigned?.type !== "AssignmentExpression" || assigned.left.type !== "MemberExpression") {
        return []
      }
      const { object, property, computed } = assigned.left
      const name = object.type === "ThisExpression" ? keyName(property, computed) : undefined
      return name === undefined ? [] : [[name, assigned.right]]
    })
  ]
}
