/**
 * `npm run docs:api` builds the package and writes the API reference, `docs/api`: a page for each module that the package
 * exports, made of its declarations and docstrings. With `--check` it writes nothing, and fails if a page is stale.
 *
 * It also fails if an export has no description, `@since` or `@category`, or if a `{@link}` leads nowhere.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, posix, resolve } from "node:path"
import ts from "typescript"
import { makeAnchors } from "./markdown.js"

const directory = "docs/api"

const { exports, name: packageName } = JSON.parse(readFileSync("package.json", "utf8")) as {
  readonly name: string
  readonly exports: Readonly<Record<string, unknown>>
}

/** What the package does not export, such as `./internal/*`. */
const hidden = Object.entries(exports).filter(([, to]) => to === null).map(([path]) => path.slice("./".length, -1))

const modules = readdirSync("dist", { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".d.ts"))
  .map((file) => file.slice(0, -".d.ts".length))
  .filter((module) => module !== "index" && !hidden.some((prefix) => module.startsWith(prefix)))
  .sort()

const fileOf = (module: string): string => resolve("dist", `${module}.d.ts`)

const program = ts.createProgram([...modules, "index"].map(fileOf), {
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2022,
  strict: true
})
const checker = program.getTypeChecker()
const sourceOf = (module: string): ts.SourceFile => program.getSourceFile(fileOf(module))!

const problems: Array<string> = []

const byText = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

// Exports

interface Entry {
  readonly module: string
  readonly name: string
  readonly symbol: ts.Symbol
  readonly category: string
  /** The module that declares it. Others that export it too refer to that one. */
  readonly home: string
  anchor: string
}

const withoutAlias = (symbol: ts.Symbol): ts.Symbol =>
  (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)

const fileNameOf = (symbol: ts.Symbol): string => symbol.declarations?.[0]?.getSourceFile().fileName ?? ""

const moduleOfFile = new Map(modules.map((module) => [fileOf(module), module]))

/** TypeScript's types do not have the docstrings of a node. */
const docsOf = (node: ts.Node): ReadonlyArray<ts.JSDoc> =>
  (node as { readonly jsDoc?: ReadonlyArray<ts.JSDoc> }).jsDoc ?? []

/** A docstring stands before the whole statement of a constant. */
const statementOf = (node: ts.Declaration): ts.Node => ts.isVariableDeclaration(node) ? node.parent.parent : node

const docOf = (node: ts.Declaration): ts.JSDoc | undefined => docsOf(statementOf(node)).at(-1)

const tagOf = (doc: ts.JSDoc | undefined, name: string): string =>
  ts.getTextOfJSDocComment(doc?.tags?.find((tag) => tag.tagName.text === name)?.comment)?.trim() ?? ""

const exportsOf = (module: string): ReadonlyArray<Entry> =>
  checker.getExportsOfModule(checker.getSymbolAtLocation(sourceOf(module))!)
    .map((symbol) => ({ name: symbol.name, symbol: withoutAlias(symbol) }))
    // The others belong to another package, all of whose exports the module exports.
    .filter(({ symbol }) => fileNameOf(symbol).startsWith(resolve("dist")))
    .map(({ name, symbol }) => {
      const doc = docOf(symbol.declarations![0]!)
      const category = tagOf(doc, "category")
      const missing = [
        ...(ts.getTextOfJSDocComment(doc?.comment) ? [] : ["description"]),
        ...(tagOf(doc, "since") === "" ? ["@since"] : []),
        ...(category === "" ? ["@category"] : [])
      ]
      if (missing.length > 0) {
        problems.push(`${module}: ${name} has no ${missing.join(", ")}`)
      }
      return { module, name, symbol, category, home: moduleOfFile.get(fileNameOf(symbol)) ?? module, anchor: "" }
    })
    .sort((a, b) =>
      byText(a.category, b.category) || byText(a.name.toLowerCase(), b.name.toLowerCase()) || byText(a.name, b.name)
    )

/** By category and name, as in Effect's own reference. */
const entries = new Map(modules.map((module) => [module, exportsOf(module)]))

for (const [module, own] of entries) {
  const anchorOf = makeAnchors()
  anchorOf(posix.basename(module))
  let category: string | undefined
  for (const entry of own) {
    if (entry.category !== category) {
      category = entry.category
      anchorOf(category)
    }
    entry.anchor = anchorOf(entry.name)
  }
}

// Docstrings

const linkTo = (from: string, entry: Entry): string =>
  entry.module === from
    ? `#${entry.anchor}`
    : `${posix.relative(posix.dirname(from), `${entry.module}.md`)}#${entry.anchor}`

const entryOf = (module: string, symbol: ts.Symbol): Entry | undefined => {
  const all = [...entries.values()].flat().filter((entry) => entry.symbol === symbol)
  return all.find((entry) => entry.module === module) ?? all.find((entry) => entry.module === entry.home)
}

type Link = ts.JSDocLink | ts.JSDocLinkCode | ts.JSDocLinkPlain

const linksOf = (doc: ts.JSDoc): ReadonlyArray<Link> =>
  [doc.comment, ...doc.tags?.map(({ comment }) => comment) ?? []].flatMap((comment) =>
    typeof comment === "object"
      ? comment.filter((part) => part.kind !== ts.SyntaxKind.JSDocText) as unknown as ReadonlyArray<Link>
      : []
  )

/** What a link of a docstring names: something in the scope of the declaration, or another export of its module. */
const linked = (module: string, { name }: Link): Entry | undefined => {
  const symbol = name && checker.getSymbolAtLocation(name)
  return (symbol && entryOf(module, withoutAlias(symbol))) ??
    entries.get(module)!.find((entry) => entry.name === name?.getText())
}

/** The lines of a docstring. In code there are no links. */
const linesOf = (module: string, doc: ts.JSDoc, inCode: boolean): ReadonlyArray<string> => {
  const { text } = doc.getSourceFile()
  let shown = ""
  let at = doc.pos
  for (const link of linksOf(doc)) {
    const name = link.name?.getText() ?? ""
    const entry = linked(module, link)
    if (entry === undefined) {
      problems.push(`${module}: {@link ${name}} leads nowhere`)
    }
    shown += text.slice(at, link.pos)
    shown += inCode || entry === undefined ? name : `[\`${name}\`](${linkTo(module, entry)})`
    at = link.end
  }
  return (shown + text.slice(at, doc.end))
    .replace(/^\/\*\*/, "")
    .replace(/\*\/$/, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trimEnd())
}

interface Section {
  readonly tag: string
  readonly text: string
}

/** The description of a docstring, whose tag is empty, and its tags. */
const sectionsOf = (lines: ReadonlyArray<string>): ReadonlyArray<Section> => {
  const sections = [{ tag: "", lines: [] as Array<string> }]
  let inFence = false
  for (const line of lines) {
    inFence = line.startsWith("```") ? !inFence : inFence
    const [, tag, rest] = (inFence ? null : /^@(\w+) ?(.*)$/.exec(line)) ?? []
    if (tag === undefined) {
      sections.at(-1)!.lines.push(line)
    } else {
      sections.push({ tag, lines: [rest!] })
    }
  }
  return sections.map(({ lines, tag }) => ({ tag, text: lines.join("\n").trim() }))
}

const descriptionIn = (sections: ReadonlyArray<Section>): string => sections[0]!.text

const sinceIn = (sections: ReadonlyArray<Section>): string =>
  `Since ${sections.find(({ tag }) => tag === "since")?.text ?? ""}`

/** The docstring of a module is the first one of its file. In the declarations it is gone if the first import is. */
const descriptionOf = (module: string): string => {
  const file = join("src", `${module}.ts`)
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022, true)
  const doc = docsOf(source.statements[0]!)[0]
  const description = doc === undefined ? "" : descriptionIn(sectionsOf(linesOf(module, doc, false)))
  if (description === "") {
    problems.push(`${module} has no description`)
  }
  return description
}

// Declarations

/** The code of a declaration. Docstrings of its members have names instead of links. */
const codeOf = (module: string, node: ts.Declaration): string => {
  const statement = statementOf(node)
  const start = statement.getStart()
  const file = statement.getSourceFile()
  let code = file.text.slice(start, statement.end)
  const docs: Array<ts.JSDoc> = []
  const visit = (child: ts.Node): void => {
    docs.push(...docsOf(child))
    ts.forEachChild(child, visit)
  }
  ts.forEachChild(statement, visit)
  for (const doc of docs.sort((a, b) => b.pos - a.pos)) {
    const lines = linesOf(module, doc, true)
    code = `${code.slice(0, doc.pos - start)}/**${lines.join("\n * ").trimEnd()}${lines.length > 1 ? "\n" : ""} */${
      code.slice(doc.end - start)
    }`
  }
  // A class that extends an expression: the compiler has given the expression a name.
  const base = /\bextends (\w+_base)\b/.exec(code)?.[1]
  const type = base === undefined ? undefined : baseTypeOf(file, base)
  return (type === undefined ? code : code.replace(base!, () => type)).replace(/^export /, "")
}

const baseTypeOf = (file: ts.SourceFile, name: string): string | undefined => {
  for (const statement of file.statements) {
    const declaration = ts.isVariableStatement(statement) ? statement.declarationList.declarations[0] : undefined
    if (declaration?.name.getText() === name) {
      return declaration.type?.getText()
    }
  }
  return undefined
}

// Pages

const code = (text: string): string => `\`\`\`ts\n${text}\n\`\`\``

const entryText = (entry: Entry): string => {
  const { home, module, name, symbol } = entry
  const heading = `### ${name}`
  if (home !== module) {
    const there = entryOf(home, symbol)!
    return `${heading}\n\nThe same as [\`${name}\` of ${posix.basename(home)}](${linkTo(module, there)}).`
  }
  return [
    heading,
    ...symbol.declarations!.map((node) => {
      const doc = docOf(node)
      const sections = doc === undefined ? [] : sectionsOf(linesOf(module, doc, false))
      return [
        ...(sections.length === 0 ? [] : [descriptionIn(sections)]),
        code(codeOf(module, node)),
        ...sections.filter(({ tag }) => tag === "example").map(({ text }) => `**Example**\n\n${text}`),
        ...(sections.length === 0 ? [] : [sinceIn(sections)])
      ].join("\n\n")
    })
  ].join("\n\n")
}

const grouped = (own: ReadonlyArray<Entry>): ReadonlyArray<readonly [string, ReadonlyArray<Entry>]> =>
  [...new Set(own.map(({ category }) => category))].map((category) => [
    category,
    own.filter((entry) => entry.category === category)
  ])

const index = checker.getExportsOfModule(checker.getSymbolAtLocation(sourceOf("index"))!).map((symbol) => ({
  name: symbol.name,
  symbol: withoutAlias(symbol)
}))

const named = ({ name, symbol }: Pick<Entry, "name" | "symbol">): string =>
  (symbol.flags & ts.SymbolFlags.Value) === 0 ? `type ${name}` : name

/** How to import a module, or what the main module has of it. */
const importOf = (module: string): string => {
  const name = posix.basename(module)
  const isInMain = index.some(({ symbol }) => symbol === checker.getSymbolAtLocation(sourceOf(module)))
  const parts = index.filter(({ symbol }) =>
    entries.get(module)!.some((entry) => entry.symbol === symbol && entry.home === module)
  )
  return isInMain
    ? `import { ${name} } from "${packageName}"`
    : parts.length > 0
    ? `import { ${parts.map(named).join(", ")} } from "${packageName}"`
    : `import * as ${name} from "${packageName}/${module}"`
}

const pageOf = (module: string): string =>
  [
    `# ${posix.basename(module)}`,
    descriptionOf(module),
    code(importOf(module)),
    grouped(entries.get(module)!).map(([category, own]) =>
      `- ${category}: ${own.map((entry) => `[${entry.name}](#${entry.anchor})`).join(", ")}`
    ).join("\n"),
    ...grouped(entries.get(module)!).map(([category, own]) => [`## ${category}`, ...own.map(entryText)].join("\n\n"))
  ].join("\n\n")

/** The first sentence of a module's description, for a page on which its links would lead elsewhere. */
const summaryOf = (module: string): string =>
  (/^[\s\S]*?\.(?=\s|$)/.exec(descriptionOf(module))?.[0] ?? "").replaceAll(/\s+/g, " ").replaceAll(
    /\[([^\]]*)\]\([^)]*\)/g,
    "$1"
  )

const overview = (): string =>
  [
    "# API reference",
    "A page for each module of the package. The guides are listed in the [README](../../README.md#what-it-can-do).",
    [
      "| module | what it is for |",
      "| --- | --- |",
      ...modules.map((module) => `| [${module}](${module}.md) | ${summaryOf(module)} |`)
    ].join("\n")
  ].join("\n\n")

/** What dprint makes of a page, until it would change nothing more. */
const format = (text: string): string => {
  const options = { input: text, encoding: "utf8", maxBuffer: 2 ** 26 } as const
  const formatted = execFileSync("node_modules/.bin/dprint", ["fmt", "--stdin", "page.md"], options)
  return formatted === text ? text : format(formatted)
}

const texts = [["README.md", overview()], ...modules.map((module) => [`${module}.md`, pageOf(module)])] as const

if (problems.length > 0) {
  throw new Error(`Mend these docstrings:\n${[...new Set(problems)].join("\n")}`)
}

// All pages as one, because to start dprint takes longer than to format.
const border = "<!-- The next page. -->"
const formatted = format(texts.map(([, text]) => text).join(`\n\n${border}\n\n`)).split(border)
const pages = new Map(texts.map(([name], index) => [join(directory, name!), `${formatted[index]!.trim()}\n`]))

if (process.argv.includes("--check")) {
  const present = existsSync(directory)
    ? readdirSync(directory, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md"))
      .map((name) => join(directory, name))
    : []
  const stale = [...new Set([...present, ...pages.keys()])].filter((file) =>
    !present.includes(file) || readFileSync(file, "utf8") !== pages.get(file)
  )
  if (stale.length > 0) {
    throw new Error(`Run \`npm run docs:api\`. These pages are stale:\n${stale.sort().join("\n")}`)
  }
  process.stdout.write(`the ${pages.size} pages of ${directory} are those of the docstrings\n`)
} else {
  rmSync(directory, { recursive: true, force: true })
  for (const [file, text] of pages) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  process.stdout.write(`${pages.size} pages written to ${directory}\n`)
}
