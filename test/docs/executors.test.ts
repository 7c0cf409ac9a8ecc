/** The worker of docs/executors.md, as it stands there. */
import { expect, it } from "@effect/vitest"
import { Effect, type Layer, Queue, Schema } from "effect"
import { Airlock, Task } from "effect-airlock"
import { pageExample } from "../support/pageExample.js"

it.effect("the worker runs the jobs of its executor, and returns each job that it cannot run to the queue", () =>
  Effect.gen(function*() {
    const Mail = Task.make("Mail", { payload: { to: Schema.String } })
    const Unknown = Task.make("Unknown", { payload: {} })
    const jobs = yield* Queue.unbounded<unknown>()
    const seen = yield* Queue.unbounded<string>()
    const end = (how: string) => ({ name }: { readonly name: string }) => Queue.offer(seen, `${how} ${name}`)
    const queue = {
      add: (added: ReadonlyArray<unknown>) => Effect.runPromise(Queue.offerAll(jobs, added)),
      take: Queue.take(jobs),
      done: end("done"),
      failed: end("failed")
    }
    const Tasks = Mail.toLayer(({ to }) => Queue.offer(seen, `mail to ${to}`))
    const { Main } = yield* Effect.promise(() => pageExample("docs/executors.md", "const worker", { queue, Tasks }))
    yield* Effect.gen(function*() {
      yield* Airlock.enqueue(Unknown, {}).pipe(Effect.zipRight(Airlock.enqueue(Mail, { to: "ada" })), Airlock.scoped)
      yield* Queue.offer(jobs, { id: "1", name: "Mail", payload: { to: 1 }, attempt: 1, at: 0 })
      expect([...(yield* Queue.takeN(seen, 4))]).toEqual([
        "failed Unknown",
        "mail to ada",
        "done Mail",
        "failed Mail"
      ])
    }).pipe(Effect.provide(Main as Layer.Layer<Airlock.Airlock>))
  }))
