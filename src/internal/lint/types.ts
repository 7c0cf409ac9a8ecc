/**
 * What TypeScript knows of a node, where the parser has a program: that of typescript-eslint with `projectService` or `project`.
 * The part of TypeScript's interface that is used here has been the same in all versions with an API in JavaScript.
 *
 * @internal
 */
import type { Node } from "./node.js"
import type { SourceCode } from "./rule.js"

interface Type {
  readonly symbol?: TypeSymbol
  /** The members of a union. */
  readonly types?: ReadonlyArray<Type>
}

interface TypeSymbol {
  readonly name: string
  readonly declarations?: ReadonlyArray<{ getSourceFile(): { readonly fileName: string } }>
}

interface Checker {
  getTypeAtLocation(node: object): Type
  getTypeArguments(type: Type): ReadonlyArray<Type>
  getSymbolAtLocation(node: object): TypeSymbol | undefined
  typeToString(type: Type): string
}

interface ParserServices {
  readonly program?: { getTypeChecker(): Checker } | null
  readonly esTreeNodeToTSNodeMap?: { get(node: Node): object | undefined }
}

/** @internal */
export class Types {
  private constructor(
    private readonly checker: Checker,
    private readonly nodes: { get(node: Node): object | undefined }
  ) {}

  static of({ parserServices }: SourceCode): Types | undefined {
    const { esTreeNodeToTSNodeMap, program } = (parserServices ?? {}) as ParserServices
    return program && esTreeNodeToTSNodeMap ? new Types(program.getTypeChecker(), esTreeNodeToTSNodeMap) : undefined
  }

  /** Whether an expression is an Effect that needs a scope. */
  needsScope(node: Node): boolean {
    return this.argument(node, "Effect", 2).includes("AirlockScope")
  }

  /** The names of the errors and of the services of an Effect. */
  errorsAndServices(node: Node): ReadonlyArray<string> {
    return [...this.argument(node, "Effect", 1), ...this.argument(node, "Effect", 2)]
  }

  /** Whether an expression is a policy that needs a scope. */
  isPolicyThatNeedsScope(node: Node): boolean {
    return this.argument(node, "Policy", 0).includes("AirlockScope")
  }

  isTask(node: Node): boolean {
    return this.typeOf(node)?.symbol?.name === "Task"
  }

  /** Whether an expression has no value. */
  isVoid(node: Node): boolean {
    const type = this.typeOf(node)
    return type !== undefined && this.checker.typeToString(type) === "void"
  }

  /** The files that declare what a name refers to. `undefined` if TypeScript does not know. */
  declaredIn(node: Node): ReadonlyArray<string> | undefined {
    const found = this.nodes.get(node)
    const symbol = found && this.checker.getSymbolAtLocation(found)
    return symbol?.declarations?.map((declaration) => declaration.getSourceFile().fileName)
  }

  /** The names of the types in a union that is an argument of the type of an expression. */
  private argument(node: Node, name: string, index: number): ReadonlyArray<string> {
    const type = this.typeOf(node)
    const argument = type?.symbol?.name === name ? this.checker.getTypeArguments(type)[index] : undefined
    return (argument?.types ?? (argument ? [argument] : [])).map((member) =>
      member.symbol?.name ?? this.checker.typeToString(member).replace(/^NoInfer<(.*)>$/, "$1")
    )
  }

  private typeOf(node: Node): Type | undefined {
    const found = this.nodes.get(node)
    return found && this.checker.getTypeAtLocation(found)
  }
}
