/**
 * The examples of engines, run as programs.
 */
import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { describeOnAmqp } from "../support/amqp.js"
import { describeOnRedis, redisUrl } from "../support/redis.js"
import { describeOn, ownDatabase, postgres } from "../support/servers.js"

type Variables = Readonly<Record<string, string>>

const onRedis = (title: string, define: (variables: () => Variables) => void) =>
  describeOnRedis(title, () => define(() => ({ REDIS_URL: redisUrl.href })))

const onPostgres = (title: string, define: (variables: () => Variables) => void) =>
  describeOn(postgres, title, () => {
    const url = ownDatabase(postgres)
    define(() => ({ DATABASE_URL: url().href }))
  })

const onAmqp = (title: string, define: (variables: () => Variables) => void) =>
  describeOnAmqp(title, ({ url }) => define(() => ({ AMQP_URL: url })))

const engines = [
  { name: "bullMq", describeOn: onRedis },
  { name: "graphileWorker", describeOn: onPostgres },
  { name: "pgBoss", describeOn: onPostgres },
  { name: "amqp", describeOn: onAmqp },
  { name: "persistedQueue", describeOn: onPostgres },
  { name: "workflow", describeOn: onPostgres }
]

for (const { describeOn, name } of engines) {
  describeOn(`the examples of ${name}`, (variables) => {
    const run = async (...program: ReadonlyArray<string>) => {
      const { stdout } = await promisify(execFile)("node", ["node_modules/tsx/dist/cli.mjs", ...program], {
        timeout: 50_000,
        env: { ...process.env, ...variables() }
      })
      return stdout
    }

    it("enqueues an effect that a worker runs", async () => {
      expect(await run(`examples/engines/${name}.ts`)).toContain("the worker sends the receipt of order 7, attempt 1")
    }, 60_000)

    it("runs the shop with two workers", async () => {
      const lines = (await run("examples/engines/shop.ts", name)).split("\n")
      const receipts = lines.filter((line) => line.includes("receipt of order") && line.includes("worker"))
      expect(new Set(receipts.map((line) => line.replace(/.*receipt of/, ""))).size).toBe(6)
      expect(lines.some((line) => line.includes("worker") && line.includes("nobody"))).toBe(false)
      expect(lines).toContain("All receipts have left, and none of the order that failed.")
    }, 60_000)
  })
}
