/**
 * This test prints the table of outcomes in docs/sql.md: at each step of a transaction on a real server a proxy or the
 * server breaks the connection, and then the test looks at the rows.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Option } from "effect"
import { Airlock } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { readFileSync } from "node:fs"
import { type Database, decorated, insertOrder, onEachServer, orders, transaction } from "../support/databases.js"
import { type Cut, type Proxy, proxyTo } from "../support/proxy.js"
import { left, note } from "../support/recorder.js"
import { describeOn, mysql, postgres } from "../support/servers.js"
import { until } from "../support/until.js"

const order = Effect.zipRight(insertOrder("a"), note("a")).pipe(Effect.provide(Airlock.unchecked))

type Program = (
  proxy: Proxy,
  admin: <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient>) => Effect.Effect<A, E>
) => Effect.Effect<unknown, unknown, SqlClient.SqlClient>

const cutting = (cut: Cut, self: Effect.Effect<unknown, unknown, SqlClient.SqlClient>): Program => (proxy) =>
  Effect.suspend(() => {
    proxy.cut(cut)
    return self
  })

const committing = SqlTransaction.transaction(order)

/** Makes the server end this connection, and waits until the server no longer lists it. */
const killed = (admin: Parameters<Program>[1]) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql.onDialectOrElse({
      mysql: () => sql<{ id: number }>`SELECT CONNECTION_ID() AS id`,
      orElse: () => sql<{ id: number }>`SELECT pg_backend_pid() AS id`
    })
    yield* admin(Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sql.onDialectOrElse({
        mysql: () => sql`KILL ${sql.literal(String(row!.id))}`,
        orElse: () => sql`SELECT pg_terminate_backend(${row!.id})`
      })))
    yield* until(admin(Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.map(
        sql.onDialectOrElse({
          mysql: () => sql`SELECT 1 FROM information_schema.processlist WHERE id = ${row!.id}`,
          orElse: () => sql`SELECT 1 FROM pg_stat_activity WHERE pid = ${row!.id}`
        }),
        (rows) => rows.length === 0
      ))))
  })

const steps: ReadonlyArray<readonly [step: string, program: Program]> = [
  ["BEGIN does not arrive", cutting({ statement: "BEGIN", at: "request" }, committing)],
  ["the answer to BEGIN does not arrive", cutting({ statement: "BEGIN", at: "answer" }, committing)],
  ["a statement does not arrive", cutting({ statement: "INSERT", at: "request" }, committing)],
  ["the answer to a statement does not arrive", cutting({ statement: "INSERT", at: "answer" }, committing)],
  [
    "the same, and the code around recovers",
    cutting(
      { statement: "INSERT", at: "answer" },
      SqlTransaction.transaction(Effect.zipRight(Effect.ignore(insertOrder("b")), order))
    )
  ],
  [
    "the server kills it between two statements",
    (_, admin) => SqlTransaction.transaction(Effect.zipRight(order, Effect.zipRight(killed(admin), insertOrder("b"))))
  ],
  [
    "the server kills it before COMMIT",
    (_, admin) => SqlTransaction.transaction(Effect.zipRight(order, killed(admin)))
  ],
  ["SAVEPOINT does not arrive", cutting({ statement: "SAVEPOINT", at: "request" }, transaction(transaction(order)))],
  [
    "ROLLBACK TO SAVEPOINT does not arrive, and the code around recovers",
    cutting(
      { statement: "ROLLBACK TO", at: "request" },
      transaction(Effect.zipRight(order, Effect.ignore(transaction(Effect.fail("no")))))
    )
  ],
  ["COMMIT does not arrive", cutting({ statement: "COMMIT", at: "request" }, committing)],
  ["the answer to COMMIT does not arrive", cutting({ statement: "COMMIT", at: "answer" }, committing)],
  [
    "ROLLBACK does not arrive",
    cutting(
      { statement: "ROLLBACK", at: "request" },
      SqlTransaction.transaction(Effect.zipRight(order, Effect.fail("no")))
    )
  ],
  [
    "the answer to ROLLBACK does not arrive",
    cutting(
      { statement: "ROLLBACK", at: "answer" },
      SqlTransaction.transaction(Effect.zipRight(order, Effect.fail("no")))
    )
  ]
]

const shown = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) {
    return "success"
  }
  const failure = Cause.failureOption(exit.cause)
  if (Option.isNone(failure)) {
    return "a defect"
  }
  return failure.value === "no" ? "its own failure" : `\`${(failure.value as { readonly _tag: string })._tag}\``
}

const outcomeOf = (database: Database, url: URL, program: Program) =>
  Effect.gen(function*() {
    const proxy = yield* proxyTo(url)
    const direct = yield* Layer.build(database.client())
    const admin = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient>) =>
      Effect.mapInputContext(self, (): typeof direct => direct) as Effect.Effect<A, E>
    const layer = decorated(database, { host: "127.0.0.1", port: proxy.port, maxConnections: 1 })
    return yield* Effect.gen(function*() {
      const exit = yield* Effect.exit(program(proxy, admin))
      const rows = yield* Effect.provide(orders, direct)
      const outcome = `${shown(exit)}, ${rows.includes("a") ? "row" : "no row"}, ${
        (yield* left).length > 0 ? "intent left" : "no intent"
      }`
      // The pool must have a working connection again.
      yield* SqlTransaction.transaction(insertOrder("after"))
      expect(yield* Effect.provide(orders, direct)).toContain("after")
      return outcome
    }).pipe(Effect.provide(layer))
  }).pipe(Effect.scoped)

const seen = new Map<string, Map<string, string>>()

onEachServer((database, { url }) => {
  it.effect("no intent leaves without its row, wherever the connection breaks", () =>
    Effect.gen(function*() {
      const outcomes = new Map<string, string>()
      for (const [step, program] of steps) {
        const outcome = yield* outcomeOf(database, url, program)
        expect(outcome).not.toContain("no row, intent left")
        outcomes.set(step, outcome)
      }
      seen.set(database.name, outcomes)
    }), 30_000)
})

const writesTheTable = async () => {
  const names = [...seen.keys()]
  const rows = [
    ["the connection breaks", ...names],
    ["---", ...names.map(() => "---")],
    ...steps.map(([step]) => [step].concat(names.map((name) => seen.get(name)!.get(step)!)))
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const table = rows.map((row) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!, cell === "---" ? "-" : " ")).join(" | ")} |`
  ).join("\n")
  const page = readFileSync(new URL("../../docs/sql.md", import.meta.url), "utf8")
  await expect(
    page.replace(
      /(<!-- outcomes -->\n\n)[\s\S]*(\n\n<!-- end of outcomes -->)/,
      (_, before, after) => before + table + after
    )
  ).toMatchFileSnapshot("../../docs/sql.md")
}

describeOn(postgres, "docs/sql.md", () => {
  describeOn(mysql, "with both servers", () => {
    it("has the table of outcomes that the tests saw", writesTheTable)
  })
})
