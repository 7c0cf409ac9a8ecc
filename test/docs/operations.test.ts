/**
 * Runs each SQL block of the pages on the databases that its first line names.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Outbox from "effect-airlock/Outbox"
import { readFileSync } from "node:fs"
import { insert, insertOneInEachState, now, numbers, outbox } from "../outbox/operations/seed.js"
import { onEachDatabase } from "../support/databases.js"

const pages = ["docs/operations.md", "docs/deploy-without-losing-intents.md"].map((page) => readFileSync(page, "utf8"))
  .join("\n")

const blocks = [...pages.matchAll(/^```sql\n-- (.*)\n([\s\S]*?)^```$/gm)].map(
  ([, databases, text]) => ({
    databases: databases!.split(", "),
    statements: text!.split(/;\n/).filter((statement) => statement.trim() !== "")
  })
)

it("each SQL block names its databases", () => {
  expect(blocks.length).toBe(pages.match(/^```sql$/gm)!.length)
  expect(new Set(blocks.flatMap(({ databases }) => databases))).toEqual(new Set(["PostgreSQL", "MySQL", "SQLite"]))
})

onEachDatabase((database) => {
  const own = blocks.filter(({ databases }) => databases.includes(database.name))
  const run = (statements: ReadonlyArray<string>) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true })
    )
  const having = (text: string) =>
    own.filter(({ statements }) => statements.some((statement) => statement.includes(text)))

  it.effect("each SQL block runs", () =>
    Effect.gen(function*() {
      yield* insertOneInEachState()
      for (const { statements } of own) {
        yield* run(statements)
      }
    }).pipe(Effect.provide(outbox(database))))

  it.effect("a dead letter that is redriven by hand is like one of Outbox.redrive", () =>
    Effect.gen(function*() {
      const time = yield* now
      const dead = { task: "SendReceipt", attempt: 3, failed_at: time, lease: null, ready_at: 7 }
      yield* insert(1, "dead", dead)
      yield* insert(2, "dead", { ...dead, task: "Other" })
      const [redrive, ...others] = having("SET state = 'ready'")
      expect(others).toEqual([])
      yield* run(redrive!.statements)
      expect(numbers(yield* Outbox.find({ state: "ready" }))).toEqual([1])
      yield* Outbox.redrive({ all: true })
      const { rows: [byHand, byOutbox] } = yield* Outbox.find()
      const ageOf = (row: Outbox.OutboxRow) => Math.abs(row.readyAt!.getTime() - time) < 30_000
      expect([ageOf(byHand!), ageOf(byOutbox!)]).toEqual([true, true])
      expect({ ...byHand, id: "", task: "", payload: "", enqueuedAt: "", readyAt: "" })
        .toEqual({ ...byOutbox, id: "", task: "", payload: "", enqueuedAt: "", readyAt: "" })
    }).pipe(Effect.provide(outbox(database))))

  it.effect("a task that is renamed by hand has its rows under the new name", () =>
    Effect.gen(function*() {
      yield* insertOneInEachState({ task: "SendBill" })
      yield* run(having("SET task")[0]!.statements)
      expect(numbers(yield* Outbox.find({ task: "SendBill" }))).toEqual([5])
    }).pipe(Effect.provide(outbox(database))))
})
