import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { promisify } from "node:util"

it("the example of idempotency keys stores each order once, and sends one receipt for it", async () => {
  const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/idempotency.ts"], {
    timeout: 50_000
  })
  expect(stdout.trim().split("\n").map((line) => line.trim())).toEqual([
    "sent the receipt for a book",
    "a-1, book: 201 {\"id\":1,\"item\":\"book\"}",
    "a-1, book: 201, replayed {\"id\":1,\"item\":\"book\"}",
    "a-1, pen: 422 key-reused",
    "sent the receipt for a pen",
    "a-2, pen: 201 {\"id\":2,\"item\":\"pen\"}"
  ])
}, 60_000)
