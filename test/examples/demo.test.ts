import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { promisify } from "node:util"

it("the demo sees what it says", async () => {
  const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/demo.ts"])
  expect(stdout).toContain("All as it should be.")
}, 60_000)
