/**
 * Counts steps of Effect's run loop. Unlike times, these counts are the same on each machine and in each run.
 */
import { HttpApp, HttpRouter, HttpServerResponse } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer, ManagedRuntime, Schema } from "effect"
import { Airlock, AirlockLive, HttpMiddleware, Task } from "effect-airlock"
import * as SqlTransaction from "effect-airlock/SqlTransaction"
import * as Floor from "./floor.js"

const Count = Task.make("Count", { payload: { by: Schema.Number } })

const noop = () => Effect.void

const three = Effect.forEach([1, 1, 1], (by) => Airlock.enqueue(Count, { by }), { discard: true })

const floor = Effect.forEach([1, 1, 1], (by) => Floor.enqueue(noop, { by }), { discard: true })

const inTransaction = <E, R>(body: Effect.Effect<unknown, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(body))

const client = SqliteClient.layer({ filename: ":memory:" })

const empty = HttpRouter.empty.pipe(HttpRouter.get("/", HttpServerResponse.empty()))

let steps = 0

/** Counts the steps of all fibers. The class of fibers has one method for each kind of step, named after it. */
const countSteps = Effect.withFiberRuntime((fiber) => {
  const prototype: Record<string, unknown> = Object.getPrototypeOf(fiber)
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const step = /^[A-Z]/.test(name) ? prototype[name] : undefined
    if (typeof step === "function") {
      prototype[name] = function(op: unknown) {
        steps++
        return step.call(this, op)
      }
    }
  }
  return Effect.void
})

/** Runs a program once to warm up and once to count, and prints the count. */
const tell = (what: string, run: () => Promise<unknown>) =>
  Effect.promise(async () => {
    await run()
    steps = 0
    await run()
    process.stdout.write(`${what.padEnd(72)} ${String(steps).padStart(6)}   steps\n`)
  })

export const stepCounts: Effect.Effect<void> = Effect.gen(function*() {
  yield* countSteps
  const plain = ManagedRuntime.make(client)
  const airlock = ManagedRuntime.make(
    SqlTransaction.layer.pipe(
      Layer.provideMerge(Count.toLayer(noop)),
      Layer.provideMerge(AirlockLive),
      Layer.provideMerge(client),
      Layer.merge(Airlock.unchecked)
    )
  )
  yield* tell("a scope of 3 intents", () => airlock.runPromise(Airlock.scoped(three)))
  yield* tell("the same with the hand-written floor", () => plain.runPromise(Floor.scoped(floor)))
  yield* tell("a transaction on SQLite", () => plain.runPromise(inTransaction(Effect.void)))
  yield* tell("the same with Airlock", () => airlock.runPromise(inTransaction(Effect.void)))
  yield* tell("the same with 3 intents", () => airlock.runPromise(inTransaction(three)))
  yield* tell("the same with 3 of the floor", () => plain.runPromise(Floor.scoped(inTransaction(floor))))
  const handlerOf = HttpApp.toWebHandlerRuntime(yield* Effect.runtime<Airlock.Airlock>())
  const requests = {
    "a request": handlerOf(empty),
    "the same with a middleware that does nothing": handlerOf(empty, (app) => app),
    "the same with the middleware around the server": handlerOf(empty, HttpMiddleware.airlock),
    "the same with the middleware at HttpRouter.use": handlerOf(empty.pipe(HttpRouter.use(HttpMiddleware.airlock)))
  }
  for (const [what, handler] of Object.entries(requests)) {
    yield* tell(what, () => handler(new Request("http://localhost/")))
  }
  yield* Effect.promise(() => Promise.all([plain.dispose(), airlock.dispose()]))
}).pipe(Effect.provide(AirlockLive), Effect.scoped)
