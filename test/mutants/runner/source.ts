/** Finds code in a file by its tokens, so that formatting and comments do not matter. */
import ts from "typescript"

export interface Range {
  readonly start: number
  readonly end: number
}

interface Token extends Range {
  readonly text: string
}

export class Source {
  readonly syntax: ts.SourceFile
  private readonly tokens: ReadonlyArray<Token>

  constructor(readonly file: string, readonly text: string) {
    this.syntax = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
    this.tokens = tokensOf(text)
  }

  /** The names of the declarations at the top of the file. */
  get symbols(): ReadonlyArray<string> {
    return topLevel(this.syntax).map((node) => nameOf(node)!)
  }

  /** The declarations that a dotted path leads to: several where functions are overloaded. */
  declarations(symbol: string): ReadonlyArray<ts.Node> {
    const [first, ...inner] = symbol.split(".")
    return inner.reduce<ReadonlyArray<ts.Node>>(
      (nodes, name) => nodes.flatMap((node) => declaredIn(node, name)),
      topLevel(this.syntax).filter((node) => nameOf(node) === first)
    )
  }

  /** Where the code occurs in a node, as whole expressions, statements or other parts of the syntax. */
  find(code: string, within: ts.Node = this.syntax): ReadonlyArray<Range> {
    const wanted = tokensOf(code).map(({ text }) => text)
    const tokens = this.tokensIn(within)
    return tokens.flatMap(({ start }, from) => {
      if (wanted.length === 0 || !wanted.every((text, index) => tokens[from + index]?.text === text)) {
        return []
      }
      const range = { start, end: tokens[from + wanted.length - 1]!.end }
      return isWhole(within, range) ? [range] : []
    })
  }

  /** Where a text occurs inside the strings and templates of a node. */
  findText(text: string, within: ts.Node = this.syntax): ReadonlyArray<Range> {
    return this.tokensIn(within).filter(isString).flatMap((token) => {
      const found: Array<Range> = []
      for (let at = token.text.indexOf(text); at >= 0; at = token.text.indexOf(text, at + 1)) {
        found.push({ start: token.start + at, end: token.start + at + text.length })
      }
      return found
    })
  }

  /** The parts of a node that resemble the code most, the best first. */
  nearest(code: string, within: ts.Node = this.syntax): ReadonlyArray<Range> {
    const wanted = tokensOf(code)
    const candidates: Array<{ readonly range: Range, readonly score: number }> = []
    const visit = (node: ts.Node): void => {
      const range = { start: node.getStart(), end: node.getEnd() }
      const score = resemblance(wanted, tokensOf(this.text.slice(range.start, range.end)))
      if (score > 0.4) {
        candidates.push({ range, score })
      }
      ts.forEachChild(node, visit)
    }
    visit(within)
    return candidates.sort((a, b) => b.score - a.score).map(({ range }) => range)
  }

  /** The strings of a node. */
  strings(within: ts.Node = this.syntax): ReadonlyArray<Range> {
    return this.tokensIn(within).filter(isString)
  }

  /** The declarations around a part of the file, the outermost first: `Relay.claim`. */
  symbolAt({ end, start }: Range): string {
    const names: Array<string> = []
    const visit = (node: ts.Node): void => {
      if (node.getStart() <= start && end <= node.getEnd()) {
        names.push(...nameOf(node) === undefined ? [] : [nameOf(node)!])
        ts.forEachChild(node, visit)
      }
    }
    visit(this.syntax)
    return names.join(".")
  }

  line({ start }: Range): number {
    return this.syntax.getLineAndCharacterOfPosition(start).line + 1
  }

  /** The file with one part of it replaced. Where a part of a list is removed, its comma goes too. */
  replaced({ end, start }: Range, by: string): string {
    const comma = by === "" ? /^\s*,/.exec(this.text.slice(end))?.[0].length ?? 0 : 0
    return this.text.slice(0, start) + by + this.text.slice(end + comma)
  }

  private tokensIn(node: ts.Node): ReadonlyArray<Token> {
    return this.tokens.filter(({ end, start }) => start >= node.getStart() && end <= node.getEnd())
  }
}

/** Without what a formatter may add or drop: semicolons, and commas at the end of a list. */
const tokensOf = (code: string): ReadonlyArray<Token> =>
  scan(code).filter(({ text }, index, all) =>
    text !== ";" && !(text === "," && /^[)\]}]?$/.test(all[index + 1]?.text ?? ""))
  )

const scan = (code: string): ReadonlyArray<Token> => {
  const scanner = ts.createScanner(ts.ScriptTarget.Latest, true, ts.LanguageVariant.Standard, code)
  const tokens: Array<Token> = []
  /** For each template that is open, how many braces are open inside its expression. */
  const templates: Array<number> = []
  let before: Token | undefined
  for (let kind = scanner.scan(); kind !== ts.SyntaxKind.EndOfFileToken; kind = scanner.scan()) {
    if (kind === ts.SyntaxKind.CloseBraceToken && templates.at(-1) === 0) {
      kind = scanner.reScanTemplateToken(false)
      if (kind === ts.SyntaxKind.TemplateTail) {
        templates.pop()
      }
    } else if (kind === ts.SyntaxKind.TemplateHead) {
      templates.push(0)
    } else if (kind === ts.SyntaxKind.OpenBraceToken && templates.length > 0) {
      templates[templates.length - 1]!++
    } else if (kind === ts.SyntaxKind.CloseBraceToken && templates.length > 0) {
      templates[templates.length - 1]!--
    } else if (kind === ts.SyntaxKind.SlashToken && !endsOperand(before?.text)) {
      scanner.reScanSlashToken()
    }
    before = { text: scanner.getTokenText(), start: scanner.getTokenStart(), end: scanner.getTokenEnd() }
    tokens.push(before)
  }
  return tokens
}

/** Or a part of a template, which may begin after an expression. */
const isString = ({ text }: Token): boolean => /^["'`}]./s.test(text)

/** Whether a slash after this token divides, and begins no regular expression. */
const endsOperand = (token: string | undefined): boolean => token !== undefined && /[\w$)\]}"'`]$/.test(token)

/** Whether a range begins and ends with parts of one node: `b * c` in `a + b * c`, but not `a + b`. */
const isWhole = (node: ts.Node, range: Range): boolean => {
  const parts = node.getChildren().flatMap((child) =>
    child.kind === ts.SyntaxKind.SyntaxList ? child.getChildren() : [child]
  )
  return parts.some((part) => part.getStart() === range.start) && parts.some((part) => part.getEnd() === range.end) ||
    parts.some((part) => part.getStart() <= range.start && range.end <= part.getEnd() && isWhole(part, range))
}

const topLevel = (file: ts.SourceFile): ReadonlyArray<ts.Node> =>
  file.statements
    .flatMap((statement): ReadonlyArray<ts.Node> =>
      ts.isVariableStatement(statement) ? statement.declarationList.declarations : [statement]
    )
    .filter((node) => nameOf(node) !== undefined)

/** The outermost declarations of this name inside a node. */
const declaredIn = (node: ts.Node, name: string): ReadonlyArray<ts.Node> => {
  const found: Array<ts.Node> = []
  const visit = (node: ts.Node): void => {
    if (nameOf(node) === name) {
      found.push(node)
    } else {
      ts.forEachChild(node, visit)
    }
  }
  ts.forEachChild(node, visit)
  return found
}

const nameOf = (node: ts.Node): string | undefined =>
  ts.isConstructorDeclaration(node)
    ? "constructor"
    : ts.isVariableDeclaration(node) || ts.isFunctionDeclaration(node) || ts.isClassDeclaration(node) ||
        ts.isMethodDeclaration(node) || ts.isPropertyDeclaration(node) || ts.isPropertyAssignment(node) ||
        ts.isAccessor(node)
    ? node.name === undefined || ts.isObjectBindingPattern(node.name) || ts.isArrayBindingPattern(node.name)
      ? undefined
      : node.name.getText()
    : undefined

/** Between 0 and 1: the share of pairs of neighbours that two lists of tokens have in common. */
const resemblance = (a: ReadonlyArray<Token>, b: ReadonlyArray<Token>): number => {
  const rest = pairsOf(a)
  const size = rest.length + b.length
  const common = pairsOf(b).filter((pair) => {
    const index = rest.indexOf(pair)
    return index >= 0 && rest.splice(index, 1).length > 0
  })
  return size === 0 ? 0 : 2 * common.length / size
}

const pairsOf = (tokens: ReadonlyArray<Token>): Array<string> =>
  tokens.map(({ text }, index) => `${tokens[index - 1]?.text ?? ""} ${text}`)
