/**
 * Starts servers with idempotency keys in processes of their own.
 */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { bundled, programDatabase } from "./childProgram.js"
import type { IdempotencyEvent, IdempotencyProgram } from "./idempotencyProcess.js"
import { until } from "./until.js"

const file = await bundled("idempotencyProcess")

/** Starts a server, which is killed with the Scope, and waits until it listens. */
export const startServer = (options: Omit<IdempotencyProgram, "dialect" | "database">) =>
  Effect.gen(function*() {
    const program: IdempotencyProgram = { ...options, ...(yield* programDatabase) }
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [file, JSON.stringify(program)], { stdio: ["ignore", "pipe", "inherit"] })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const events: Array<IdempotencyEvent> = []
    createInterface(child.stdout).on("line", (line) => {
      if (line.startsWith("{")) {
        // `idempotencyProcess.ts` writes these lines.
        events.push(JSON.parse(line) as IdempotencyEvent)
      } else {
        console.error(line)
      }
    })
    const told = (is: IdempotencyEvent["is"]) => events.filter((event) => event.is === is)
    const untilTold = (is: IdempotencyEvent["is"]) => until(Effect.sync(() => told(is).length > 0))
    yield* untilTold("listening")
    const [listening] = told("listening") as ReadonlyArray<Extract<IdempotencyEvent, { readonly is: "listening" }>>
    const url = `http://127.0.0.1:${listening!.port}/orders`
    return {
      untilTold,
      runs: () => told("run").length,
      kill: Effect.async<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      }),
      /** Sends an order, and returns the status, the text and the code of the answer. */
      order: (key: string, name: string) =>
        Effect.promise(async () => {
          const response = await fetch(url, { method: "POST", body: name, headers: { "idempotency-key": key } })
          const text = await response.text()
          const code = text.startsWith("{") ? (JSON.parse(text) as { readonly code: string }).code : undefined
          return { status: response.status, text, code }
        })
    }
  })
