/**
 * `npx tsx examples/engines/shop.ts bullMq` runs the shop of the demo with an engine behind its outbox, and two worker processes.
 * The shop stores what its transactions enqueue in SQLite, its relay hands that over to the engine, and the workers send the
 * mails. `examples/engines/choices.ts` lists the engines; each needs its server.
 */
import { HttpServer } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Fiber, Layer } from "effect"
import { AirlockLive } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import { type ChildProcess, spawn } from "node:child_process"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { data, Server, Tasks, World } from "../shop.js"
import { choiceOf } from "./choices.js"

const [engine = "bullMq", role = "shop", name = `shop-${process.pid}`, number = "0"] = process.argv.slice(2)
const orders = 6

// ---------------------------------------------------------------- a worker process

/** A mail server takes its time. */
const say = (text: string) => Effect.delay(Console.log(`worker ${number} ${text}`), "20 millis")

const WorldLive = Layer.succeed(World, {
  mail: (to, text) => say(`mails ${to}: ${text}`),
  webhook: (text) => say(`calls the warehouse: ${text}`)
})

const worker = choiceOf(engine, name).worker.pipe(
  Layer.provide(Tasks.pipe(Layer.provide(WorldLive))),
  Layer.provide(AirlockLive),
  Layer.tap(() => say("is ready"))
)

// ---------------------------------------------------------------- the shop

const Relay = Layer.unwrapScoped(
  Effect.map(choiceOf(engine, name).executor, (executor) => Outbox.relay({ executor }))
)

const Stored = Outbox.live().pipe(Layer.provide(Layer.effectDiscard(Outbox.migrate())))

const Shop = Layer.merge(Server, Relay).pipe(
  Layer.provide(data(":memory:", Stored)),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

const startWorker = (number: number) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [
        ...process.execArgv,
        fileURLToPath(import.meta.url),
        engine,
        "worker",
        name,
        `${number}`
      ], {
        stdio: ["ignore", "pipe", "inherit"]
      })
    ),
    (child) =>
      Effect.async<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGTERM")
      })
  )

/** Prints what the workers say, until they have said this many different things of a kind. */
const said = (workers: ReadonlyArray<ChildProcess>, kind: RegExp, count: number) =>
  Effect.async<void>((resume) => {
    const seen = new Set<string>()
    for (const { stdout } of workers) {
      const listen = (text: Buffer) => {
        for (const line of text.toString().split("\n").filter((line) => kind.test(line))) {
          process.stdout.write(`  ${line}\n`)
          seen.add(line)
        }
        if (seen.size >= count) {
          resume(Effect.void)
        }
      }
      stdout?.on("data", listen)
    }
  })

const order = (address: string, item: string, email: string) =>
  Effect.flatMap(
    Effect.promise(() =>
      fetch(`${address}/orders`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ item, email })
      })
    ),
    ({ status }) => Console.log(`${email} orders a ${item}: ${status}`)
  )

const story = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const url = HttpServer.formatAddress(address)
  const workers = yield* Effect.forEach([1, 2], startWorker)
  yield* said(workers, /is ready/, 2)
  // A receipt and a note to the warehouse for each order that succeeds.
  const done = yield* Effect.fork(said(workers, /mails|calls/, 2 * orders))
  yield* Effect.forEach(Array.from({ length: orders }), (_, i) => order(url, "book", `customer-${i}@example.com`))
  yield* order(url, "unicorn", "nobody@example.com")
  yield* Fiber.join(done)
  yield* Console.log("All receipts have left, and none of the order that failed.")
}).pipe(Effect.scoped, Effect.provide(Shop))

NodeRuntime.runMain(role === "worker" ? Layer.launch(worker) : story)
