/**
 * `npm run test:docs` compiles every example of the docs: the `ts` blocks of README and docs/, and those of the docstrings
 * in src/, each as a module of its own that imports the package by its name. And it checks that links between the
 * pages lead somewhere.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"

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
    : [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].map(([comment]) => comment.replaceAll(/^ \* ?/gm, "")).join("\n")
}

rmSync(directory, { recursive: true, force: true })
mkdirSync(directory, { recursive: true })

let examples = 0
for (const file of [...pages, ...files("src", ".ts")]) {
  for (const [, code] of proseOf(file).matchAll(/^```ts\n([\s\S]*?)^```$/gm)) {
    examples++
    writeFileSync(join(directory, `${file.replaceAll(/\W+/g, "-")}-${examples}.ts`), `${code}\nexport {}\n`)
  }
}

writeFileSync(
  join(directory, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.json",
    compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
    include: ["."]
  })
)
execFileSync("npx", ["tsc", "-p", directory], { stdio: "inherit" })

const broken = pages.flatMap((page) =>
  [...proseOf(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)]
    .map(([, link]) => link!)
    .filter((link) => !existsSync(join(dirname(page), link)))
    .map((link) => `${page}: ${link}`)
)
if (broken.length > 0) {
  throw new Error(`links that lead nowhere:\n${broken.join("\n")}`)
}

process.stdout.write(`${examples} examples compile, and the links of ${pages.length} pages lead somewhere\n`)
