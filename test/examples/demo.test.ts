import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { promisify } from "node:util"

it("the demo sees what it says", async () => {
  const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/demo.ts"])
  expect(stdout).toContain("All as it should be.")
}, 60_000)

it("a process that is killed between the COMMIT and the dispatch forgets nothing", async () => {
  const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/demo.ts", "--crash"])
  expect(stdout).toContain("has no answer")
  expect(stdout).toContain("The receipt has arrived.")
}, 60_000)
