/**
 * ESLint's RuleTester as tests of vitest, on TypeScript without types, with the imports that the code of the tests uses.
 */
import * as parser from "@typescript-eslint/parser"
import { RuleTester } from "eslint"
import { describe, it } from "vitest"
import plugin, { type RuleName } from "../../src/eslint.js"

RuleTester.describe = describe
RuleTester.it = it
RuleTester.itOnly = it.only

const tester = new RuleTester({ languageOptions: { parser } })

const imports = [
  "import { Effect, Layer, pipe, Stream } from \"effect\"",
  "import { Airlock, Executor, Policy, Task } from \"effect-airlock\"",
  "import * as SqlTransaction from \"effect-airlock/SqlTransaction\"",
  "const Mail = Task.make(\"Mail\", { payload: Schema.Number })"
].join("\n")

const withImports = (code: string): string => `${imports}\n${code}`

type Options = ReadonlyArray<Record<string, unknown>>

interface Invalid {
  readonly name: string
  readonly code: string
  readonly options?: Options
  readonly filename?: string
  /** The code without the imports, if the test has imports of its own. */
  readonly bare?: true
  /** Each problem: the code it is at, and the outputs of its suggestions. */
  readonly errors: ReadonlyArray<{
    readonly messageId: string
    readonly at: string
    readonly data?: Record<string, string>
    readonly suggestions?: ReadonlyArray<{ readonly messageId: string, readonly output: string }>
  }>
}

interface Valid {
  readonly name: string
  readonly code: string
  readonly options?: Options
  readonly filename?: string
  readonly bare?: true
}

export const testRule = (
  name: RuleName,
  tests: { readonly valid: ReadonlyArray<Valid>, readonly invalid: ReadonlyArray<Invalid> }
): void => {
  const prepare = ({ bare, code, filename = "file.ts", name, options }: Valid) => ({
    name,
    filename,
    code: bare === true ? code : withImports(code),
    ...(options !== undefined && { options: [...options] })
  })
  tester.run(name, plugin.rules[name] as never, {
    valid: tests.valid.map(prepare),
    invalid: tests.invalid.map((test) => ({
      ...prepare(test),
      errors: test.errors.map(({ at, data, messageId, suggestions }) => ({
        messageId,
        ...(data !== undefined && { data }),
        ...placeOf(test.bare === true ? test.code : withImports(test.code), at),
        suggestions: suggestions?.map(({ messageId, output }) => ({
          messageId,
          output: test.bare === true ? output : withImports(output)
        })) ?? []
      }))
    }))
  })
}

/** The place of some code, as ESLint counts: where it occurs last. */
const placeOf = (code: string, at: string) => {
  const before = code.slice(0, code.lastIndexOf(at))
  if (!code.includes(at)) {
    throw new Error(`the code has no ${JSON.stringify(at)}`)
  }
  const lines = before.split("\n")
  const lastLines = `${before}${at}`.split("\n")
  return {
    line: lines.length,
    column: lines.at(-1)!.length + 1,
    endLine: lastLines.length,
    endColumn: lastLines.at(-1)!.length + 1
  }
}
