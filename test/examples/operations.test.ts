import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { promisify } from "node:util"

it(
  "the example of operations finds a dead letter, makes it ready in a paused queue, and resumes the queue",
  async () => {
    const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/operations.ts"], {
      timeout: 50_000
    })
    expect(stdout.trim().split("\n")).toEqual([
      "1 relay lives, and 1 dead letter is in \"mail\"",
      "SendReceipt failed after attempt 1: DispatchError: Dispatching \"SendReceipt\" failed: the mail server does not answer",
      "made 1 dead letter ready, in a paused queue",
      "sent the receipt of order 7",
      "0 rows are left"
    ])
  },
  60_000
)
