/**
 * Runs the examples of the pages about tasks that people come with: docs/mail-after-commit.md and its siblings.
 */
import { SqlClient } from "@effect/sql"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Schedule, type Schema } from "effect"
import { Airlock, AirlockLive, Executor, type Task } from "effect-airlock"
import * as Outbox from "effect-airlock/Outbox"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import { describe } from "vitest"
import { sqlite } from "../support/databases.js"
import { application as withOutbox } from "../support/outbox.js"
import { pageExample } from "../support/pageExample.js"

describe("docs/mail-after-commit.md", async () => {
  const mails: Array<string> = []
  let isDown = false
  const { placeOrder, Tasks } = await pageExample("docs/mail-after-commit.md", "const placeOrder", {
    sendMail: (to: string, text: string) =>
      isDown
        ? Effect.fail(new Error("the mail server does not answer"))
        : Effect.sync(() => mails.push(`${to}: ${text}`))
  }) as {
    readonly placeOrder: (email: string) => Effect.Effect<unknown, { readonly _tag: string }, SqlClient.SqlClient>
    readonly Tasks: Layer.Layer<never, never, Airlock.Airlock>
  }

  const table = Layer.effectDiscard(
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE orders (id INTEGER PRIMARY KEY, email TEXT)`)
  )
  const shop = Tasks.pipe(
    Layer.provideMerge(SqlTransaction.layer),
    Layer.provideMerge(AirlockLive),
    Layer.provideMerge(table.pipe(Layer.provideMerge(sqlite.client()))),
    Layer.orDie
  )

  /** The emails of the orders that are stored, and the mails that were sent. */
  const seen = Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const orders = yield* sql<{ email: string }>`SELECT email FROM orders ORDER BY id`
    return [orders.map(({ email }) => email), mails.splice(0)]
  })
  const inTransaction = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(self))
  const failing = placeOrder("eve").pipe(Effect.zipRight(Effect.fail("no")))

  it.effect("the mail of an order that is committed is sent", () =>
    Effect.gen(function*() {
      yield* placeOrder("ada")
      expect(yield* seen).toEqual([["ada"], ["ada: receipt of order 1"]])
    }).pipe(Effect.provide(shop)))

  it.effect("the mail of an order that is rolled back is not sent", () =>
    Effect.gen(function*() {
      yield* Effect.flip(inTransaction(failing).pipe(Effect.provide(Airlock.unchecked)))
      expect(yield* seen).toEqual([[], []])
    }).pipe(Effect.provide(shop)))

  it.effect("the mail of an order in a savepoint that is rolled back is not sent, and the others are", () =>
    Effect.gen(function*() {
      yield* placeOrder("ada").pipe(
        Effect.zipRight(Effect.ignore(inTransaction(failing))),
        SqlTransaction.transaction,
        Effect.provide(Airlock.unchecked)
      )
      expect(yield* seen).toEqual([["ada"], ["ada: receipt of order 1"]])
    }).pipe(Effect.provide(shop)))

  it.effect("the mail of an order whose request fails after the COMMIT is not sent", () =>
    Effect.gen(function*() {
      yield* Effect.flip(Airlock.scoped(failing))
      expect(yield* seen).toEqual([["eve"], []])
    }).pipe(Effect.provide(shop)))

  it.effect("an order stays when its mail cannot be sent, and the error says so", () =>
    Effect.gen(function*() {
      isDown = true
      const error = yield* Effect.flip(placeOrder("ada"))
      expect(error._tag).toBe("FlushError")
      expect(yield* seen).toEqual([["ada"], []])
    }).pipe(Effect.ensuring(Effect.sync(() => isDown = false)), Effect.provide(shop)))
})

describe("docs/test-that-nothing-is-sent.md", async () => {
  // This example has tests of its own.
  await pageExample("docs/test-that-nothing-is-sent.md", "a checkout that fails sends nothing")

  const { refused } = await pageExample("docs/test-that-nothing-is-sent.md", "const refused")

  it.effect("a policy refuses the enqueue, with the message of the page", () =>
    Effect.map(refused as Effect.Effect<string>, (error) => {
      expect(error).toMatch(
        /^PolicyViolation: The policy "assertNoEffects" refused "SendReceipt" \(at .*\): this code must not/
      )
    }))
})

describe("docs/survive-a-crash.md", async () => {
  const keys: Array<string> = []
  const { SendReceipt, Tasks } = await pageExample("docs/survive-a-crash.md", "declare const mailApi", {
    mailApi: {
      send: ({ idempotencyKey }: { readonly idempotencyKey: string }) =>
        Effect.suspend(() => keys.push(idempotencyKey) === 1 ? Effect.fail(new Error("no answer")) : Effect.void)
    }
  }) as {
    readonly SendReceipt: Task.Task<"SendReceipt", Schema.Schema<{ readonly orderId: number, readonly email: string }>>
    readonly Tasks: Layer.Layer<never, never, Airlock.Airlock>
  }

  it.effect("a mail that is sent again has the same key", () =>
    Effect.gen(function*() {
      yield* Airlock.scoped(Airlock.enqueue(SendReceipt, { orderId: 1, email: "ada@example.com" }))
      expect(keys.length).toBe(2)
      expect(new Set(keys).size).toBe(1)
    }).pipe(Effect.provide(
      Tasks.pipe(
        Layer.provideMerge(Airlock.layer({ executor: Executor.inProcess({ retry: Schedule.recurs(1) }) }))
      )
    )))
})

describe("docs/deploy-without-losing-intents.md", async () => {
  const { New, Old } = await pageExample("docs/deploy-without-losing-intents.md", "const Old") as {
    readonly Old: Task.Task<"Invite", Schema.Schema<{ readonly email: string }>>
    readonly New: Task.Task<"Invite", Schema.Schema<{ readonly emails: ReadonlyArray<string> }>>
  }

  /** Runs a relay with a handler until the handler has run so many times. Returns what it got. */
  const relayed = <P>(task: Task.Task<"Invite", Schema.Schema<P>>, times: number) =>
    Effect.gen(function*() {
      const got: Array<P> = []
      const done = yield* Deferred.make<void>()
      const handler = task.toLayer((payload: P) =>
        Effect.suspend(() => got.push(payload) === times ? Deferred.succeed(done, void 0) : Effect.void)
      )
      yield* Effect.scoped(
        Effect.zipRight(Layer.build(Outbox.relay().pipe(Layer.provide(handler))), Deferred.await(done))
      )
      return got
    })

  it.live("old relays leave rows of the next release alone, and new ones run both", () =>
    Effect.gen(function*() {
      yield* Airlock.scoped(Airlock.enqueue(New, { emails: ["ada", "bob"] }))
      yield* Airlock.scoped(Airlock.enqueue(Old, { email: "eve" }))
      expect(yield* relayed(Old, 1)).toEqual([{ email: "eve" }])
      expect((yield* Outbox.find()).rows.map(({ state, version }) => [state, version])).toEqual([["ready", 2]])

      yield* Airlock.scoped(Airlock.enqueue(Old, { email: "eve" }))
      expect(yield* relayed(New, 2)).toEqual([{ emails: ["ada", "bob"] }, { emails: ["eve"] }])
      expect((yield* Outbox.find()).rows).toEqual([])
    }).pipe(Effect.provide(withOutbox)))
})
