/**
 * `npm run test:docs` builds the package, and compiles every example of the docs against it: the `ts` blocks of README and
 * docs/, and those of the docstrings in src/, each as a module of its own. An example that imports the package by its name
 * finds what users find: the exports of package.json, and declarations without what is internal. It also checks that links
 * between the pages lead to a file, and to a heading that is there.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import ts from "typescript"
import { anchorsOf, linksOf } from "./markdown.js"

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

const textOf = (page: string): string => readFileSync(page, "utf8")

const broken = pages.flatMap((page) =>
  linksOf(textOf(page))
    .filter(({ anchor, path }) => {
      const target = path === "" ? page : join(dirname(page), path)
      return !existsSync(target) || (anchor !== "" && target.endsWith(".md") && !anchorsOf(textOf(target)).has(anchor))
    })
    .map(({ anchor, path }) => `${page}: ${path}${anchor === "" ? "" : `#${anchor}`}`)
)
if (broken.length > 0) {
  throw new Error(`links that lead nowhere:\n${broken.join("\n")}`)
}

process.stdout.write(`${examples} examples compile, and the links of ${pages.length} pages lead somewhere\n`)
