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
for (
  const name of readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => /\.c?[jt]s$/.test(name))
) {
  const file = join("src", name)
  collect(ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest))
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")

/** A computed part may be as long as an id. A longer one must be of the source itself. */
const maxComputed = 40

/** Whether a text is a message, with some values for the parts that are computed. */
const isInstance = (text: string, message: Message): boolean => {
  if (message.join("").length < 10) {
    return false
  }
  const pattern = message.map((part) => part === undefined ? "([\\s\\S]*?)" : escaped(part)).join("")
  const computed = text.match(new RegExp(`^${pattern}$`))?.slice(1)
  return computed !== undefined &&
    computed.every((part) => part.length <= maxComputed || part !== text && isOfSource(part))
}

// Messages about intents begin with this word, which is written once for all of them.
const isOfSource = (text: string): boolean =>
  messages.some((message) => isInstance(text, message) || isInstance(text.replace(/^Airlock /, ""), message))

const page = readFileSync("docs/troubleshooting.md", "utf8")

const quotes = [
  ...[...page.matchAll(/^```text\n([\s\S]*?)\n```$/gm)].map(([, text]) => text!),
  ...[...page.matchAll(/^\|.*\| `(Airlock [^`]+)` +\|$/gm)].map(([, text]) => text!)
]

it.each(quotes)("the source has the message: %s", (quote) => {
  expect(isOfSource(quote)).toBe(true)
})

it("a message that the source does not have is noticed", () => {
  expect(quotes.length).toBeGreaterThan(25)
  expect([
    "Airlock has discarded intents: their scope did not succeed",
    "The outbox got no connections within 10s",
    "The outbox table \"airlock_outbox\" is missing. Run Outbox.migrate, or a migration of your own.",
    "Attempt 2 of 25 of intent 1 of \"SendReceipt\" failed. The next is in 1s: Error: the mail server does not answer"
  ].filter(isOfSource)).toEqual([])
})
