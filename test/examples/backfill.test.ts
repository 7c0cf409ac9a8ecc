/**
 * examples/backfill.ts: tried out, killed and interrupted half way in a process of its own, resumed, and sent.
 */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { orders } from "../../examples/backfill.js"
import { bundled } from "../support/childProgram.js"
import { reportOf, run } from "../support/commands.js"
import { describeNeeding } from "../support/needs.js"

const program = await bundled("backfillProcess")

/** A database with 1 000 orders, of which 10 are of tests. */
const database = Effect.gen(function*() {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "airlock-backfill-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
  )
  const file = join(directory, "orders.db")
  const command = (...args: ReadonlyArray<string>) =>
    Effect.tap(
      run(orders(), ["--database", file, ...args]),
      ({ exit }) => Effect.sync(() => expect(Exit.isSuccess(exit)).toBe(true))
    )
  expect((yield* command("seed", "--orders", "1000")).out).toEqual(["1000 orders"])
  /** How many orders have a receipt, how many intents are in the outbox, and for how many orders. */
  const counts = Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<{ readonly marked: number, readonly stored: number, readonly distinct: number }>`
        SELECT (SELECT COUNT(*) FROM orders WHERE receipt = 1) AS marked,
          (SELECT COUNT(*) FROM airlock_outbox WHERE state = 'ready') AS stored,
          (SELECT COUNT(DISTINCT payload) FROM airlock_outbox) AS "distinct"`,
      ([row]) => ({ ...row! })
    )).pipe(Effect.provide(SqliteClient.layer({ filename: file })))
  return { file, command, counts }
})

/** Starts the backfill in chunks of 100 in a process that stops in its sixth chunk, and waits until it is there. */
const startStopping = (file: string) =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [program, "--database", file, "backfill", "--size", "100"], {
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const lines: Array<string> = []
    const reader = createInterface(child.stdout)
    const closed = once(reader, "close")
    const stopped = new Promise<void>((resolve) => {
      reader.on("line", (line) => {
        lines.push(line)
        if (line === "in the sixth chunk") {
          resolve()
        }
      })
    })
    const exited = once(child, "exit").then(async ([code, signal]: Array<unknown>) => {
      await closed
      return { code, signal }
    })
    yield* Effect.promise(() => Promise.race([stopped, exited]))
    return { lines, kill: (signal: NodeJS.Signals) => Effect.promise(() => (child.kill(signal), exited)) }
  })

const all = { marked: 1000, stored: 990, distinct: 990 }

describe("the example of a backfill", () => {
  it.scopedLive(
    "prints in a dry run what would leave, lets nothing leave and changes nothing",
    () =>
      Effect.gen(function*() {
        const { command, counts } = yield* database
        const report = reportOf(yield* command("backfill", "--dry-run-json"))
        expect(report).toMatchObject({ command: "backfill", intents: 1000, dispatched: 990 })
        expect(report.counts).toEqual([
          expect.objectContaining({ task: "SendReceipt", decision: "dispatch", intents: 990 }),
          expect.objectContaining({
            decision: "drop",
            policy: "deliverable",
            reason: "an order of a test",
            intents: 10
          })
        ])
        expect(report.entries.length).toBe(3)
        expect(yield* counts).toEqual({ marked: 0, stored: 0, distinct: 0 })
      }),
    60_000
  )

  it.scopedLive(
    "prints the table of docs/commands.md, which has a hundred times as many orders",
    () =>
      Effect.gen(function*() {
        const { command } = yield* database
        const comparable = (text: string) =>
          text.replaceAll(/\b[\da-f]{8}-[\da-f-]{27}\b/g, "<id>").replaceAll(/ +/g, " ").trim()
        const [, page] = /^(Dry run of[\s\S]*?)^```$/m.exec(readFileSync("docs/commands.md", "utf8"))!
        const printed = (yield* command("backfill", "--dry-run")).out.at(-1)!
        expect(comparable(printed)).toBe(comparable(page!).replaceAll(/(\d)00\b/g, "$1"))
      }),
    60_000
  )

  it.scopedLive(
    "flushes per chunk: killed half way it resumes, with nothing lost and nothing twice",
    () =>
      Effect.gen(function*() {
        const { command, counts, file } = yield* database
        const { kill } = yield* startStopping(file)
        expect(yield* kill("SIGKILL")).toEqual({ code: null, signal: "SIGKILL" })
        expect(yield* counts).toEqual({ marked: 500, stored: 495, distinct: 495 })
        expect((yield* command("backfill")).out.at(-1)).toMatch(/^500 of 500 orders \(100%\)/)
        expect(yield* counts).toEqual(all)
        expect((yield* command("backfill")).out.at(-1)).toMatch(/^0 of 0 orders \(100%\)/)
        expect(yield* counts).toEqual(all)
        expect((yield* command("send")).out).toEqual(["990 mails for 990 orders"])
      }),
    60_000
  )

  it.scopedLive(
    "interrupted by Ctrl-C it keeps what left, discards the running chunk, and exits with 130",
    () =>
      Effect.gen(function*() {
        const { command, counts, file } = yield* database
        const { kill, lines } = yield* startStopping(file)
        expect(yield* kill("SIGINT")).toEqual({ code: 130, signal: null })
        expect(lines).toEqual([
          "in the sixth chunk",
          expect.stringMatching(/^stopped after 500 of 1000 orders \(50%\)/)
        ])
        expect(yield* counts).toEqual({ marked: 500, stored: 495, distinct: 495 })
        yield* command("backfill")
        expect(yield* counts).toEqual(all)
      }),
    60_000
  )
})

/** It runs a command in a pseudo-terminal. That of other systems has other options. */
const script = {
  name: "script of util-linux",
  missing: spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes("util-linux") === true
    ? undefined
    : "there is no `script` of util-linux"
}

describeNeeding(script, "the example of a backfill on a terminal", () => {
  it.scopedLive("draws a bar until it is done", () =>
    Effect.gen(function*() {
      const { counts, file } = yield* database
      const backfill = `${process.execPath} --import tsx examples/backfill.ts --database ${file} backfill --size 100`
      const child = spawn("script", ["--quiet", "--return", "--command", backfill, "/dev/null"], {
        stdio: ["pipe", "pipe", "inherit"]
      })
      const exited = once(child, "exit")
      const shown: Array<string> = []
      child.stdout.setEncoding("utf8").on("data", (text: string) => shown.push(text))
      yield* Effect.promise(() => once(child.stdout, "end"))
      expect((yield* Effect.promise(() => exited))[0]).toBe(0)
      const frames = shown.join("").split("\r").filter((frame) => frame.startsWith("["))
      expect(frames.at(-1)).toMatch(/^\[#{30}\] 100% {2}1000\/1000 orders/)
      expect(yield* counts).toEqual(all)
    }), 60_000)
})
