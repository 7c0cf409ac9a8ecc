/**
 * What an engine stores of an intent, and the intent that a worker makes of it.
 */
import { expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Schema } from "effect"
import { Airlock, AirlockLive, Executor, Task } from "effect-airlock"
import * as Engine from "effect-airlock/Engine"

const Mail = Task.make("Mail", { payload: { at: Schema.Date }, version: 2 })

const at = new Date("2024-02-29T12:00:00.123Z")

const job: Engine.EngineJob = {
  id: "01900000-0000-7000-8000-000000000001",
  name: "Mail",
  data: { payload: { at: at.toISOString() }, version: 2, enqueuedAt: 5 },
  attempt: 1
}

/** An executor that keeps what it gets, as the jobs of an engine. */
const engine = () => {
  const jobs: Array<Engine.StoredJob> = []
  const executor = Executor.make({
    name: "engine",
    durable: true,
    dispatch: (intents) =>
      Effect.sync(() =>
        intents.map((intent) => (jobs.push(JSON.parse(JSON.stringify(Engine.jobOf(intent)))), Exit.void))
      )
  })
  return { jobs, executor }
}

/** Runs a job, and gives what the engine stores of its failure. */
const run = (job: Engine.EngineJob) =>
  Effect.gen(function*() {
    const { drain, process } = yield* Engine.runner()
    const exit = yield* Effect.exit(Effect.tryPromise({ try: () => process(job), catch: (error) => error }))
    yield* drain(() => Promise.resolve())
    return Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : exit.value
  })

const MailLive = Mail.toLayer(() => Effect.void).pipe(Layer.provideMerge(AirlockLive))

it.effect("stores the encoded payload, its version and its origin, as JSON", () =>
  Effect.gen(function*() {
    const { executor, jobs } = engine()
    const id = yield* Airlock.enqueue(Mail, { at }, { origin: "the checkout" }).pipe(
      Airlock.scoped,
      Effect.provide(Airlock.layer({ executor }))
    )
    expect(jobs).toMatchObject([
      { id, name: "Mail", data: { payload: { at: at.toISOString() }, version: 2, origin: "the checkout" } }
    ])
  }))

it.effect("stores the tasks of the cascade, so that a handler that enqueues itself ends", () =>
  Effect.gen(function*() {
    const { executor, jobs } = engine()
    const ends = yield* Effect.gen(function*() {
      const ends = [yield* run(job)]
      for (let next = jobs.shift(); next !== undefined && ends.length < 10; next = jobs.shift()) {
        ends.push(yield* run({ ...next, attempt: 1 }))
      }
      return ends
    }).pipe(
      Effect.provide(Mail.toLayer(({ at }) => Airlock.scoped(Airlock.enqueue(Mail, { at })))),
      Effect.provide(Airlock.layer({ executor, maxCascade: 3 }))
    )
    expect(ends.slice(0, -1).every((end) => end === "ended")).toBe(true)
    expect(ends.at(-1)).toContain("CascadeTooDeepError")
    expect(ends.length).toBeLessThan(5)
  }))

it.effect("fails a job of a newer version, whose task a later attempt may know", () =>
  Effect.gen(function*() {
    expect(yield* run(job)).toBe("ended")
    const error = yield* run({ ...job, data: { ...job.data, version: 3 } })
    expect(error).toContain("version 3")
  }).pipe(Effect.provide(MailLive)))

it.effect("fails a job for good whose payload does not fit", () =>
  Effect.gen(function*() {
    expect(yield* run({ ...job, data: { ...job.data, payload: { at: "noon" } } })).toContain("does not fit the task")
  }).pipe(Effect.provide(MailLive)))

const foreign: ReadonlyArray<readonly [string, unknown]> = [
  ["null", null],
  ["a text", "text"],
  ["an array", [1]],
  ["an object of its own", { at: at.toISOString() }],
  ["a broken cascade", { ...job.data, cascade: 1 }]
]

for (const [what, data] of foreign) {
  it.effect(`fails a job for good that somebody else has added, whose data is ${what}`, () =>
    Effect.gen(function*() {
      const { drain, process } = yield* Engine.runner()
      const error = yield* Effect.flip(Effect.tryPromise({
        // Any JSON can be in a queue.
        try: () => process({ ...job, data: data as Engine.JobData }),
        catch: (error) => error as Error
      }))
      yield* drain(() => Promise.resolve())
      expect([String(error), Engine.isForGood(error)]).toEqual([expect.stringContaining("no data of an intent"), true])
    }).pipe(Effect.provide(MailLive)))
}
