/**
 * A rule as ESLint and oxlint run it: the part of their interface that the rules of this package use.
 *
 * @internal
 */
import type { Identifier, Node } from "./node.js"

/** @internal */
export interface Definition {
  readonly type: string
  readonly name: Node
  readonly node: Node
  readonly parent?: Node | null
}

/** @internal */
export interface Reference {
  readonly identifier: Identifier
  readonly resolved: Variable | null
  isRead(): boolean
  isWrite(): boolean
}

/** @internal */
export interface Variable {
  readonly name: string
  readonly defs: ReadonlyArray<Definition>
  readonly references: ReadonlyArray<Reference>
}

/** @internal */
export interface SourceCode {
  readonly ast: Node
  readonly text: string
  readonly scopeManager: {
    readonly scopes: ReadonlyArray<{ readonly references: ReadonlyArray<Reference> }>
    getDeclaredVariables(node: Node): ReadonlyArray<Variable>
  } | null
  readonly parserServices?: object
  getText(node: Node): string
}

/** @internal */
export interface Fixer {
  insertTextBefore(node: Node, text: string): object
  insertTextAfter(node: Node, text: string): object
  replaceText(node: Node, text: string): object
}

/** @internal */
export interface Suggestion {
  readonly messageId: string
  readonly data?: Readonly<Record<string, string>>
  fix(fixer: Fixer): object | Array<object>
}

/** @internal */
export interface RuleContext {
  readonly sourceCode: SourceCode
  readonly options: ReadonlyArray<unknown>
  readonly filename: string
  readonly cwd: string
  report(problem: {
    readonly node: Node
    readonly messageId: string
    readonly data?: Readonly<Record<string, string>>
    readonly suggest?: Array<Suggestion>
  }): void
}

/** What a rule looks at: a function for each kind of node. @internal */
export type Listener = Readonly<Record<string, (node: Node) => void>>

/** @internal */
export interface Rule {
  readonly meta: {
    readonly type: "problem"
    readonly docs: { readonly description: string, readonly url: string, readonly recommended: true }
    readonly messages: Record<string, string>
    readonly schema: Array<Record<string, unknown>>
    readonly defaultOptions: Array<unknown>
    readonly hasSuggestions: boolean
  }
  create(context: RuleContext): Record<string, (node: Node) => void>
}

/** The page that describes the rules. @internal */
export const pageUrl = "https://github.com/effect-airlock/effect-airlock/blob/main/docs/lint.md"

/** @internal */
export const rule = <Options extends object>(definition: {
  readonly name: string
  readonly description: string
  readonly messages: Record<string, string>
  /** The JSON Schemas of the options, by name. */
  readonly options: { readonly [Option in keyof Options]-?: object }
  readonly defaults: Options
  readonly hasSuggestions?: true
  readonly create: (context: RuleContext, options: Options) => Listener
}): Rule => ({
  meta: {
    type: "problem",
    docs: { description: definition.description, url: `${pageUrl}#${definition.name}`, recommended: true },
    messages: definition.messages,
    schema: [{ type: "object", properties: definition.options, additionalProperties: false }],
    defaultOptions: [definition.defaults],
    hasSuggestions: definition.hasSuggestions === true
  },
  create: (context) => ({
    // ESLint and oxlint check the options against the schema. Versions before ESLint 9.15 add no defaults.
    ...definition.create(context, { ...definition.defaults, ...(context.options[0] as Options | undefined) })
  })
})

/** JSON Schema of a list of texts. @internal */
export const listOfText = { type: "array", items: { type: "string", minLength: 1 }, uniqueItems: true }
