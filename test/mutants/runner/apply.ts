/** Applies mutants to the files of the library, and says what is wrong with those that no longer fit. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import type { Node } from "typescript"
import type { Mutant } from "../mutant.js"
import { type Range, Source } from "./source.js"

export interface Mutation {
  readonly mutant: Mutant
  /** The whole file with the mutant in it. */
  readonly text: string
}

export interface Problem {
  readonly mutant: Mutant
  readonly message: string
}

const filesIn = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(directory, name))

const sources: ReadonlyArray<Source> = filesIn("src").map((file) => new Source(file, readFileSync(file, "utf8")))

/** The file with the mutant in it, or where to look for the code that it replaces. */
export const apply = (mutant: Mutant): Mutation | Problem => {
  const problem = (...lines: ReadonlyArray<string>): Problem => ({ mutant, message: lines.join("\n    ") })
  const missing = mutant.tests.filter((file) => !existsSync(file))
  if (missing.length > 0) {
    return problem(...missing.map((file) => `${file} does not exist${perhaps(namesakes("test", file))}`))
  }
  const source = sources.find(({ file }) => file === mutant.file)
  if (source === undefined) {
    return problem(`${mutant.file} does not exist${perhaps(namesakes("src", mutant.file))}`, ...elsewhere(mutant))
  }
  const declarations = source.declarations(mutant.symbol)
  if (declarations.length === 0) {
    return problem(
      `${mutant.file} does not declare ${mutant.symbol}${perhaps(source.symbols)}`,
      ...elsewhere(mutant)
    )
  }
  const found = declarations.flatMap((node) => occurrences(source, mutant, node))
  if (found.length === 1) {
    return { mutant, text: source.replaced(found[0]!, mutant.by) }
  }
  if (found.length > 1) {
    return problem(
      `occurs ${found.length} times in ${mutant.symbol}: replace more code, or name a symbol inside`,
      ...found.map((range) => show(source, range))
    )
  }
  return problem(
    `does not occur in ${mutant.symbol} of ${mutant.file}:`,
    codeOf(mutant),
    ...new Set([...declarations.flatMap((node) => similar(source, mutant, node)), ...elsewhere(mutant)])
  )
}

const codeOf = ({ replace }: Mutant): string => typeof replace === "string" ? replace.trim() : replace.text

const occurrences = (source: Source, { replace }: Mutant, within?: Node): ReadonlyArray<Range> =>
  typeof replace === "string" ? source.find(replace, within) : source.findText(replace.text, within)

const similar = (source: Source, { replace }: Mutant, within?: Node): ReadonlyArray<string> =>
  (typeof replace === "string" ? source.nearest(replace, within).slice(0, 3) : source.strings(within).slice(0, 10))
    .map((range) => `resembles ${show(source, range)}`)

/** Where the code is now, or else what resembles it where its symbol or its file may be now. */
const elsewhere = (mutant: Mutant): ReadonlyArray<string> => {
  const places = sources.flatMap((source) => occurrences(source, mutant).map((range) => show(source, range)))
  if (places.length > 0) {
    return places.slice(0, 5).map((place) => `occurs at ${place}`)
  }
  const others = sources.filter(({ file }) => file !== mutant.file)
  const files = namesakes("src", mutant.file)
  return [
    ...others.filter((source) => source.declarations(mutant.symbol).length > 0).map(({ file }) =>
      `${mutant.symbol} is declared in ${file}`
    ),
    ...sources.filter(({ file }) => files.includes(file)).flatMap((source) => similar(source, mutant))
  ]
}

const namesakes = (directory: string, file: string): ReadonlyArray<string> =>
  filesIn(directory).filter((other) => basename(other) === basename(file))

const perhaps = (names: ReadonlyArray<string>): string => names.length === 0 ? "" : `. There is ${names.join(", ")}`

const show = (source: Source, range: Range): string => {
  const code = source.text.slice(range.start, range.end).replaceAll(/\s+/g, " ")
  return `${source.file}:${source.line(range)} in ${source.symbolAt(range)}: ${code.slice(0, 200)}`
}
