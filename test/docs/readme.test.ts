import { expect, it } from "@effect/vitest"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { readmeExample, runReadmeExample } from "../support/readme.js"

it("README's example runs as it stands, and its dry run inserts an order and sends no receipt", async () => {
  mkdirSync(".tmp", { recursive: true })
  // Inside of the repository, where the example finds its packages.
  const directory = resolve(mkdtempSync(join(".tmp", "readme-")))
  try {
    writeFileSync(join(directory, "package.json"), `{ "type": "module" }`)
    writeFileSync(join(directory, "main.ts"), readmeExample())
    const tsx = resolve("node_modules/tsx/dist/cli.mjs")
    const seen = await runReadmeExample(directory, "node", tsx, "--tsconfig", resolve("tsconfig.json"), "main.ts")
    expect(seen).toEqual({ status: 200, id: 3, receipts: [1, 3] })
  } finally {
    rmSync(directory, { recursive: true })
  }
}, 60_000)
