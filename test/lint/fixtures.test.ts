/**
 * Runs the real ESLint and the real oxlint, with the configurations of fixtures/, on good and bad code, on the examples, and on the
 * code of the docs.
 */
import { build } from "esbuild"
import { ESLint, Linter } from "eslint"
import { defineConfig } from "eslint/config"
import { execFile } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import plugin from "../../src/eslint.js"
import { announcedIn, foundIn } from "./announced.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const fixtures = fileURLToPath(new URL("fixtures", import.meta.url))

/** A project of a user, with the plugin among its packages. */
let project: string

beforeAll(async () => {
  mkdirSync(join(root, ".tmp/lint"), { recursive: true })
  project = mkdtempSync(join(root, ".tmp/lint/"))
  cpSync(fixtures, project, { recursive: true })
  // In its place, oxlint would take it for a part of this repository's configuration.
  renameSync(join(project, "oxlintrc.json"), join(project, ".oxlintrc.json"))
  // oxlint looks for files that git ignores up to the root of a repository.
  mkdirSync(join(project, ".git"))
  // Without it, Node would take the name of the package for this repository.
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }))
  cpSync(join(root, "examples"), join(project, "examples"), { recursive: true })
  const installed = join(project, "node_modules/effect-airlock")
  mkdirSync(installed, { recursive: true })
  cpSync(join(root, "package.json"), join(installed, "package.json"))
  await build({
    entryPoints: [join(root, "src/eslint.ts")],
    outfile: join(installed, "dist/eslint.js"),
    bundle: true,
    format: "esm"
  })
  writeBlocks("docs", ["README.md", ...filesIn("docs", ".md")], (page) => page)
  writeBlocks("docstrings", filesIn("src", ".ts"), commentsOf)
})

afterAll(() => {
  rmSync(project, { recursive: true, force: true })
})

/** Writes each block of code of the pages, or of the docstrings, as a file. */
const writeBlocks = (folder: string, files: ReadonlyArray<string>, proseOf: (text: string) => string): void => {
  mkdirSync(join(project, folder))
  for (const file of files) {
    const prose = proseOf(readFileSync(join(root, file), "utf8"))
    for (const [index, [, code]] of [...prose.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].entries()) {
      writeFileSync(join(project, folder, `${file.replaceAll(/\W+/g, "-")}-${index}.ts`), `${code}\nexport {}\n`)
    }
  }
}

const commentsOf = (text: string): string =>
  [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].map(([comment]) => comment.replaceAll(/^ *\* ?/gm, "")).join("\n")

const filesIn = (directory: string, ending: string): ReadonlyArray<string> =>
  readdirSync(join(root, directory), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(directory, name))

const eslint = async (config: string, folders: ReadonlyArray<string>, options: ESLint.Options = {}) => {
  const linter = new ESLint({ cwd: project, overrideConfigFile: config, ...options })
  return foundIn(project, await linter.lintFiles([...folders]))
}

const oxlint = (
  ...args: ReadonlyArray<string>
): Promise<{ readonly output: string, readonly problems: ReadonlyArray<string> }> =>
  new Promise((resolve, reject) => {
    const program = [join(root, "node_modules/oxlint/bin/oxlint"), "--format", "json", ...args]
    execFile("node", program, { cwd: project }, (_, output, errors) => {
      try {
        const { diagnostics } = JSON.parse(output) as {
          readonly diagnostics: ReadonlyArray<{
            readonly code: string
            readonly filename: string
            readonly labels: ReadonlyArray<{ readonly span: { readonly line: number } }>
          }>
        }
        resolve({
          output,
          problems: diagnostics.map(({ code, filename, labels }) =>
            `${filename}:${labels[0]!.span.line} ${code.replace(/^effect-airlock\((.*)\)$/, "$1")}`
          ).sort()
        })
      } catch {
        reject(new Error(`${output}\n${errors}`))
      }
    })
  })

const typedFolders = ["good", "bad", "examples", "docs"]
const folders = [...typedFolders, "docstrings"]

describe("on good code, bad code, the examples and the docs", () => {
  it("the comments announce something of each rule, with types and without", () => {
    const rules = Object.keys(plugin.rules).sort()
    const rulesOf = (problems: ReadonlyArray<string>) =>
      [...new Set(problems.map((problem) => problem.split(" ")[1]))].sort()
    const untyped = announcedIn(project, ["bad"], { typed: false })
    expect(rulesOf(untyped)).toEqual(rules)
    expect(untyped.length).toBeLessThan(announcedIn(project, ["bad"], { typed: true }).length)
    expect(announcedIn(project, ["good", "examples"], { typed: true })).toEqual([])
  })

  it("ESLint without types reports exactly the lines that say so", async () => {
    expect(await eslint("eslint.untyped.config.js", folders)).toEqual(announcedIn(project, folders, { typed: false }))
  }, 120_000)

  it("ESLint with types reports exactly the lines that say so", async () => {
    expect(await eslint("eslint.config.js", typedFolders)).toEqual(announcedIn(project, typedFolders, { typed: true }))
  }, 240_000)

  it("oxlint reports exactly the lines that say so", async () => {
    expect((await oxlint(...folders)).problems).toEqual(announcedIn(project, folders, { typed: false }))
  }, 120_000)
})

describe("comments that switch a rule off", () => {
  const silenced = (problems: ReadonlyArray<string>) => problems.map((problem) => problem.replace(/:\d+/, ""))

  it("hold in ESLint: without them there would be problems", async () => {
    const problems = await eslint("eslint.untyped.config.js", ["good"], { allowInlineConfig: false })
    expect(silenced(problems)).toEqual(["good/jobs.ts no-direct-dispatch", "good/jobs.ts no-floating-enqueue"])
  })

  it("hold in oxlint", async () => {
    const code = readFileSync(join(project, "good/jobs.ts"), "utf8")
    mkdirSync(join(project, "loud"))
    writeFileSync(join(project, "loud/jobs.ts"), code.replaceAll("eslint-disable", "was"))
    writeFileSync(
      join(project, "loud/quiet.ts"),
      code.replaceAll("eslint-disable", "oxlint-disable").replaceAll("eslint-enable", "oxlint-enable")
    )
    const { problems } = await oxlint("loud")
    expect(silenced(problems)).toEqual(["loud/jobs.ts no-direct-dispatch", "loud/jobs.ts no-floating-enqueue"])
  })
})

describe("options that make no sense", () => {
  const configure = (rule: string, options: unknown) => () =>
    new Linter().verify(
      "",
      [{ ...plugin.configs.recommended, rules: { [`effect-airlock/${rule}`]: ["error", options] } }] as never
    )

  it("are errors that name the rule, the option and what it takes", () => {
    expect(configure("no-direct-dispatch", { allowFile: ["src/**"] })).toThrow(
      /effect-airlock\/no-direct-dispatch[\s\S]*Unexpected property "allowFile"[\s\S]*"allowFiles"/
    )
    expect(configure("no-direct-dispatch", { allowFiles: "src/**" })).toThrow(/"src\/\*\*" should be array/)
    expect(configure("no-direct-dispatch", { dispatchers: [{ module: "nodemailer" }] })).toThrow(
      /should have required property '\.?methods'/
    )
    expect(configure("no-direct-dispatch", { ignoreModules: ["bull"] })).toThrow(
      /"bull" should be equal to one of the allowed values/
    )
    expect(configure("no-enqueue-in-retry", { operators: ["again"] })).toThrow(
      /"again" should be equal to one of the allowed values/
    )
    expect(configure("no-floating-enqueue", { typed: true })).toThrow(/Unexpected property "typed"/)
  })

  it("fail oxlint too", async () => {
    const rules = { "effect-airlock/no-enqueue-in-retry": ["error", { operators: ["again"] }] }
    writeFileSync(join(project, "wrong.json"), JSON.stringify({ jsPlugins: ["effect-airlock/eslint"], rules }))
    await expect(oxlint("-c", "wrong.json", "good")).rejects.toThrow(
      /"again" should be equal to one of the allowed values/
    )
  })
})

describe("the plugin", () => {
  it("has the name and the version of the package", () => {
    const { name, version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, string>
    expect(plugin.meta).toEqual({ name, version, namespace: name })
  })

  it("says for each rule where it is described", () => {
    const page = readFileSync(join(root, "docs/lint.md"), "utf8")
    const { homepage } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly homepage: string }
    for (const [name, { meta: { docs } }] of Object.entries(plugin.rules)) {
      expect(docs.url).toBe(`${homepage.replace("#readme", "")}/blob/main/docs/lint.md#${name}`)
      expect(page).toContain(`\n## ${name}\n`)
    }
  })

  it("is configured in docs/lint.md as it is here", () => {
    const page = readFileSync(join(root, "docs/lint.md"), "utf8")
    expect(page).toContain(`\n\`\`\`js\n${readFileSync(join(fixtures, "eslint.config.js"), "utf8")}\`\`\`\n`)
    const [, json] = /^```json\n(\{\n {2}"jsPlugins"[\s\S]*?)^```$/m.exec(page)!
    const { categories: _, ...configuration } = JSON.parse(readFileSync(join(fixtures, "oxlintrc.json"), "utf8"))
    expect(JSON.parse(json!)).toEqual(configuration)
  })

  it("recommends all of its rules", () => {
    expect(Object.keys(plugin.configs.recommended.rules)).toEqual(
      Object.keys(plugin.rules).map((name) => `effect-airlock/${name}`)
    )
  })

  it("can be registered beside its recommended configuration, and extended by name", () => {
    const code = "import { Airlock } from \"effect-airlock\"\nAirlock.enqueue(task, 1)"
    const config = defineConfig([
      plugin.configs.recommended,
      { plugins: { "effect-airlock": plugin }, rules: { "effect-airlock/no-direct-dispatch": "off" } },
      { files: ["**/*.ts"], plugins: { "effect-airlock": plugin }, extends: ["effect-airlock/recommended"] }
    ])
    expect(new Linter().verify(code, config, { filename: "file.js" })).toHaveLength(1)
  })

  it("works on JavaScript, with the parser of ESLint", () => {
    const code = "import { Airlock } from \"effect-airlock\"\nAirlock.enqueue(task, 1)"
    const messages = new Linter().verify(code, [plugin.configs.recommended] as never, { filename: "file.js" })
    expect(messages.map(({ ruleId }) => ruleId)).toEqual(["effect-airlock/no-floating-enqueue"])
  })
})
