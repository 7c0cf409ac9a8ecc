import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import { Airlock, AirlockLive, Executor, type Intent, Policy, Task } from "effect-airlock"
import { inspect } from "node:util"

const Mail = Task.make("Mail", { payload: { secret: Schema.String } })

const payloadOf = ({ payload }: Intent.Intent) => (payload as typeof Mail.payloadSchema.Type).secret

const oneIntent = Effect.gen(function*() {
  const options = { origin: "a form" }
  yield* Airlock.enqueue(Mail, { secret: "hunter2" }, options)
  options.origin = "another form"
  const [intent] = yield* Airlock.intents
  return intent!
})

const inPlan = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  self.pipe(Airlock.scoped({ policy: Policy.dropAll }), Effect.provide(AirlockLive))

describe("an intent", () => {
  it.effect("shows its task and its id, and neither its payload nor what is behind it", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const keep = (line: string) => {
        lines.push(line)
      }
      const loggers = [Logger.jsonLogger, Logger.logfmtLogger, Logger.stringLogger].map((logger) =>
        Logger.add(Logger.map(logger, keep))
      )
      const intent = yield* oneIntent
      yield* loggers.reduce((log, logger) => Effect.provide(log, logger), Effect.log(intent))
      for (const text of [String(intent), JSON.stringify(intent), inspect(intent), ...lines]) {
        expect(text).toContain("Mail")
        expect(text).toContain(intent.id)
        expect(text).not.toMatch(/hunter2|fork|policies|origin/)
      }
      expect(lines.length).toBe(3)
    }).pipe(inPlan))

  it.effect("cannot be changed, and neither can its options", () =>
    Effect.gen(function*() {
      const intent: { -readonly [Key in keyof Intent.Intent]: unknown } = yield* oneIntent
      const { id, options, payload, task } = intent
      for (const key of ["id", "task", "payload", "options", "enqueuedAt", "scopeId", "span"] as const) {
        expect(() => {
          intent[key] = "changed"
        }).toThrow(TypeError)
      }
      expect(() => Object.assign(options as object, { origin: "changed" })).toThrow(TypeError)
      expect(() => Object.assign(task as object, { name: "changed" })).toThrow(TypeError)
      expect(intent).toMatchObject({ id, options: { origin: "a form" }, payload, task: { name: "Mail" } })
    }).pipe(inPlan))

  it.effect("is still an intent as a copy by spread, with another payload, for an executor", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const decorating = Executor.make({
        name: "decorating",
        dispatch: (intents, handlers) =>
          handlers.run(intents.map((intent) => ({ ...intent, payload: { secret: `not ${payloadOf(intent)}` } })))
      })
      const Live = Mail.toLayer(({ secret }) => Effect.sync(() => seen.push(secret)))
      yield* Airlock.enqueue(Mail, { secret: "a" }).pipe(
        Airlock.scoped({ executor: decorating }),
        Effect.provide(Layer.provideMerge(Live, Airlock.layer()))
      )
      expect(seen).toEqual(["not a"])
    }))

  it.effect("can be enqueued and shown inside 20 000 nested policies", () =>
    Effect.gen(function*() {
      let nested: Effect.Effect<Intent.Intent, never, Airlock.Airlock> = oneIntent.pipe(
        Airlock.scoped,
        Effect.orDie
      ) as never
      for (let i = 0; i < 20_000; i++) {
        nested = Airlock.withPolicy(nested, Policy.limit(1))
      }
      const intent = yield* nested
      expect(JSON.stringify(intent) + inspect(intent)).toContain(intent.id)
    }).pipe(Effect.provide(Mail.toLayer(() => Effect.void)), Effect.provide(AirlockLive)))
})
