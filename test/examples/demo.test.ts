import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"

it("the demo sees the timeline that it expects", async () => {
  const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/demo.ts"])
  expect(stdout).toContain("All as it should be.")
}, 120_000)

it("the demo's receipt arrives although the process is killed between the COMMIT and the dispatch", async () => {
  const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/demo.ts", "--crash"])
  expect(stdout).toContain("has no answer")
  expect(stdout).toContain("The receipt has arrived.")
  const [, shown] = readFileSync("docs/survive-a-crash.md", "utf8").match(/^```text\n([\s\S]*?)^```$/m)!
  expect(stdout.replaceAll(/^ +/gm, "")).toContain(shown)
}, 120_000)
