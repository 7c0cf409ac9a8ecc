import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { promisify } from "node:util"

it(
  "the example of blocking code computes in the application's thread, or in a worker if the handler asks the pool",
  async () => {
    const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/blocking.ts"], {
      timeout: 50_000
    })
    const counted = "33860 33860 33860 33860 primes"
    expect(stdout.trim().split("\n").map((line) => line.replace(/; longest delay \d+ ms$/, ""))).toEqual([
      `computes in place      ${counted}, thread 0`,
      `computes in a Promise  ${counted}, thread 0`,
      expect.stringMatching(new RegExp(`^asks the worker pool   ${counted}, thread [1-9]\\d*( and [1-9]\\d*)?$`))
    ])
  },
  60_000
)
