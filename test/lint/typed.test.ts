/**
 * The rules with the types of TypeScript, on the good and the bad code of fixtures/.
 */
import * as parser from "@typescript-eslint/parser"
import { ESLint, type Linter } from "eslint"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"
import plugin from "../../src/eslint.js"
import { announcedIn, foundIn } from "./announced.js"

const fixtures = fileURLToPath(new URL("fixtures", import.meta.url))

it("with types, the rules report exactly the lines that say so", async () => {
  const config: Array<Linter.Config> = [plugin.configs.recommended, {
    files: ["**/*.ts"],
    languageOptions: { parser, parserOptions: { projectService: true, tsconfigRootDir: fixtures } }
  }]
  const eslint = new ESLint({ cwd: fixtures, overrideConfigFile: true, overrideConfig: config })
  const results = await eslint.lintFiles(["good", "bad"])
  expect(foundIn(fixtures, results)).toEqual(announcedIn(fixtures, ["good", "bad"], { typed: true }))
}, 120_000)
