/**
 * `npm run test:docs` builds the package, and compiles every example of the docs against it: the `ts` blocks of README and
 * docs/, and those of the docstrings in src/, each as a module of its own. An example that imports the package by its name
 * finds what users find: the exports of package.json, and declarations without what is internal.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import ts from "typescript"

const directory = ".tmp/docs"

const files = (root: string, ending: string): ReadonlyArray<string> =>
  readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(ending)).map((name) =>
    join(root, name)
  )

const pages = [...readdirSync(".").filter((name) => name.endsWith(".md")), ...files("docs", ".md")]

const proseOf = (file: string): string => {
  const text = readFileSync(file, "utf8")
  return file.endsWith(".md")
    ? text
    : [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].map(([comment]) => comment.replaceAll(/^ *\* ?/gm, "")).join("\n")
}

rmSync(directory, { recursive: true, force: true })
mkdirSync(directory, { recursive: true })

let examples = 0
// The API reference repeats the examples of the docstrings.
for (const file of [...pages, ...files("src", ".ts")].filter((file) => !file.startsWith("docs/api/"))) {
  for (const [, code] of proseOf(file).matchAll(/^```ts\n([\s\S]*?)^```$/gm)) {
    examples++
    writeFileSync(join(directory, `${file.replaceAll(/\W+/g, "-")}-${examples}.ts`), `${code}\nexport {}\n`)
  }
}

const { compilerOptions } = ts.readConfigFile("tsconfig.json", ts.sys.readFile).config
const { fileNames, options } = ts.parseJsonConfigFileContent(
  {
    compilerOptions: {
      ...compilerOptions,
      // Without the paths to src, the name of the package leads to dist, by the exports of package.json.
      paths: {},
      // The declarations are checked too: one must not lose what it imports.
      skipLibCheck: false,
      noUnusedLocals: false,
      noUnusedParameters: false
    },
    include: [directory]
  },
  ts.sys,
  process.cwd()
)
const errors = ts.getPreEmitDiagnostics(ts.createProgram(fileNames, options))
  .filter(({ file }) => file?.fileName.includes("/node_modules/") !== true)
if (errors.length > 0) {
  throw new Error(ts.formatDiagnostics(errors, ts.createCompilerHost(options)))
}

process.stdout.write(`${examples} examples compile\n`)
