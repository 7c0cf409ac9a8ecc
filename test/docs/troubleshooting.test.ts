/**
 * The messages that docs/troubleshooting.md quotes are those of the source.
 */
import { expect, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import ts from "typescript"

/** The text of a message, with `undefined` for each part that is computed. */
type Message = ReadonlyArray<string | undefined>

/** The parts of an expression that gives a text. A choice between texts counts as computed. */
const partsOf = (node: ts.Expression): Message => {
  if (ts.isStringLiteralLike(node)) {
    return [node.text]
  }
  if (ts.isTemplateExpression(node)) {
    return [node.head.text, ...node.templateSpans.flatMap(({ literal }) => [undefined, literal.text])]
  }
  if (ts.isParenthesizedExpression(node)) {
    return partsOf(node.expression)
  }
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    return [...partsOf(node.left), ...partsOf(node.right)]
  }
  return [undefined]
}

const messages: Array<Message> = []
const collect = (node: ts.Node): void => {
  if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node) || ts.isBinaryExpression(node)) {
    messages.push(partsOf(node))
  }
  ts.forEachChild(node, collect)
}
for (const name of readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => /\.c?[jt]s$/.test(name))) {
  const file = join("src", name)
  collect(ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest))
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")

/** What a message says by itself must be most of what is quoted. */
const isQuoteOf = (quote: string, message: Message): boolean => {
  const fixed = message.join("").length
  return fixed >= 20 && fixed >= quote.length * 0.4 &&
    new RegExp(`^${message.map((part) => part === undefined ? "[\\s\\S]*" : escaped(part)).join("")}$`).test(quote)
}

const page = readFileSync("docs/troubleshooting.md", "utf8")

const quotes = [
  ...[...page.matchAll(/^```text\n([\s\S]*?)\n```$/gm)].map(([, text]) => text!),
  ...[...page.matchAll(/^\|.*\| `(Airlock [^`]+)` +\|$/gm)].map(([, text]) => text!)
]

const isOfSource = (quote: string): boolean => {
  // Those about intents begin with this word, which is written once for all of them.
  const texts = [quote, quote.replace(/^Airlock /, "")]
  return messages.some((message) => texts.some((text) => isQuoteOf(text, message)))
}

it.each(quotes)("the source has the message: %s", (quote) => {
  expect(isOfSource(quote)).toBe(true)
})

it("a message that the source does not have is noticed", () => {
  expect(quotes.length).toBeGreaterThan(25)
  expect(quotes.map((quote) => quote.replace(/(\w{3,}) (\w{3,})/, "$2 $1")).filter(isOfSource)).toEqual([])
})
