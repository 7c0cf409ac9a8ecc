/**
 * Starts runners of a cluster in processes of their own, and waits for what they tell.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { type AddressInfo, createServer } from "node:net"
import { createInterface } from "node:readline"
import { bundled } from "./childProgram.js"
import { until } from "./until.js"
import type { RunnerEvent, RunnerProgram } from "./workflowJobs.js"

const file = await bundled("workflowRunner")

/** A port that nobody listens at. */
const freePort = Effect.async<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    // The server listens on a port, so its address is an object and no path.
    const { port } = server.address() as AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** Starts a runner, which is killed with the Scope, if it has not ended. */
export const startRunner = (options: Omit<RunnerProgram, "port">) =>
  Effect.gen(function*() {
    const program: RunnerProgram = { ...options, port: yield* freePort }
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [file, JSON.stringify(program)], { stdio: ["ignore", "pipe", "inherit"] })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const events: Array<RunnerEvent> = []
    const exited = once(child, "exit").then(([code]) => code as number | null)
    const lines = createInterface(child.stdout)
    const told = once(lines, "close")
    lines.on("line", (line) => {
      if (line.startsWith("{")) {
        // `workflowRunner.ts` writes these lines.
        events.push(JSON.parse(line) as RunnerEvent)
      } else {
        console.error(line)
      }
    })
    const numbers = (is: RunnerEvent["is"]) => events.filter((event) => event.is === is).map(({ n }) => n)
    return {
      /** The numbers of the jobs that have come so far to this event. */
      numbers,
      untilTold: (is: RunnerEvent["is"], times: number) => until(Effect.sync(() => numbers(is).length >= times)),
      signal: (signal: NodeJS.Signals) => Effect.sync(() => child.kill(signal)),
      /** Waits for the end of the process, and returns its exit code. */
      exited: Effect.promise(() => told.then(() => exited))
    }
  })

/** Waits until the database says so. It leaves the database time for the runners. */
export const untilStored = <E, R>(holds: Effect.Effect<boolean, E, R>) => until(Effect.delay(holds, "50 millis"))

/** Waits until all shards have a runner, and this many runners have some. */
export const untilShared = (runners: number) =>
  untilStored(Effect.flatMap(SqlClient, (sql) =>
    Effect.map(
      sql<{ readonly runners: number, readonly shards: number }>`
        SELECT count(DISTINCT pid)::int AS runners, count(*)::int AS shards FROM pg_locks
        WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      ([row]) => row!.runners === runners && row!.shards === 300
    )))

/** The effects of handlers, by the numbers of their jobs. */
export const effects = Effect.flatMap(
  SqlClient,
  (sql) =>
    sql<{ readonly n: number, readonly runner: string, readonly attempt: number }>`
      SELECT n, runner, attempt FROM effects ORDER BY n, runner`
)
