/**
 * `npm run demo` starts the shop on a SQLite file, sends it orders with a real HTTP client, and prints what happened,
 * in order. It fails if that differs from what it expects.
 *
 * `npm run demo -- --serve [port]` keeps the shop running for `curl`. `npm run demo -- --crash` runs examples/crash.ts.
 */
import { FetchHttpClient, FileSystem, HttpClient, HttpClientRequest, HttpServer, Path } from "@effect/platform"
import { NodeContext, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Effect, Layer, Logger, LogLevel } from "effect"
import { AirlockLive, Policy } from "effect-airlock"
import { createServer } from "node:http"
import { data, Server, Tasks, World } from "./shop.js"

const say = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

// ---------------------------------------------------------------- the timeline: what happened, in order

class Timeline extends Context.Tag("demo/Timeline")<Timeline, Array<string>>() {}

const seen = (what: string) =>
  Effect.flatMap(Timeline, (timeline) => Effect.zipRight(Effect.sync(() => timeline.push(what)), say(`    ${what}`)))

/** A second connection to the same file. It sees only committed rows. */
class Outsider extends Context.Tag("demo/Outsider")<Outsider, SqlClient.SqlClient>() {}

const outsider = (filename: string) =>
  Layer.map(
    SqliteClient.layer({ filename, readonly: true, disableWAL: true }),
    (context) => Context.make(Outsider, Context.get(context, SqlClient.SqlClient))
  )

const committed = Effect.flatMap(Outsider, (sql) =>
  Effect.map(
    sql<{ orders: number, gifts: number }>`
    SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM gifts) AS gifts`,
    ([counts]) => counts!
  ))

const WorldLive = Layer.effect(
  World,
  Effect.gen(function*() {
    const context = yield* Effect.context<Timeline | Outsider>()
    const effect = (what: string) =>
      Effect.flatMap(committed, ({ orders }) => seen(`effect    ${what} (orders committed by now: ${orders})`)).pipe(
        Effect.orDie,
        Effect.provide(context)
      )
    return {
      mail: (to, text) => effect(`mail to ${to}: ${text}`),
      webhook: (text) => effect(`webhook: ${text}`)
    }
  })
)

/** Prints the shop's log, and Airlock's debug log of the intents that did not leave, without their ids. */
const logger = Effect.map(Timeline, (timeline) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ annotations, message }) => {
      const intents = Object.fromEntries(annotations)["airlock.intents"]
      const text = String(message)
      const line = Array.isArray(intents)
        ? `airlock   ${text.replace("Airlock ", "")}: ${
          intents.map((_) => String(_).replace(/ [0-9a-f-]{36}/, "")).join(", ")
        }`
        : `shop      ${text}`
      timeline.push(line)
      process.stdout.write(`    ${line}\n`)
    })
  ))

// ---------------------------------------------------------------- the client

const post = (order: { readonly item: string, readonly email: string, readonly gift?: boolean }) =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const client = yield* HttpClient.HttpClient
    yield* seen(`client    POST /orders ${JSON.stringify(order)}`)
    const response = yield* HttpClientRequest.post(`${HttpServer.formatAddress(address)}/orders`).pipe(
      HttpClientRequest.bodyUnsafeJson(order),
      client.execute
    )
    yield* seen(`client    has ${response.status} ${yield* response.text}`)
    const counts = yield* committed
    yield* seen(`database  ${counts.orders} order(s), ${counts.gifts} gift(s)`)
  })

// ---------------------------------------------------------------- the story

const chapter = (title: string, story: Effect.Effect<void, unknown, Story>, expected: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const timeline = yield* Timeline
    timeline.length = 0
    yield* say(`\n  ${title}\n`)
    yield* story
    const actual = timeline.slice()
    if (JSON.stringify(actual) !== JSON.stringify(expected)) {
      return yield* Effect.fail(
        new Error(
          `the demo saw something else than it says.\nIt says:\n${expected.join("\n")}\nIt saw:\n${actual.join("\n")}`
        )
      )
    }
    yield* say("    as it should be")
  })

type Story = Timeline | Outsider | HttpServer.HttpServer | HttpClient.HttpClient

const inShop = Effect.gen(function*() {
  yield* chapter(
    "An order that succeeds: row, effects, response, in this order",
    post({ item: "book", email: "ada@example.com" }),
    [
      "client    POST /orders {\"item\":\"book\",\"email\":\"ada@example.com\"}",
      "shop      inserted order 1, enqueued its receipt and the note to the warehouse",
      "effect    mail to ada@example.com: receipt of order 1 (orders committed by now: 1)",
      "effect    webhook: pack order 1 (orders committed by now: 1)",
      "client    has 201 {\"orderId\":1}",
      "database  1 order(s), 0 gift(s)"
    ]
  )
  yield* chapter(
    "An order that fails after its insert: no row, no effects",
    post({ item: "unicorn", email: "bob@example.com" }),
    [
      "client    POST /orders {\"item\":\"unicorn\",\"email\":\"bob@example.com\"}",
      "shop      inserted order 2, enqueued its receipt and the note to the warehouse",
      "airlock   discarded intents: their scope did not succeed: SendReceipt, NotifyWarehouse",
      "client    has 409 {\"outOfStock\":\"unicorn\"}",
      "database  1 order(s), 0 gift(s)"
    ]
  )
  yield* chapter(
    "An order whose gift fails and is rolled back to its savepoint, and that recovers: only the gift's effect is gone",
    post({ item: "book", email: "eve@example.com", gift: true }),
    [
      "client    POST /orders {\"item\":\"book\",\"email\":\"eve@example.com\",\"gift\":true}",
      "shop      inserted order 2, enqueued its receipt and the note to the warehouse",
      "airlock   discarded intents: their scope did not succeed: SendGiftCard",
      "effect    mail to eve@example.com: receipt of order 2 (orders committed by now: 2)",
      "effect    webhook: pack order 2 (orders committed by now: 2)",
      "client    has 201 {\"orderId\":2}",
      "database  2 order(s), 0 gift(s)"
    ]
  )
})

const inDryRun = chapter(
  "The same shop under Policy.dropAll: the row is there, nothing leaves, and it is said what would have",
  post({ item: "book", email: "dry@example.com" }),
  [
    "client    POST /orders {\"item\":\"book\",\"email\":\"dry@example.com\"}",
    "shop      inserted order 3, enqueued its receipt and the note to the warehouse",
    "airlock   dropped intents: a policy does not let them leave: " +
    "SendReceipt by dropAll: every intent is dropped, NotifyWarehouse by dropAll: every intent is dropped",
    "client    has 201 {\"orderId\":3}",
    "database  3 order(s), 0 gift(s)"
  ]
)

const shop = (filename: string, airlock = AirlockLive) => {
  const Data = data(filename, airlock)
  return Server.pipe(
    Layer.provide(Tasks.pipe(Layer.provide(WorldLive))),
    Layer.provide(Data),
    Layer.provideMerge(outsider(filename).pipe(Layer.provide(Data))),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )
}

const inTempFile = Effect.gen(function*() {
  const directory = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped({ prefix: "airlock-demo-" })
  return (yield* Path.Path).join(directory, "shop.db")
})

const demo = Effect.gen(function*() {
  const filename = yield* inTempFile
  yield* inShop.pipe(Effect.provide(shop(filename)))
  yield* inDryRun.pipe(Effect.provide(shop(filename, AirlockLive.pipe(Layer.provide(Policy.layer(Policy.dropAll))))))
  yield* say("\n  All as it should be.\n")
}).pipe(
  Effect.provide(Layer.unwrapEffect(logger)),
  Logger.withMinimumLogLevel(LogLevel.Debug),
  Effect.provide(FetchHttpClient.layer),
  Effect.provideService(Timeline, [])
)

const serve = (port: number) =>
  Effect.gen(function*() {
    const filename = yield* inTempFile
    yield* say(
      `The shop is open. Try:\n  curl -i -d '{"item":"book","email":"me@example.com"}' -H 'content-type: application/json' ` +
        `http://127.0.0.1:${port}/orders\n  (a "unicorn" is out of stock; "gift":true adds a gift that fails)`
    )
    const Data = data(filename)
    yield* Server.pipe(
      Layer.provide(Tasks.pipe(Layer.provide(WorldLive))),
      Layer.provide(Data),
      Layer.provide(outsider(filename).pipe(Layer.provide(Data))),
      Layer.provide(NodeHttpServer.layer(createServer, { port, host: "127.0.0.1" })),
      Layer.launch
    )
  }).pipe(Effect.provideService(Timeline, []))

const argument = process.argv.indexOf("--serve")

if (process.argv.includes("--crash")) {
  await import("./crash.js")
} else if (argument === -1) {
  NodeRuntime.runMain(demo.pipe(Effect.scoped, Effect.provide(NodeContext.layer)), { disablePrettyLogger: true })
} else {
  const port = Number(process.argv[argument + 1] ?? 3000)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    process.stderr.write(`--serve takes a port, not ${process.argv[argument + 1]}\n`)
    process.exit(1)
  }
  NodeRuntime.runMain(serve(port).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
}
