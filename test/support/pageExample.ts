/**
 * Loads an example of the docs, to run it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"

/**
 * Loads the example of a page that contains a text. Returns its constants by their names. `declared` are the values of the
 * constants that the example only declares.
 */
export const pageExample = async (
  page: string,
  containing: string,
  declared: Record<string, unknown> = {}
): Promise<Record<string, unknown>> => {
  const examples = [...readFileSync(page, "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!)
  const [code, ...others] = examples.filter((code) => code.includes(containing))
  if (code === undefined || others.length > 0) {
    throw new Error(`${page} has not one example with ${JSON.stringify(containing)}`)
  }
  const names = [...code.matchAll(/^const (\w+)/gm)].map(([, name]) => name!)
  mkdirSync(".tmp", { recursive: true })
  // Inside of the repository, where the example finds its packages.
  const directory = mkdtempSync(join(".tmp", "example-"))
  const file = resolve(directory, "example.ts")
  try {
    writeFileSync(file, `${code}\nexport { ${names.join(", ")} }\n`)
    Object.assign(globalThis, declared)
    return await import(file) as Record<string, unknown>
  } finally {
    rmSync(directory, { recursive: true })
  }
}
