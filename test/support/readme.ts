/**
 * README's example as a program of its own, which also runs `program` and `dryRun` before it serves.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"

const launch = "NodeRuntime.runMain(Layer.launch(Main))"

/** The code of the example. Its server listens on a free port. */
export const readmeExample = (): string => {
  const [, code] = readFileSync("README.md", "utf8").match(/^```ts\n([\s\S]*?)^```$/m)!
  if (!code!.includes(launch) || !code!.includes("port: 3000")) {
    throw new Error("README's example does not launch its server on port 3000")
  }
  return code!.replace("port: 3000", "port: 0").replace(
    launch,
    `await Effect.runPromise(program)\nawait Effect.runPromise(dryRun)\n${launch}`
  )
}

/**
 * Starts the example in a directory, sends it an order, and stops it. Returns the id of the order, and the ids of all orders
 * that got a receipt.
 */
export const runReadmeExample = async (
  directory: string,
  command: string,
  ...args: ReadonlyArray<string>
): Promise<{ readonly status: number, readonly id: number, readonly receipts: ReadonlyArray<number> }> => {
  const example = spawn(command, args, { cwd: directory, stdio: ["ignore", "pipe", "inherit"] })
  const exited = once(example, "exit")
  let out = ""
  try {
    const port = await new Promise<string>((resolve, reject) => {
      example.stdout.on("data", (data) => {
        out += data
        const listening = out.match(/Listening on http:\/\/\S+:(\d+)/)
        if (listening !== null) {
          resolve(listening[1]!)
        }
      })
      void exited.then(() => reject(new Error(`README's example ended before it listened:\n${out}`)))
    })
    const response = await fetch(`http://127.0.0.1:${port}/orders`, { method: "POST" })
    const { id } = await response.json() as { readonly id: number }
    example.kill("SIGINT")
    await exited
    const receipts = [...out.matchAll(/receipt of order (\d+)/g)].map(([, order]) => Number(order))
    return { status: response.status, id, receipts }
  } finally {
    example.kill("SIGKILL")
  }
}
