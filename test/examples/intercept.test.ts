/**
 * The example of direct calls, run as a program.
 */
import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { describeOnRedis, redisUrl } from "../support/redis.js"

describeOnRedis("the example of direct calls", () => {
  it("sends the calls of an old code base through Airlock", async () => {
    const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", "examples/intercept.ts"], {
      timeout: 50_000,
      env: { ...process.env, REDIS_URL: redisUrl.href }
    })
    const lines = stdout.split("\n")
    expect(lines.filter((line) => line.startsWith("order"))).toEqual([
      "order 1 had no scope: its receipt is in BullMQ at once",
      "order 2 failed in a scope: it has no receipt",
      "order 3 succeeded in a scope: its receipt is in BullMQ now"
    ])
    expect(lines.filter((line) => line.startsWith("the worker gets")).sort()).toEqual([
      "the worker gets audit {\"order\":1}",
      "the worker gets audit {\"order\":3}",
      "the worker gets receipt {\"order\":1,\"item\":\"book\"}",
      "the worker gets receipt {\"order\":3,\"item\":\"lamp\"}",
      "the worker gets statistics {\"order\":1}",
      "the worker gets statistics {\"order\":3}"
    ])
    const sites = lines.filter((line) => line.includes("airlock.site"))
    expect(sites.map((line) => /examples\/intercept\.ts:\d+/.exec(line)?.[0])).toEqual([
      expect.stringContaining("examples/intercept.ts"),
      expect.stringContaining("examples/intercept.ts")
    ])
  }, 60_000)
})
