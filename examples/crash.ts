/**
 * `npm run demo -- --crash` runs the shop with an outbox. It kills the process after the order was committed and before
 * anything has left. Then it starts the shop again, and the receipt arrives.
 */
import { HttpServer } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import * as Outbox from "effect-airlock/Outbox"
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { data, serverWith, Tasks, World } from "./shop.js"

const file = fileURLToPath(import.meta.url)

// ---------------------------------------------------------------- the shop, in a process of its own

const say = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

const WorldLive = Layer.succeed(World, {
  mail: (to, text) => say(`mail to ${to}: ${text}`),
  webhook: (text) => say(`webhook: ${text}`)
})

const shop = (filename: string, isDoomed: boolean) => {
  // After this time the relay releases what a dead process held. It is short to keep the example quick.
  const Kept = Outbox.live({ heldTimeout: "1 second" }).pipe(
    Layer.provide(Layer.effectDiscard(Outbox.migrate()))
  )
  const end = isDoomed ? Effect.sync(() => process.kill(process.pid, "SIGKILL")) : Effect.void
  return Layer.mergeAll(serverWith(Effect.asVoid(end)), Outbox.relay()).pipe(
    Layer.provide(Tasks.pipe(Layer.provide(WorldLive))),
    Layer.provide(data(filename, Kept)),
    Layer.provide(Layer.effectDiscard(HttpServer.addressFormattedWith((address) => say(`open ${address}`)))),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )
}

// ---------------------------------------------------------------- the story

const start = (filename: string, ...how: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [...process.execArgv, file, "--shop", filename, ...how], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const lines: Array<string> = []
  let told = () => {}
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    lines.push(...text.split("\n").filter((line) => /^(open|mail|webhook)/.test(line)))
    told()
  })
  const until = <A>(find: () => A | undefined) =>
    new Promise<A>((resolve) => {
      told = () => {
        const found = find()
        if (found !== undefined) {
          resolve(found)
        }
      }
      told()
    })
  /** The shop's address, once it is open. */
  const open = until(() => lines.find((line) => line.startsWith("open "))?.slice("open ".length))
  return { child, lines, until, open, ended: new Promise<void>((resolve) => child.on("exit", () => resolve())) }
}

const story = async () => {
  const directory = await mkdtemp(join(tmpdir(), "airlock-crash-"))
  const filename = join(directory, "shop.db")
  const first = start(filename, "--doomed")
  const doomed = await first.open
  console.log("    client    POST /orders {\"item\":\"book\",\"email\":\"ada@example.com\"}")
  const answer = await fetch(`${doomed}/orders`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ item: "book", email: "ada@example.com" })
  }).then(({ status }) => `has ${status}`, () => "has no answer")
  await first.ended
  console.log(`    shop      was killed (${first.child.signalCode}): the order is committed, its effects have not left`)
  console.log(`    client    ${answer}`)
  console.log(`    effects   ${first.lines.length === 1 ? "none" : first.lines.slice(1).join(", ")}`)

  const second = start(filename)
  const url = await second.open
  console.log("    shop      is open again")
  const orders = await (await fetch(`${url}/orders`)).text()
  console.log(`    database  ${orders}`)
  await second.until(() => second.lines.length === 3 || undefined)
  console.log(second.lines.slice(1).map((line) => `    effect    ${line}`).join("\n"))
  second.child.kill()
  await second.ended
  await rm(directory, { recursive: true })
  const isAsItShouldBe = answer === "has no answer" && first.lines.length === 1 &&
    orders.includes("ada@example.com") && second.lines.includes("mail to ada@example.com: receipt of order 1")
  console.log(isAsItShouldBe ? "\n  The receipt has arrived.\n" : "\n  It is not as it should be.\n")
  process.exitCode = isAsItShouldBe ? 0 : 1
}

const filename = process.argv[process.argv.indexOf("--shop") + 1]

if (process.argv.includes("--shop") && filename !== undefined) {
  NodeRuntime.runMain(Layer.launch(shop(filename, process.argv.includes("--doomed"))))
} else {
  await story()
}
