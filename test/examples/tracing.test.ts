import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { promisify } from "node:util"

it("the example of tracing prints the trace that docs/observability.md shows", async () => {
  const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/tracing.ts"])
  const docs = await readFile("docs/observability.md", "utf8")
  expect(stdout).toContain("airlock.task -> checkout")
  expect(docs).toContain(`\`\`\`text\n${stdout.trimEnd()}\n\`\`\``)
}, 60_000)
